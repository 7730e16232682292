import { createStore, storeBytes } from '@rmr/bitmap-store';
import { compareVersions, type MemberAddress, type MemberRecord, sameVersion, type TakeoverWay, type VersionRecord } from '@rmr/rmr';
import { randomBelow, randomUuid, SeededRandom } from '@rmr/runtime';
import { MemoryDisk, MemoryNetwork, VirtualWorld } from '@rmr/testing';
import { Geometry } from './geometry.ts';
import { addressOf, isAt, SimulatedClient, type SimulatedPool, SimulatedStorageNode } from './simulated-nodes.ts';

/**
 * The pool of a run, and everything around it that is not under test: hosts, network, disks, and the service managers and operators that
 * start and stop processes. All of it is drawn from the seed.
 */
export class SimulatedCluster {
  readonly world: VirtualWorld;
  readonly network: MemoryNetwork;
  readonly geometry: Geometry;
  /** The storage nodes with data. Some may not be members yet, or not any more: see {@link members}. */
  readonly nodes: SimulatedStorageNode[] = [];
  readonly witness: SimulatedStorageNode | null;
  /** A node was made. */
  onNode: (node: SimulatedStorageNode) => void = () => {};
  /** The client that the workload uses. */
  client: SimulatedClient | null = null;
  /** A second client that wants the pool while the first is cut off. */
  rival: SimulatedClient | null = null;
  /** The client that a rival took the pool from, while it is still around: nobody may serve it. */
  robbed: SimulatedClient | null = null;
  /** Chunks that no member has had clean since the pool was forced into service without those that had, or they were given up (I8). */
  readonly lost = new Set<number>();
  /** Stores on disks that were taken away. */
  readonly #goneStores = new Set<string>();
  /** Set when the workload has to let the client's IO end. */
  draining = false;
  listener: ClusterListener = {
    isIdle: () => true,
    onClientGone: () => {},
    onPowerLost: () => {},
    onOpened: () => {},
    onStoreChanged: () => {},
  };
  /** Nodes with a store that an operator has put in the place of a newer one (L8), until it is whole again. */
  readonly tampered = new Set<SimulatedStorageNode>();
  /** The node whose newest store an operator has put aside, and will put back: nothing of it is lost (L8). */
  keptAside: SimulatedStorageNode | null = null;
  /** Where clients that are started now are told that a member is, by its id: a clone of it is there (L9). */
  readonly misplaced = new Map<number, readonly string[]>();
  readonly #random: SeededRandom;
  readonly #pool: SimulatedPool;
  readonly #journalBytes: number | undefined;
  /** The rate of resync without {@link limitResync}. */
  #usualResyncBytes: number | null;
  #highestMemberId = 0;
  #clientCount = 0;
  #cloneCount = 0;
  #servedByTwo = false;
  readonly #stops: SeededRandom;
  readonly #handovers: SeededRandom;
  readonly #configs: SeededRandom;

