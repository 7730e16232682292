import type { OperationDone } from '@rmr/rmr';
import { randomBelow, SeededRandom } from '@rmr/runtime';
import type { SimulatedCluster } from './cluster.ts';
import type { FaultAtlas } from './fault-atlas.ts';
import { addressOf, isAt, type SimulatedStorageNode } from './simulated-nodes.ts';

/** An operator that changes the membership while everything else goes on: maintenance, new members, removals, new disks, the quorum. */
export class Operator {
  changeCount = 0;
  readonly #cluster: SimulatedCluster;
  readonly #atlas: FaultAtlas;
  readonly #random: SeededRandom;
  readonly #powerLosses: SeededRandom;
  readonly #inService: boolean;
  #wishes: Wish[] = [];
  #asking = false;
  #on = true;

  constructor(cluster: SimulatedCluster, atlas: FaultAtlas, seed: number) {
    this.#cluster = cluster;
    this.#atlas = atlas;
    this.#random = new SeededRandom(seed ^ 0x09e7);
    this.#powerLosses = new SeededRandom(seed ^ 0xd15c);
    this.#inService = this.#chance(RUNS_PERCENT);
  }

  start(): void {
    if (this.#inService) this.#thinkLater();
    this.#askLater();
  }

  /** No new wishes: what was begun is brought to its end. */
  finish(): void {
    this.#on = false;
  }

  /** What is not done yet, or null. */
  get pending(): string | null {
    return this.#wishes[0]?.what ?? null;
  }

  #thinkLater(): void {
    this.#cluster.world.after(500 + randomBelow(this.#random, 6_000), () => {
      if (!this.#on) return;
      if (this.#wishes.length === 0) this.#think();
      this.#thinkLater();
    });
  }

