/**
 * The stores that a storage node was told to keep at run time: it makes them on its disks, opens them, closes them and destroys them, and
 * remembers each durably before anything is done for it. So a restart, at whatever moment, finds what was begun.
 *
 * A store is named by the UUID that the client drew for it. Whatever is asked twice is done once.
 */
import { NO_RESYNC_ORDER, type ResyncOrder, type StoreIdentity } from '@rmr/rmr';
import { type Logger, OperationError } from '@rmr/runtime';
import type { NodeStores } from '../commands/command-service.ts';
import type { NodeAnswer, StoreOrder, StoreState } from '../commands/node-commands.ts';
import type { StoreSpec } from './kept-store.ts';
import type { StoreKeeper } from './store-keeper.ts';

export class NodeStoreService<Spec extends StoreSpec = StoreSpec> implements NodeStores {
  readonly #parts: NodeStoreServiceParts<Spec>;
  /** Stores for which something is under way, by UUID. */
  readonly #busy = new Map<string, 'CREATING' | 'DELETING' | 'CLOSING'>();
  /** The paths by which stores were opened, by UUID. */
  readonly #paths = new Map<string, string>();
  /** Why the last attempt to make or destroy a store failed, by UUID. */
  readonly #problems = new Map<string, OperationError>();
  /** Orders for the resync of pools that are being remembered, the newest of each. */
  readonly #ordered = new Map<string, ResyncOrder>();

  constructor(parts: NodeStoreServiceParts<Spec>) {
    this.#parts = parts;
  }

  /** Opens what was kept, and goes on with what was being destroyed. What was being made is made when its client asks again. */
  start(): void {
    for (const store of this.#parts.memory.entries()) {
      if (store.stage === 'GOING') this.#destroy(store);
      else if (store.stage === 'KEPT' && !store.closed) this.#open(store.order);
    }
  }

