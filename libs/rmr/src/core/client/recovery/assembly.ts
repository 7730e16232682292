import { DirtyMap } from '@rmr/dirty-map';
import { assert } from '@rmr/runtime';
import type { ByteRange, MemberRecord, VersionRecord } from '../../../pool-store.ts';
import { compareVersions, sameVersion } from '../../../version.ts';
import type { PoolMaps } from '../pool-maps.ts';
import { hasStayed } from '../versions/member-records.ts';

/** The part of a member's grant that assembly works with. */
export interface Grant {
  readonly memberId: number;
  readonly version: VersionRecord | null;
  /** Whether data that the member accepted and did not flush may be gone. */
  readonly volatileLost: boolean;
  readonly lastIo: readonly ByteRange[];
  readonly intent: readonly ByteRange[];
  /** The chunks of which the member's disk could not read some part. */
  readonly unreadable: readonly ByteRange[];
  /** The dirty maps that the member holds, by member. A member without a map here is clean. */
  readonly columns: ReadonlyMap<number, DirtyMap>;
}

/**
 * Decides which members' columns count: those of the members that hold the highest version.
 *
 * What a member with an older version says of others is worthless (◆14). What it says of itself is worthless, too, with one exception:
 * `members`, the table of the highest version, says that the member has been in sync all along, and the version has just not reached it.
 * Such a member may have pulled chunks, and nobody else has heard of that.
 *
 * `all`: this client has served the pool all along. It knows that every member of its last durable version holds complete maps, so each
 * of them knows what it lacks itself. Of other members the newest attempt says most.
 */
export function holdersOf(
  grants: readonly Grant[],
  highest: VersionRecord | null,
  all: boolean,
  members: readonly MemberRecord[],
): Holders {
  if (highest === null) return { owners: grants, holders: grants };
  let newest = highest;
  if (all) {
    const held = grants.map((grant) => grant.version).filter((version) => version !== null);
    newest = held.reduce((a, b) => (compareVersions(b, a) > 0 ? b : a), held[0] ?? highest);
  }
  const holders = grants.filter((grant) => grant.version !== null && sameVersion(grant.version, newest));
  const knowsItself = (grant: Grant): boolean =>
    holders.includes(grant) || (grant.version !== null && hasStayed(members, grant.memberId, grant.version, newest));
  return { owners: all ? grants : grants.filter(knowsItself), holders };
}

/** `owners` supply their own columns at assembly. The word of `holders` counts for all other columns. */
export interface Holders {
  readonly owners: readonly Grant[];
  readonly holders: readonly Grant[];
}

/** Puts the maps together: an owner supplies its own column. Every other column is the union over the holders. */
export function assembleMaps(maps: PoolMaps, { owners, holders }: Holders, memberIds: readonly number[]): void {
  for (const memberId of memberIds) {
    const own = owners.find((grant) => grant.memberId === memberId);
    const column = new DirtyMap(maps.chunkCount);
    for (const grant of own === undefined ? holders : [own]) {
      const map = grant.columns.get(memberId);
      if (map !== undefined) column.mergeFrom(map);
    }
    maps.put(memberId, column);
  }
}

/** The chunks that the ranges touch. */
function chunksOf(maps: PoolMaps, ranges: readonly ByteRange[]): DirtyMap {
  const chunks = new DirtyMap(maps.chunkCount);
  for (const { offsetBytes, lengthBytes } of ranges) {
    // Ranges come from a peer, which is not trusted to stay within the device.
    const end = Math.min(offsetBytes + lengthBytes, maps.sizeBytes);
    if (offsetBytes < end) chunks.set(maps.firstOf(offsetBytes), maps.countOf(offsetBytes, end - offsetBytes));
  }
  return chunks;
}

function forEachChunk(chunks: DirtyMap, visit: (chunk: number) => void): void {
  for (let chunk = chunks.nextDirty(0); chunk < chunks.chunkCount; ) {
    visit(chunk);
    chunk = chunk + 1 < chunks.chunkCount ? chunks.nextDirty(chunk + 1) : chunks.chunkCount;
  }
}

/** By member: the chunks that it may have lost. Null if it has lost nothing. */
function doubtfulChunks(maps: PoolMaps, grants: readonly Grant[]): ReadonlyMap<number, DirtyMap | null> {
  return new Map(grants.map((grant) => [grant.memberId, grant.volatileLost ? chunksOf(maps, grant.intent) : null]));
}

/**
 * The chunks of which members may be told to copy another's, in the order in which they matter. No chunk comes twice.
 * - Those of `lastIo`, then what a loss of power may have taken: {@link reconcile} chooses one copy.
 * - Between these, what a member could not read: {@link passOverUnreadable} has that member copy it from another one.
 */
export function suspectRanges(maps: PoolMaps, grants: readonly Grant[]): ByteRange[] {
  const kinds = [
    grants.flatMap((grant) => grant.lastIo),
    grants.flatMap((grant) => grant.unreadable),
    grants.flatMap((grant) => (grant.volatileLost ? grant.intent : [])),
  ];
  const told = new DirtyMap(maps.chunkCount);
  const ranges: ByteRange[] = [];
  for (const kind of kinds) {
    const chunks = chunksOf(maps, kind);
    told.forEachRun((first, count) => chunks.clear(first, count));
    chunks.forEachRun((first, count) => {
      told.set(first, count);
      ranges.push(maps.rangeOf(first, count));
    });
  }
  return ranges;
}

/**
 * Called before reconciliation. A chunk that a member's disk can't read becomes dirty for that member, if another member of the set has
 * it for certain. If none has, the unreadable copy stays the last copy, as some of its sectors can be read.
 */
