import type { Clock } from '@rmr/runtime';
import type { PoolStore } from '../../../pool-store.ts';
import type { SyncPeer, SyncPeers } from './sync-peers.ts';
import type { UnreadableSources } from './unreadable-sources.ts';

/**
 * Which members a dirty chunk can be pulled from (R1): those of the in-sync set that have it clean, that this member can
 * read from now, and whose disks did not fail at it a moment ago.
 */
export class PullSources {
  readonly #clock: Clock;
  readonly #store: PoolStore;
  readonly #peers: SyncPeers;
  readonly #unreadable: UnreadableSources;

  /** `unreadable`: what sources could not read; the caller notes it there. */
  constructor(clock: Clock, store: PoolStore, peers: SyncPeers, unreadable: UnreadableSources) {
    this.#clock = clock;
    this.#store = store;
    this.#peers = peers;
    this.#unreadable = unreadable;
  }

  /** The member to pull the chunk from: of those that can be read from, the one with the fewest reads under way. Null: there is none. */
  best(chunk: number): SyncPeer | null {
    let peer: SyncPeer | null = null;
    for (const candidate of this.#peers.inSync()) {
      if (!candidate.ready || this.#store.dirtyMap(candidate.member.memberId)?.test(chunk) === true) continue;
      if (this.#isUnreadable(chunk, candidate.member.memberId)) continue;
      if (peer === null || candidate.inFlight < peer.inFlight) peer = candidate;
    }
    return peer;
  }

  /** W10: whether another member of the in-sync set has the chunk clean, by what this one knows, whether it can be read from or not. */
  isHeld(chunk: number): boolean {
    return this.#peers
      .inSync()
      .some(({ member }) => this.#store.dirtyMap(member.memberId)?.test(chunk) !== true && !this.#isUnreadable(chunk, member.memberId));
  }

  /**
   * The first chunk in [from, end) that a member has clean that can be read from, or `end`. It skips what nobody has without
   * a step per chunk, and does not ask whether a disk failed at the chunk: {@link best} does.
   */
  nextReadable(from: number, end: number): number {
    let next = end;
    for (const peer of this.#peers.inSync()) {
      if (!peer.ready) continue;
      const map = this.#store.dirtyMap(peer.member.memberId);
      next = map === null ? from : map.nextClean(from, next);
    }
    return next;
  }

  /**
   * I8: whether the chunk is known to have no clean copy that can be read: dirty for every member, as every in-sync member
   * has confirmed since `sinceMs` (clock milliseconds), or clean for some in the set whose disks can't read it.
   */
  isLost(chunk: number, sinceMs: number): boolean {
    for (const { memberId, role } of this.#store.members) {
      if (role === 'witness' || this.#store.dirtyMap(memberId)?.test(chunk) === true) continue;
      if (!this.#isUnreadable(chunk, memberId)) return false;
    }
    return this.#peers.inSync().every((peer) => this.#isUnreadable(chunk, peer.member.memberId) || peer.wholeRoundBeganMs > sinceMs);
  }

  /** The members that have the chunk clean, and of those that can't be read from, why: for people. */
  describe(chunk: number): string {
    const clean = this.#peers.all().filter((peer) => this.#store.dirtyMap(peer.member.memberId)?.test(chunk) !== true);
    if (clean.length === 0) return 'the in-sync members to say which of them has it clean';
    const inSync = this.#peers.inSync();
    const name = (peer: SyncPeer): string => {
      if (!inSync.includes(peer)) return `${peer.describe()} (out of the in-sync set)`;
      if (this.#isUnreadable(chunk, peer.member.memberId)) return `${peer.describe()} (its disk can't read the chunk)`;
      return peer.ready ? peer.describe() : `${peer.describe()} (${peer.problem})`;
    };
    return clean.map(name).join(' or ');
  }

  /** What a person can do so that the chunk can be pulled; undefined: nothing, as far as is known. */
  remedy(chunk: number): string | undefined {
    const clean = this.#peers.all().filter((peer) => this.#store.dirtyMap(peer.member.memberId)?.test(chunk) !== true);
    const inSync = this.#peers.inSync().filter((peer) => clean.includes(peer));
    if (inSync.some((peer) => peer.ready && !this.#isUnreadable(chunk, peer.member.memberId))) return undefined;
    // The client reaches these.
    const cutOff = inSync.filter((peer) => peer.session?.connected === false);
    if (cutOff.length > 0) return `Mend the network between this node and ${namesOf(cutOff)}, unless that happens by itself.`;
    const away = clean.filter((peer) => !inSync.includes(peer));
    return away.length === 0 || inSync.some((peer) => !peer.ready)
      ? undefined
      : `Bring ${namesOf(away)} back, unless that happens by itself: the status of the client node says what that takes.`;
  }

  /** Whether the member could not read the chunk when it was asked for it a moment ago. */
  #isUnreadable(chunk: number, memberId: number): boolean {
    return this.#unreadable.has(chunk) && this.#unreadable.at(chunk, memberId, this.#clock.nowMs());
  }
}

function namesOf(peers: readonly SyncPeer[]): string {
  return peers.map((peer) => peer.member.name).join(' and ');
}
