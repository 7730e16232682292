import { randomBelow, type SeededRandom } from '@rmr/runtime';
import type { MemoryDisk } from '@rmr/testing';
import type { SimulatedCluster } from './cluster.ts';
import type { FaultAtlas } from './fault-atlas.ts';
import type { FaultContext } from './fault-context.ts';
import { copyOf, mayBeVouchedFor, type OlderCopy } from './older-copy.ts';
import type { SimulatedStorageNode } from './simulated-nodes.ts';

/**
 * An operator that puts older copies of stores back (L8). The member may have been stopped, killed, or in service when the copy was made.
 * A copy is put back at any time when every member and client that could vouch for the store knows it to be newer: that is what the marks
 * are for. The others have what the copy lacks, so the pool must never use the copy as a source. Where the pool can't be served without
 * the member, the right store is put back after a while.
 */
export class OldCopies {
  readonly #context: FaultContext;
  readonly #atlas: FaultAtlas;
  readonly #random: SeededRandom;
  #copies: OlderCopy[] = [];
  #putBack: PutBack | null = null;
  /** Whether copies may be put back now: not while an operator forces the pool. */
  allowed: () => boolean = () => true;

  constructor(context: FaultContext, atlas: FaultAtlas, random: SeededRandom) {
    this.#context = context;
    this.#atlas = atlas;
    this.#random = random;
  }