  constructor(seed: number) {
    const random = new SeededRandom(seed ^ 0xc105);
    this.#random = random;
    this.world = new VirtualWorld(seed);
    this.geometry = new Geometry(random);
    this.network = new MemoryNetwork(this.world, {
      delayMsMin: 0.05,
      delayMsMax: this.#chance(30) ? 20 : 1,
      runBytesMax: this.#chance(30) ? 3_000 : 64 * 1024,
      windowBytes: this.#chance(20) ? 8 * 1024 : 256 * 1024,
      ghostConnectPercent: this.#chance(30) ? 30 : 0,
    });
    this.#pool = {
      world: this.world,
      network: this.network,
      poolUuid: randomUuid(random),
      queueDepth: this.geometry.queueDepth,
      heartbeatIntervalMs: 500,
      deadAfterMs: 2_000,
      legTimeoutMs: this.#chance(50) ? 3_000 : 30_000,
      legSlowForMs: this.#chance(30) ? 3_000 : 30_000,
      // Members that are away for minutes would show little.
      legReturnDelayMsMax: RETURN_DELAY_MS_MAX,
      readPolicy: this.#chance(60) ? 'round-robin' : this.#chance(50) ? 'min-inflight' : 'preferred',
      pathCount: this.#chance(60) ? 1 : 2,
      quorum: this.#chance(30) ? 'majority' : 'none',
      resyncRateBytes: this.#chance(SLOW_RESYNC_PERCENT)
        ? (SLOW_RESYNC_BYTES[randomBelow(random, SLOW_RESYNC_BYTES.length)] as number)
        : null,
      ioTimeoutMs: null,
    };
    this.#stops = new SeededRandom(seed ^ 0x570b);
    this.#handovers = new SeededRandom(seed ^ 0x4a0d);
    this.#configs = new SeededRandom(seed ^ 0xc0f1);
    // Drawn apart, so that all other runs are what they were without it.
    const timeouts = new SeededRandom(seed ^ 0x710e);
    if (randomBelow(timeouts, 100) < IO_TIMEOUT_PERCENT)
      this.#pool.ioTimeoutMs = IO_TIMEOUTS_MS[randomBelow(timeouts, IO_TIMEOUTS_MS.length)] as number;
    this.#usualResyncBytes = this.#pool.resyncRateBytes;
    let percent = randomBelow(random, 100);
    let nodeCount = 1;
    for (; percent >= (NODE_COUNT_PERCENT[nodeCount - 1] as number); nodeCount++) percent -= NODE_COUNT_PERCENT[nodeCount - 1] as number;
    const journalBytes = this.#chance(50) ? 256 * 1024 : undefined;
    this.#journalBytes = journalBytes;
    while (this.nodes.length < nodeCount) this.newNode();
    const witnessed = this.#pool.quorum === 'majority' && this.#chance(60);
    this.witness = witnessed ? this.#makeNode(++this.#highestMemberId, this.newDisk(this.#highestMemberId, true)) : null;
  }

  /** A storage node with an empty store of the pool, with an id that was never used. It is not a member yet. */
  newNode(): SimulatedStorageNode {
    const memberId = ++this.#highestMemberId;
    const node = this.#makeNode(memberId, this.newDisk(memberId));
    this.nodes.push(node);
    return node;
  }

  /** From now on no IO fails for having waited. */
  waitForever(): void {
    this.#pool.ioTimeoutMs = null;
  }

  /** A node that is no member any more goes. */
  dropNode(node: SimulatedStorageNode): void {
    if (node.running) node.crash();
    this.nodes.splice(this.nodes.indexOf(node), 1);
  }

  /** A disk is taken away, and an empty one put in its place, where the pool looks for the member. The node is down. */
  replaceDisk(node: SimulatedStorageNode): void {
    this.#goneStores.add(node.storeUuid);
    node.settle(this.#table().find(({ memberId }) => memberId === node.memberId)?.addresses ?? node.addresses);
    node.replaceDisk(this.newDisk(node.memberId));
  }

  /** What was known of the node's store says nothing any more. */
  storeChanged(node: SimulatedStorageNode): void {
    this.listener.onStoreChanged(node);
  }

  /** Whether the node has recorded the highest version. */
  holdsHighest(node: SimulatedStorageNode): boolean {
    const highest = this.highestVersion();
    return highest !== null && node.version !== null && sameVersion(node.version, highest);
  }

  /** Data nodes and witness. */
  get all(): readonly SimulatedStorageNode[] {
    return this.witness === null ? this.nodes : [...this.nodes, this.witness];
  }

  /** Every node and a client start. */
  start(): void {
    for (const node of this.all) node.start();
    this.startClient();
    this.#orderBirth();
  }

  /** C0: an operator orders the pool to be created, again where the client did not live to see it; never once anybody has a version. */
  #orderBirth(): void {
    if (this.highestVersion() !== null) return;
    if (this.client?.pool.status().born === false) this.client.pool.create(() => {});
    this.world.after(BIRTH_MS, () => this.#orderBirth());
  }

  node(memberId: number): SimulatedStorageNode {
    return this.nodes.find((node) => node.memberId === memberId) as SimulatedStorageNode;
  }

  /** Whether the node, with the store that it has now, is a member by the table of the highest version. */
  isMember(node: SimulatedStorageNode): boolean {
    const table = this.#table();
    return table.length === 0 || table.some(({ memberId, storeUuid }) => memberId === node.memberId && storeUuid === node.storeUuid);
  }

  /** Whether the table of the highest version has this member, with whatever store. */
  isInTable(memberId: number): boolean {
    return this.#table().some((member) => member.memberId === memberId);
  }

  /** L9: whether the table of the highest version has the member where it is now. */
  isKnownWhereItIs(node: SimulatedStorageNode): boolean {
    const member = this.#table().find(({ memberId }) => memberId === node.memberId);
    return member !== undefined && isAt(node, member);
  }

  /** Ids of members that were removed: nobody needs a map of them. */
  removedIds(): readonly number[] {
    return Array.from({ length: this.#highestMemberId }, (_, index) => index + 1).filter((memberId) => !this.isInTable(memberId));
  }

  /** The data nodes that are members. */
  members(): readonly SimulatedStorageNode[] {
    return this.nodes.filter((node) => this.isMember(node));
  }

  /** The members, by the table of the highest version, whose store was taken away: the pool has not been told yet. */
  membersGone(): readonly number[] {
    return this.#table()
      .filter(({ storeUuid }) => this.#goneStores.has(storeUuid))
      .map(({ memberId }) => memberId);
  }

  /** What only a member has clean whose store was taken away is lost. */
  giveUp(memberId: number): void {
    if (!this.membersGone().includes(memberId)) return;
    const others = this.members().map((node) => node.memberId);
    const inSync = this.inSync();
    for (let chunk = 0; chunk < this.geometry.chunkCount; chunk++) if (!this.isClean(chunk, inSync, others)) this.lost.add(chunk);
  }

  /** I8: whether one of the members counts as clean: one of the set speaks for itself, all of them together for the others. */
  isClean(chunk: number, holders: readonly SimulatedStorageNode[], memberIds: readonly number[]): boolean {
    return memberIds.some((memberId) => {
      const own = holders.find((holder) => holder.memberId === memberId);
      return (own === undefined ? holders : [own]).every((holder) => !holder.isDirty(memberId, chunk));
    });
  }

  #table(): readonly MemberRecord[] {
    const version = this.highestVersion();
    const holder = this.nodes.find((node) => version !== null && node.version !== null && sameVersion(node.version, version));
    return (holder?.store ?? holder?.lastStore)?.members ?? [];
  }

  // Knowledge from outside.

  /** The highest version on any disk, as far as it was seen. Lineages that the pool was forced out of do not count. */
  highestVersion(): VersionRecord | null {
    const former = this.nodes.flatMap((node) => node.policy?.formerLineages ?? []);
    let highest: VersionRecord | null = null;
    for (const { version } of this.nodes) {
      if (version === null || former.includes(version.lineageUuid)) continue;
      if (highest === null || compareVersions(version, highest) > 0) highest = version;
    }
    return highest;
  }

  /** The in-sync set of the highest version. */
  inSync(): readonly SimulatedStorageNode[] {
    return (
      this.highestVersion()
        ?.inSync.map(({ memberId }) => this.node(memberId))
        .filter((node) => node !== undefined) ?? []
    );
  }

  /** Whether the workload's client serves, and no version change is under way. */
  get settled(): boolean {
    const { client } = this;
    return client !== null && client.pool.state === 'SERVING' && !client.pool.status().versionChangePending;
  }

  /** Two clients have served the pool at the same time (I7). */
  get servedByTwo(): boolean {
    return this.#servedByTwo;
  }

  verify(): void {
    this.client?.verify();
    this.rival?.verify();
    for (const node of this.all) node.verify();
  }

  // What service managers and operators do.

  /** Starts again what can't go on by itself. Called again and again. */
  tend(): void {
    for (const node of this.all) {
      // A store that failed a write refuses everything until it is opened again.
      if (node.store?.bitmapStore.failed !== true) continue;
      node.crash();
      this.startLater(node, RESTART_MS);
    }
    const { client } = this;
    if (client?.pool.state === 'FENCED') this.restartClient();
  }

  startLater(node: SimulatedStorageNode, delayMs: number): void {
    this.world.after(delayMs, () => {
      if (!node.running) node.start();
    });
  }

  startClient(): void {
    if (this.client !== null) return;
    this.client = this.#newClient();
  }

  /** An operator has the client started again, with a configuration of that moment. */
  restartClient(): void {
    this.crashClient();
    this.world.after(RESTART_MS, () => this.startClient());
  }

  crashClient(): void {
    const { client } = this;
    if (client === null) return;
    client.crash();
    this.client = null;
    this.draining = false;
    this.listener.onClientGone(client);
  }

  /**
   * The client is asked to end, and is killed when its IO does not end before. In some cases it is asked while IO is under way
   * that nobody waits for any more.
   */
  stopClient(): void {
    const { client, world } = this;
    if (client === null || this.draining) return;
    this.draining = true;
    const waits = randomBelow(this.#stops, 100) >= STOP_AT_ONCE_PERCENT;
    const mine = (): boolean => this.client === client;
    const look = (): void => {
      if (!mine()) return;
      if (waits && !this.listener.isIdle(client)) {
        world.after(5, look);
        return;
      }
      isAsked = true;
      client.stop(() => {
        if (mine()) this.crashClient();
      });
      world.after(CLIENT_STOP_MS, () => this.#mustHaveEnded(client));
    };
    let isAsked = false;
    world.after(0, look);
    world.after(KILL_MS, () => {
      if (mine() && !isAsked) this.crashClient();
    });
  }

  /** I11: a client that was asked to end has, unless it was stopped by SIGSTOP. */
  #mustHaveEnded(client: SimulatedClient): void {
    if (this.client !== client) return;
    if (client.paused) {
      this.crashClient();
      return;
    }
    // It may have been let go on just now.
    this.world.after(RESTART_MS, () => {
      if (this.client !== client) return;
      if (!client.paused) throw new Error('I11: a client that was asked to end has not');
      this.crashClient();
    });
  }

  /** The node is asked to end, and is killed when it does not. It is started again `laterMs` after. */
  stopNode(node: SimulatedStorageNode, laterMs: number): void {
    const { host } = node;
    if (host === null) return;
    node.stop();
    const look = (untilMs: number): void => {
      if (node.host === host) {
        if (this.world.scheduler.nowMs < untilMs) {
          this.world.after(20, () => look(untilMs));
          return;
        }
        node.crash();
      }
      this.startLater(node, laterMs);
    };
    look(this.world.scheduler.nowMs + KILL_MS);
  }

  losePower(nodes: readonly SimulatedStorageNode[]): void {
    for (const node of nodes) {
      node.losePower();
      this.startLater(node, randomBelow(this.#random, 4_000));
    }
    this.listener.onPowerLost(nodes);
  }

  /** A second client wants the pool, and asks the first one for it, or takes it from one that is alive. False: not now. */
  takeOverAlive(): boolean {
    return randomBelow(this.#handovers, 100) < HANDOVERS_PERCENT ? this.takeOver(true, 'ASK') : this.takeOver(true);
  }

  /** A second client wants the pool while the first is cut off: it must wait, then get it, and the first must not serve again. False: not now. */
  takeOver(live: boolean, way: TakeoverWay = live ? 'FORCE' : 'NO'): boolean {
    const old = this.client;
    if (old === null || this.rival !== null || this.draining) return false;
    if (old.pool.state !== 'SERVING' && !(live && old.pool.state === 'RECOVERING')) return false;
    if (!live) for (const node of this.all) this.network.partition(old.name, node.name);
    const rival = this.#newClient(way);
    this.rival = rival;
    const untilMs = this.world.scheduler.nowMs + RIVAL_MS;
    const look = (): void => {
      if (this.rival !== rival) return;
      if (rival.pool.state === 'SERVING' || this.world.scheduler.nowMs >= untilMs) this.endTakeOver();
      else this.world.after(100, look);
    };
    this.world.after(100, look);
    return true;
  }

  /** From here on a rival that got the pool is the client, and the old one stays around, healed, and must notice. A rival that did not is gone. */
  endTakeOver(): void {
    const { client: old, rival } = this;
    if (rival === null) return;
    this.rival = null;
    if (rival.pool.state !== 'SERVING' && old !== null) {
      rival.crash();
      for (const node of this.all) this.network.heal(old.name, node.name);
      return;
    }
    this.client = rival;
    this.draining = false;
    if (old === null) return;
    this.listener.onClientGone(old);
    for (const node of this.all) this.network.heal(old.name, node.name);
    const { epoch } = old.pool.status();
    if (epoch === 0) {
      // It has never served, so nothing fences it: it may rightly get the pool later, with what waits in it.
      old.crash();
      return;
    }
    this.robbed = old;
    this.#judgeRobbed(old, epoch, ROBBED_TIMES);
  }

  /** It is given time more than once, and a whole network again: it may be cut off or stopped for most of it. */
  #judgeRobbed(old: SimulatedClient, epoch: number, timesLeft: number): void {
    this.world.after(ROBBED_MS, () => {
      if (this.robbed === old) this.robbed = null;
      const now = old.pool.status();
      const unaware = now.state === 'SERVING' && now.epoch === epoch;
      if (unaware && timesLeft > 1) {
        for (const node of this.all) this.network.heal(old.name, node.name);
        this.#judgeRobbed(old, epoch, timesLeft - 1);
        return;
      }
      if (unaware && !old.paused) this.#servedByTwo = true;
      old.crash();
    });
  }

  /** Resync is no faster than this from now on, until the returned function is called. */
  limitResync(bytesPerSecond: number): () => void {
    const usual = this.#usualResyncBytes;
    this.#changeResyncRate(Math.min(usual ?? bytesPerSecond, bytesPerSecond));
    return () => {
      if (usual === this.#usualResyncBytes) this.#changeResyncRate(usual);
    };
  }

  #changeResyncRate(bytesPerSecond: number | null): void {
    this.#pool.resyncRateBytes = bytesPerSecond;
    for (const node of this.all) node.changeResyncRate();
  }

  /**
   * Everything that is broken is whole again, everything that is down comes up: only what the cores have to do themselves is
   * left. They write bad sectors anew, where somebody else has what was there.
   */
  heal(staysBroken: (node: SimulatedStorageNode, chunk: number) => boolean): void {
    this.endTakeOver();
    this.network.healAll();
    this.client?.resume();
    this.#usualResyncBytes = null;
    this.#changeResyncRate(null);
    for (const node of this.all) {
      node.resume();
      node.setClockRate(1);
      node.pauseResync(false);
      node.onOpened = () => this.listener.onOpened();
      node.diskLatencyMs = 0;
      node.unstick();
      node.disk.clearFaults();
      node.disk.faultOf = null;
      node.disk.full = false;
      node.disk.repair((offsetBytes) => staysBroken(node, node.chunkAt(offsetBytes, this.geometry)));
      node.disk.resume();
      this.startLater(node, 0);
    }
    this.client?.host.setClockRate(1);
    this.startClient();
  }

  #newClient(takeover: TakeoverWay = 'NO'): SimulatedClient {
    const name = `client-${++this.#clientCount}`;
    return new SimulatedClient(this.#pool, name, this.#configured(), this.witness, takeover, (asked) => this.#handOver(asked));
  }

  /** C4: another client asks for the pool. It gets it, unless an operator at this client has reasons of his own. */
  #handOver(client: SimulatedClient): string {
    if (this.client !== client) return 'it is not the client any more';
    if (!this.draining && randomBelow(this.#handovers, 100) < HANDOVER_REFUSED_PERCENT) return 'it is in use';
    this.stopClient();
    // Whoever has asked may be gone by then.
    this.world.after(CLIENT_STOP_MS, () => {
      if (this.client === null && this.rival === null) this.startClient();
    });
    return '';
  }

  /**
   * The members as the configuration of a client names them: some lack one, have the addresses of two exchanged, or lead to where
   * a member was or to a clone of it (L9). What the members themselves know of one another counts, once there is anything.
   */
  #configured(): MemberAddress[] {
    const members = this.members().map((node) => this.#addressGiven(node));
    const [first, second, ...rest] = members;
    if (this.highestVersion() === null || first === undefined || second === undefined) return members;
    const draw = randomBelow(this.#configs, 100);
    if (draw < INCOMPLETE_PERCENT) return members.filter((_member, index) => index !== draw % members.length);
    if (draw >= 100 - EXCHANGED_PERCENT)
      return [{ ...first, addresses: second.addresses }, { ...second, addresses: first.addresses }, ...rest];
    return members;
  }

  #addressGiven(node: SimulatedStorageNode): MemberAddress {
    const address = addressOf(node);
    const clone = this.misplaced.get(node.memberId);
    if (clone !== undefined) return { ...address, addresses: clone };
    const { formerAddresses } = node;
    if (formerAddresses === node.addresses || !this.isKnownWhereItIs(node) || this.members().length === 1) return address;
    return randomBelow(this.#configs, 100) < FORMER_PERCENT ? { ...address, addresses: formerAddresses } : address;
  }

  /** A clone of the node's host, with this copy of its disk, and its host UUID or not. It is down. */
  cloneOf(node: SimulatedStorageNode, disk: MemoryDisk, withHostUuid: boolean): SimulatedStorageNode {
    const clone = new SimulatedStorageNode(this.#pool, node.memberId, disk, `clone-${++this.#cloneCount}-of-${node.name}`);
    if (withHostUuid) clone.hostUuid = node.hostUuid;
    return clone;
  }

  /**
   * C0: a client is started that knows of nobody but a new, empty store of the pool: it must serve nothing. False: the pool itself was
   * not in service yet.
   */
  misleadClient(): boolean {
    if (this.highestVersion() === null) return false;
    const memberId = ++this.#highestMemberId;
    const node = this.#makeNode(memberId, this.newDisk(memberId));
    node.start();
    const client = new SimulatedClient(this.#pool, `misled-${memberId}`, [addressOf(node)], null, 'NO', () => '');
    this.world.after(MISLED_MS, () => {
      if (client.pool.state === 'SERVING') throw new Error(`C0: ${client.name} serves an empty pool that nobody has created`);
      client.crash();
      if (node.running) node.crash();
    });
    return true;
  }

  /** A disk with an empty store of the pool. */
  newDisk(memberId: number, witness = false): MemoryDisk {
    const { sizeBytes, chunkSizeBytes, queueDepth } = this.geometry;
    const journal = { ...(this.#journalBytes === undefined ? {} : { journalBytes: this.#journalBytes }), ...(witness ? { witness } : {}) };
    const disk = new MemoryDisk({ sizeBytes: storeBytes(sizeBytes, chunkSizeBytes, queueDepth, journal) });
    createStore(
      disk,
      {
        label: `store ${memberId}`,
        storeUuid: randomUuid(this.#random),
        poolUuid: this.#pool.poolUuid,
        lineageUuid: randomUuid(this.#random),
        poolName: 'pool',
        memberId,
        sizeBytes,
        chunkSizeBytes,
        queueDepth,
        data: 'known',
        // The disk is known to be empty: no look at what is there.
        force: true,
        ...journal,
      },
      (error) => {
        if (error !== null) throw error;
      },
    );
    return disk;
  }

  #makeNode(memberId: number, disk: MemoryDisk): SimulatedStorageNode {
    const node = new SimulatedStorageNode(this.#pool, memberId, disk);
    node.onOpened = () => this.listener.onOpened();
    node.diskLatencyMs = [0, 0.3, 4][randomBelow(this.#random, 3)] as number;
    this.onNode(node);
    return node;
  }

  #chance(percent: number): boolean {
    return randomBelow(this.#random, 100) < percent;
  }
}

/** Percentages of runs with 1, 2, 3, 4 and 5 storage nodes. */
const NODE_COUNT_PERCENT = [8, 37, 40, 10, 5] as const;
/** Percentage of runs in which resync is slow, so that members are dirty for seconds, and how slow it may be. */
const SLOW_RESYNC_PERCENT = 35;
const SLOW_RESYNC_BYTES = [32 * 1024, 128 * 1024, 512 * 1024] as const;
/** How long a member that left for its own fault waits at most. */
const RETURN_DELAY_MS_MAX = 15_000;
/** Percentage of runs in which IO that waits for too long fails, and for how long. */
const IO_TIMEOUT_PERCENT = 20;
const IO_TIMEOUTS_MS = [200, 1_000, 4_000] as const;
/** After which a service manager or an operator starts again what can't go on by itself, in virtual milliseconds. */
const RESTART_MS = 500;
/** After which a service manager kills what does not end by itself. */
const KILL_MS = 8_000;
/** In which a client that is asked to end does so: what it takes at most, by a clock that may be slow. */
const CLIENT_STOP_MS = 13_000;
/** Percentage of clients that are asked to end while IO is under way. */
const STOP_AT_ONCE_PERCENT = 50;
/** How long a client that was robbed of the pool stays around: it must have noticed by then. */
const ROBBED_MS = 10_000;
/** How often, if it has not noticed. */
const ROBBED_TIMES = 3;
/** Percentage of clients whose configuration lacks a member, and in which the addresses of two are exchanged. */
const INCOMPLETE_PERCENT = 8;
const EXCHANGED_PERCENT = 8;
/** Percentage of clients whose configuration names members that have moved where they were before. */
const FORMER_PERCENT = 25;
/** How long a client is left with a configuration that leads to nothing but an empty store. */
const MISLED_MS = 3_000;
/** How often an operator looks whether the pool has to be created. */
const BIRTH_MS = 100;
/** After which a rival that could not get the pool gives up. */
const RIVAL_MS = 15_000;
/** Percentage of take-overs of a live client that ask it for the pool (C4), and of its answers that refuse that. */
const HANDOVERS_PERCENT = 50;
const HANDOVER_REFUSED_PERCENT = 20;

/** Is told what happens to the cluster. */
export interface ClusterListener {
  /** Whether none of the client's IO is under way. */
  isIdle(client: SimulatedClient): boolean;
  /** Nobody waits for this client's IO any more. */
  onClientGone(client: SimulatedClient): void;
  /** These hosts have lost power. */
  onPowerLost(nodes: readonly SimulatedStorageNode[]): void;
  /** A node has its store open: what is on its disk can be seen. */
  onOpened(): void;
  /** Another store is in the place of the one that the node had, with the same UUID. */
  onStoreChanged(node: SimulatedStorageNode): void;
}