  /**
   * Follows stores whose disks have got another name, or have appeared again: the disks were looked at since. A store that is open stays as it
   * is.
   */
  refresh(): void {
    for (const { order, stage, closed } of this.#parts.memory.entries()) {
      if (stage !== 'KEPT' || closed || this.#busy.has(order.storeUuid)) continue;
      const path = this.#paths.get(order.storeUuid);
      const spec = this.#parts.disks.specOf(order);
      if (spec === null || path === spec.path) continue;
      const kept = this.#parts.keeper.stores.find((store) => store.spec.path === path);
      if (kept?.state === 'ATTACHED') continue;
      if (path === undefined) this.#open(order);
      else this.#parts.keeper.remove(path, () => this.#open(order));
    }
  }

  /** Whether a store of the node is open, by an order or by the configuration. */
  isOpen(storeUuid: string): boolean {
    return this.#parts.keeper.stores.some(({ state, identity }) => state === 'ATTACHED' && identity?.storeUuid === storeUuid);
  }

  /** Whether a store that should be open is not, so that its disk is worth a look. */
  get misses(): boolean {
    return this.#parts.memory.entries().some((store) => store.stage === 'KEPT' && !store.closed && this.#stateOf(store).state !== 'OPEN');
  }

  /** Why a pool has no open store here, as a sentence about the node; null: nothing is known of one. */
  whyAbsent(poolUuid: string): string | null {
    const store = this.#parts.memory.entries().find(({ order }) => order.poolUuid === poolUuid);
    if (store === undefined) return null;
    const { state, reason } = this.#stateOf(store);
    return `its store on disk ${store.order.disk} is not open (${state})${reason === '' ? '' : `: ${reason}`}`;
  }

  /** The stores that the node was told to keep, for status. */
  remembered(): readonly RememberedStore[] {
    return this.#parts.memory.entries();
  }

  look(done: (look: NodeAnswer<'look'> | OperationError) => void): void {
    this.#parts.disks.look(done);
  }

  create(order: StoreOrder, by: string, done: (state: StoreState | OperationError) => void): void {
    const known = this.#find(order.storeUuid);
    if (known !== null) {
      const mismatch = mismatchOf(known.order, order);
      if (mismatch !== '') done(new OperationError('CONFLICT', `store ${order.storeUuid} is there already, with another ${mismatch}`));
      else if (known.stage === 'MAKING') this.#makeAgain(known, done);
      else done(this.#stateOf(known));
      return;
    }
    const conflict = this.#conflictOf(order);
    if (conflict !== null) {
      done(conflict);
      return;
    }
    const store: RememberedStore = { order, stage: 'MAKING', closed: false, by };
    this.#busy.set(order.storeUuid, 'CREATING');
    this.#parts.log.info('a store is made', { ...fieldsOf(order), client: by });
    this.#parts.memory.put(store, (error) => {
      if (error !== null) {
        this.#busy.delete(order.storeUuid);
        done(error);
        return;
      }
      this.#make(store);
      done(this.#stateOf(store));
    });
  }

  delete(storeUuid: string, poolUuid: string, by: string, done: (state: StoreState | OperationError) => void): void {
    const store = this.#find(storeUuid);
    if (store === null) {
      done(this.#staticProblem(storeUuid) ?? ABSENT);
      return;
    }
    const foreign = foreignProblem(store.order, poolUuid);
    if (foreign !== null) done(foreign);
    else if (this.#busy.has(storeUuid)) done(this.#stateOf(store));
    else if (store.stage === 'GOING') {
      const problem = this.#problems.get(storeUuid);
      this.#destroy(store);
      done(problem ?? this.#stateOf(store));
    } else {
      this.#busy.set(storeUuid, 'DELETING');
      this.#parts.log.warn('a store is destroyed', { ...fieldsOf(store.order), client: by });
      const going: RememberedStore = { ...store, stage: 'GOING' };
      this.#parts.memory.put(going, (error) => {
        this.#busy.delete(storeUuid);
        if (error !== null) {
          done(error);
          return;
        }
        this.#destroy(going);
        done(this.#stateOf(going));
      });
    }
  }

  close(storeUuid: string, poolUuid: string, by: string, done: (state: StoreState | OperationError) => void): void {
    this.#setClosed(storeUuid, poolUuid, true, by, done);
  }

  open(storeUuid: string, poolUuid: string, by: string, done: (state: StoreState | OperationError) => void): void {
    this.#setClosed(storeUuid, poolUuid, false, by, done);
  }

  orderResync(
    poolUuid: string,
    change: Partial<ResyncOrder>,
    by: string,
    done: (answer: NodeAnswer<'resync'> | OperationError) => void,
  ): void {
    const { resync, log } = this.#parts;
    const resyncOf = (): Resyncing | null => resync.of(poolUuid);
    const current = resyncOf();
    if (current === null) {
      done(new OperationError('NOT_FOUND', `no open store here is of pool ${poolUuid}`));
      return;
    }
    const order = { ...(this.#ordered.get(poolUuid) ?? current.order), ...change };
    this.#ordered.set(poolUuid, order);
    resync.remember(poolUuid, order, (error) => {
      if (this.#ordered.get(poolUuid) === order) this.#ordered.delete(poolUuid);
      if (error !== null) {
        done(error);
        return;
      }
      log.info('an operator orders how resync goes on', { pool: poolUuid, ...order, client: by });
      // The store may have been closed meanwhile. Then the order holds when it is opened again.
      const now = resyncOf();
      if (now !== null) now.order = order;
      done(order);
    });
  }

  #setClosed(storeUuid: string, poolUuid: string, closed: boolean, by: string, done: (state: StoreState | OperationError) => void): void {
    const store = this.#find(storeUuid);
    if (store === null) {
      done(this.#staticProblem(storeUuid) ?? ABSENT);
      return;
    }
    const foreign = foreignProblem(store.order, poolUuid);
    if (foreign !== null) {
      done(foreign);
      return;
    }
    if (store.stage !== 'KEPT' || store.closed === closed || this.#busy.has(storeUuid)) {
      done(this.#stateOf(store));
      return;
    }
    if (!closed) {
      const conflict = this.#conflictOf(store.order);
      if (conflict !== null) {
        done(conflict);
        return;
      }
    }
    this.#busy.set(storeUuid, closed ? 'CLOSING' : 'CREATING');
    this.#parts.log.info(closed ? 'a store is closed' : 'a store is opened', { ...fieldsOf(store.order), client: by });
    const changed: RememberedStore = { ...store, closed };
    this.#parts.memory.put(changed, (error) => {
      this.#busy.delete(storeUuid);
      if (error !== null) {
        done(error);
        return;
      }
      if (closed) this.#close(changed);
      else this.#open(changed.order);
      done(this.#stateOf(changed));
    });
  }

  #makeAgain(store: RememberedStore, done: (state: StoreState | OperationError) => void): void {
    const { storeUuid } = store.order;
    if (this.#busy.has(storeUuid)) {
      done(this.#stateOf(store));
      return;
    }
    const problem = this.#problems.get(storeUuid);
    if (problem !== undefined) {
      // Its client decides: it asks for another place, or has this one taken back.
      this.#problems.delete(storeUuid);
      done(problem);
      return;
    }
    this.#busy.set(storeUuid, 'CREATING');
    this.#make(store);
    done(this.#stateOf(store));
  }

  #make(store: RememberedStore): void {
    const { order } = store;
    const { storeUuid } = order;
    this.#parts.disks.make(order, (error) => {
      if (error !== null) {
        this.#busy.delete(storeUuid);
        this.#failed('a store could not be made', order, error);
        return;
      }
      this.#parts.memory.put({ ...store, stage: 'KEPT' }, (unremembered) => {
        this.#busy.delete(storeUuid);
        if (unremembered === null) this.#open(order);
        else this.#failed('a store that was made could not be remembered', order, unremembered);
      });
    });
  }

  #destroy(store: RememberedStore): void {
    const { order } = store;
    const { storeUuid } = order;
    if (this.#busy.has(storeUuid)) return;
    this.#busy.set(storeUuid, 'DELETING');
    this.#problems.delete(storeUuid);
    const failed = (error: OperationError): void => {
      this.#busy.delete(storeUuid);
      this.#failed('a store could not be destroyed', order, error);
    };
    const destroy = (): void =>
      this.#parts.disks.destroy(order, (error) => {
        if (error !== null) {
          failed(error);
          return;
        }
        this.#forgetOrders(order, (kept) => {
          if (kept !== null) failed(kept);
          else
            this.#parts.memory.delete(storeUuid, (unforgotten) => {
              if (unforgotten !== null) failed(unforgotten);
              else this.#busy.delete(storeUuid);
            });
        });
      });
    const path = this.#pathOf(order);
    if (path === null) destroy();
    else this.#parts.keeper.remove(path, destroy);
  }

  /** With the last store of a pool goes what was ordered of its resync. */
  #forgetOrders({ storeUuid, poolUuid }: StoreOrder, done: Done): void {
    const isLast = !this.#parts.memory.entries().some(({ order }) => order.poolUuid === poolUuid && order.storeUuid !== storeUuid);
    if (isLast) this.#parts.resync.remember(poolUuid, NO_RESYNC_ORDER, done);
    else done(null);
  }

  #open(order: StoreOrder): void {
    const { keeper, disks, log } = this.#parts;
    const spec = disks.specOf(order);
    if (spec === null) {
      log.error('a store is not opened: its disk is not configured any more', fieldsOf(order));
      return;
    }
    if (keeper.stores.some((store) => store.spec.path === spec.path)) return;
    this.#paths.set(order.storeUuid, spec.path);
    // How it goes the keeper logs and tells in status; it tries again by itself.
    keeper.add(spec, () => {});
  }

  #close({ order }: RememberedStore): void {
    const path = this.#pathOf(order);
    if (path === null) return;
    this.#busy.set(order.storeUuid, 'CLOSING');
    this.#parts.keeper.remove(path, () => this.#busy.delete(order.storeUuid));
  }

  #stateOf({ order, stage, closed }: RememberedStore): StoreState {
    const busy = this.#busy.get(order.storeUuid);
    const reason = this.#problems.get(order.storeUuid)?.message ?? '';
    if (stage === 'GOING' || busy === 'DELETING') return { state: 'DELETING', reason };
    if (stage === 'MAKING') return { state: 'CREATING', reason };
    const path = this.#pathOf(order);
    const kept = this.#parts.keeper.stores.find((store) => store.spec.path === path);
    if (kept?.state === 'ATTACHED') return OPEN;
    if (busy === 'CLOSING') return { state: 'OPEN', reason: 'it is being closed' };
    if (closed) return { state: 'CLOSED', reason: 'it was closed by an order' };
    return {
      state: busy === undefined ? 'CLOSED' : 'CREATING',
      reason: kept?.reason ?? `the disk ${order.disk} is not configured any more`,
    };
  }

  /** The path by which a store was opened, or would be. */
  #pathOf(order: StoreOrder): string | null {
    return this.#paths.get(order.storeUuid) ?? this.#parts.disks.specOf(order)?.path ?? null;
  }

  #find(storeUuid: string): RememberedStore | null {
    return this.#parts.memory.entries().find(({ order }) => order.storeUuid === storeUuid) ?? null;
  }

  /** A node has one open store of a pool. */
  #conflictOf(order: StoreOrder): OperationError | null {
    const open = this.#parts.memory
      .entries()
      .find(
        ({ order: other, stage, closed }) =>
          other.poolUuid === order.poolUuid && other.storeUuid !== order.storeUuid && stage !== 'GOING' && !closed,
      );
    const kept = this.#parts.keeper.stores.find(({ identity }) => isOther(identity, order));
    if (open === undefined && kept === undefined) return null;
    const where = open === undefined ? (kept?.spec.path ?? '') : `disk ${open.order.disk}`;
    return new OperationError(
      'CONFLICT',
      `this node has a store of pool ${order.poolName} already (${where}): a node has one store of a pool, as both would be lost with it`,
    );
  }

  /** A store that the configuration file names is changed there. */
  #staticProblem(storeUuid: string): OperationError | null {
    const kept = this.#parts.keeper.stores.find(({ identity }) => identity?.storeUuid === storeUuid);
    if (kept === undefined) return null;
    return new OperationError(
      'CONFLICT',
      `${kept.spec.path} stands under "stores" in the configuration file of this node: take it out there and restart the node, then remove the file by hand if nothing on it is needed`,
    );
  }

  #failed(event: string, order: StoreOrder, error: OperationError): void {
    this.#problems.set(order.storeUuid, error);
    this.#parts.log.error(event, { ...fieldsOf(order), code: error.code, why: error.message });
  }
}