  start(): void {
    this.#cluster.world.after(COPY_MS / 2 + this.#below(COPY_MS), () => {
      if (!this.#context.on) return;
      this.#copy();
      this.start();
    });
  }

  /** Puts back a copy of a store that others know to be newer. False: not now. */
  strike(): boolean {
    const cluster = this.#cluster;
    if (this.#putBack !== null || !this.allowed() || cluster.rival !== null || cluster.client?.paused !== false) return false;
    // A client that was robbed would go on by itself with a copy from its own time (L5), while nobody that knows better is there.
    if (cluster.robbed !== null) return false;
    const fit = this.#copies.filter((copy) => this.#mayPutBack(copy));
    const copy = fit[this.#below(Math.max(1, fit.length))];
    if (copy === undefined) return false;
    if (cluster.inSync().includes(copy.node) && this.#chance(OUT_PERCENT)) this.#onceOut(copy);
    else this.#replace(copy);
    return true;
  }

  /** The right store is put back where the pool has waited for too long; and what is whole again is forgotten. Called again and again. */
  look(): void {
    const put = this.#putBack;
    if (put === null) return;
    const cluster = this.#cluster;
    const { node } = put;
    const isGone = !cluster.nodes.includes(node) || (node.storeUuid !== '' && node.storeUuid !== put.storeUuid);
    const leg = cluster.client?.pool.status().legs.find(({ memberId }) => memberId === node.memberId);
    const isWhole = cluster.settled && cluster.inSync().includes(node) && leg?.rolledBack === null && node.dirtyCount(node.memberId) === 0;
    // Before anybody has noticed the copy, it may look as whole as the right store.
    const right = put.right !== null && this.#anewOf(put) !== put.anewBefore ? null : put.right;
    if (!isGone && right !== null && node.rmr?.pools()[0]?.state === 'NORMAL')
      throw new Error(`L8: ${node.name} serves with an older copy of its store, which nobody has accepted anew`);
    if (isGone || (isWhole && right === null && cluster.holdsHighest(node))) {
      this.#putBack = null;
      cluster.keptAside = null;
      cluster.tampered.delete(node);
      return;
    }
    const { nowMs } = cluster.world.scheduler;
    this.#putBack = { ...put, right };
    // Served without it by a majority, the pool may lack what only the right store has: then status asks for that one.
    const isWanted = cluster.client?.pool.state !== 'SERVING' || leg?.reason.includes("can't be copied anew") === true;
    if (right === null || !isWanted || nowMs < put.sinceMs + PATIENCE_MS || node.heldDown) return;
    cluster.world.log.info('an operator puts the right store back', { node: node.name });
    if (node.running) node.crash();
    node.replaceDisk(right);
    cluster.keptAside = null;
    cluster.storeChanged(node);
    this.#putBack = { ...put, right: null };
    cluster.startLater(node, this.#below(500));
  }

  /** Nothing is broken any more. The disk that lies aside is whole too: once it is back, the pool may be served by its member alone (I8). */
  heal(): void {
    const right = this.#putBack?.right ?? null;
    if (right === null) return;
    right.clearFaults();
    right.faultOf = null;
    right.full = false;
    right.repair(() => false);
    right.resume();
  }

  /** What is not over yet, or null. */
  get pending(): string | null {
    return this.#putBack === null ? null : `${this.#putBack.node.name} has an older copy of its store`;
  }

  get #cluster(): SimulatedCluster {
    return this.#context.cluster;
  }

  #copy(): void {
    const { nodes } = this.#cluster;
    const node = nodes[this.#below(nodes.length)];
    if (node === undefined || this.#putBack?.node === node) return;
    const copy = copyOf(node);
    if (copy === null) return;
    this.#copies = [...this.#copies, copy].slice(-COPIES_MAX);
  }

  /**
   * Whether the copy may be put back: all that could vouch for the member know that it is newer. Others also have what the member has, or
   * it serves alone, and then nobody may go on without it.
   */
  #mayPutBack(copy: OlderCopy): boolean {
    const { node, storeUuid } = copy;
    const cluster = this.#cluster;
    if (!cluster.nodes.includes(node) || node.heldDown || node.storeUuid !== storeUuid || !cluster.isMember(node)) return false;
    // A store that is elsewhere and can't prove its past is not followed (L9): only a replacement would bring the member back.
    if (!cluster.isKnownWhereItIs(node)) return false;
    if (!this.#servesAlone(node) && !this.#atlas.mayLose(node, null)) return false;
    // A clone may be met in the place of the member that knows better. The clone does not, and then nobody does that answers.
    if (cluster.misplaced.size > 0) return false;
    return mayBeVouchedFor(copy, cluster);
  }

  #servesAlone(node: SimulatedStorageNode): boolean {
    const inSync = this.#cluster.inSync();
    return inSync.length === 1 && inSync[0] === node && this.#cluster.holdsHighest(node);
  }

  /** The member leaves the set first, as one whose disk was taken out would. */
  #onceOut(copy: OlderCopy): void {
    const cluster = this.#cluster;
    copy.node.crash();
    const untilMs = cluster.world.scheduler.nowMs + PATIENCE_MS;
    const look = (): void => {
      if (copy.node.running || !this.#context.on || cluster.world.scheduler.nowMs >= untilMs || this.#putBack !== null) {
        cluster.startLater(copy.node, 0);
        return;
      }
      if (!cluster.settled || cluster.inSync().includes(copy.node)) cluster.world.after(20, look);
      else if (cluster.nodes.includes(copy.node) && this.#mayPutBack(copy)) this.#replace(copy);
      else cluster.startLater(copy.node, 0);
    };
    look();
  }

  #replace({ node, storeUuid, disk, age }: OlderCopy): void {
    const cluster = this.#cluster;
    const { world } = cluster;
    const newest = (node.store ?? node.lastStore)?.age ?? age;
    const isAlone = this.#servesAlone(node);
    if (node.running) node.crash();
    const put = { node, storeUuid, right: node.disk, anewBefore: '', sinceMs: world.scheduler.nowMs };
    this.#putBack = { ...put, anewBefore: this.#anewOf(put) };
    node.replaceDisk(disk);
    cluster.tampered.add(node);
    cluster.storeChanged(node);
    // What only this member has is not lost: the right store comes back, and nobody may go on without it.
    if (isAlone) cluster.keptAside = node;
    else this.#atlas.wentBack(node);
    world.log.info('an older copy is put back', { node: node.name, age, newest });
    if (this.#chance(ALL_DOWN_PERCENT)) {
      for (const other of cluster.all) if (other !== node && other.running) other.crash();
      for (const other of cluster.all) if (other !== node) cluster.startLater(other, this.#below(1_500));
      this.#context.crashClient();
    }
    const openings = newest - age + 2;
    if (openings <= OPENINGS_MAX && this.#chance(AGED_PERCENT)) this.#openAgain(node, openings);
    else cluster.startLater(node, this.#below(1_000));
  }

  /** The storage node starts and dies, again and again, and nobody can reach it. */
  #openAgain(node: SimulatedStorageNode, times: number): void {
    const { network, world, all, client } = this.#cluster;
    const hosts = [...all.filter((other) => other !== node), ...(client === null ? [] : [client])];
    for (const host of hosts) network.partition(host.name, node.name);
    const again = (left: number): void => {
      if (node.heldDown || !this.#context.on || left === 0) {
        for (const host of hosts) network.heal(host.name, node.name);
        this.#cluster.startLater(node, 0);
        return;
      }
      if (!node.running) node.start();
      world.after(1, () => whenOpen(left, 40));
    };
    const whenOpen = (left: number, looks: number): void => {
      if (node.store === null && looks > 0) {
        world.after(2, () => whenOpen(left, looks - 1));
        return;
      }
      if (node.running) node.crash();
      again(left - 1);
    };
    again(times);
  }

  /** With which versions the store was accepted anew, as the tables of all members say. */
  #anewOf({ node, storeUuid }: Pick<PutBack, 'node' | 'storeUuid'>): string {
    const tables = this.#cluster.all.filter((other) => other !== node).map((other) => (other.store ?? other.lastStore)?.members ?? []);
    const anews = tables.flatMap((table) => table.filter((member) => member.storeUuid === storeUuid).map(({ anew }) => anew));
    return [...new Set(anews.map((anew) => (anew === undefined ? '' : `${anew.epoch}.${anew.seq}`)))].sort().join(' ');
  }

  #chance(percent: number): boolean {
    return this.#below(100) < percent;
  }

  #below(bound: number): number {
    return randomBelow(this.#random, bound);
  }
}

/** Copies that are kept at a time, and how often one is made, in virtual milliseconds. */
const COPIES_MAX = 8;
const COPY_MS = 1_500;
/** How long a pool may wait for a store that went back in time before an operator puts the right one back. */
const PATIENCE_MS = 6_000;
/** Percentage of copies that are put back while their member is out of the set. */
const OUT_PERCENT = 40;
/** Percentage of copies that are opened again and again before anybody hears of them, and how often at most: they become as old as their original. */
const AGED_PERCENT = 30;
const OPENINGS_MAX = 60;
/** Percentage after which everything else goes down, too, before the pool has been told. */
const ALL_DOWN_PERCENT = 25;

/** A store in whose place an older copy of it was put. */
interface PutBack {
  readonly node: SimulatedStorageNode;
  readonly storeUuid: string;
  /** The disk as it was; null: it is the right one no more, as the pool has accepted the copy. */
  readonly right: MemoryDisk | null;
  /** When the pool had accepted the member anew before, as the tables say. */
  readonly anewBefore: string;
  readonly sinceMs: number;
}
