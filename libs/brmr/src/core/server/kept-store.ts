import { isNbdUri } from '@rmr/nbd';
import type { PoolServer, PoolStore, StoreIdentity } from '@rmr/rmr';
import { assert, type LogFields, OperationError, type OperationErrorCode, Repeats, Status, statusName, type World } from '@rmr/runtime';

/**
 * One store of a storage node, from the first attempt to open it to the end of the node. When something is wrong with its disk, the store
 * is taken away from its clients. The next attempt to open it that succeeds brings it back. The node and its other stores go on.
 */
export class KeptStore<Spec extends StoreSpec = StoreSpec> {
  readonly spec: Spec;
  readonly #parts: KeptStoreParts<Spec>;
  #state: KeptStoreState = 'DETACHED';
  #reason = 'it has not been opened yet';
  /** What was wrong with it when it was last looked at; null: nothing. */
  #trouble: OperationErrorCode | null = null;
  /** Since when it has been attached, or away: attempts in between don't count. By the clock, and for people. */
  #sinceMs: number;
  #sinceWallMs: number;
  #opened: OpenedStore | null = null;
  #pool: PoolServer | null = null;
  #identity: StoreIdentity | null = null;
  #proven = false;
  /** Attempts to open it since it was last steady. */
  #attempts = 0;
  /** Attempts that failed since it was last attached. */
  readonly #refusals: Repeats;
  #openingSinceMs = 0;
  #retryAtMs = 0;
  #presenceAskedMs = 0;
  #presenceAsking = false;
  /** A request to its disk has been under way for longer than one may take. */
  #hanging = false;
  /** Since when its disk has been slow, by the wall clock; null: it is not. */
  #slowSinceWallMs: number | null = null;
  /** When a request was old last. */
  #slowMs = 0;
  #onFirstOutcome: ((error: OperationError | null) => void) | null = null;
  #onStopped: (() => void) | null = null;
  #stopSinceMs = 0;

  constructor(spec: Spec, parts: KeptStoreParts<Spec>) {
    this.spec = spec;
    this.#parts = parts;
    this.#refusals = new Repeats(parts.world.clock);
    this.#sinceMs = parts.world.clock.nowMs();
    this.#sinceWallMs = parts.world.clock.wallMs();
  }

  get state(): KeptStoreState {
    return this.#state;
  }

  /** Why it is in its state: for one that is not attached, what was wrong with it when last looked at. */
  get reason(): string {
    return this.#reason;
  }

  /** Since when it has been attached, or not been, by the wall clock. */
  get sinceWallMs(): number {
    return this.#sinceWallMs;
  }

  /** Its pool, while it is attached. */
  get pool(): PoolServer | null {
    return this.#state === 'ATTACHED' ? this.#pool : null;
  }

  /** What it was when it was last open; null = it has not been. */
  get identity(): StoreIdentity | null {
    return this.#identity;
  }

  /** What it waits for while it is not attached; null otherwise. */
  get waitsFor(): string | null {
    switch (this.#state) {
      case 'OPENING':
        return this.#hanging ? 'requests that do not end on the disk' : 'an attempt to open it';
      case 'DETACHING': {
        const executing = this.#pool?.executing ?? 0;
        return executing === 0 ? 'the store to be closed' : `${executing} requests that do not end on the disk`;
      }
      case 'DETACHED': {
        const leftMs = this.#retryAtMs - this.#parts.world.clock.nowMs();
        return `the next attempt to open it, in ${Math.max(0, Math.ceil(leftMs / 1000))} s`;
      }
      default:
        return null;
    }
  }

  /** How its disk gets on; null while the store is not attached. */
  get pace(): DiskPace | null {
    return this.#state === 'ATTACHED' ? (this.#opened as OpenedStore).pace() : null;
  }

  /** Since when its disk has been slow, by the wall clock: it takes long to answer, and goes on. Null: it is not. */
  get slowSinceWallMs(): number | null {
    return this.#state === 'ATTACHED' ? this.#slowSinceWallMs : null;
  }

