import { randomBelow, SeededRandom } from '@rmr/runtime';
import type { SimulatedCluster } from './cluster.ts';
import type { FaultContext } from './fault-context.ts';
import { copyOf, mayBeVouchedFor } from './older-copy.ts';
import { isAt, type SimulatedStorageNode } from './simulated-nodes.ts';

/**
 * Members that are elsewhere than the pool knows them, and hosts that are there twice (L9).
 *
 * A member *moves*: its host is down, and comes up at another address, as when its disk was taken to another host. The pool hears of
 * that when a client is started with that address in its configuration. A host is *cloned*: a copy of its store is up elsewhere, and
 * the configuration of clients that are started meanwhile leads there. The clone is started when all that could vouch for the member
 * know the copy to be older (L8). So the clone must never be served, whichever members can be reached.
 */
export class Places {
  /** How often each kind was made. */
  readonly counts = new Map<string, number>();
  readonly #context: FaultContext;
  readonly #random: SeededRandom;
  readonly #kinds: readonly string[];
  /** Members that have moved, until the pool's table says so. */
  readonly #moved = new Map<SimulatedStorageNode, { readonly sinceMs: number }>();
  #clone: SimulatedStorageNode | null = null;
  /** Since when the pool has not been served. */
  #unservedSinceMs = 0;
  /** Whether it may begin now: not while an operator forces the pool. */
  allowed: () => boolean = () => true;

  /** `wanted`: kinds of faults; those of them that are of places are made. Null: that is drawn. */
  constructor(context: FaultContext, seed: number, wanted: readonly string[] | null) {
    this.#context = context;
    this.#random = new SeededRandom(seed ^ 0x91ace);
    const drawn = [
      [MOVED, MOVED_PERCENT],
      [CLONED, CLONED_PERCENT],
    ] as const;
    const chosen = drawn.filter(([, percent]) => this.#chance(percent)).map(([kind]) => kind);
    this.#kinds = wanted === null ? chosen : PLACE_KINDS.filter((kind) => wanted.includes(kind));
  }

  start(): void {
    const kind = this.#kinds[this.#below(Math.max(1, this.#kinds.length))];
    if (kind === undefined) return;
    this.#cluster.world.after(1_000 + this.#below(INTERVAL_MS), () => {
      if (!this.#context.on) return;
      if (this.#begin(kind)) {
        this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
        this.#cluster.world.log.info('fault', { kind });
      }
      this.start();
    });
  }

  /** What is not over yet, or null. */
  get pending(): string | null {
    const [moved] = this.#moved.keys();
    return moved === undefined ? null : `the pool does not know yet where ${moved.name} has moved to`;
  }

  /** No clone is up any more. */
  finish(): void {
    this.#endClone();
  }

