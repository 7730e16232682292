import { randomBelow, SeededRandom, Status } from '@rmr/runtime';
import type { MemoryStream } from '@rmr/testing';
import { AimedCrashes } from './aimed-crashes.ts';
import { AimedFaults } from './aimed-faults.ts';
import type { SimulatedCluster } from './cluster.ts';
import type { FaultAtlas } from './fault-atlas.ts';
import type { FaultContext } from './fault-context.ts';
import type { Moments } from './moments.ts';
import { OldCopies } from './old-copies.ts';
import type { SimulatedStorageNode } from './simulated-nodes.ts';

/** Breaks the cluster: draws kinds of faults that the atlas allows, and ends those that don't end by themselves. */
export class Faults implements FaultContext {
  readonly cluster: SimulatedCluster;
  readonly aimed: AimedFaults;
  readonly crashes: AimedCrashes;
  readonly oldCopies: OldCopies;
  /** An operator takes a member out, and lets it in again later. */
  takeOut: (node: SimulatedStorageNode) => void = () => {};
  /** An operator adds a member, and asks for it until it is one; null: not now. */
  addMember: () => SimulatedStorageNode | null = () => null;
  /** How often each kind was made. */
  readonly counts = new Map<string, number>();
  readonly #atlas: FaultAtlas;
  readonly #moments: Moments;
  readonly #random: SeededRandom;
  readonly #kinds: readonly FaultKind[];
  readonly #intervalMs: number;
  #on = false;

