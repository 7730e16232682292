import { randomBelow, SeededRandom, Status } from '@rmr/runtime';
import { type FaultContext, strikeWhen } from './fault-context.ts';
import type { Moments } from './moments.ts';
import type { SimulatedClient, SimulatedStorageNode } from './simulated-nodes.ts';
import { CONCURRENCY_MAX, type Workload } from './workload.ts';

/** Percentage of runs in which a scheme is carried out, again and again. */
const RUNS_PERCENT = 6;
/** Bytes per second of resync while only what IO asks for is to be pulled. */
const RESYNC_BYTES = 1024;

/** After which those that are kept away while others lose power come back, if nothing else ends it. */
const KEEPER_OUT_MS = 15_000;

interface Scheme {
  readonly name: string;
  readonly begin: (schemes: Schemes, client: SimulatedClient, inSync: readonly SimulatedStorageNode[]) => void;
}

const SCHEMES: readonly Scheme[] = [
  { name: 'only copy away', begin: (schemes, client, inSync) => schemes.onlyCopyAway(client, inSync) },
  { name: 'ahead at a crash', begin: (schemes, client, inSync) => schemes.aheadAtCrash(client, inSync) },
  { name: 'last keeper out', begin: (schemes, client) => schemes.lastKeeperOut(client) },
  { name: 'power loss at a record', begin: (schemes) => schemes.powerLossAtRecord() },
];

/** Names of all schemes: they count as kinds of faults. */
export const SCHEME_NAMES: readonly string[] = SCHEMES.map(({ name }) => name);

/**
 * Faults in several steps, each of which waits for the one before to have its effect: what takes so much to go wrong
 * happens once in thousands of runs by chance. A run has one scheme at most, and repeats it.
 *
 * They draw from a source of their own, so that all other runs are what they were without them.
 */
export class Schemes {
  readonly counts = new Map<string, number>();
  readonly #context: FaultContext;
  readonly #workload: Workload;
  readonly #moments: Moments;
  readonly #random: SeededRandom;
  readonly #scheme: Scheme | null;

  /** `wanted`: kinds of faults; a scheme among them is carried out. Null: that is drawn. */
  constructor(context: FaultContext, workload: Workload, moments: Moments, seed: number, wanted: readonly string[] | null) {
    this.#context = context;
    this.#workload = workload;
    this.#moments = moments;
    this.#random = new SeededRandom(seed ^ 0x8c0b);
    const drawn = this.#chance(RUNS_PERCENT) ? this.#oneOf(SCHEMES) : null;
    this.#scheme = SCHEMES.find(({ name }) => wanted?.includes(name)) ?? (wanted === null ? drawn : null);
  }

  start(): void {
    if (this.#scheme !== null) this.#later(this.#scheme);
  }

  #later(scheme: Scheme): void {
    const { cluster } = this.#context;
    cluster.world.after(1_000 + this.#below(6_000), () => {
      if (!this.#context.on) return;
      const { client, rival, draining, settled } = cluster;
      const inSync = cluster.inSync().filter((node) => node.store !== null);
      if (client !== null && rival === null && !draining && !client.paused && settled && inSync.length > 0) {
        cluster.world.log.info('fault', { kind: scheme.name });
        this.counts.set(scheme.name, (this.counts.get(scheme.name) ?? 0) + 1);
        scheme.begin(this, client, inSync);
      }
      this.#later(scheme);
    });
  }

  /**
   * A member has missed writes that nobody has flushed. When it is back, and before it could pull them, those who have them
   * are cut off: the pool goes on with chunks that are dirty for all of its set, and a flush is asked for. What it speaks of
   * may not be durable where it is (flush rule, ◆8).
   */
  onlyCopyAway(client: SimulatedClient, inSync: readonly SimulatedStorageNode[]): void {
    if (inSync.length < 2 || inSync[0]?.policy?.quorum === 'majority') return;
    const { cluster } = this.#context;
    const { world } = cluster;
    const behind = this.#oneOf(inSync);
    this.#workload.mayBeDurable = false;
    const endLimit = cluster.limitResync(RESYNC_BYTES);
    const end = (): void => {
      this.#workload.mayBeDurable = true;
      endLimit();
    };
    const heal = this.#cutOff([client], behind);
    const wanted = (): boolean => cluster.client === client;
    const isIn = (): boolean => cluster.inSync().includes(behind);
    let struck = false;
    strikeWhen(this.#context, {
      wanted,
      condition: () => cluster.settled && !isIn(),
      strike: () => {
        for (let left = 3; left > 0 && this.#workload.operations.size < CONCURRENCY_MAX; left--)
          this.#workload.overwrite(this.#oneOf(cluster.geometry.hotChunks), 1);
      },
      after: () => world.after(50 + this.#below(500), heal),
    });
    strikeWhen(this.#context, {
      wanted,
      condition: () => cluster.settled && isIn() && behind.dirtyCount(behind.memberId) > 0,
      strike: () => {
        struck = true;
        this.#leaveAlone(client, behind, end);
      },
      after: () => {
        if (!struck) end();
      },
    });
  }