export function passOverUnreadable(maps: PoolMaps, grants: readonly Grant[]): void {
  const unreadable = new Map(grants.map((grant) => [grant.memberId, chunksOf(maps, grant.unreadable)]));
  const doubtful = doubtfulChunks(maps, grants);
  for (const { memberId } of grants) {
    forEachChunk(unreadable.get(memberId) as DirtyMap, (chunk) => {
      const has = (other: number): boolean =>
        !maps.of(other).test(chunk) && unreadable.get(other)?.test(chunk) !== true && doubtful.get(other)?.test(chunk) !== true;
      if (grants.some((other) => other.memberId !== memberId && has(other.memberId))) maps.of(memberId).set(chunk, 1);
    });
  }
}

/**
 * Reconciliation. Where a crash may have left the members different, one member keeps what it has, and the chunk becomes dirty for all
 * others. `grants` are those of the new in-sync set. `memberIds` are all members.
 *
 * Suspect are
 * - the `lastIo` ranges of all members, as the write may have reached some of them;
 * - the write-intent regions of members that lost volatile state (◆4), as they may have lost what others kept.
 *
 * The winner is in sync and has the chunk clean. A member that can read the chunk comes before one that can't, as what was flushed would
 * be gone for all otherwise. Among these, a member that kept its data comes before one that may have lost it. Where no in-sync member
 * has the chunk clean, nobody has acknowledged a write there, and nothing changes (I8).
 */
export function reconcile(maps: PoolMaps, grants: readonly Grant[], memberIds: readonly number[]): void {
  const doubtful = doubtfulChunks(maps, grants);
  const isDoubtful = (memberId: number, chunk: number): boolean => doubtful.get(memberId)?.test(chunk) === true;
  const unreadable = new Map(grants.map((grant) => [grant.memberId, chunksOf(maps, grant.unreadable)]));
  const winnerOf = (chunk: number): number | undefined => {
    const clean = grants.map((grant) => grant.memberId).filter((memberId) => !maps.of(memberId).test(chunk));
    const readable = clean.filter((memberId) => unreadable.get(memberId)?.test(chunk) !== true);
    const candidates = readable.length > 0 ? readable : clean;
    return candidates.find((memberId) => !isDoubtful(memberId, chunk)) ?? candidates[0];
  };
  forEachChunk(
    chunksOf(
      maps,
      grants.flatMap((grant) => grant.lastIo),
    ),
    (chunk) => {
      const winner = winnerOf(chunk);
      if (winner === undefined) return;
      for (const memberId of memberIds) if (memberId !== winner) maps.of(memberId).set(chunk, 1);
    },
  );
  for (const { memberId } of grants) {
    const chunks = doubtful.get(memberId);
    if (chunks === null || chunks === undefined) continue;
    forEachChunk(chunks, (chunk) => {
      const winner = winnerOf(chunk);
      if (winner === undefined) return;
      // Members that kept their data and have the chunk clean agree. Where there are none, a member outside of the set may still have
      // what the winner has lost.
      const losers = isDoubtful(winner, chunk) ? memberIds : [memberId];
      for (const loser of losers) if (loser !== winner) maps.of(loser).set(chunk, 1);
    });
  }
}

/**
 * L3: marks what is dirty for a returning member besides what it missed:
 * - its `lastIo` chunks, where an in-sync member has them clean (◆18);
 * - the chunks that its disk can't read, where an in-sync member has them clean;
 * - if its volatile state was lost, its write-intent regions, where any other member has them clean (◆19).
 *
 * For the write intent, members that are away and left before this one (`leftBefore`) do not count. This member has what was flushed
 * after they had left, and they may not have it. Where nobody else has such a chunk clean, this member keeps it clean, and it becomes
 * dirty for those that left before (I1).
 */
export function markReturning(
  maps: PoolMaps,
  grant: Grant,
  inSync: readonly number[],
  memberIds: readonly number[],
  leftBefore: readonly number[],
): void {
  assert(!inSync.includes(grant.memberId), 'L3: a member returns that is in sync');
  const own = maps.of(grant.memberId);
  const mark = (ranges: readonly ByteRange[], others: readonly number[]): void => {
    forEachChunk(chunksOf(maps, ranges), (chunk) => {
      if (others.some((memberId) => !maps.of(memberId).test(chunk))) own.set(chunk, 1);
    });
  };
  mark(grant.lastIo, inSync);
  mark(grant.unreadable, inSync);
  if (!grant.volatileLost) return;
  assert(
    leftBefore.every((memberId) => !inSync.includes(memberId)),
    'L3: a member has left that is in sync',
  );
  mark(
    grant.intent,
    memberIds.filter((memberId) => memberId !== grant.memberId && !leftBefore.includes(memberId)),
  );
  forEachChunk(chunksOf(maps, grant.intent), (chunk) => {
    if (!own.test(chunk)) for (const memberId of leftBefore) maps.of(memberId).set(chunk, 1);
  });
}

/**
 * L3, called after {@link markReturning}: the `lastIo` chunks that the member keeps, and that no in-sync member has clean to compare
 * with. The member may have a write there that members which are away never got. Nobody will send that write again.
 */
export function unsharedChunks(maps: PoolMaps, { memberId, lastIo }: Grant, inSync: readonly number[]): number[] {
  const holders = [memberId, ...inSync];
  const kept: number[] = [];
  forEachChunk(chunksOf(maps, lastIo), (chunk) => {
    if (holders.every((id) => maps.of(id).test(chunk) === (id !== memberId))) kept.push(chunk);
  });
  return kept;
}