  #askLater(): void {
    this.#cluster.world.after(RETRY_MS, () => {
      this.#askNext();
      this.#askLater();
    });
  }

  #think(): void {
    const members = this.#cluster.members();
    const node = members[randomBelow(this.#random, members.length)];
    if (node === undefined) return;
    switch (randomBelow(this.#random, 6)) {
      case 0:
      case 1:
        this.#rest(node);
        break;
      case 2:
        if (this.#cluster.nodes.length < NODES_MAX) this.#add();
        break;
      case 3:
        if (members.length > 2) this.#remove(node);
        break;
      case 4:
        if (members.length > 1) this.#replace(node);
        break;
      default:
        this.#changeQuorum();
    }
  }

  /** Maintenance mode, for a while, as soon as may be; not while something else is wished for. */
  takeOut(node: SimulatedStorageNode): void {
    if (!this.#on || this.#wishes.length > 0 || !this.#cluster.nodes.includes(node)) return;
    this.#rest(node);
    this.#askNext();
  }

  /** A new member, as soon as may be; null: something else is wished for, or there are enough. */
  addMember(): SimulatedStorageNode | null {
    if (!this.#on || this.#wishes.length > 0 || this.#cluster.nodes.length >= NODES_MAX) return null;
    const node = this.#add();
    this.#askNext();
    return node;
  }

  /** Maintenance mode, for a while. */
  #rest(node: SimulatedStorageNode): void {
    this.#wishMaintenance(node, true, true, () => {
      this.#cluster.world.after(randomBelow(this.#random, 3_000), () => this.#wishMaintenance(node, false, false, () => {}));
    });
  }

  #wishMaintenance(node: SimulatedStorageNode, on: boolean, optional: boolean, onFulfilled: () => void): void {
    this.#wish({
      what: `maintenance of ${node.name} to be ${on ? 'on' : 'off'}`,
      ask: (done) => this.#membership?.setMaintenance(node.memberId, on, done),
      fulfilled: () => {
        if (!this.#cluster.nodes.includes(node)) return true;
        const leg = this.#leg(node);
        return leg !== undefined && leg.maintenance === on && this.#cluster.settled;
      },
      onFulfilled,
      optional,
    });
  }

  #add(): SimulatedStorageNode {
    const node = this.#cluster.newNode();
    node.start();
    this.#wish({
      what: `${node.name} to be a member`,
      ask: (done) => {
        // It is a member after all, with the store that it had first.
        if (this.#cluster.isInTable(node.memberId) && !this.#cluster.isMember(node)) {
          this.#membership?.replaceStore(node.memberId, 'KEEP', done);
          return;
        }
        this.#membership?.add(addressOf(node), (error) => {
          // It was in a version that too few had recorded, and the pool went on without: its store has to be made anew.
          if (error?.code === 'CONFLICT' && node.running && !this.#cluster.isMember(node)) {
            node.crash();
            this.#cluster.replaceDisk(node);
            node.start();
          }
          done(error);
        });
      },
      fulfilled: () => this.#cluster.settled && this.#cluster.isMember(node),
      onFulfilled: () => {},
      optional: false,
    });
    return node;
  }

  #remove(node: SimulatedStorageNode): void {
    // A store that nobody has opened yet is not known to be the member's. So the id counts, too.
    const isGone = (): boolean => !this.#cluster.isMember(node) && !this.#cluster.isInTable(node.memberId);
    this.#wish({
      what: `${node.name} to be removed`,
      ask: (done) => this.#membership?.remove(node.memberId, 'KEEP', done),
      fulfilled: () => this.#cluster.settled && this.#cluster.nodes.includes(node) && isGone(),
      onFulfilled: () => this.#cluster.dropNode(node),
      optional: true,
    });
  }

  /** A new disk, in order: out of the set first, so that nothing hangs on the old one. */
  #replace(node: SimulatedStorageNode): void {
    this.#wishMaintenance(node, true, true, () => {
      if (!this.#atlas.mayLose(node, null) || this.#cluster.inSync().includes(node)) {
        this.#wishMaintenance(node, false, false, () => {});
        return;
      }
      if (node.running) node.crash();
      this.#cluster.replaceDisk(node);
      node.start();
      if (randomBelow(this.#powerLosses, 100) < POWER_LOSS_PERCENT) this.#cluster.losePower(this.#cluster.members());
      let refusals = 0;
      this.#wish({
        what: `the store of ${node.name} to be replaced`,
        ask: (done) => {
          this.#bringWhereLookedFor(node);
          const givesUp = refusals >= REFUSALS_MAX;
          // A member that may still come back and have a copy is waited for.
          if (givesUp) this.#cluster.giveUp(node.memberId);
          this.#membership?.replaceStore(node.memberId, givesUp ? 'GIVE_UP' : 'KEEP', (error) => {
            if (error?.code === 'CONFLICT') refusals++;
            done(error);
          });
        },
        fulfilled: () => this.#cluster.settled && node.store !== null && this.#cluster.isMember(node),
        onFulfilled: () => this.#wishMaintenance(node, false, false, () => {}),
        optional: false,
      });
    });
  }

  /**
   * The status says where the pool looks for the member. That changes when the pool comes to know that the former store had moved, also
   * after the new one was put elsewhere: an empty store can't prove that it is the member's, and so is not followed (L9).
   */
  #bringWhereLookedFor(node: SimulatedStorageNode): void {
    const leg = this.#leg(node);
    if (leg === undefined || leg.connected || isAt(node, leg) || this.#cluster.isMember(node)) return;
    this.#cluster.world.log.info('an operator brings a new store to where the pool looks for its member', { node: node.name });
    if (node.running) node.crash();
    node.settle(leg.addresses);
    node.start();
  }

  #changeQuorum(): void {
    const quorum = this.#chance(50) ? 'majority' : 'none';
    this.#wish({
      what: `the quorum to be ${quorum}`,
      ask: (done) => this.#membership?.setQuorum(quorum, done),
      fulfilled: () => this.#cluster.settled && this.#cluster.client?.pool.status().policy.quorum === quorum,
      onFulfilled: () => {},
      optional: true,
    });
  }

  #wish(wish: Wish): void {
    this.#wishes.push(wish);
  }

  #askNext(): void {
    const wish = this.#wishes[0];
    if (wish === undefined || this.#asking) return;
    if (wish.fulfilled()) {
      this.#wishes.shift();
      this.changeCount++;
      wish.onFulfilled();
      return;
    }
    const { client } = this.#cluster;
    if (client === null || client.pool.state !== 'SERVING') return;
    this.#asking = true;
    wish.ask((error) => {
      this.#asking = false;
      if (error !== null && error.code === 'CONFLICT' && wish.optional && this.#wishes[0] === wish && !wish.fulfilled())
        this.#wishes.shift();
    });
    // A client that dies answers nothing.
    this.#cluster.world.after(10_000, () => {
      if (this.#wishes[0] === wish) this.#asking = false;
    });
  }

  get #membership() {
    return this.#cluster.client?.pool.membership;
  }

  #leg(node: SimulatedStorageNode) {
    return this.#cluster.client?.pool.status().legs.find((leg) => leg.memberId === node.memberId);
  }

  #chance(percent: number): boolean {
    return randomBelow(this.#random, 100) < percent;
  }
}

/** Members with data at most: what the runs are drawn for. */
const NODES_MAX = 6;
/** Percentage of runs that have an operator at all. */
const RUNS_PERCENT = 50;
/** Until the operator looks again at what was not done. */
const RETRY_MS = 400;
/** Percentage of replaced disks after which all others lose power before the pool is told: they may come to rely on the old one. */
const POWER_LOSS_PERCENT = 25;
/** How often a replacement is refused, as the store that is gone has the last clean copy of something, before that is given up. */
const REFUSALS_MAX = 10;

/** What the operator wants, step by step; a step is asked for until it is done or refused for good. */
interface Wish {
  readonly what: string;
  /** Asks for the next step. */
  readonly ask: (done: OperationDone) => void;
  /** Whether it has come true, however that came about. */
  readonly fulfilled: () => boolean;
  /** What follows once it has. */
  readonly onFulfilled: () => void;
  /** Whether it may be given up when it is refused. */
  readonly optional: boolean;
}