  #leaveAlone(client: SimulatedClient, behind: SimulatedStorageNode, end: () => void): void {
    const { cluster } = this.#context;
    const others = cluster.nodes.filter((node) => node !== behind);
    const heals = others.map((other) => this.#cutOff([client, behind], other));
    const isAlone = (): boolean => cluster.settled && cluster.inSync().every((node) => node === behind);
    strikeWhen(this.#context, {
      wanted: () => cluster.client === client,
      condition: () => isAlone() && this.#workload.operations.size < CONCURRENCY_MAX,
      strike: () => this.#workload.flush(() => {}),
      after: () => {
        end();
        cluster.world.after(500 + this.#below(3_000), () => {
          for (const heal of heals) heal();
        });
      },
    });
  }

  /**
   * Writes reach one member before all others, and then the client dies and that member is cut off: where a majority does
   * without it, it comes back with something that nobody else ever had (◆18).
   */
  aheadAtCrash(client: SimulatedClient, inSync: readonly SimulatedStorageNode[]): void {
    const { cluster } = this.#context;
    const { network, world, all } = cluster;
    if (all.length < 2) return;
    const ahead = this.#oneOf(inSync);
    const others = all.filter((node) => node !== ahead);
    for (const other of others) network.slow(client.name, other.name, 100 + this.#below(400));
    world.after(20 + this.#below(80), () => {
      for (const other of others) network.slow(client.name, other.name, 0);
      if (!this.#context.on || cluster.client !== client) return;
      const heal = this.#cutOff(others, ahead);
      this.#context.crashClient();
      // Whoever is the client by then does not reach it either.
      let left = 100;
      const keepAway = (): void => {
        const next = cluster.client;
        if (next !== null) network.partition(next.name, ahead.name);
        const isOut = cluster.settled && !cluster.inSync().includes(ahead);
        if (!isOut && --left > 0 && this.#context.on) {
          world.after(50, keepAway);
          return;
        }
        heal();
        if (next !== null) network.heal(next.name, ahead.name);
      };
      keepAway();
    });
  }

  /**
   * All but one lose power, and what nobody has flushed. One of them comes back, and has not pulled anything yet when what
   * is left is flushed, and then its keeper loses power, too, and comes back. The others come back last, and have nothing
   * that counts (◆19).
   */
  lastKeeperOut(client: SimulatedClient): void {
    const { cluster } = this.#context;
    if (cluster.nodes.length < 3 || cluster.nodes[0]?.policy?.quorum === 'majority') return;
    const wanted = (): boolean => cluster.client === client;
    strikeWhen(this.#context, {
      wanted,
      condition: () => cluster.settled && cluster.inSync().filter((node) => node.store !== null).length >= 3,
      strike: () => {
        this.#workload.mayBeDurable = false;
        cluster.world.after(50 + this.#below(300), () => {
          this.#workload.mayBeDurable = true;
          if (this.#context.on && wanted()) this.#losePowerInTurn(client);
        });
      },
    });
  }

  #losePowerInTurn(client: SimulatedClient): void {
    const { cluster } = this.#context;
    const { world } = cluster;
    const [keeper, behind, ...away] = this.#shuffled(cluster.inSync());
    if (keeper === undefined || behind === undefined || away.length === 0) return;
    const wanted = (): boolean => cluster.client === client;
    const endLimit = cluster.limitResync(RESYNC_BYTES);
    const heals = away.map((node) => this.#cutOff([client, keeper, behind], node));
    const end = (): void => {
      endLimit();
      for (const heal of heals) heal();
    };
    world.after(KEEPER_OUT_MS, end);
    cluster.losePower([behind, ...away]);
    const isBack = (node: SimulatedStorageNode): boolean =>
      cluster.settled && cluster.inSync().includes(node) && node.dirtyCount(node.memberId) > 0;
    strikeWhen(this.#context, {
      wanted,
      condition: () => isBack(behind) && this.#workload.operations.size < CONCURRENCY_MAX,
      strike: () => {
        this.#workload.flush((status) => {
          if (status !== Status.OK || !wanted() || !this.#context.on) return;
          cluster.losePower([keeper]);
          strikeWhen(this.#context, { wanted, condition: () => isBack(keeper), strike: end });
        });
      },
    });
  }

  /** A record of more than one sector is on its way to the disk when the power goes: it is torn, or there, or not. */
  powerLossAtRecord(): void {
    if (this.#moments.awaited('record')) return;
    this.#moments.await('record', (node) => {
      this.#context.cluster.world.after(this.#below(3) / 10, () => {
        if (this.#context.on && node !== null) this.#context.cluster.losePower([node]);
      });
    });
  }

  /** No connections between the hosts and the node, until the result is called. */
  #cutOff(hosts: readonly { readonly name: string }[], node: SimulatedStorageNode): () => void {
    const { network } = this.#context.cluster;
    for (const { name } of hosts) {
      network.cut(name, node.name);
      network.partition(name, node.name);
    }
    return () => {
      for (const { name } of hosts) network.heal(name, node.name);
    };
  }

  #shuffled<T>(list: readonly T[]): T[] {
    const left = [...list];
    return list.map(() => left.splice(this.#below(left.length), 1)[0] as T);
  }

  #oneOf<T>(choices: readonly T[]): T {
    return choices[this.#below(choices.length)] as T;
  }

  #chance(percent: number): boolean {
    return this.#below(100) < percent;
  }

  #below(bound: number): number {
    return randomBelow(this.#random, bound);
  }
}
