import type { StoreInspection, SuperblockInspection } from '@rmr/bitmap-store';
import type { OperationErrorCode } from '@rmr/runtime';
import type { ForeignFinding } from './signatures.ts';

/**
 * A disk is a place on a storage node in which stores can be made. The configuration says which disks there are: an operator decides that,
 * and nobody else. A disk is known by its name there. What is on it is known by what is written on it, and never by the name of a device.
 */

/** Where a disk is. A directory has one sparse file per store; a device or an export is taken whole by one store. */
export type DiskPlace =
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'device'; readonly path: string }
  | { readonly kind: 'export'; readonly uri: string };

/** A disk as it is configured. */
export interface DiskSpec {
  readonly name: string;
  readonly place: DiskPlace;
  /**
   * For a directory: the sizes of its stores may add up to this many times the space that is there for them. From 1 on.
   */
  readonly overProvisioning: number;
  /** It is kept for replacing what fails: nothing else is placed on it by itself. */
  readonly spare: boolean;
}

/** The path or URI of a disk, for people. */
export function placeText(place: DiskPlace): string {
  return place.kind === 'export' ? place.uri : place.path;
}

/** A disk in messages: `disk "a" (/dev/sdb)`. */
export function diskLabel({ name, place }: DiskSpec): string {
  return `disk "${name}" (${placeText(place)})`;
}

/** Disks of one storage node: each may hold up a few threads when it hangs. */
export const DISKS_MAX = 64;
/** Bytes of the largest sector of a disk that can hold a store: what the metadata of stores is aligned to. */
export const SECTOR_BYTES_MAX = 4096;

/** Why something is not done. The sentence says what, why, and what to do. */
export interface Refusal {
  readonly code: OperationErrorCode;
  readonly sentence: string;
}

/** The hardware below a disk, as the kernel and udev tell it. Null: not known. */
export interface DeviceFacts {
  /** The kernel's name, for example `nvme0n1p2`. It may be another one after the next boot. */
  readonly device: string;
  readonly type: 'disk' | 'partition' | 'logical volume' | 'loop device' | 'RAID' | 'other';
  readonly sizeBytes: number | null;
  /** Logical sector. */
  readonly sectorBytes: number | null;
  readonly rotational: boolean | null;
  readonly model: string | null;
  readonly serial: string | null;
  readonly wwid: string | null;
  /** Of what is on it, where udev knows one. */
  readonly fileSystemUuid: string | null;
  /** The kernel's name of the disk that a partition is on. */
  readonly parent: string | null;
  /** Kernel's names of what is built on it: logical volumes, RAID. */
  readonly holders: readonly string[];
  /** Kernel's names of its partitions. */
  readonly partitions: readonly string[];
}

/**
 * A store that was found. `past`: what it has gone through; null: only its superblocks were read, which takes two pages, where the rest may take
 * megabytes.
 */
export interface FoundStore extends SuperblockInspection {
  readonly past: Pick<StoreInspection, 'version' | 'age' | 'lives'> | null;
}

/** What is at a place where a store could be: a file, a device, an export. */
export type PlaceContent =
  | { readonly kind: 'empty' }
  | { readonly kind: 'store'; readonly store: FoundStore }
  /** It was a store; it can't be opened as it is. */
  | { readonly kind: 'damaged'; readonly reason: string }
  /** A store that ends too early. */
  | { readonly kind: 'cut'; readonly reason: string }
  /** A store of a format that this program does not know. */
  | { readonly kind: 'newer'; readonly reason: string }
  /** The wiping of this store was cut short. */
  | { readonly kind: 'wiping'; readonly storeUuid: string }
  /** The creation of a store was cut short. Nothing is lost with it. */
  | { readonly kind: 'unfinished' }
  | { readonly kind: 'foreign'; readonly findings: readonly ForeignFinding[] }
  /** Something that has no name. */
  | { readonly kind: 'data'; readonly offsetBytes: number }
  | { readonly kind: 'unreadable'; readonly code: OperationErrorCode; readonly reason: string };

/** A place with its content. */
export interface ScannedPlace {
  /** The file, the device or the URI. */
  readonly path: string;
  readonly content: PlaceContent;
  readonly sizeBytes: number;
  /** Bytes that it takes on its disk; null: not known. */
  readonly allocatedBytes: number | null;
}
