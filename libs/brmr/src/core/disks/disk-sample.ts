import { STORE_HEAD_BYTES } from '@rmr/bitmap-store';
import { assert, MIB, readU16, readU32 } from '@rmr/runtime';

/** The bytes of {@link sampleRanges}. Reads beyond them find nothing. */
export class DiskSample {
  readonly sizeBytes: number;
  readonly #parts: readonly { readonly offsetBytes: number; readonly bytes: Uint8Array }[];

  /** `parts`: the bytes of each of the ranges, in their order. */
  constructor(sizeBytes: number, parts: readonly Uint8Array[]) {
    const ranges = sampleRanges(sizeBytes);
    assert(
      ranges.length === parts.length && ranges.every((range, i) => range.lengthBytes === parts[i]?.length),
      'disk sample: every range was read',
    );
    this.sizeBytes = sizeBytes;
    this.#parts = parts.map((bytes, i) => ({ offsetBytes: (ranges[i] as SampleRange).offsetBytes, bytes }));
  }

  /** The first bytes of the disk, for `storeRemains`. */
  get head(): Uint8Array {
    return this.#parts[0]?.bytes ?? new Uint8Array(0);
  }

  /** The offset of the first byte that is not zero, or null. */
  get firstData(): number | null {
    for (const { offsetBytes, bytes } of this.#parts) {
      const at = firstNonZero(bytes);
      if (at >= 0) return offsetBytes + at;
    }
    return null;
  }

  /** Whether these bytes are at the offset. */
  matches(offsetBytes: number, magic: Uint8Array): boolean {
    const found = this.#at(offsetBytes, magic.length);
    return found !== null && magic.every((byte, i) => found.part.bytes[found.at + i] === byte);
  }

  /** Little-endian numbers; null: beyond what was read. */
  u16(offsetBytes: number): number | null {
    const found = this.#at(offsetBytes, 2);
    return found === null ? null : readU16(found.part.bytes, found.at);
  }

  u32(offsetBytes: number): number | null {
    const found = this.#at(offsetBytes, 4);
    return found === null ? null : readU32(found.part.bytes, found.at);
  }

  u8(offsetBytes: number): number | null {
    const found = this.#at(offsetBytes, 1);
    return found === null ? null : (found.part.bytes[found.at] as number);
  }

  #at(offsetBytes: number, lengthBytes: number) {
    for (const part of this.#parts) {
      const at = offsetBytes - part.offsetBytes;
      if (at >= 0 && at + lengthBytes <= part.bytes.length) return { part, at };
    }
    return null;
  }
}

/**
 * What is read of a disk to find out what is on it: its head and its tail. All formats that matter begin or end there, and so do stores. A
 * store is only created where both read as zeroes.
 */

/** Bytes of the tail: ZFS keeps two labels of 256 KiB there, after which it rounds down to 256 KiB. */
const TAIL_BYTES = MIB;
/** Disks are read in whole pages. */
const PAGE_BYTES = 4096;

/** A range of a disk, in bytes. */
export interface SampleRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** What has to be read of a disk of this size: one range or two, which don't overlap. */
export function sampleRanges(sizeBytes: number): readonly SampleRange[] {
  const headBytes = Math.min(sizeBytes, STORE_HEAD_BYTES);
  const tailOffset = Math.max(headBytes, Math.floor((sizeBytes - TAIL_BYTES) / PAGE_BYTES) * PAGE_BYTES);
  const ranges = [
    { offsetBytes: 0, lengthBytes: headBytes },
    { offsetBytes: tailOffset, lengthBytes: sizeBytes - tailOffset },
  ];
  return ranges.filter(({ lengthBytes }) => lengthBytes > 0);
}

/** Loops, as a callback per byte takes a hundred times as long. */
function firstNonZero(bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return i;
  return -1;
}