  /** `only`: the kinds to choose from; if it names none, a run has some or all, as drawn. */
  constructor(cluster: SimulatedCluster, atlas: FaultAtlas, moments: Moments, seed: number, only: readonly string[] | null) {
    this.cluster = cluster;
    this.#moments = moments;
    this.#atlas = atlas;
    this.#random = new SeededRandom(seed ^ 0xfa17);
    const percent = KIND_PERCENT[this.#below(KIND_PERCENT.length)] as number;
    const wanted = KINDS.filter(({ name }) => only?.includes(name));
    const kinds = wanted.length > 0 ? wanted : KINDS.filter(({ name }) => name !== WORN_BEHIND_CACHE && this.#chance(percent));
    if (wanted.length === 0 && seed % WORN_BEHIND_CACHE_STRIDE === 0 && kinds.some(({ name }) => name === WORN))
      kinds.push(...KINDS.filter(({ name }) => name === WORN_BEHIND_CACHE));
    this.#kinds = kinds.length > 0 ? kinds : KINDS;
    this.#intervalMs = INTERVAL_MS[this.#below(INTERVAL_MS.length)] as number;
    this.aimed = new AimedFaults(this, new SeededRandom(seed ^ 0xa13d));
    this.crashes = new AimedCrashes(this, atlas, moments, new SeededRandom(seed ^ 0xc4a5));
    this.oldCopies = new OldCopies(this, atlas, new SeededRandom(seed ^ 0x01dc));
  }

  /** Whether faults are made still. */
  get on(): boolean {
    return this.#on;
  }

  /** Faults made so far. */
  get count(): number {
    let count = 0;
    for (const made of this.counts.values()) count += made;
    return count;
  }

  start(): void {
    this.#on = true;
    if (this.#kinds.some(({ name }) => name === OLDER_COPY)) this.oldCopies.start();
    this.#strikeLater();
  }

  /** No fault is made any more. What is broken stays so until the cluster is healed. */
  stop(): void {
    this.#on = false;
    this.#moments.clear();
  }

  #strikeLater(): void {
    this.cluster.world.after(this.#intervalMs / 4 + this.#below(this.#intervalMs * 1.5), () => {
      if (!this.#on) return;
      for (let tries = 0; tries < TRIES_MAX; tries++) {
        const kind = this.#drawKind();
        if (!kind.strike(this)) continue;
        this.counts.set(kind.name, (this.counts.get(kind.name) ?? 0) + 1);
        this.cluster.world.log.info('fault', { kind: kind.name });
        break;
      }
      this.#strikeLater();
    });
  }

  #drawKind(): FaultKind {
    let total = 0;
    for (const { weight } of this.#kinds) total += weight;
    let at = this.#below(total);
    for (const kind of this.#kinds) {
      at -= kind.weight;
      if (at < 0) return kind;
    }
    return this.#kinds[0] as FaultKind;
  }

  // Processes.

  crashClient(): boolean {
    if (this.cluster.client === null) return false;
    this.cluster.crashClient();
    this.#startClientLater();
    return true;
  }

  /** The next version change is not brought to its end by the client that began it; a member or two may die with it. */
  crashInVersionChange(): boolean {
    const { client, world } = this.cluster;
    if (client === null || client.paused || client.pool.state !== 'SERVING') return false;
    const untilMs = world.scheduler.nowMs + CHANGE_AWAITED_MS;
    const look = (): void => {
      if (!this.#on || this.cluster.client !== client || world.scheduler.nowMs >= untilMs) return;
      if (!client.pool.status().versionChangePending) {
        world.after(1, look);
        return;
      }
      world.after(this.#below(this.#chance(70) ? 10 : 200), () => {
        if (!this.#on || this.cluster.client !== client) return;
        if (this.#chance(30)) this.crashNodes(1 + this.#below(2));
        this.crashClient();
      });
    };
    look();
    return true;
  }

  stopClient(): boolean {
    const { client } = this.cluster;
    if (client === null || client.paused) return false;
    this.cluster.stopClient();
    this.#startClientLater();
    return true;
  }

  pauseClient(): boolean {
    const { client } = this.cluster;
    if (client === null || client.paused) return false;
    client.pause();
    this.#later(() => client.resume());
    return true;
  }

  crashNodes(count: number): boolean {
    const running = this.#draw(count).filter((node) => node.running);
    for (const node of running) {
      node.crash();
      this.cluster.startLater(node, this.#aWhileMs());
    }
    return running.length > 0;
  }

  crashWitness(): boolean {
    const { witness } = this.cluster;
    if (witness === null || !witness.running) return false;
    if (this.#chance(50)) witness.losePower();
    else witness.crash();
    this.cluster.startLater(witness, this.#aWhileMs());
    return true;
  }

  crashEverything(): boolean {
    this.crashNodes(this.cluster.nodes.length);
    return this.crashClient();
  }

  stopNode(): boolean {
    const node = this.#node();
    if (!node.running) return false;
    this.cluster.stopNode(node, this.#aWhileMs());
    return true;
  }

  pauseNode(): boolean {
    const node = this.#node();
    if (!node.running) return false;
    node.pause();
    this.#later(() => node.resume());
    return true;
  }

  losePower(count: number): boolean {
    this.cluster.losePower(this.#draw(count));
    return true;
  }

  // Network.

  cut(): boolean {
    const [a, b] = this.#pair();
    this.cluster.network.cut(a, b);
    return true;
  }

  /** Somewhere in the next bytes, most often in a header: there most can go wrong. */
  cutFrame(): boolean {
    const stream = this.#connection();
    stream?.breakAfter(this.#below(this.#chance(50) ? 300 : 20_000));
    return stream !== null;
  }

  halveConnection(): boolean {
    const stream = this.#connection();
    if (stream !== null) this.cluster.network.halve(stream);
    return stream !== null;
  }

  silenceConnection(): boolean {
    const stream = this.#connection();
    if (stream !== null) this.cluster.network.silence(stream);
    return stream !== null;
  }

  slowConnection(): boolean {
    const stream = this.#connection();
    if (stream === null) return false;
    stream.delay(this.#spikeMs());
    this.#later(() => stream.delay(0));
    return true;
  }

  slowLink(): boolean {
    const [a, b] = this.#pair();
    const { network } = this.cluster;
    network.slow(a, b, this.#spikeMs());
    this.#later(() => network.slow(a, b, 0));
    return true;
  }

  partition(): boolean {
    const [a, b] = this.#pair();
    const { network } = this.cluster;
    if (this.#chance(60)) network.partition(a, b);
    else network.partitionOneWay(a, b);
    this.#later(() => network.heal(a, b));
    return true;
  }

  /** One host can't reach, or can't be reached by, any other. */
  isolate(): boolean {
    const hosts = this.#hosts();
    const lonely = hosts[this.#below(hosts.length)] as string;
    const others = hosts.filter((host) => host !== lonely);
    const { network } = this.cluster;
    const direction = this.#below(4);
    for (const other of others) {
      if (direction !== 0) network.partitionOneWay(lonely, other);
      if (direction !== 1) network.partitionOneWay(other, lonely);
    }
    this.#later(() => {
      for (const other of others) network.heal(lonely, other);
    });
    return true;
  }

  // Disks.

  slowDisk(): boolean {
    const node = this.#node();
    const usualMs = node.diskLatencyMs;
    if (usualMs > 10) return false;
    node.diskLatencyMs = 20 + this.#below(500);
    this.#later(() => {
      node.diskLatencyMs = usualMs;
    });
    return true;
  }

  hangDisk(): boolean {
    const node = this.#node();
    if (!node.running) return false;
    const { disk } = node;
    disk.hang();
    this.#later(() => disk.resume());
    return true;
  }

  /** Reads fail, and then don't. Not while the store is being opened: that has tests of its own. */
  failRead(): boolean {
    const node = this.#node();
    if (node.store === null) return false;
    const times = 1 + this.#below(3);
    if (node.disk.failuresDue('read') + times > READ_FAILURES_MAX) return false;
    node.disk.fail('read', Status.EIO, times);
    return true;
  }

  failWrite(): boolean {
    const node = this.#node();
    if (node.store === null) return false;
    const kind = this.#chance(70) ? 'write' : this.#chance(50) ? 'punch' : 'zero';
    node.disk.fail(kind, this.#chance(50) ? Status.EIO : Status.ENOSPC, 1 + this.#below(3), this.#below(5));
    return true;
  }

  /** Nothing on the disk gets space for a while that has none: what is written to holes is refused. */
  fillDisk(): boolean {
    return this.#fill([this.#node()]);
  }

  /** The same, on the disks of all members at once. */
  fillDisks(): boolean {
    return this.#fill(this.cluster.nodes);
  }

  #fill(nodes: readonly SimulatedStorageNode[]): boolean {
    if (nodes.some(({ disk, store }) => store === null || disk.full)) return false;
    for (const { disk } of nodes) disk.full = true;
    // The disks of now: another may be in the place of one by then.
    const disks = nodes.map(({ disk }) => disk);
    this.#later(() => {
      for (const disk of disks) disk.full = false;
    });
    return true;
  }

  pauseResync(): boolean {
    const node = this.#node();
    node.pauseResync(true);
    this.#later(() => node.pauseResync(false));
    return true;
  }

  failFlush(): boolean {
    const node = this.#node();
    if (node.store === null || node.disk.faultsDue > 0 || !this.#atlas.mayLose(node, null)) return false;
    node.disk.fail('flush', Status.EIO, 1, this.#below(3));
    this.#atlas.flushWillFail(node);
    return true;
  }

  breakSectors(): boolean {
    const { hotChunks } = this.cluster.geometry;
    const node = this.#node();
    return this.breakSector(node, hotChunks[this.#below(hotChunks.length)] as number);
  }

  breakSector(node: SimulatedStorageNode, chunk: number): boolean {
    const { store } = node;
    const { geometry } = this.cluster;
    if (store === null || !this.#atlas.mayLose(node, chunk)) return false;
    const { firstSector, sectorCount } = geometry.sectorsOf(chunk);
    const offset = geometry.offsetOf(firstSector + this.#below(sectorCount));
    node.disk.breakRange(store.bitmapStore.dataOffset + offset, 1);
    return true;
  }

  /** Sectors of a chunk take no write any more, at one member at most. Otherwise no member might take what is written there. */
  wearOut(behindCache: boolean): boolean {
    const { geometry } = this.cluster;
    const node = this.#node();
    const at = this.#below(geometry.hotChunks.length);
    if (node.store === null || at % WORN_STRIDE !== node.memberId % WORN_STRIDE) return false;
    const { firstSector, sectorCount } = geometry.sectorsOf(geometry.hotChunks[at] as number);
    const offset = geometry.offsetOf(firstSector + this.#below(sectorCount));
    const place = node.store.bitmapStore.dataOffset + offset;
    if (behindCache) node.disk.wearOutBehindCache(place, 1);
    else node.disk.wearOut(place, 1);
    return true;
  }

  // Clocks.

  drift(): boolean {
    const rate = 1 - DRIFT_MAX + (2 * DRIFT_MAX * this.#below(1_001)) / 1_000;
    if (this.#chance(70)) this.#node().setClockRate(rate);
    else this.cluster.client?.host.setClockRate(rate);
    return true;
  }

  jump(): boolean {
    // Up to an hour, back or forth.
    const byMs = (this.#below(2_001) - 1_000) * 3_600;
    if (this.#chance(70)) this.#node().setWallClock(byMs);
    else this.cluster.client?.host.setWallClock(byMs);
    return true;
  }

  // Draws.

  /** Some of the nodes: two or more, where there are so many. */
  some(): number {
    return 2 + this.#below(Math.max(1, this.cluster.nodes.length - 1));
  }

  #node(): SimulatedStorageNode {
    return this.cluster.nodes[this.#below(this.cluster.nodes.length)] as SimulatedStorageNode;
  }

  /** So many different nodes, or all. */
  #draw(count: number): readonly SimulatedStorageNode[] {
    const left = [...this.cluster.nodes];
    const drawn: SimulatedStorageNode[] = [];
    while (drawn.length < count && left.length > 0) drawn.push(...left.splice(this.#below(left.length), 1));
    return drawn;
  }

  #hosts(): string[] {
    const { client, all } = this.cluster;
    const hosts = all.map((node) => node.name);
    // With two storage nodes as much happens to the client's links as to the one between them.
    return client === null ? hosts : [client.name, ...hosts];
  }

  /** Two hosts; three times out of four one of them is the client. */
  #pair(): readonly [string, string] {
    const { client, nodes } = this.cluster;
    const node = this.#node().name;
    const others = nodes.filter((other) => other.name !== node);
    const other = others[this.#below(Math.max(1, others.length))]?.name ?? node;
    const peer = client !== null && (others.length === 0 || this.#chance(75)) ? client.name : other;
    return this.#chance(50) ? [node, peer] : [peer, node];
  }

  /** The end of an open connection. */
  #connection(): MemoryStream | null {
    const hosts = this.#hosts();
    const ends = this.cluster.network.endsAt(hosts[this.#below(hosts.length)] as string);
    return ends[this.#below(Math.max(1, ends.length))] ?? null;
  }

  #startClientLater(): void {
    // A client that is being stopped is gone later: look again until it is.
    const { client, world } = this.cluster;
    const start = (): void => {
      if (this.cluster.client !== null && this.cluster.client === client) {
        if (this.cluster.draining) world.after(100, start);
        return;
      }
      this.cluster.startClient();
    };
    world.after(this.#aWhileMs(), start);
  }

  #later(end: () => void): void {
    this.cluster.world.after(this.#aWhileMs(), end);
  }

  #aWhileMs(): number {
    return this.#below(this.#chance(70) ? 500 : 8_000);
  }

  #spikeMs(): number {
    return 1 + this.#below(this.#chance(70) ? 200 : 5_000);
  }

  #chance(percent: number): boolean {
    return this.#below(100) < percent;
  }

  #below(bound: number): number {
    return randomBelow(this.#random, bound);
  }
}

/** Percentage of the kinds of faults that a run has: with few, each happens often enough to meet itself. */
const KIND_PERCENT = [30, 60, 100] as const;
/** Mean virtual milliseconds between two faults. */
const INTERVAL_MS = [200, 600, 1_000] as const;
/** Kinds that are drawn in vain, as they are impossible or forbidden now, before the next moment is waited for. */
const TRIES_MAX = 4;
/** How long a version change is waited for, to strike within it. */
const CHANGE_AWAITED_MS = 4_000;
/** Clocks differ by up to this share: far more than any crystal. */
const DRIFT_MAX = 0.1;

/** An operator puts an older copy of a store back. */
const OLDER_COPY = 'older copy put back';

const WORN = 'worn sectors';
/** It is not drawn by itself: every third run that has worn sectors has these, too. */
const WORN_BEHIND_CACHE = 'worn sectors behind a cache';
const WORN_BEHIND_CACHE_STRIDE = 3;

/** A kind of fault. `strike` says whether it could be made now. */
interface FaultKind {
  readonly name: string;
  /** How often it is drawn, relative to the others. */
  readonly weight: number;
  readonly strike: (faults: Faults) => boolean;
}

const KINDS: readonly FaultKind[] = [
  // Processes.
  { name: 'client crash', weight: 6, strike: (faults) => faults.crashClient() },
  { name: 'crash in a version change', weight: 4, strike: (faults) => faults.crashInVersionChange() },
  { name: 'client stop', weight: 2, strike: (faults) => faults.stopClient() },
  { name: 'client pause', weight: 2, strike: (faults) => faults.pauseClient() },
  { name: 'take-over', weight: 2, strike: (faults) => faults.cluster.takeOver(false) },
  { name: 'take-over of a live client', weight: 1, strike: (faults) => faults.cluster.takeOverAlive() },
  { name: 'node crash', weight: 4, strike: (faults) => faults.crashNodes(1) },
  { name: 'crash of several', weight: 2, strike: (faults) => faults.crashNodes(faults.some()) },
  { name: 'node stop', weight: 2, strike: (faults) => faults.stopNode() },
  { name: 'node pause', weight: 3, strike: (faults) => faults.pauseNode() },
  { name: 'witness crash', weight: 1, strike: (faults) => faults.crashWitness() },
  { name: 'crash of everything', weight: 1, strike: (faults) => faults.crashEverything() },
  // Between two steps of the protocol.
  { name: 'answers lost in a shrink', weight: 3, strike: (faults) => faults.aimed.answersLost() },
  { name: 'crash in a return', weight: 3, strike: (faults) => faults.aimed.crashInReturn() },
  { name: 'late map answers', weight: 3, strike: (faults) => faults.aimed.lateMapAnswers() },
  { name: 'take-over overtakes requests', weight: 2, strike: (faults) => faults.aimed.takeOverOvertakes() },
  { name: 'race for the pool', weight: 1, strike: (faults) => faults.aimed.raceForPool() },
  { name: 'late path', weight: 4, strike: (faults) => faults.aimed.latePath() },
  { name: 'stuck write', weight: 4, strike: (faults) => faults.aimed.stuckWrite() },
  // While data is on its way.
  { name: 'crash at a write', weight: 4, strike: (faults) => faults.crashes.crashAtWrite() },
  { name: 'crash at an acknowledgement', weight: 4, strike: (faults) => faults.crashes.crashAtAcknowledgement() },
  { name: 'left alone behind', weight: 5, strike: (faults) => faults.crashes.leaveAloneBehind() },
  { name: 'crash after a failed flush', weight: 4, strike: (faults) => faults.crashes.crashAfterFailedFlush() },
  // Power.
  { name: 'power loss', weight: 4, strike: (faults) => faults.losePower(1) },
  { name: 'power loss of several', weight: 2, strike: (faults) => faults.losePower(faults.some()) },
  { name: 'power loss of all', weight: 1, strike: (faults) => faults.losePower(faults.cluster.nodes.length) },
  // Network.
  { name: 'cut', weight: 3, strike: (faults) => faults.cut() },
  { name: 'frame cut', weight: 4, strike: (faults) => faults.cutFrame() },
  { name: 'half-open connection', weight: 3, strike: (faults) => faults.halveConnection() },
  { name: 'silent connection', weight: 3, strike: (faults) => faults.silenceConnection() },
  { name: 'slow connection', weight: 3, strike: (faults) => faults.slowConnection() },
  { name: 'slow link', weight: 3, strike: (faults) => faults.slowLink() },
  { name: 'partition', weight: 4, strike: (faults) => faults.partition() },
  { name: 'isolation', weight: 2, strike: (faults) => faults.isolate() },
  // Disks.
  { name: 'full disk', weight: 2, strike: (faults) => faults.fillDisk() },
  { name: 'full disks', weight: 2, strike: (faults) => faults.fillDisks() },
  { name: 'slow disk', weight: 2, strike: (faults) => faults.slowDisk() },
  { name: 'hanging disk', weight: 2, strike: (faults) => faults.hangDisk() },
  { name: 'read error', weight: 3, strike: (faults) => faults.failRead() },
  { name: 'write error', weight: 2, strike: (faults) => faults.failWrite() },
  { name: 'flush error', weight: 6, strike: (faults) => faults.failFlush() },
  { name: 'bad sectors', weight: 6, strike: (faults) => faults.breakSectors() },
  { name: WORN, weight: 5, strike: (faults) => faults.wearOut(false) },
  // Operators.
  { name: 'resync pause', weight: 2, strike: (faults) => faults.pauseResync() },
  { name: 'client with an empty store', weight: 1, strike: (faults) => faults.cluster.misleadClient() },
  { name: OLDER_COPY, weight: 6, strike: (faults) => faults.oldCopies.strike() },
  // Clocks.
  { name: 'clock drift', weight: 1, strike: (faults) => faults.drift() },
  { name: 'wall clock jump', weight: 1, strike: (faults) => faults.jump() },
  { name: WORN_BEHIND_CACHE, weight: 5, strike: (faults) => faults.wearOut(true) },
];

/** Chunks that may be worn out at one member: one of so many. */
const WORN_STRIDE = 3;

/**
 * Reads of a disk that fail on end: fewer than the tries of a read check (`READ_CHECK_TRIES`). What fails oftener is not an error that
 * goes away, but a bad sector, which is a fault of its own.
 */
const READ_FAILURES_MAX = 6;

/** Names of all kinds. */
export const FAULT_KINDS: readonly string[] = KINDS.map(({ name }) => name);