  /** What a person can do about what is wrong with it; undefined while nothing is, or nothing helps. */
  get remedy(): string | undefined {
    return this.#trouble === null || this.waitsFor === null ? undefined : remedyFor(this.#trouble, this.spec.path);
  }

  /** Whether this is the store that its pool knows: a client has had it in service since the node started, or has had it vote if it is a witness's. */
  get proven(): boolean {
    if (this.#proven || this.#state !== 'ATTACHED' || this.#pool === null) return this.#proven;
    const { state, holder } = this.#pool.describe();
    return state === 'NORMAL' || (this.#identity?.witness === true && holder !== null);
  }

  /** Opens it for the first time. `done` is told how that ended, or that its disk takes too long. */
  start(done: (error: OperationError | null) => void): void {
    this.#onFirstOutcome = done;
    this.#open();
  }

  /** Looks after it. */
  tick(nowMs: number): void {
    const { ioTimeoutMs } = this.spec;
    if (this.#onStopped !== null && nowMs - this.#stopSinceMs > ioTimeoutMs) {
      this.#parts.world.log.error('a store is left open: its disk does not answer', {
        path: this.spec.path,
        ...this.#whose(),
        ioTimeoutMs,
      });
      // What was accepted and not flushed may go with the disk, and the next start would find the same boot.
      this.#parts.doubtful.add(this.spec.path);
      this.#finishStop();
    } else if (this.#state === 'DETACHED' && nowMs >= this.#retryAtMs) {
      this.#open();
    } else if (this.#state === 'OPENING' && !this.#hanging && nowMs - this.#openingSinceMs > ioTimeoutMs) {
      this.#openingHangs();
    } else if (this.#state === 'ATTACHED') {
      this.#lookAfter(nowMs, this.#opened as OpenedStore);
    }
  }

