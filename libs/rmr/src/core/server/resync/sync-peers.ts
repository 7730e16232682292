import { ChunkGrid, DirtyMap } from '@rmr/dirty-map';
import type { RtrsResponseSink } from '@rmr/rtrs';
import { assert, type Ticked, type World } from '@rmr/runtime';
import { CLEARED_RUNS_MAX, MAP_CHECK_MS, MAP_CHECK_URGENT_MS, RESYNC_RETRY_MS } from '../../../constants.ts';
import type { MemberRecord, PoolStore, VersionRecord } from '../../../pool-store.ts';
import { mapReadResultSchema, syncJoinResultSchema } from '../../../wire/control-message.ts';
import { encodeIoMessage, IO_MESSAGE_BYTES, type IoMessage, MessageType } from '../../../wire/io-message.ts';
import { controlCall } from '../../control-call.ts';
import { clearedRuns } from '../../map-leaves.ts';
import type { SessionUser, SharedSession } from '../../shared-session.ts';

/**
 * The other members of a pool, as a storage node sees them: opens sync legs when there is something to pull or to clear,
 * and asks in-sync members what they have clean by now, so that the maps drain (R3). An owner is asked until nothing is
 * left, so no clear can get lost (◆23), and an answer counts only under the version of its stamp (◆22).
 */
export class SyncPeers implements Ticked {
  readonly #world: World;
  readonly #store: PoolStore;
  readonly #sessions: SessionOpener;
  readonly #onChange: () => void;
  #peers: SyncPeer[] = [];
  /** The version that is served; null while the pool is not NORMAL. */
  #version: VersionRecord | null = null;
  readonly #scratch: DirtyMap;
  /** IO waits for a chunk that no in-sync member has clean, as far as is known here. */
  urgent = false;
  #clearsHeld = false;
  #checkedMs = 0;

  /** `onChange`: a peer is ready, has a permit, or is known to have more clean. */
  constructor(world: World, store: PoolStore, sessions: SessionOpener, onChange: () => void) {
    this.#world = world;
    this.#store = store;
    this.#sessions = sessions;
    this.#onChange = onChange;
    this.#scratch = new DirtyMap(ChunkGrid.of(store.identity).chunkCount);
  }

  /**
   * While a version is being recorded no clear counts, though the one before it is still the current one. It would reach
   * the store behind the version's own map adds and undo them (◆22).
   */
  holdClears(hold: boolean): void {
    this.#clearsHeld = hold;
  }

