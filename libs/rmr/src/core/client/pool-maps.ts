import { ChunkGrid, DirtyMap } from '@rmr/dirty-map';
import type { ByteRange } from '../../pool-store.ts';
import type { Leg } from './legs/leg.ts';

/**
 * The dirty maps of all members, as the client holds them while it serves the pool. They are complete. They may be dirtier than the
 * truth, as the client hears later of what has become clean. They are kept in memory only: a new client reads them from the members.
 */
export class PoolMaps extends ChunkGrid {
  readonly #maps = new Map<number, DirtyMap>();
  /**
   * I8: the LOST chunks. No member had them clean when the maps were complete, or they were given up, and nothing was written to them
   * since. Null if there are none.
   */
  #lost: DirtyMap | null = null;
  /** I8: chunks that a client wanted to read, and that the disks of all members failed to read. Null if there are none. */
  #unreadable: DirtyMap | null = null;

  /** The member's map. A member that has none gets one that is clean. */
  of(memberId: number): DirtyMap {
    let map = this.#maps.get(memberId);
    if (map === undefined) {
      map = new DirtyMap(this.chunkCount);
      this.#maps.set(memberId, map);
    }
    return map;
  }

  /** Takes over a map. */
  put(memberId: number, map: DirtyMap): void {
    this.#maps.set(memberId, map);
  }

  erase(memberId: number): void {
    this.#maps.delete(memberId);
  }

  /** Every chunk that the range touches becomes dirty for the member. */
  add(memberId: number, { offsetBytes, lengthBytes }: ByteRange): void {
    this.of(memberId).set(this.firstOf(offsetBytes), this.countOf(offsetBytes, lengthBytes));
  }

  /** Whether a chunk of the range is dirty for the member. */
  anyDirty(memberId: number, offsetBytes: number, lengthBytes: number): boolean {
    const map = this.#maps.get(memberId);
    return map !== undefined && map.dirtyCount > 0 && map.testAny(this.firstOf(offsetBytes), this.countOf(offsetBytes, lengthBytes));
  }

  /** The legs in the mask `candidates` whose members have the whole range clean, as a mask. */
  cleanLegs(legs: readonly Pick<Leg, 'bit' | 'member'>[], offsetBytes: number, lengthBytes: number, candidates: number): number {
    let clean = 0;
    for (const { bit, member } of legs) {
      if ((candidates & bit) !== 0 && !this.anyDirty(member.memberId, offsetBytes, lengthBytes)) clean |= bit;
    }
    return clean;
  }

  /** Whether each chunk of the range is clean for at least one of these members. */
  eachCleanFor(memberIds: readonly number[], offsetBytes: number, lengthBytes: number): boolean {
    const first = this.firstOf(offsetBytes);
    return memberIds.length > 0 && this.dirtyForAll(memberIds, first, this.endOf(offsetBytes, lengthBytes)) < 0;
  }

  /** Whether an absent member has a chunk of the range clean, and no chunk of the range is dirty for all members. */
  anyCleanAbsent(absent: readonly number[], memberIds: readonly number[], offsetBytes: number, lengthBytes: number): boolean {
    const first = this.firstOf(offsetBytes);
    const end = this.endOf(offsetBytes, lengthBytes);
    return absent.some((memberId) => this.of(memberId).nextClean(first, end) < end) && this.dirtyForAll(memberIds, first, end) < 0;
  }

  /** The first chunk in [from, end) that is dirty for every one of these members. -1 if there is none. */
  dirtyForAll(memberIds: readonly number[], from = 0, end = this.chunkCount): number {
    if (memberIds.length === 0) return -1;
    return DirtyMap.firstInAll(
      memberIds.map((memberId) => this.of(memberId)),
      from,
      end,
    );
  }

  /** I8: the maps are complete. A chunk that is dirty for all members has no clean copy anywhere: it is LOST. */
  noteLost(memberIds: readonly number[]): void {
    this.#lost = this.#allDirtyFor(memberIds);
  }

  /** I8: the only clean copies of these chunks are given up. Null: no chunk. */
  giveUp(chunks: DirtyMap | null): void {
    if (chunks === null) return;
    this.#lost ??= new DirtyMap(this.chunkCount);
    this.#lost.mergeFrom(chunks);
  }

  /**
   * I8: a chunk that one of these members turns out to have clean is not LOST. The member may have carried out a write that failed for
   * the caller.
   */
  noteFound(memberIds: readonly number[]): void {
    const lost = this.#lost;
    if (lost === null || lost.dirtyCount === 0) return;
    for (const memberId of memberIds) {
      const map = this.of(memberId);
      for (let chunk = lost.nextDirty(0); chunk < this.chunkCount; ) {
        const end = lost.nextClean(chunk);
        for (let clean = map.nextClean(chunk, end); clean < end; ) {
          const stop = map.nextDirty(clean, end);
          lost.clear(clean, stop - clean);
          clean = map.nextClean(stop, end);
        }
        chunk = lost.nextDirty(end);
      }
    }
  }

