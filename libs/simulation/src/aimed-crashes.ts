import type { SeededRandom } from '@rmr/runtime';
import { randomBelow, Status } from '@rmr/runtime';
import type { SimulatedCluster } from './cluster.ts';
import type { FaultAtlas } from './fault-atlas.ts';
import { type FaultContext, strikeWhen } from './fault-context.ts';
import type { Moment, Moments } from './moments.ts';
import type { SimulatedStorageNode } from './simulated-nodes.ts';

/**
 * Crashes while data is on its way, or has just been acknowledged. Disks have carried out some of what they were given, and some of what
 * was not flushed is lost. Faults that come at random hardly ever meet these moments.
 */
export class AimedCrashes {
  readonly #context: FaultContext;
  readonly #atlas: FaultAtlas;
  readonly #moments: Moments;
  readonly #random: SeededRandom;

  constructor(context: FaultContext, atlas: FaultAtlas, moments: Moments, random: SeededRandom) {
    this.#context = context;
    this.#atlas = atlas;
    this.#moments = moments;
    this.#random = random;
  }

  /** Data is on its way to disks when the client and all nodes die: of what each was doing, some is done. */
  crashAtWrite(): boolean {
    return this.#await('write', () => this.#soon(5, () => this.#crashEverything(15)));
  }

  /** Something has just been promised when the client and nodes die, some for want of power; or only power goes. */
  crashAtAcknowledgement(): boolean {
    return this.#await(this.#chance(60) ? 'acknowledged' : 'durable', () =>
      this.#soon(10, () => {
        const { nodes } = this.#cluster;
        const kind = this.#below(4);
        if (kind === 0) this.#cluster.losePower([this.#node()]);
        else if (kind === 1) this.#cluster.losePower([...nodes]);
        else this.#crashEverything(50);
      }),
    );
  }

  /**
   * All others, or some, die while a member is pulling what it lacks. What only they have can't be had any more. The client may die, too.
   */
  leaveAloneBehind(): boolean {
    return this.#await('write behind', (behind) =>
      this.#soon(10, () => {
        const { client, network } = this.#cluster;
        const leavingPercent = this.#chance(50) ? 100 : 50;
        for (const node of this.#cluster.nodes) {
          if (node === behind || !node.running || !this.#chance(leavingPercent)) continue;
          if (this.#chance(50) || client === null) {
            node.crash();
            this.#cluster.startLater(node, this.#aWhileMs());
          } else {
            network.partition(client.name, node.name);
            this.#cluster.world.after(this.#aWhileMs(), () => network.heal(client.name, node.name));
          }
        }
        if (this.#chance(30)) this.#soon(200, () => this.#context.crashClient());
      }),
    );
  }

  /** A flush fails, and the process dies when the store knows of it. What the kernel has dropped looks as if it were there. */
  crashAfterFailedFlush(): boolean {
    const node = this.#node();
    const { host, disk } = node;
    if (node.store === null || node.diskLatencyMs > SLOW_DISK_MS || disk.faultsDue > 0 || !this.#atlas.mayLose(node, null)) return false;
    disk.fail('flush', Status.EIO, 1, this.#below(3));
    this.#atlas.flushWillFail(node);
    const wanted = (): boolean => node.host === host;
    strikeWhen(this.#context, {
      wanted,
      condition: () => disk.faultsDue === 0,
      strike: () =>
        this.#cluster.world.after(FLUSH_RECORDED_MS + this.#below(500), () => {
          if (!this.#context.on || !wanted()) return;
          node.crash();
          this.#cluster.startLater(node, this.#aWhileMs());
        }),
    });
    return true;
  }

  /** Every process dies at once; so many of a hundred nodes lose power, and some others live. */
  #crashEverything(powerPercent: number): void {
    const dark: SimulatedStorageNode[] = [];
    for (const node of this.#cluster.nodes) {
      if (this.#chance(powerPercent)) dark.push(node);
      else if (node.running && this.#chance(80)) {
        node.crash();
        this.#cluster.startLater(node, this.#aWhileMs());
      }
    }
    this.#context.crashClient();
    if (dark.length > 0) this.#cluster.losePower(dark);
  }

  #await(moment: Moment, strike: (node: SimulatedStorageNode | null) => void): boolean {
    if (this.#moments.awaited(moment)) return false;
    this.#moments.await(moment, strike);
    return true;
  }

  /** As the next thing that happens, or within some milliseconds. */
  #soon(msMax: number, strike: () => void): void {
    this.#cluster.world.after(this.#chance(60) ? 0 : this.#below(msMax * 10) / 10, () => {
      if (this.#context.on) strike();
    });
  }

  get #cluster(): SimulatedCluster {
    return this.#context.cluster;
  }

  #node(): SimulatedStorageNode {
    return this.#cluster.nodes[this.#below(this.#cluster.nodes.length)] as SimulatedStorageNode;
  }

  #aWhileMs(): number {
    return this.#below(this.#chance(70) ? 500 : 8_000);
  }

  #chance(percent: number): boolean {
    return this.#below(100) < percent;
  }

  #below(bound: number): number {
    return randomBelow(this.#random, bound);
  }
}

/** By then a store that is not slow has recorded that a flush failed. */
const FLUSH_RECORDED_MS = 50;
/** Latency from which on a disk counts as slow. */
const SLOW_DISK_MS = 10;
