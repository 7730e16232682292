/** Tells the events of the pools that this node maps: looks at them once a second, and tells what has changed since. */
import type { DaemonEvents } from '@rmr/daemon';
import type { PoolClientStatus } from '@rmr/rmr';
import type { Ticked } from '@rmr/runtime';
import type { MappedPool } from './mapped-pools.ts';

export class PoolEvents implements Ticked {
  readonly #pools: readonly MappedPool[];
  readonly #events: Pick<DaemonEvents, 'record'>;
  readonly #seen = new Map<string, Seen>();
  #nextMs = 0;

  constructor(pools: readonly MappedPool[], events: Pick<DaemonEvents, 'record'>) {
    this.#pools = pools;
    this.#events = events;
  }

  tick(nowMs: number): void {
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + LOOK_MS;
    const mapped = new Set<string>();
    for (const { config, client } of this.#pools) {
      mapped.add(config.uuid);
      this.#look(config.uuid, client.status());
    }
    for (const uuid of this.#seen.keys()) if (!mapped.has(uuid)) this.#seen.delete(uuid);
  }

  #look(uuid: string, status: PoolClientStatus): void {
    const before = this.#seen.get(uuid);
    const members = new Map(
      status.members.map(({ memberId, name, storeUuid, maintenance }) => [
        memberId,
        { node: name, storeUuid, maintenance: maintenance === true },
      ]),
    );
    const legs = new Map(status.legs.map(({ memberId, state }) => [memberId, state]));
    this.#seen.set(uuid, { state: status.state, members, legs });
    const pool = status.poolName;
    if (before?.state !== status.state) {
      const why = status.waitingFor?.what ?? 'it is served';
      this.#events.record('pool-state', uuid, { pool, from: before?.state ?? 'not mapped', to: status.state, why });
    }
    for (const { memberId, name: node, state, reason } of status.legs) {
      const from = before?.legs.get(memberId) ?? 'not known';
      if (from !== state) this.#events.record('leg-state', uuid, { pool, memberId, node, from, to: state, why: reason });
    }
    // The first table that is heard is no news: nobody knows since when it has been so.
    if (before !== undefined && before.members.size > 0 && members.size > 0) this.#compare(uuid, pool, before.members, members);
  }

  #compare(uuid: string, pool: string, before: Seen['members'], now: Seen['members']): void {
    for (const [memberId, { node, storeUuid, maintenance }] of now) {
      const former = before.get(memberId);
      if (former === undefined) this.#events.record('member-joined', uuid, { pool, memberId, node });
      else {
        if (former.storeUuid !== storeUuid) {
          const stores = { newStore: storeUuid, oldStore: former.storeUuid };
          this.#events.record('member-store-replaced', uuid, { pool, memberId, node, ...stores });
        }
        if (former.maintenance !== maintenance)
          this.#events.record('member-maintenance', uuid, { pool, memberId, node, to: maintenance ? 'on' : 'off' });
      }
    }
    for (const [memberId, { node }] of before)
      if (!now.has(memberId)) this.#events.record('member-removed', uuid, { pool, memberId, node });
  }
}

/** The time between two looks, in milliseconds. What changes more often than that is told as it is then. */
const LOOK_MS = 1_000;

interface SeenMember {
  readonly node: string;
  readonly storeUuid: string;
  readonly maintenance: boolean;
}

/** What was seen of a pool. */
interface Seen {
  readonly state: PoolClientStatus['state'];
  /** Empty before the pool was served. */
  readonly members: ReadonlyMap<number, SeenMember>;
  readonly legs: ReadonlyMap<number, string>;
}
