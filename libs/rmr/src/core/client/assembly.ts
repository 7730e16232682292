import { DirtyMap } from '@rmr/dirty-map';
import { assert } from '@rmr/runtime';
import type { ByteRange, MemberRecord, VersionRecord } from '../../pool-store.ts';
import { compareVersions, sameVersion } from '../../version.ts';
import { hasStayed } from './membership.ts';
import type { PoolMaps } from './pool-maps.ts';

/** What a member's grant says that assembly works with. */
export interface Grant {
  readonly memberId: number;
  readonly version: VersionRecord | null;
  /** Data that it had accepted and not flushed may be gone. */
  readonly volatileLost: boolean;
  readonly lastIo: readonly ByteRange[];
  readonly intent: readonly ByteRange[];
  /** Chunks in which its disk could not read something. */
  readonly unreadable: readonly ByteRange[];
  /** The dirty maps that it holds, by member; a member without one is all clean. */
  readonly columns: ReadonlyMap<number, DirtyMap>;
}

/**
 * Whose columns count: the members that hold the highest version. What a stale holder says of others is worthless (◆14), and so
 * is what it says of itself, unless it has been in sync all along and the version has just not reached it, as `members`, the
 * table of that version, says: it may have pulled what only it knows of. A client that has served the pool all along knows
 * that every member of its last durable version holds complete maps, and so knows what it lacks itself; of others the newest
 * attempt says most.
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

/** Who supplies its own column at assembly, and whose word counts for all other columns. */
export interface Holders {
  readonly owners: readonly Grant[];
  readonly holders: readonly Grant[];
}

/** Maps at assembly: an owner supplies its own column; every other column is the union over the holders. */
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
    // What lies beyond the device is no chunk: a peer's word is not trusted to lie within it.
    const end = Math.min(offsetBytes + lengthBytes, maps.sizeBytes);
    if (offsetBytes < end) chunks.set(maps.firstChunk(offsetBytes), maps.chunksOf(offsetBytes, end - offsetBytes));
  }
  return chunks;
}

function forEachChunk(chunks: DirtyMap, visit: (chunk: number) => void): void {
  for (let chunk = chunks.nextDirty(0); chunk < chunks.chunkCount; ) {
    visit(chunk);
    chunk = chunk + 1 < chunks.chunkCount ? chunks.nextDirty(chunk + 1) : chunks.chunkCount;
  }
}

/** By member: what it may have lost; null: nothing. */
function doubtfulChunks(maps: PoolMaps, grants: readonly Grant[]): ReadonlyMap<number, DirtyMap | null> {
  return new Map(grants.map((grant) => [grant.memberId, grant.volatileLost ? chunksOf(maps, grant.intent) : null]));
}

/** The chunks that a crash may have left different, so that {@link reconcile} chooses one copy: `lastIo` first, none twice. */
export function suspectRanges(maps: PoolMaps, grants: readonly Grant[]): ByteRange[] {
  const written = chunksOf(
    maps,
    grants.flatMap((grant) => grant.lastIo),
  );
  const lost = chunksOf(
    maps,
    grants.flatMap((grant) => (grant.volatileLost ? grant.intent : [])),
  );
  written.forEachRun((first, count) => lost.clear(first, count));
  const ranges: ByteRange[] = [];
  for (const chunks of [written, lost]) {
    chunks.forEachRun((first, count) => {
      const offsetBytes = first * maps.chunkSizeBytes;
      ranges.push({ offsetBytes, lengthBytes: Math.min(count * maps.chunkSizeBytes, maps.sizeBytes - offsetBytes) });
    });
  }
  return ranges;
}

/**
 * Before reconciliation: what the disk of a member can't read is dirty for it where another one of the set has it for
 * certain. The last copy stays one: some of its sectors can be read.
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
 * Reconciliation: where a crash may have left the members different, one keeps what it has and the chunk becomes dirty
 * for all others. `grants` are those of the new in-sync set, `memberIds` all members.
 *
 * - `lastIo` ranges of all: the write may have reached some.
 * - Write-intent regions of members that lost volatile state (◆4): they may have lost what others kept.
 *
 * The winner is in sync and clean for the chunk: one that can read it before one that can't (what it had flushed would be
 * gone for all), and survivors before those that may have lost it. Where no in-sync member is clean, nobody has acknowledged
 * a write there, and nothing changes (I8).
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
      // Survivors that are clean agree. Where there is none, a member out of the set may still have what the winner has lost.
      const losers = isDoubtful(winner, chunk) ? memberIds : [memberId];
      for (const loser of losers) if (loser !== winner) maps.of(loser).set(chunk, 1);
    });
  }
}

/**
 * L3: what a returning member has to mark dirty for itself besides what it missed: its `lastIo` chunks where an in-sync
 * member is clean (◆18), the same for what its disk can't read, and, if its volatile state was lost, its write-intent regions where any other member is clean (◆19).
 *
 * Not on account of members that are away and had left before it (`leftBefore`): what was flushed after they left it has,
 * and they may not. Where nobody else is clean, it stays clean, and the chunk becomes dirty for them (I1).
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
 * L3, after {@link markReturning}: the `lastIo` chunks that the member keeps, and that no in-sync member has clean to compare
 * with. It may have a write there that others which are away never got, and that nobody will send again.
 */
export function unsharedChunks(maps: PoolMaps, { memberId, lastIo }: Grant, inSync: readonly number[]): number[] {
  const holders = [memberId, ...inSync];
  const kept: number[] = [];
  forEachChunk(chunksOf(maps, lastIo), (chunk) => {
    if (holders.every((id) => maps.of(id).test(chunk) === (id !== memberId))) kept.push(chunk);
  });
  return kept;
}
