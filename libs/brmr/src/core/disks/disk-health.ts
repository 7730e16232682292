import { lacksSpaceSoon } from '@rmr/rmr';
import { formatSize, formatTime } from '@rmr/runtime';
import type { DirectorySpace } from './directory-room.ts';
import type { PlaceContent, Refusal } from './disk-types.ts';
import { contentText } from './place-content.ts';
import { type SmartReport, smartTrouble } from './smart-report.ts';

/** The health of a disk, in words: what is wrong, since when, and what to do. */
export interface DiskHealth {
  /** `healthy`: nothing is known against it. `degraded`: it works, and somebody should look after it. `down`: it can't be used. */
  readonly level: 'healthy' | 'degraded' | 'down';
  readonly sentence: string;
}

/** What is known of a disk when its health is asked for. */
export interface DiskCondition {
  readonly label: string;
  readonly unavailable: Refusal | null;
  readonly use: string | null;
  readonly smart: SmartReport | null;
  /** For a directory. */
  readonly space: DirectorySpace | null;
  readonly places: readonly { readonly path: string; readonly content: PlaceContent }[];
}

interface Trouble {
  readonly level: 'degraded' | 'down';
  /** Equal for the same trouble, although figures in its words change. */
  readonly key: string;
  readonly what: string;
  readonly remedy: string;
}

/** The gravest trouble of a disk, or null. */
function troubleOf({ label, unavailable, use, smart, space, places }: DiskCondition): Trouble | null {
  // A refusal says what to do by itself.
  if (unavailable !== null) return { level: 'down', key: `unavailable ${unavailable.code}`, what: unavailable.sentence, remedy: '' };
  if (use !== null)
    return { level: 'down', key: 'use', what: `${label} is ${use}`, remedy: 'Release it, or take it out of the configuration of disks.' };
  const broken = places.find(({ content: { kind } }) => kind === 'damaged' || kind === 'cut' || kind === 'unreadable');
  if (broken !== undefined)
    return {
      level: 'degraded',
      key: `place ${broken.path}`,
      what: `${broken.path} on ${label} holds ${contentText(broken.content)}`,
      remedy: 'See that its pool has everything in sync without it; then replace the store of that member.',
    };
  const complaint = smart === null ? null : smartTrouble(smart);
  if (complaint !== null)
    return {
      level: 'degraded',
      key: 'smart',
      what: `${label} reports trouble through SMART: ${complaint}`,
      remedy: 'Replace the stores on it by stores on another disk, and then the disk.',
    };
  if (space !== null && isLow(space))
    return {
      level: 'degraded',
      key: 'space',
      what: `${label} is running out of space: ${formatSize(space.freeBytes)} of ${formatSize(space.capacityBytes)} are free, and its stores may still take ${formatSize(space.promisedBytes - space.allocatedBytes)}`,
      remedy: 'Free some space, make the file system larger, or move a store to another disk.',
    };
  const foreign = places.find(({ content: { kind } }) => kind === 'foreign' || kind === 'data' || kind === 'newer');
  if (foreign !== undefined)
    return {
      level: 'degraded',
      key: `foreign ${foreign.path}`,
      what: `${label} holds ${contentText(foreign.content)}: no store can be made there`,
      remedy: 'Erase it if nobody needs it any more, or take the disk out of the configuration.',
    };
  return null;
}

function isLow({ capacityBytes, freeBytes, allocatedBytes, promisedBytes }: DirectorySpace): boolean {
  return lacksSpaceSoon({ freeBytes, totalBytes: capacityBytes, wantedBytes: Math.max(0, promisedBytes - allocatedBytes) });
}

/** Puts the health of one disk into words, and remembers since when its trouble lasts. Times are of the wall clock, for people. */
export class DiskHealthBook {
  #key: string | null = null;
  #sinceWallMs = 0;

  of(condition: DiskCondition, wallMs: number): DiskHealth {
    const trouble = troubleOf(condition);
    if (trouble === null) {
      this.#key = null;
      return { level: 'healthy', sentence: `nothing is known against ${condition.label}` };
    }
    if (trouble.key !== this.#key) {
      this.#key = trouble.key;
      this.#sinceWallMs = wallMs;
    }
    const since = `${trouble.what} (since ${formatTime(this.#sinceWallMs)} at least)`;
    return { level: trouble.level, sentence: trouble.remedy === '' ? since : `${since}. ${trouble.remedy}` };
  }
}