  /**
   * Closes it for good, marked as shut down cleanly where that is true. `done` is called when that has happened, or
   * when its disk has had the time that a request may take.
   */
  stop(done: () => void): void {
    assert(this.#onStopped === null && this.#state !== 'STOPPED', 'kept store: stopped once');
    this.#onStopped = done;
    this.#stopSinceMs = this.#parts.world.clock.nowMs();
    if (this.#state === 'ATTACHED') this.#leave('the node stops', false);
    else if (this.#state === 'DETACHED') this.#finishStop();
  }

  /** Takes it away, if it is attached, for a reason that is not its disk's: nothing of it was lost. */
  displace(why: OperationError): void {
    if (this.#state !== 'ATTACHED') return;
    this.#trouble = why.code;
    this.#parts.world.log.error('a store is detached', { path: this.spec.path, ...this.#whose(), why: why.message });
    (this.#pool as PoolServer).storeFailed(why.message);
    this.#leave(why.message, false);
  }

  /** Rechecks the invariants. */
  verify(): void {
    const open = this.#state === 'ATTACHED' || this.#state === 'DETACHING';
    assert(this.#state === 'STOPPED' || open === (this.#pool !== null), 'kept store: it has a pool while it is open');
    assert((this.#pool === null) === (this.#opened === null), 'kept store: its pool is that of the open store');
    assert(this.#state !== 'STOPPED' || this.#onStopped === null, 'kept store: who stopped it was told');
    if (this.#pool !== null && open) assert(this.#pool.store === this.#opened?.store, 'kept store: the pool has this store');
  }

  #open(): void {
    const { opener, doubtful } = this.#parts;
    this.#setState('OPENING', this.#reason);
    this.#hanging = false;
    this.#openingSinceMs = this.#parts.world.clock.nowMs();
    this.#attempts++;
    opener.open(this.spec, doubtful.has(this.spec.path), (result) => {
      // Given up: what is open now ends with the process, as after a crash.
      if (this.#state === 'STOPPED') return;
      if (result instanceof OperationError) this.#refused(result);
      else this.#onOpened(result);
    });
  }

  #onOpened(opened: OpenedStore): void {
    const { path } = this.spec;
    const { store } = opened;
    // The store itself remembers from here on.
    this.#parts.doubtful.delete(path);
    const conflict = this.#parts.conflictOf(store.identity, path);
    if (conflict === null && this.#onStopped === null) {
      this.#attach(opened);
      return;
    }
    store.close((status) => {
      if (this.#state === 'STOPPED') return;
      if (status !== Status.OK) this.#parts.doubtful.add(path);
      this.#refused(conflict ?? new OperationError('UNAVAILABLE', `${path} was opened while the node stopped`));
    });
  }

  #attach(opened: OpenedStore): void {
    const { identity } = opened.store;
    this.#opened = opened;
    this.#identity = identity;
    this.#trouble = null;
    this.#pool = this.#parts.registry.register(opened.store);
    this.#setState('ATTACHED', `opened as member ${identity.memberId} of pool ${identity.poolName}`);
    this.#setSince();
    // L6: if the disk was slow to open, this is still true. A later detachment for another reason would then count the store as whole.
    this.#hanging = false;
    this.#slowSinceWallMs = null;
    this.#refusals.end();
    this.#presenceAskedMs = this.#sinceMs;
    // What the store was asked before it was detached may never be answered.
    this.#presenceAsking = false;
    this.#tellFirstOutcome(null);
  }

  #refused(error: OperationError): void {
    const { path } = this.spec;
    // It may be a failed flush of what was written before the attempt. Nobody else has heard of that.
    if (error.code === 'IO_ERROR' || error.code === 'NO_SPACE') this.#parts.doubtful.add(path);
    this.#trouble = error.code;
    this.#setState('DETACHED', error.message);
    if (this.#onStopped !== null) {
      this.#finishStop();
      return;
    }
    const pauseMs = this.#pause();
    if (this.#refusals.felt(error.message)) {
      const { times, since } = this.#refusals;
      const fields = { path, ...this.#whose(), code: error.code, why: error.message, pauseMs, times, since };
      this.#parts.world.log.warn('a store could not be opened; it is tried again', fields);
    }
    this.#tellFirstOutcome(error);
  }

  #openingHangs(): void {
    const { path, ioTimeoutMs } = this.spec;
    this.#hanging = true;
    this.#trouble = 'TIMEOUT';
    this.#reason = `${path} could not be opened within ${ioTimeoutMs} ms: its disk does not answer; check the disk and the kernel log`;
    this.#parts.world.log.error('the disk of a store does not answer', { path, ...this.#whose(), ioTimeoutMs });
    this.#tellFirstOutcome(new OperationError('TIMEOUT', this.#reason));
  }

  #lookAfter(nowMs: number, opened: OpenedStore): void {
    const { path, ioTimeoutMs } = this.spec;
    this.#proven = this.proven;
    // What fails because its disk is gone is no reason of its own.
    const gone = opened.gone?.() ?? null;
    if (gone !== null) {
      this.#detach('NOT_FOUND', gone);
      return;
    }
    if (opened.store.failed) {
      this.#detach('IO_ERROR', `the journal of ${path} could not be written; check the disk, its space and the kernel log`);
      return;
    }
    const waitingMs = opened.waitingMs(nowMs);
    (this.#pool as PoolServer).diskTrouble = diskTrouble(waitingMs, opened.pace().oldestMs);
    if (waitingMs > ioTimeoutMs) {
      this.#hanging = true;
      this.#detach('TIMEOUT', `the disk of ${path} has not answered within ${ioTimeoutMs} ms; check the disk and the kernel log`);
      return;
    }
    this.#watchPace(nowMs, opened.pace());
    if (nowMs - this.#sinceMs > STEADY_MS) this.#attempts = 0;
    if (this.#presenceAsking || nowMs - this.#presenceAskedMs < PRESENCE_MS) return;
    this.#presenceAskedMs = nowMs;
    this.#presenceAsking = true;
    opened.checkPresence((reason) => {
      if (this.#opened !== opened) return;
      this.#presenceAsking = false;
      if (reason !== null && this.#state === 'ATTACHED') this.#detach('NOT_FOUND', reason);
    });
  }

  /** A slow disk keeps its store. Only the client knows whether others are quicker (L7), and the last copy is better than none. */
  #watchPace(nowMs: number, { oldestMs, unwrittenBytes, bytesPerSecond }: DiskPace): void {
    const { path } = this.spec;
    const { log, clock } = this.#parts.world;
    if (oldestMs > SLOW_MS) {
      this.#slowMs = nowMs;
      if (this.#slowSinceWallMs !== null) return;
      this.#slowSinceWallMs = clock.wallMs();
      log.warn('the disk of a store is slow', { path, oldestMs: Math.round(oldestMs), unwrittenBytes, bytesPerSecond });
    } else if (this.#slowSinceWallMs !== null && nowMs - this.#slowMs > QUICK_MS) {
      this.#slowSinceWallMs = null;
      log.info('the disk of a store is no longer slow', { path, bytesPerSecond });
    }
  }

  /** Takes it away from its clients: something is wrong with its disk. */
  #detach(trouble: OperationErrorCode, reason: string): void {
    this.#trouble = trouble;
    this.#parts.world.log.error('a store is detached', { path: this.spec.path, ...this.#whose(), why: reason });
    this.#parts.doubtful.add(this.spec.path);
    (this.#pool as PoolServer).storeFailed(reason);
    // A disk that was only slow has lost nothing, if it does all that it was asked to.
    this.#leave(reason, this.#hanging);
  }

  #leave(reason: string, wholeIfClosed: boolean): void {
    const { path } = this.spec;
    const { store } = this.#opened as OpenedStore;
    this.#setState('DETACHING', reason);
    this.#setSince();
    this.#parts.registry.unregister(this.#pool as PoolServer, () => {
      store.close((status) => {
        if (this.#state === 'STOPPED') return;
        this.#opened = null;
        this.#pool = null;
        if (status !== Status.OK) {
          this.#parts.doubtful.add(path);
          this.#parts.world.log.error('a store could not be shut down cleanly', { path, ...this.#whose(), why: statusName(status) });
        } else if (wholeIfClosed) {
          this.#parts.doubtful.delete(path);
        }
        this.#setState('DETACHED', this.#reason);
        if (this.#onStopped === null) this.#pause();
        else this.#finishStop();
      });
    });
  }

  #finishStop(): void {
    const done = this.#onStopped;
    assert(done !== null, 'kept store: somebody stops it');
    this.#onStopped = null;
    this.#setState('STOPPED', 'the node stops');
    this.#tellFirstOutcome(null);
    done();
  }

  #tellFirstOutcome(error: OperationError | null): void {
    const tell = this.#onFirstOutcome;
    this.#onFirstOutcome = null;
    tell?.(error);
  }

  /** Sets when it is tried next. Returns the pause in milliseconds. */
  #pause(): number {
    const pauseMs = Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** Math.max(0, Math.min(this.#attempts, 10) - 1));
    this.#retryAtMs = this.#parts.world.clock.nowMs() + pauseMs;
    return pauseMs;
  }

  #setSince(): void {
    this.#sinceMs = this.#parts.world.clock.nowMs();
    this.#sinceWallMs = this.#parts.world.clock.wallMs();
  }

  #setState(to: KeptStoreState, why: string): void {
    const from = this.#state;
    assert(TRANSITIONS[from][to] !== undefined, 'kept store: legal transition');
    this.#state = to;
    this.#reason = why;
    // Attempts to open it that go on failing are told by the lines of the failures.
    const level = this.#refusals.times > 0 && to !== 'ATTACHED' ? 'debug' : 'info';
    this.#parts.world.log[level]('store state', { path: this.spec.path, ...this.#whose(), from, to, why });
  }

  /** For log lines: whose store it is, where that is known. */
  #whose(): LogFields {
    return this.#identity === null ? {} : { pool: this.#identity.poolName, member: this.#identity.memberId };
  }
}

/** Pause before a store is tried again, in milliseconds: at first, and at most. It doubles from try to try. */
export const RETRY_MS = 1_000;
export const RETRY_MS_MAX = 30_000;
/** When a store has been open for so long, in milliseconds, the trouble for which it was detached counts as over. The pauses start anew. */
export const STEADY_MS = 2 * RETRY_MS_MAX;
/** A disk with a request that is older than this, in milliseconds, is slow: above what writes wait for when much is unwritten. */
export const SLOW_MS = 8_000;
/** For so long, in milliseconds, no request of a slow disk has to be old for it not to be slow any more. */
export const QUICK_MS = 10_000;
/** When a disk has not answered a request for so long, in milliseconds, the status of clients says so, long before the disk counts as slow or hung. */
export const SLOW_ANSWER_MS = 2_000;
/** How often an open store is asked whether its path still leads to it, in milliseconds. */
export const PRESENCE_MS = 1_000;

/** A store that a storage node is to keep. */
export interface StoreSpec {
  /** File or block device, or the NBD URI of an export. */
  readonly path: string;
  /** Refuse any other pool's. */
  readonly poolUuid?: string | undefined;
  /** A disk hangs when it has requests and has done nothing for so many milliseconds. A disk that goes on is only slow. */
  readonly ioTimeoutMs: number;
}

/** How a disk gets on. */
export interface DiskPace {
  /** For how long the oldest request has been under way, in milliseconds, at least. */
  readonly oldestMs: number;
  /** Bytes that were written and are not on the disk yet, at most. */
  readonly unwrittenBytes: number;
  /** Bytes per second that it writes, as measured; null: not yet. */
  readonly bytesPerSecond: number | null;
}

/** An open store, and what can be asked of its disk. */
export interface OpenedStore {
  readonly store: PoolStore;
  /** Milliseconds for which requests to the disk have waited without any progress of the disk, at least. Asked regularly. */
  waitingMs(nowMs: number): number;
  /** How the disk gets on, as it was when {@link waitingMs} was asked last. */
  pace(): DiskPace;
  /** Why its disk is gone for good, where that is known without asking; null: it is there. Absent: only {@link checkPresence} tells. */
  gone?(): string | null;
  /** Calls back why the path no longer leads to this store; null = it does. */
  checkPresence(done: (reason: string | null) => void): void;
}

/** Opens stores. */
export interface StoreOpener<Spec extends StoreSpec = StoreSpec> {
  /**
   * Opens a store, which is a check as well: all metadata is read, some is written and flushed. `doubtful`: data that
   * was accepted and not flushed may be gone, and the store has to remember that (L6).
   */
  open(spec: Spec, doubtful: boolean, done: (result: OpenedStore | OperationError) => void): void;
  /** The store is kept no longer: what was held for it can go, unless its disk still holds it. */
  forget(spec: Spec): void;
}

/**
 * The stores of which unflushed data may be gone although the host has not lost power (L6): their disk failed or was
 * away. Remembered beyond the end of the process, because the stores themselves can't be written.
 */
export interface DoubtfulStores {
  has(path: string): boolean;
  add(path: string): void;
  delete(path: string): void;
}

/** Where open stores are offered to clients. */
export interface StoreRegistry {
  register(store: PoolStore): PoolServer;
  unregister(pool: PoolServer, done: () => void): void;
}

export type KeptStoreState = 'DETACHED' | 'OPENING' | 'ATTACHED' | 'DETACHING' | 'STOPPED';

/** Every legal transition, with the reason for which it exists. */
const TRANSITIONS: { readonly [From in KeptStoreState]: { readonly [To in KeptStoreState]?: string } } = {
  DETACHED: { OPENING: 'it is time to try', STOPPED: 'the node stops' },
  OPENING: {
    ATTACHED: 'its metadata could be read, and a write to it flushed',
    DETACHED: 'it could not be opened',
    STOPPED: 'the node stops',
  },
  ATTACHED: { DETACHING: 'its journal broke, its disk hangs, its path leads elsewhere, a copy of it is there too, or the node stops' },
  DETACHING: { DETACHED: 'nothing of it executes any more, and it is closed', STOPPED: 'the node stops' },
  STOPPED: {},
};

/** What a kept store works with. */
export interface KeptStoreParts<Spec extends StoreSpec> {
  readonly world: Pick<World, 'clock' | 'log'>;
  readonly opener: StoreOpener<Spec>;
  readonly registry: StoreRegistry;
  readonly doubtful: DoubtfulStores;
  /** Why a store must not be attached beside the others; null = it may. */
  readonly conflictOf: (identity: StoreIdentity, path: string) => OperationError | null;
}

/** What would happen to a copy from earlier, which is what is at hand when a store is lost. */
const OLDER_COPY = 'An older copy of the store is no help: the pool finds out that it is older, and copies everything to it anew.';

/** What a person can do about a store that can't be opened, or was detached; undefined: nothing. */
export function remedyFor(trouble: OperationErrorCode, path: string): string | undefined {
  const remedy = isNbdUri(path) ? exportRemedyFor(trouble, path) : undefined;
  if (remedy !== undefined) return remedy;
  switch (trouble) {
    case 'PERMISSION_DENIED':
      return `Let this node read and write ${path}: correct its owner and mode. Where its file system is read-only, look for the reason in the kernel log first.`;
    case 'STORE_LOCKED':
      return `Find out what has ${path} open or mounted (lsblk, fuser), and whether the path is right. Then stop that, or correct "stores" in the configuration and restart this node.`;
    case 'NO_SPACE':
      return `Free space on the file system of ${path}: not in the store itself.`;
    case 'IO_ERROR':
      return `Check the disk of ${path}, its space, its connection and the kernel log.`;
    case 'TIMEOUT':
      return `Check the disk of ${path}, its connection and the kernel log. If this process has to be killed while the disk hangs, reboot the host, or name the store in doubtful-stores.json, before this node is started again.`;
    case 'STORE_VERSION_UNKNOWN':
      return `Start a version of the storage node that knows the store ${path}. Don't create another store in its place: it is whole.`;
    case 'STORE_DAMAGED':
      return `Check the disk of ${path}, and keep what is there: it may have the only copy of something. Replace this member's store (client-node replace-store) when the client node's status shows that the other members have everything. ${OLDER_COPY}`;
    case 'STORE_TOO_SMALL':
      return `Bring the whole file or device back to ${path} if it is elsewhere; don't lengthen this one. Else replace this member's store (client-node replace-store) when the client node's status shows that the other members have everything. ${OLDER_COPY}`;
    case 'STORE_FOREIGN':
      return `Attach the disk that belongs at ${path}, or correct "stores" in the configuration and restart this node. Leave the store that is there as it is: its own pool may need it.`;
    case 'CONFLICT':
      return `Take the store that this node is not to have out of "stores" in the configuration, and restart this node. Keep both files until the pool is in sync.`;
    case 'UNAVAILABLE':
      return undefined;
    case 'NOT_FOUND':
    case 'STORE_NOT_FORMATTED':
      return `Mount the file system of ${path}, attach its disk, or correct "stores" in the configuration and restart this node. ${OLDER_COPY} A new store is only for a new member, or to replace this one when its data is lost (client-node replace-store).`;
    default:
      return `Correct "stores" in the configuration, where ${path} is not what it should be, and restart this node.`;
  }
}

/** The same, where the trouble is one of the server that has the export; undefined: it is one of the store. */
function exportRemedyFor(trouble: OperationErrorCode, path: string): string | undefined {
  switch (trouble) {
    case 'UNAVAILABLE':
      return `If the reason says for how long the export is not used: nothing, it is tried again. Else check that the server of ${path} runs and can be reached from here, and its log.`;
    case 'NOT_FOUND':
    case 'TIMEOUT':
    case 'IO_ERROR':
      return `Check that the server of ${path} runs, that it has this export and can be reached from here, and its disk and log. Don't have it serve another file in its place. ${OLDER_COPY}`;
    case 'PERMISSION_DENIED':
    case 'UNSUPPORTED':
      return `Change how the server of ${path} offers the export, as the reason says.`;
    default:
      return undefined;
  }
}

/** What clients are told of a disk that takes long; empty: nothing. */
function diskTrouble(waitingMs: number, oldestMs: number): string {
  if (waitingMs > SLOW_ANSWER_MS) return `waits for its disk, which has not answered for ${Math.floor(waitingMs / 1000)} s`;
  if (oldestMs <= SLOW_ANSWER_MS) return '';
  return `waits for its disk, which is slow: a request has been under way for ${Math.floor(oldestMs / 1000)} s`;
}