/** What a node remembers of a store that it was told to keep. */
export interface RememberedStore {
  readonly order: StoreOrder;
  /** `MAKING`: it may be there in part. `KEPT`: it is whole. `GOING`: it is being destroyed, or is to be. */
  readonly stage: 'MAKING' | 'KEPT' | 'GOING';
  /** It is not opened until somebody asks for that. */
  readonly closed: boolean;
  /** The client that asked for it, for people. */
  readonly by: string;
}

type Done = (error: OperationError | null) => void;

/** Where the node remembers its stores. `done` is called once the change is durable, or has failed. */
export interface StoreMemory {
  entries(): readonly RememberedStore[];
  put(store: RememberedStore, done: Done): void;
  delete(storeUuid: string, done: Done): void;
}

/** The disks of the node, as places for stores. */
export interface StoreDisks<Spec extends StoreSpec> {
  look(done: (look: NodeAnswer<'look'> | OperationError) => void): void;
  /** Makes a store. One that is there already and is this very store is left as it is; anything else that is there is refused. */
  make(order: StoreOrder, done: Done): void;
  /** Destroys a store's metadata, then gives its place back. A store that is gone is no error. */
  destroy(order: StoreOrder, done: Done): void;
  /** How the store is opened. Null: its disk is not configured any more. */
  specOf(order: StoreOrder): Spec | null;
}

