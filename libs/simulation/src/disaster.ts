import { sameVersion, type VersionRecord } from '@rmr/rmr';
import { randomBelow, SeededRandom } from '@rmr/runtime';
import type { SimulatedCluster } from './cluster.ts';
import type { FaultAtlas } from './fault-atlas.ts';
import type { Operator } from './operator.ts';
import type { SectorModel } from './sector-model.ts';
import type { SimulatedStorageNode } from './simulated-nodes.ts';
import type { Workload } from './workload.ts';

/**
 * Members are gone for long, and the pool can't be served without them. An operator forces it into service with the members that are
 * there. The others come back later, and what they have does not count.
 *
 * If a member that holds the last version is in the new set, only the chunks that were clean nowhere else are lost (I8). Otherwise each
 * sector may read as it did at any time before, and the model is told to forget what it knew.
 *
 * The members that were left behind do not know that they were. They could still serve the former lineage. So the operator keeps them
 * away until the forced pool is served, and they come back when nothing breaks any more.
 */
export class Disaster {
  /** Disasters that struck. */
  count = 0;
  /** Pools that were forced. */
  forcedCount = 0;
  readonly #around: Surroundings;
  readonly #cluster: SimulatedCluster;
  readonly #random: SeededRandom;
  /** Whether all go that are in sync. */
  readonly #all: boolean;
  /** Whether a version that is being recorded is waited for; not before this virtual time. */
  readonly #amid: boolean;
  #fromMs = Number.POSITIVE_INFINITY;
  #crashOnReturn: boolean;
  #stage: Stage;
  #faultsGoOn = true;
  #struckMs = 0;
  #askedMs = 0;
  #absent: readonly SimulatedStorageNode[] = [];
  /** When the absent may come back, in virtual milliseconds. */
  #backMs = 0;
  /** They could take the former lineage into service. */
  #dangerous = false;
  #overwrites = false;
  /** The lineage that counts, and the last version of it that was seen on each node. */
  #lineage = '';
  readonly #versions = new Map<SimulatedStorageNode, VersionRecord>();

  /** `wanted`: whether there is to be one; undefined: that is drawn. */
  constructor(around: Surroundings, seed: number, wanted: boolean | undefined) {
    this.#around = around;
    this.#cluster = around.cluster;
    this.#random = new SeededRandom(seed ^ 0xd15a);
    const drawn = this.#chance(RUNS_PERCENT);
    this.#all = this.#chance(ALL_IN_SYNC_PERCENT);
    this.#amid = !this.#all && this.#chance(AMID_PERCENT);
    this.#crashOnReturn = this.#chance(CRASH_ON_RETURN_PERCENT);
    this.#stage = (wanted ?? drawn) && this.#cluster.nodes.length > 1 ? 'PLANNED' : 'OVER';
  }

