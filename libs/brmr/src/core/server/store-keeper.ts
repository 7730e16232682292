import type { StoreIdentity } from '@rmr/rmr';
import { assert, OperationError, type OperationErrorCode, type Ticked, type World } from '@rmr/runtime';
import { type DoubtfulStores, KeptStore, type StoreOpener, type StoreRegistry, type StoreSpec } from './kept-store.ts';

/**
 * Owns the stores of a storage node: opens them, offers them to clients, watches their disks, takes a store away whose
 * disk has failed, and tries again, with growing pauses, until it can be brought back.
 */
export class StoreKeeper<Spec extends StoreSpec = StoreSpec> implements Ticked {
  readonly #stores: KeptStore<Spec>[];
  readonly #options: StoreKeeperOptions<Spec>;
  readonly #world: StoreKeeperOptions<Spec>['world'];
  /** By UUID, the stores that were met at two paths when neither was in service: which one is real, an operator has to say. */
  readonly #ambiguous = new Map<string, readonly [string, string]>();

  /** The stores that are being removed, each with whom to tell. */
  readonly #removing = new Map<KeptStore<Spec>, (() => void)[]>();

  constructor(specs: readonly Spec[], options: StoreKeeperOptions<Spec>) {
    this.#options = options;
    this.#world = options.world;
    this.#stores = specs.map((spec) => this.#keep(spec));
  }

  get stores(): readonly KeptStore<Spec>[] {
    return this.#stores;
  }