  /** I8: the LOST chunks: their bytes in all, and the first ranges. Null if nothing is lost. */
  lost(): LostData | null {
    return this.#named(this.#lost);
  }

  /** I8: the disks of all members that have the range clean failed to read it. Returns whether that is new. */
  noteUnreadable(offsetBytes: number, lengthBytes: number): boolean {
    this.#unreadable ??= new DirtyMap(this.chunkCount);
    return this.#unreadable.set(this.firstOf(offsetBytes), this.countOf(offsetBytes, lengthBytes)) > 0;
  }

  /** I8: the chunks that no member could read at the last attempt, and that were not written whole since. Null if there are none. */
  unreadable(): LostData | null {
    return this.#named(this.#unreadable);
  }

  /**
   * These members have carried out a write. They have every chunk of it clean (W4): a chunk that was not written whole has been pulled
   * first. I8: a member that returns next has to be told that, as the member with the only copy of a chunk may be away by then. Returns
   * whether a chunk was dirty here for one of these members.
   */
  written({ offsetBytes, lengthBytes }: ByteRange, memberIds: readonly number[]): boolean {
    this.#lost?.clear(this.firstOf(offsetBytes), this.countOf(offsetBytes, lengthBytes));
    this.readable(offsetBytes, lengthBytes);
    let cleared = 0;
    for (const memberId of memberIds) {
      if (this.anyDirty(memberId, offsetBytes, lengthBytes))
        cleared += this.of(memberId).clear(this.firstOf(offsetBytes), this.countOf(offsetBytes, lengthBytes));
    }
    return cleared > 0;
  }

  /** The range was read or written. The chunks that lie wholly in it can be read. */
  readable(offsetBytes: number, lengthBytes: number): void {
    const unreadable = this.#unreadable;
    if (unreadable === null) return;
    const first = this.firstWholeOf(offsetBytes);
    const stop = this.endWholeOf(offsetBytes, lengthBytes);
    if (first < stop) unreadable.clear(first, stop - first);
    if (unreadable.dirtyCount === 0) this.#unreadable = null;
  }

  /** The bytes in the chunks, and the first ranges. Null if there are no chunks. */
  #named(chunks: DirtyMap | null): LostData | null {
    if (chunks === null || chunks.dirtyCount === 0) return null;
    const ranges = chunks.runs(RANGES_NAMED).map(({ first, count }) => this.rangeOf(first, count));
    return { bytes: this.bytesIn(chunks), ranges };
  }

  /** Whether the chunk is LOST (I8). */
  isLost(chunk: number): boolean {
    return this.#lost?.test(chunk) === true;
  }

  /** The first chunk that no in-sync member has clean, and that is not LOST: another member may have it. -1 if there is none. */
  heldElsewhere(inSyncIds: readonly number[]): number {
    let chunk = this.dirtyForAll(inSyncIds);
    while (chunk >= 0 && this.#lost?.test(chunk) === true) chunk = this.dirtyForAll(inSyncIds, this.#lost.nextClean(chunk));
    return chunk;
  }

  /** The first chunk that the member has clean and none of the others has. -1 if there is none. */
  heldOnlyBy(memberId: number, others: readonly number[]): number {
    const own = this.of(memberId);
    let chunk = this.dirtyForAll(others);
    while (chunk >= 0 && own.test(chunk)) chunk = this.dirtyForAll(others, own.nextClean(chunk));
    return chunk;
  }

  /** All chunks that the member has clean and none of the others has. Null if there are none. */
  allHeldOnlyBy(memberId: number, others: readonly number[]): DirtyMap | null {
    const chunks = this.#allDirtyFor(others);
    this.of(memberId).forEachRun((first, count) => chunks?.clear(first, count));
    return chunks === null || chunks.dirtyCount === 0 ? null : chunks;
  }

  /** The chunks that are dirty for every one of these members. Null if there are none. */
  #allDirtyFor(memberIds: readonly number[]): DirtyMap | null {
    let all: DirtyMap | null = null;
    for (let chunk = this.dirtyForAll(memberIds); chunk >= 0; ) {
      all ??= new DirtyMap(this.chunkCount);
      const end = Math.min(...memberIds.map((memberId) => this.of(memberId).nextClean(chunk)));
      all.set(chunk, end - chunk);
      chunk = this.dirtyForAll(memberIds, end);
    }
    return all;
  }

  /** The bytes in chunks that are dirty for the member. */
  dirtyBytes(memberId: number): number {
    const map = this.#maps.get(memberId);
    return map === undefined ? 0 : this.bytesIn(map);
  }

  verify(): void {
    for (const map of this.#maps.values()) map.verify();
  }
}

/** The number of ranges of lost or unreadable chunks that status names. */
const RANGES_NAMED = 16;

/** Data that no member has any more, or that no member can read (I8). */
export interface LostData {
  /** A whole number of chunks, except at the end of the device. */
  readonly bytes: number;
  /** The first ranges in order, with neighbours merged. If they add up to less than `bytes`, there are more. */
  readonly ranges: readonly ByteRange[];
}