  start(): void {
    if (this.#stage !== 'PLANNED') return;
    this.#fromMs = 1_000 + this.#below(15_000);
    this.#later(this.#fromMs);
  }

  /** No faults are made any more: a disaster that has not struck never will. */
  finish(): void {
    this.#faultsGoOn = false;
    if (this.#stage === 'PLANNED') this.#stage = 'OVER';
  }

  /** Whether there is none to come, and nobody is kept down on account of one. */
  get isOver(): boolean {
    return this.#stage === 'OVER';
  }

  /** From now on somebody replaces what is lost. */
  overwrite(): void {
    this.#overwrites = true;
    this.#overwriteLater();
  }

  /** Why the pool is not served yet, or null. */
  get unserved(): string | null {
    return this.#stage === 'STRUCK' || !this.#cluster.settled ? 'the pool is not served' : null;
  }

  /** What is not done yet, or null. */
  get pending(): string | null {
    if (this.#stage === 'STRUCK') return 'the pool is to be forced into service';
    if (this.#stage === 'FORCED') return `${this.#absent.map((node) => node.name).join(' and ')} are to come back`;
    return this.#cluster.lost.size > 0 ? `${this.#cluster.lost.size} chunks are lost` : null;
  }

  /** After every event: a new lineage has to be noticed before anything is read under it. */
  look(): void {
    if (this.#stage === 'OVER' ? !this.#crashOnReturn : this.#stage === 'PLANNED' && !this.#amid) return;
    const highest = this.#cluster.highestVersion();
    if (highest === null) return;
    if (this.#stage === 'PLANNED') {
      const isOnItsWay = this.#cluster.inSync().some((node) => node.version === null || !sameVersion(node.version, highest));
      if (isOnItsWay && this.#cluster.world.scheduler.nowMs >= this.#fromMs) this.#strike();
    }
    if (this.#stage === 'OVER') this.#crashHalfway(highest);
    if (this.#stage !== 'STRUCK') return;
    if (highest.lineageUuid === this.#lineage) {
      for (const node of this.#cluster.nodes) if (node.version?.lineageUuid === this.#lineage) this.#versions.set(node, node.version);
      return;
    }
    const holders = this.#cluster.inSync();
    if (holders.every((node) => node.version !== null && sameVersion(node.version, highest))) this.#forced(highest, holders);
  }

  /** The pool has a new lineage, on these nodes. */
  #forced(version: VersionRecord, holders: readonly SimulatedStorageNode[]): void {
    const cluster = this.#cluster;
    const { geometry, lost, world } = cluster;
    const before = [...this.#versions.values()].reduce((a, b) => ((b.epoch - a.epoch || b.seq - a.seq) > 0 ? b : a));
    const heldIt = (node: SimulatedStorageNode): boolean => {
      const had = this.#versions.get(node);
      return had !== undefined && sameVersion(had, before);
    };
    const complete = holders.some(heldIt);
    const wasInSync = (node: SimulatedStorageNode): boolean => before.inSync.some(({ memberId }) => memberId === node.memberId);
    const policies = [...this.#versions.keys()].map((node) => node.policy?.quorum);
    this.#dangerous = !holders.some(wasInSync) || policies.includes('majority');
    lost.clear();
    for (let chunk = 0; chunk < geometry.chunkCount; chunk++)
      if (holders.every((node) => node.isDirty(node.memberId, chunk))) lost.add(chunk);
    if (!complete) this.#around.model.forget();
    this.#around.atlas.observe();
    this.forcedCount++;
    world.log.info('the pool was forced', {
      complete,
      dangerous: this.#dangerous,
      lostChunks: lost.size,
      holders: holders.map((node) => node.name).join(' '),
    });
    this.#lineage = version.lineageUuid;
    this.#versions.clear();
    for (const node of holders) this.#versions.set(node, version);
  }

  #later(delayMs: number): void {
    this.#cluster.world.after(delayMs, () => {
      if (this.#stage === 'PLANNED' && !this.#amid) this.#strike();
      else if (this.#stage === 'PLANNED') this.look();
      else if (this.#stage === 'STRUCK') this.#goOn();
      else if (this.#stage === 'FORCED') this.#bringBack();
      if (this.#stage !== 'OVER') this.#later(LOOK_MS);
    });
  }

  #overwriteLater(): void {
    this.#cluster.world.after(LOOK_MS, () => {
      if (this.#stage === 'OVER') this.#overwriteLost();
      this.#overwriteLater();
    });
  }

  /** Takes members down for good, if now is a moment for it. */
  #strike(): void {
    const cluster = this.#cluster;
    const { client } = cluster;
    const version = cluster.highestVersion();
    if (client === null || version === null || cluster.rival !== null || cluster.draining || !(this.#amid || cluster.settled)) return;
    const members = cluster.members();
    const inSync = cluster.inSync();
    const others = members.filter((node) => !inSync.includes(node) && node.version !== null);
    if (inSync.length === 0 || this.#around.operator.pending !== null || members.length !== cluster.nodes.length) return;
    const all = this.#all;
    // A member that knows another table would bring that table back.
    const knows = (node: SimulatedStorageNode): boolean => sameTable(node, inSync[0] as SimulatedStorageNode);
    if (all ? others.length === 0 || !others.every(knows) : inSync.length < 2) return;
    const mayGo = this.#amid ? asideFrom(inSync, version) : inSync;
    if (mayGo.length === 0) return;
    const absent = all ? [...inSync] : this.#some(mayGo, 1, Math.min(mayGo.length, inSync.length - 1));
    // Some that are out of the set may be gone, too.
    absent.push(...this.#some(others, 0, all ? others.length - 1 : others.length));
    this.#absent = absent;
    this.#stage = 'STRUCK';
    this.#lineage = version.lineageUuid;
    this.look();
    this.count++;
    cluster.world.log.info('fault', { kind: DISASTER, gone: absent.map((node) => node.name).join(' ') });
    for (const node of absent) {
      node.heldDown = true;
      if (this.#chance(50)) node.crash();
      else cluster.losePower([node]);
    }
    if (!all || this.#chance(50)) {
      cluster.crashClient();
      cluster.world.after(this.#below(1_000), () => cluster.startClient());
    }
    if (this.#amid) this.#crashBehind(inSync, version);
    this.#struckMs = cluster.world.scheduler.nowMs;
    this.#backMs = this.#struckMs + this.#below(30_000);
  }

  /** The version with one of those that were left behind in its set has reached others, and not that one itself. */
  #crashHalfway(highest: VersionRecord): void {
    if (!this.#faultsGoOn) {
      this.#crashOnReturn = false;
      return;
    }
    const halfway = this.#absent.filter(
      ({ memberId, version }) =>
        version !== null && version.lineageUuid !== highest.lineageUuid && highest.inSync.some((member) => member.memberId === memberId),
    );
    if (halfway.length === 0) return;
    this.#crashOnReturn = false;
    this.#crashBehind(halfway, highest);
    this.#cluster.crashClient();
    this.#cluster.world.after(this.#below(1_000), () => this.#cluster.startClient());
  }

  /** Those that have not recorded the version yet do not get to it. */
  #crashBehind(nodes: readonly SimulatedStorageNode[], version: VersionRecord): void {
    for (const node of nodes) {
      if (!node.running || holds(node, version)) continue;
      node.crash();
      this.#cluster.startLater(node, this.#below(1_000));
    }
  }

  /** The pool waits, or is served by now. */
  #goOn(): void {
    const { client, settled, world } = this.#cluster;
    const { nowMs } = world.scheduler;
    if (nowMs < this.#struckMs + PATIENCE_MS || client === null || client.paused) return;
    if (settled) {
      this.#stage = 'FORCED';
      if (this.#dangerous) this.#keepAway();
      return;
    }
    if (client.pool.state === 'SERVING' && client.pool.status().waitingFor !== null && nowMs >= this.#askedMs + PAUSED_MS) {
      // It was assembled before more members went, and waits for a majority that there is not any more: it can be forced anew only.
      this.#askedMs = nowMs;
      world.log.info('the operator restarts the client of a pool that waits for a majority', { client: client.name });
      this.#cluster.restartClient();
      return;
    }
    if (client.pool.state !== 'RECOVERING' || nowMs < this.#askedMs + ASK_MS) return;
    // An operator looks which members are there. Those that are only about to start would be left behind.
    const { legs } = client.pool.status();
    const there = (node: SimulatedStorageNode): boolean =>
      node.store !== null && legs.some((leg) => leg.memberId === node.memberId && leg.connected);
    if (!this.#cluster.members().every((node) => node.heldDown || there(node))) return;
    this.#askedMs = nowMs;
    world.log.info('the operator forces the pool', { client: client.name });
    client.pool.force();
  }

  /** Every node of a former lineage stays down. */
  #keepAway(): void {
    const lineage = this.#cluster.highestVersion()?.lineageUuid;
    // A node that has got a new disk meanwhile has no version, and comes back with the others.
    this.#absent = this.#cluster.nodes.filter((node) => node.heldDown || (node.version !== null && node.version.lineageUuid !== lineage));
    for (const node of this.#absent) {
      if (node.running) node.crash();
      node.heldDown = true;
    }
  }

  #bringBack(): void {
    const { client, world, lost } = this.#cluster;
    if (this.#dangerous) {
      if (this.#faultsGoOn || (lost.size > 0 && !this.#overwrites)) return;
      if (client === null || client.pool.state !== 'SERVING') {
        this.#keepAway();
        return;
      }
    } else if (this.#faultsGoOn && world.scheduler.nowMs < this.#backMs) {
      return;
    }
    // An operator may have given one up for good.
    this.#absent = this.#absent.filter((node) => this.#cluster.nodes.includes(node));
    for (const node of this.#absent) {
      node.heldDown = false;
      if (!node.running) node.start();
    }
    const lineage = this.#cluster.highestVersion()?.lineageUuid;
    if (!this.#dangerous || this.#absent.every((node) => (node.version?.lineageUuid ?? lineage) === lineage)) this.#stage = 'OVER';
  }

  /** Overwrites what is lost, piece by piece. */
  #overwriteLost(): void {
    const { client, geometry, lost, settled } = this.#cluster;
    const { workload } = this.#around;
    if (client === null || !settled || workload.operations.size > 0) return;
    const inSync = this.#cluster.inSync();
    for (const chunk of lost) if (inSync.some((node) => !node.isDirty(node.memberId, chunk))) lost.delete(chunk);
    const [first] = lost;
    if (first === undefined) return;
    const isCold = (chunk: number): boolean => geometry.sectorsOf(chunk).sectorCount === 0;
    let count = 1;
    if (isCold(first)) while (count < OVERWRITE_CHUNKS && lost.has(first + count) && isCold(first + count)) count++;
    workload.overwrite(first, count);
  }

  /** So many of the nodes, drawn. */
  #some(nodes: readonly SimulatedStorageNode[], least: number, most: number): SimulatedStorageNode[] {
    const left = [...nodes];
    const count = least + this.#below(most - least + 1);
    return Array.from({ length: count }, () => left.splice(this.#below(left.length), 1)[0] as SimulatedStorageNode);
  }

  #chance(percent: number): boolean {
    return this.#below(100) < percent;
  }

  #below(bound: number): number {
    return randomBelow(this.#random, bound);
  }
}

/** As a kind of fault: its name. */
export const DISASTER = 'disaster';

/** Percentage of runs in which members go for so long that an operator forces the pool into service without them. */
const RUNS_PERCENT = 6;
/** Percentage of them in which all go that were in sync, where there are others. */
const ALL_IN_SYNC_PERCENT = 50;
/** Percentage in which it strikes while the version with a member that returns is on its way to its members. */
const AMID_PERCENT = 40;
/** Percentage in which the client dies when one of those that were left behind is about to be in the set again. */
const CRASH_ON_RETURN_PERCENT = 50;
/** Between two looks at how things stand. */
const LOOK_MS = 100;
/** How long a pool has waited before it is forced. */
const PATIENCE_MS = 4_000;
/** How often the operator asks. */
const ASK_MS = 1_000;
/** How long a pool that is served may wait for a majority before an operator starts its client again. */
const PAUSED_MS = 8_000;
/** Chunks without hot sectors that are overwritten at a time. */
const OVERWRITE_CHUNKS = 64;

/** What a disaster has to do with. */
interface Surroundings {
  readonly cluster: SimulatedCluster;
  readonly model: SectorModel;
  readonly atlas: FaultAtlas;
  readonly operator: Operator;
  readonly workload: Workload;
}

/** `PLANNED`, `STRUCK`: members are gone. `FORCED`: the pool is served as a new lineage. `OVER`: nobody is kept down any more, or it never came to pass. */
type Stage = 'PLANNED' | 'STRUCK' | 'FORCED' | 'OVER';

function holds(node: SimulatedStorageNode, version: VersionRecord): boolean {
  return node.version !== null && sameVersion(node.version, version);
}

/**
 * The set without two of its members: one that holds the version, and one that returns with the version and has not recorded it. What
 * the latter thinks that it lacks does not count (◆14). Empty when no member is returning.
 */
function asideFrom(inSync: readonly SimulatedStorageNode[], version: VersionRecord): readonly SimulatedStorageNode[] {
  const holder = inSync.find((node) => holds(node, version));
  const returning = inSync.find((node) => !holds(node, version) && (holder?.dirtyCount(node.memberId) ?? 0) > 0);
  return returning === undefined ? [] : inSync.filter((node) => node !== holder && node !== returning);
}

/** Whether both know the same members, in the same condition. */
function sameTable(a: SimulatedStorageNode, b: SimulatedStorageNode): boolean {
  const table = ({ lastStore }: SimulatedStorageNode): string =>
    JSON.stringify(lastStore?.members.map(({ joined: _joined, left: _left, ...rest }) => rest));
  return table(a) === table(b);
}
