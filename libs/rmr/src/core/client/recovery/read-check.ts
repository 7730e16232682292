import { READ_CHECK_BYTES, READ_CHECK_BYTES_MAX } from '../../../constants.ts';
import type { ByteRange } from '../../../pool-store.ts';
import { subtractRanges } from '../../../ranges.ts';
import { readCheckResultSchema } from '../../../wire/control-message.ts';
import type { MapSource } from '../io/map-reader.ts';
import type { Leg } from '../legs/leg.ts';
import type { Grant } from './assembly.ts';

/** The highest number of ranges in one question. */
const RANGES_PER_QUESTION = 1024;

/**
 * The first {@link READ_CHECK_BYTES_MAX} of the ranges, in portions of one question each.
 *
 * The rest is not checked. Otherwise a disk that lost power with most of its regions in the write intent would be read from end to end
 * before the pool is served.
 */
export function checkPortions(ranges: readonly ByteRange[]): ByteRange[][] {
  const portions: ByteRange[][] = [];
  let portion: ByteRange[] = [];
  let room = READ_CHECK_BYTES;
  let left = READ_CHECK_BYTES_MAX;
  for (const range of ranges) {
    let { offsetBytes, lengthBytes } = range;
    while (lengthBytes > 0 && left > 0) {
      const taken = Math.min(lengthBytes, room, left);
      portion.push({ offsetBytes, lengthBytes: taken });
      offsetBytes += taken;
      lengthBytes -= taken;
      room -= taken;
      left -= taken;
      if (room > 0 && portion.length < RANGES_PER_QUESTION) continue;
      portions.push(portion);
      portion = [];
      room = READ_CHECK_BYTES;
    }
  }
  if (portion.length > 0) portions.push(portion);
  return portions;
}

/**
 * Has a member that has granted read these portions, one after the other until `isLate`. `done` is called once, with what the disk can't
 * read as far as is known then, or with the reason why the member did not say. `current`: whether the answer is still wanted.
 */
export function checkReadable(
  leg: Leg,
  known: readonly ByteRange[],
  portions: readonly (readonly ByteRange[])[],
  source: Pick<MapSource, 'poolUuid' | 'epoch'>,
  isLate: () => boolean,
  current: () => boolean,
  done: (unreadable: readonly ByteRange[] | null, failure: string) => void,
): void {
  // What failed once, and can be read now, is no reason to pass the member over.
  let unreadable = [...known];
  const ask = (index: number): void => {
    const ranges = portions[index];
    if (ranges === undefined || isLate()) {
      done(unreadable, '');
      return;
    }
    leg.call({ op: 'read-check', ...source, ranges: [...ranges] }, readCheckResultSchema, (result, failure) => {
      if (!current()) return;
      if (result === null) {
        done(null, failure?.message ?? `${leg.describe()} to check that it can read what others may need`);
        return;
      }
      unreadable = [...subtractRanges(unreadable, ranges), ...result.unreadable];
      ask(index + 1);
    });
  };
  ask(0);
}

/** What {@link checkAllReadable} needs from its caller. */
export interface ReadChecks {
  readonly source: Pick<MapSource, 'poolUuid' | 'epoch'>;
  /** No further question is asked. */
  readonly isLate: () => boolean;
  readonly current: () => boolean;
  readonly answered: (leg: Leg) => void;
  /** A member has not said what it can read. Nothing is called after it. */
  readonly failed: (why: string) => void;
  /** All members have answered what they were asked. The grants say what they can't read. */
  readonly done: (checked: ReadonlyMap<Leg, Grant>) => void;
}

/** Has all members that have granted read these portions, each for itself. */
export function checkAllReadable(grants: ReadonlyMap<Leg, Grant>, portions: readonly (readonly ByteRange[])[], checks: ReadChecks): void {
  const { source, isLate, current, answered, failed, done } = checks;
  const checked = new Map<Leg, Grant>();
  for (const [leg, grant] of grants) {
    checkReadable(leg, grant.unreadable, portions, source, isLate, current, (unreadable, failure) => {
      if (!current()) return;
      if (unreadable === null) {
        failed(failure);
        return;
      }
      answered(leg);
      checked.set(leg, { ...grant, unreadable });
      if (checked.size === grants.size) done(checked);
    });
  }
}
