/** Tells the events of this node's stores: looks at them once a second, and tells what has changed since. */
import type { StoreKeeper } from '@rmr/brmr';
import type { DaemonEvents } from '@rmr/daemon';
import type { Ticked } from '@rmr/runtime';

export class StoreEvents implements Ticked {
  readonly #keeper: StoreKeeper;
  readonly #events: Pick<DaemonEvents, 'record'>;
  /** The state of each store, by its path. */
  readonly #stores = new Map<string, string>();
  /** The state of each member that is open here, by the UUID of its pool. */
  readonly #members = new Map<string, string>();
  readonly #node: string;
  #nextMs = 0;

  constructor(keeper: StoreKeeper, events: Pick<DaemonEvents, 'record'>, node: string) {
    this.#keeper = keeper;
    this.#events = events;
    this.#node = node;
  }

  tick(nowMs: number): void {
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + LOOK_MS;
    const seen = new Set<string>();
    for (const { spec, state, reason, identity, pool } of this.#keeper.stores) {
      seen.add(spec.path);
      const from = this.#stores.get(spec.path) ?? 'not kept';
      // An attempt to open a store that is away is no news.
      const isAttempt = state === 'OPENING' && from === 'DETACHED';
      if (from !== state && !isAttempt) {
        this.#stores.set(spec.path, state);
        const fields = { place: spec.path, pool: identity?.poolName ?? 'a pool that is not known yet', from, to: state, why: reason };
        this.#events.record('store-state', identity?.storeUuid ?? '', fields);
      }
      if (identity === null || pool === null) continue;
      const described = pool.describe();
      const before = this.#members.get(identity.poolUuid) ?? 'not open';
      if (before === described.state) continue;
      this.#members.set(identity.poolUuid, described.state);
      const { poolName, memberId } = identity;
      const change = { from: before, to: described.state, why: described.reason };
      this.#events.record('member-state', identity.poolUuid, { pool: poolName, memberId, node: this.#node, ...change });
    }
    for (const [path, from] of this.#stores) {
      if (seen.has(path)) continue;
      this.#stores.delete(path);
      this.#events.record('store-state', '', {
        place: path,
        pool: 'its pool',
        from,
        to: 'not kept',
        why: 'an order, or the end of the node',
      });
    }
  }
}

/** The time between two looks, in milliseconds. */
const LOOK_MS = 1_000;