export interface NodeStoreServiceParts<Spec extends StoreSpec> {
  readonly log: Logger;
  readonly keeper: StoreKeeper<Spec>;
  readonly memory: StoreMemory;
  readonly disks: StoreDisks<Spec>;
  readonly resync: ResyncOrders;
}

/** The resync of a pool, as far as it can be ordered. RMR-server's `Resync` has it. */
export interface Resyncing {
  order: ResyncOrder;
}

/** What operators have ordered of the resync of pools. */
export interface ResyncOrders {
  /** The resync of the open store of a pool; null: no open store is of this pool. */
  of(poolUuid: string): Resyncing | null;
  /** Remembers the order durably, so that it holds when the store is opened again. `done` is called once that is so, or has failed. */
  remember(poolUuid: string, order: ResyncOrder, done: Done): void;
}

const OPEN: StoreState = { state: 'OPEN', reason: '' };
const ABSENT: StoreState = { state: 'ABSENT', reason: '' };

function isOther(identity: StoreIdentity | null, order: StoreOrder): boolean {
  return identity !== null && identity.poolUuid === order.poolUuid && identity.storeUuid !== order.storeUuid;
}

function foreignProblem(order: StoreOrder, poolUuid: string): OperationError | null {
  if (order.poolUuid === poolUuid) return null;
  return new OperationError(
    'CONFLICT',
    `store ${order.storeUuid} is of pool ${order.poolName} (${order.poolUuid}), and not of ${poolUuid}`,
  );
}

/** What of two orders for one store differs; empty: nothing does. */
function mismatchOf(known: StoreOrder, asked: StoreOrder): string {
  const keys = Object.keys(known) as (keyof StoreOrder)[];
  return keys.filter((key) => known[key] !== asked[key]).join(', ');
}

function fieldsOf({ disk, storeUuid, poolName, poolUuid, memberId }: StoreOrder): Record<string, string | number> {
  return { disk, store: storeUuid, pool: poolName, poolUuid, member: memberId };
}