  /** The pool is NORMAL under this version. */
  start(version: VersionRecord): void {
    if (this.#version === null) this.#world.ticker.subscribe(this);
    this.#version = version;
    const { memberId } = this.#store.identity;
    // A witness has nothing to read.
    const members = this.#store.members.filter((member) => member.memberId !== memberId && member.role !== 'witness');
    for (const peer of this.#peers) if (!members.some((member) => sameAs(member, peer.member))) peer.close();
    this.#peers = members.map(
      (member) =>
        this.#peers.find((peer) => sameAs(member, peer.member)) ??
        new SyncPeer(this.#world, this.#store.identity.poolUuid, member, this.#onChange),
    );
    for (const peer of this.#peers) peer.nextLeaf = 0;
  }

  /** The pool is not NORMAL any more: nothing is asked. Sessions stay, for the next time. */
  stop(): void {
    if (this.#version !== null) this.#world.ticker.unsubscribe(this);
    this.#version = null;
    this.urgent = false;
  }

  close(): void {
    this.stop();
    for (const peer of this.#peers) peer.close();
    this.#peers = [];
  }

  all(): readonly SyncPeer[] {
    return this.#peers;
  }

  /** All sync legs, for status. */
  status(): SyncPeerStatus[] {
    const inSync = new Set(this.inSync());
    return this.#peers.map((peer) => ({
      memberId: peer.member.memberId,
      name: peer.member.name,
      addresses: peer.member.addresses,
      inSync: inSync.has(peer),
      connected: peer.session?.connected ?? false,
      ready: peer.ready,
      inFlight: peer.inFlight,
      problem: this.#whyNotRead(peer, inSync.has(peer)),
    }));
  }

  #whyNotRead(peer: SyncPeer, inSync: boolean): string {
    if (this.#version === null) return 'this member is not NORMAL: it reads from nobody';
    if (!inSync) return 'it is out of the in-sync set';
    if (peer.ready) return '';
    return peer.session === null ? 'no session with it has been needed yet' : peer.problem;
  }

  /** The other members of the in-sync set. */
  inSync(): readonly SyncPeer[] {
    const version = this.#version;
    return version === null ? [] : this.#peers.filter((peer) => version.inSync.some((member) => member.memberId === peer.member.memberId));
  }

  /** Whether anybody at all can be read from. */
  get anyReady(): boolean {
    return this.inSync().some((peer) => peer.ready);
  }

  tick(nowMs: number): void {
    const version = this.#version;
    assert(version !== null, 'sync peers: ticked while stopped');
    const own = this.#store.dirtyMap(this.#store.identity.memberId);
    const pulls = own !== null && own.dirtyCount > 0;
    const due = nowMs - this.#checkedMs >= (this.urgent ? MAP_CHECK_URGENT_MS : MAP_CHECK_MS);
    if (due) this.#checkedMs = nowMs;
    for (const peer of this.inSync()) {
      const held = this.#store.dirtyMap(peer.member.memberId);
      const dirty = held !== null && held.dirtyCount > 0;
      if (!dirty) {
        peer.roundBeganMs = nowMs;
        peer.wholeRoundBeganMs = nowMs;
      }
      if (!dirty && !pulls) continue;
      peer.connect(this.#sessions);
      peer.join();
      if (dirty && due) this.#check(peer, held, version, nowMs);
    }
  }

  /** Rechecks the invariants of this class. */
  verify(): void {
    const { memberId } = this.#store.identity;
    const ids = this.#peers.map((peer) => peer.member.memberId);
    assert(!ids.includes(memberId) && new Set(ids).size === ids.length, 'sync peers: a member reads from itself, or twice from another');
    for (const peer of this.#peers) {
      assert(peer.inFlight >= 0, 'sync peers: more answers than reads');
      assert(!peer.ready || peer.session !== null, 'sync peers: reads can be sent without a session');
      assert(peer.wholeRoundBeganMs <= this.#world.clock.nowMs(), 'R3: a round of checks that has not begun is over');
    }
  }

  #check(peer: SyncPeer, held: DirtyMap, version: VersionRecord, nowMs: number): void {
    const { session } = peer;
    if (peer.checking || session === null || !session.connected) return;
    peer.checking = true;
    const fromLeaf = peer.nextLeaf;
    if (fromLeaf === 0) peer.roundBeganMs = nowMs;
    const { poolUuid } = this.#store.identity;
    controlCall(session, peer.describe(), { op: 'map-check', poolUuid, fromLeaf }, mapReadResultSchema, (answer, failure) => {
      peer.checking = false;
      if (answer === null) {
        this.#world.log.debug('a map check was not answered', { member: peer.member.memberId, reason: failure?.message ?? '' });
        return;
      }
      // R3 (◆22): a clear counts under the version of its stamp alone.
      const { stamp } = answer;
      if (stamp === null || this.#version !== version || this.#clearsHeld || stamp.epoch !== version.epoch || stamp.seq !== version.seq)
        return;
      const { runs, reason } = clearedRuns(held, this.#scratch, fromLeaf, answer, CLEARED_RUNS_MAX);
      if (reason !== null) {
        this.#world.log.warn('a map check was answered with nonsense', { member: peer.member.memberId, reason });
        return;
      }
      if (runs.length < CLEARED_RUNS_MAX) {
        peer.nextLeaf = answer.nextLeaf ?? 0;
        if (answer.nextLeaf === null) peer.wholeRoundBeganMs = peer.roundBeganMs;
      }
      if (runs.length === 0) {
        this.#onChange();
        return;
      }
      const grid = ChunkGrid.of(this.#store.identity);
      const ranges = runs.map(([first, count]) => grid.rangeOf(first, count));
      this.#store.commit({ dirtyClear: [{ memberIds: [peer.member.memberId], ranges }] }, () => this.#onChange());
    });
  }
}

/** Opens sessions to other hosts; see `Sessions`. */
export interface SessionOpener {
  to(addresses: readonly string[]): SharedSession;
}

/** A sync leg as status shows it. */
export interface SyncPeerStatus {
  readonly memberId: number;
  readonly name: string;
  readonly addresses: readonly string[];
  /** Whether it is in the in-sync set under which this member serves: only then is anything read from it (R1). */
  readonly inSync: boolean;
  readonly connected: boolean;
  /** Whether reads can be sent. */
  readonly ready: boolean;
  /** Reads in flight. */
  readonly inFlight: number;
  /** Why nothing is read from it; empty when it can be. */
  readonly problem: string;
}

/** A storage node's sync leg: its way to another member of the pool, for reads and map checks. */
export class SyncPeer implements SessionUser {
  readonly member: MemberRecord;
  /** Reads in flight. */
  inFlight = 0;
  /** Whether it leaves blocks of zeroes out of its answers; false: it has refused to, as it is of an older version. */
  sparse = true;
  /** Where the next map check goes on. */
  nextLeaf = 0;
  checking = false;
  /** When the round of map checks began that is under way, and the last one that went through all leaves. */
  roundBeganMs = Number.NEGATIVE_INFINITY;
  wholeRoundBeganMs = Number.NEGATIVE_INFINITY;
  #session: SharedSession | null = null;
  #handle = -1;
  #joining = false;
  #joinAtMs = 0;
  #problem = 'not connected yet';
  /** It is not read from before, in clock milliseconds. */
  #restsUntilMs = Number.NEGATIVE_INFINITY;
  readonly #world: World;
  readonly #poolUuid: string;
  readonly #onReady: () => void;

  constructor(world: World, poolUuid: string, member: MemberRecord, onReady: () => void) {
    this.#world = world;
    this.#poolUuid = poolUuid;
    this.member = member;
    this.#onReady = onReady;
  }

  /** Whether reads can be sent. */
  get ready(): boolean {
    return this.#handle >= 0 && this.#world.clock.nowMs() >= this.#restsUntilMs;
  }

  /** Why it is not ready. */
  get problem(): string {
    const session = this.#session;
    return session === null || session.connected ? this.#problem : `no session: ${session.lastErrors}`;
  }

  get session(): SharedSession | null {
    return this.#session;
  }

  connect(sessions: SessionOpener): void {
    if (this.#session !== null) return;
    this.#session = sessions.to(this.member.addresses);
    this.#session.addUser(this);
  }

  close(): void {
    this.#session?.removeUser(this);
    this.#session = null;
    this.#handle = -1;
  }

  onSessionUp(): void {
    this.#joinAtMs = 0;
    this.sparse = true;
    this.#problem = ASKED;
    this.join();
  }

  onSessionDown(_session: SharedSession, reason: string): void {
    this.#handle = -1;
    this.checking = false;
    this.#problem = `no session: ${reason}`;
  }

  onSessionPermit(): void {
    this.#onReady();
  }

  /** Asks the member for its handle of the pool, unless it is known. */
  join(): void {
    const session = this.#session;
    const nowMs = this.#world.clock.nowMs();
    if (session === null || !session.connected || this.#handle >= 0 || this.#joining || nowMs < this.#joinAtMs) return;
    this.#joining = true;
    this.#joinAtMs = nowMs + RESYNC_RETRY_MS;
    controlCall(session, this.describe(), { op: 'sync-join', poolUuid: this.#poolUuid }, syncJoinResultSchema, (result, failure) => {
      this.#joining = false;
      if (this.#session !== session || !session.connected) return;
      if (result === null) {
        this.#problem = failure?.message ?? 'no answer';
      } else if (result.storeUuid !== this.member.storeUuid || result.memberId !== this.member.memberId) {
        this.#problem = `${this.describe()} has another store now (${result.storeUuid})`;
      } else {
        this.#handle = result.poolHandle;
        this.#problem = '';
        this.#onReady();
      }
    });
  }

  /**
   * It does not serve under the version of this member: one of the two has not recorded the newest one yet, or has not been enabled yet.
   * It is asked again in a moment; others are read from meanwhile.
   */
  rest(problem: string): void {
    this.#restsUntilMs = this.#world.clock.nowMs() + RESYNC_RETRY_MS;
    this.#problem = problem;
  }

  /** Its handle turned out to be outdated: the store was registered anew. */
  rejoin(): void {
    this.#handle = -1;
    this.#problem = ASKED;
    this.join();
  }

  /** Sends a read under a version; false when there is no permit. */
  read(message: IoMessage, tag: number, sink: RtrsResponseSink): boolean {
    const rtrs = (this.#session as SharedSession).rtrs;
    const slot = rtrs.allocate(false);
    if (slot < 0) return false;
    message.type = MessageType.SYNC_READ;
    message.poolHandle = this.#handle;
    encodeIoMessage(message, rtrs.headerBytes, rtrs.headerOffset(slot));
    this.inFlight++;
    rtrs.submit(slot, IO_MESSAGE_BYTES, null, null, tag, sink);
    return true;
  }

  describe(): string {
    return `member ${this.member.memberId} (${this.member.name})`;
  }
}

/** Between the session and the answer to sync-join. */
const ASKED = 'it has been asked for the pool';

function sameAs(a: MemberRecord, b: MemberRecord): boolean {
  return a.memberId === b.memberId && a.storeUuid === b.storeUuid && a.addresses.join(' ') === b.addresses.join(' ');
}