  #keep(spec: Spec): KeptStore<Spec> {
    const conflictOf = (identity: StoreIdentity, path: string): OperationError | null => this.#conflictOf(identity, path);
    return new KeptStore(spec, { ...this.#options, conflictOf });
  }

  /**
   * Opens all stores. `done` is called when each is attached, or could not be opened and is tried again, or has a disk
   * that does not answer. With an error when the configuration is wrong (INVALID_ARGUMENT, STORE_FOREIGN, or CONFLICT:
   * two stores of one pool, or one and a copy of it); {@link stop} the keeper then.
   */
  start(done: (mistake: OperationError | null) => void): void {
    this.#world.ticker.subscribe(this);
    const stores = [...this.#stores];
    let left = stores.length;
    let mistake: OperationError | null = null;
    if (left === 0) done(null);
    for (const store of stores) {
      store.start((error) => {
        if (error !== null && MISTAKES.has(error.code)) mistake ??= error;
        if (--left === 0) done(mistake);
      });
    }
  }

  /**
   * Keeps one more store from now on. `done` is told how the first attempt to open it ended; the store stays kept in every case, and is
   * tried again, unless {@link remove} ends that. Throws CONFLICT for a path that is kept already.
   */
  add(spec: Spec, done: (error: OperationError | null) => void): void {
    if (this.#stores.some((store) => store.spec.path === spec.path))
      throw new OperationError('CONFLICT', `${spec.path} is kept already: a store is opened once`);
    const store = this.#keep(spec);
    this.#stores.push(store);
    store.start(done);
  }

  /** Keeps the store at this path no longer: it is closed as at the end of the node. `done` is called when that has happened. */
  remove(path: string, done: () => void): void {
    const store = this.#stores.find((each) => each.spec.path === path);
    if (store === undefined) {
      done();
      return;
    }
    const waiting = this.#removing.get(store);
    if (waiting !== undefined) {
      waiting.push(done);
      return;
    }
    this.#removing.set(store, [done]);
    store.stop(() => this.#removed(store));
  }

  #removed(store: KeptStore<Spec>): void {
    const { path } = store.spec;
    const told = this.#removing.get(store) ?? [];
    this.#removing.delete(store);
    this.#stores.splice(this.#stores.indexOf(store), 1);
    // With one of the two gone, the other may be used: that is how an operator says which of them is real.
    for (const [storeUuid, twins] of this.#ambiguous) if (twins.includes(path)) this.#ambiguous.delete(storeUuid);
    this.#options.opener.forget(store.spec);
    for (const done of told) done();
  }

  tick(nowMs: number): void {
    // A store that is stopped leaves the list within its tick.
    for (const store of [...this.#stores]) store.tick(nowMs);
  }

  /** Closes every store; see {@link KeptStore.stop}. */
  stop(done: () => void): void {
    let left = this.stores.length;
    const finish = (): void => {
      this.#world.ticker.unsubscribe(this);
      done();
    };
    if (left === 0) finish();
    const one = (): void => {
      if (--left === 0) finish();
    };
    for (const store of [...this.#stores]) {
      const removing = this.#removing.get(store);
      if (removing === undefined) store.stop(one);
      else removing.push(one);
    }
  }

  /** Why a pool has no store here, for its clients; null: nothing is known of one. */
  whyAbsent(poolUuid: string): string | null {
    const away = this.stores.filter((store) => store.pool === null);
    const own = away.find(({ identity, spec }) => (identity?.poolUuid ?? spec.poolUuid) === poolUuid);
    if (own !== undefined) return `its store is not open: ${own.reason}`;
    // One that was never opened may be of any pool.
    const unknown = away.filter(({ identity, spec }) => identity === null && spec.poolUuid === undefined);
    if (unknown.length === 0) return null;
    return `this node has no open store of pool ${poolUuid}; not open, and of a pool that it does not know: ${unknown.map(({ reason }) => reason).join('; ')}`;
  }

  /** Rechecks the invariants. */
  verify(): void {
    const pools = new Set<string>();
    for (const store of this.stores) {
      store.verify();
      if (store.pool === null) continue;
      const { poolUuid } = store.pool.store.identity;
      assert(!pools.has(poolUuid), 'store keeper: one store of a pool');
      pools.add(poolUuid);
    }
  }

  /** A store that is away keeps its place: it may come back. */
  #conflictOf(identity: StoreIdentity, path: string): OperationError | null {
    const { poolName, poolUuid, storeUuid } = identity;
    const twins = this.#ambiguous.get(storeUuid);
    if (twins !== undefined) return twinsConflict(identity, path, twins.find((twin) => twin !== path) as string);
    const other = this.stores.find((store) => store.spec.path !== path && store.identity?.poolUuid === poolUuid);
    if (other === undefined) return null;
    const { path: otherPath } = other.spec;
    if (other.identity?.storeUuid !== storeUuid) {
      return new OperationError(
        'CONFLICT',
        `stores: ${path} and ${otherPath} are both of pool ${poolName} (${poolUuid}); a node has one store of a pool: take the one out of "stores" that the pool doesn't have as its member, which "store inspect" shows`,
      );
    }
    // What a client has in service is what its pool knows, and a copy that turns up beside it changes nothing.
    if (other.proven) {
      const advice =
        other.state === 'ATTACHED'
          ? `take ${path} out of "stores"`
          : `take the copy out of "stores", or ${otherPath} if the store was moved from there`;
      return new OperationError(
        'CONFLICT',
        `stores: ${path} and ${otherPath} are the same store ${storeUuid} of pool ${poolName} (${poolUuid}): one is a copy of the other. ${otherPath} is the one that a client has had in service, and keeps its place: ${advice}`,
      );
    }
    this.#ambiguous.set(storeUuid, [path, otherPath]);
    other.displace(twinsConflict(identity, otherPath, path));
    return twinsConflict(identity, path, otherPath);
  }
}

/** What no retry mends: the configuration names the wrong thing. */
const MISTAKES: ReadonlySet<OperationErrorCode> = new Set(['INVALID_ARGUMENT', 'STORE_FOREIGN', 'CONFLICT']);

/** What a keeper works with. */
export interface StoreKeeperOptions<Spec extends StoreSpec> {
  readonly world: Pick<World, 'clock' | 'ticker' | 'log'>;
  readonly opener: StoreOpener<Spec>;
  readonly registry: StoreRegistry;
  readonly doubtful: DoubtfulStores;
}

function twinsConflict({ storeUuid, poolName, poolUuid }: StoreIdentity, path: string, other: string): OperationError {
  return new OperationError(
    'CONFLICT',
    `stores: ${path} and ${other} are the same store ${storeUuid} of pool ${poolName} (${poolUuid}): one is a copy of the other, and neither is used. Take the copy out of "stores" and restart this node; "store inspect" shows which version each has, and both files are worth keeping until the pool is in sync`,
  );
}