  /** What must never be served is not; and an operator corrects what clients are configured with. Called again and again. */
  look(): void {
    const { cluster } = this.#context;
    const [pool] = this.#clone?.rmr?.pools() ?? [];
    if (pool?.state === 'NORMAL') throw new Error(`L8, L9: ${this.#clone?.name} serves, a clone that is older than its original`);
    const { nowMs } = cluster.world.scheduler;
    const { client } = cluster;
    // A table that only some have recorded may not count in the end. What the client serves with is durable.
    const isRecorded = (node: SimulatedStorageNode): boolean => {
      if (client?.pool.state !== 'SERVING' || !cluster.isKnownWhereItIs(node)) return false;
      const member = client.pool.status().members.find(({ memberId }) => memberId === node.memberId);
      return member !== undefined && isAt(node, member);
    };
    for (const node of this.#moved.keys()) if (!cluster.isMember(node) || isRecorded(node)) this.#moved.delete(node);
    if (client === null || client.pool.state === 'SERVING') this.#unservedSinceMs = nowMs;
    if (client === null || client.paused || cluster.draining || cluster.rival !== null) return;
    const isUnknown = [...this.#moved].some(([node, { sinceMs }]) => !client.names(node) && nowMs >= sinceMs + CONFIGURED_MS);
    const isMisled = nowMs >= this.#unservedSinceMs + PATIENCE_MS && cluster.members().some((node) => !client.names(node));
    if (!isUnknown && !isMisled) return;
    cluster.world.log.info('an operator corrects the configuration of the client', { client: client.name });
    this.#unservedSinceMs = nowMs;
    cluster.restartClient();
  }

  get #cluster(): SimulatedCluster {
    return this.#context.cluster;
  }

  #begin(kind: string): boolean {
    const cluster = this.#cluster;
    if (!this.allowed() || cluster.rival !== null || cluster.client?.paused !== false) return false;
    const fit = cluster.members().filter((node) => node.running && !node.heldDown && !cluster.tampered.has(node) && !this.#moved.has(node));
    const node = fit[this.#below(Math.max(1, fit.length))];
    if (node === undefined || cluster.highestVersion() === null) return false;
    return kind === MOVED ? this.#move(node) : this.#cloneHost(node);
  }

  #move(node: SimulatedStorageNode): boolean {
    const cluster = this.#cluster;
    if (this.#moved.size > 0 || this.#clone !== null) return false;
    node.crash();
    node.move();
    this.#moved.set(node, { sinceMs: cluster.world.scheduler.nowMs });
    cluster.startLater(node, this.#below(2_000));
    return true;
  }

  /** A copy of the store is made now, and comes up elsewhere as soon as all others know better. */
  #cloneHost(node: SimulatedStorageNode): boolean {
    const cluster = this.#cluster;
    const copy = copyOf(node);
    if (copy === null || this.#clone !== null || this.#moved.size > 0) return false;
    const { scheduler } = cluster.world;
    const untilMs = scheduler.nowMs + KNOWN_MS;
    const look = (): void => {
      if (!this.#context.on || scheduler.nowMs >= untilMs || this.#clone !== null || this.#moved.size > 0 || !this.allowed()) return;
      if (!cluster.nodes.includes(node) || node.heldDown || cluster.tampered.has(node)) return;
      if (mayBeVouchedFor(copy, cluster)) this.#startClone(node, cluster.cloneOf(node, copy.disk, this.#chance(HOST_CLONED_PERCENT)));
      else cluster.world.after(50, look);
    };
    cluster.world.after(50, look);
    return true;
  }

  #startClone(original: SimulatedStorageNode, clone: SimulatedStorageNode): void {
    const cluster = this.#cluster;
    cluster.world.log.info('a clone of a host comes up', { node: clone.name });
    this.#clone = clone;
    cluster.misplaced.set(original.memberId, clone.addresses);
    clone.start();
    if (this.#chance(ORIGINAL_DIES_PERCENT)) {
      original.crash();
      cluster.startLater(original, CLONE_MS - this.#below(CLONE_MS / 3));
    }
    if (this.#chance(CLIENT_DIES_PERCENT)) this.#context.crashClient();
    cluster.world.after(CLONE_MS, () => {
      if (this.#clone === clone) this.#endClone();
    });
  }

  #endClone(): void {
    const clone = this.#clone;
    if (clone === null) return;
    this.#clone = null;
    this.#cluster.misplaced.clear();
    if (clone.running) clone.crash();
  }

  #chance(percent: number): boolean {
    return this.#below(100) < percent;
  }

  #below(bound: number): number {
    return randomBelow(this.#random, bound);
  }
}

/** Percentage of runs in which members move, and in which hosts are cloned. */
const MOVED_PERCENT = 12;
const CLONED_PERCENT = 12;
/** Between two of them, in virtual milliseconds. */
const INTERVAL_MS = 6_000;
/** How long an operator waits before the client gets the new address of a member that has moved. */
const CONFIGURED_MS = 3_000;
/** How long a pool may wait with a configuration that is wrong, before an operator corrects it and starts the client again. */
const PATIENCE_MS = 8_000;
/** How long a clone is up. */
const CLONE_MS = 9_000;
/** After which a clone is not started any more, as nobody has come to know that it is older. */
const KNOWN_MS = 6_000;
/** Percentage of clones that have the host UUID of the original, too. */
const HOST_CLONED_PERCENT = 50;
/** Percentage of clones beside which the original dies, and the client. */
const ORIGINAL_DIES_PERCENT = 60;
const CLIENT_DIES_PERCENT = 80;

const MOVED = 'member moved';
const CLONED = 'host cloned';

/** Kinds of faults. */
export const PLACE_KINDS: readonly string[] = [MOVED, CLONED];
