import { compareVersions } from '@rmr/rmr';
import type { SeededRandom } from '@rmr/runtime';
import { randomBelow } from '@rmr/runtime';
import type { MemoryStream } from '@rmr/testing';
import type { SimulatedCluster } from './cluster.ts';
import { type FaultContext, strikeWhen } from './fault-context.ts';
import type { SimulatedClient, SimulatedStorageNode } from './simulated-nodes.ts';

/**
 * Faults that strike between two steps of the protocol, such as when one member has recorded a version and the next has not, or when
 * something was sent and then becomes stale. Two faults that are drawn at random hardly ever meet like that.
 */
export class AimedFaults {
  readonly #context: FaultContext;
  readonly #random: SeededRandom;

  constructor(context: FaultContext, random: SeededRandom) {
    this.#context = context;
    this.#random = random;
  }

  /**
   * A member leaves, and the client hears nothing any more of what the others answer to that version. They may have recorded it without
   * the client's knowing. It must not be forgotten, and its number must not be used again (V1, V4, L5).
   */
  answersLost(): boolean {
    const client = this.#servingClient();
    const inSync = this.#inSync();
    if (client === null || inSync.length < 2) return false;
    const { network, world } = this.#cluster;
    const leaver = this.#oneOf(inSync);
    const others = inSync.filter((node) => node !== leaver);
    const unheard = this.#chance(60) ? others : [this.#oneOf(others)];
    for (const node of unheard) network.partitionOneWay(node.name, client.name);
    network.cut(client.name, leaver.name);
    world.after(2_500 + this.#below(6_000), () => {
      for (const node of unheard) network.heal(client.name, node.name);
    });
    return true;
  }

  /**
   * A member returns, and the client dies when others have recorded the version that admits the member, and the member itself has not.
   * The maps that it holds are those from before it left (V3, ◆14).
   */
  crashInReturn(): boolean {
    const client = this.#servingClient();
    const { nodes, network } = this.#cluster;
    if (client === null || nodes.length < 2) return false;
    const inSync = this.#cluster.inSync();
    const away = nodes.filter((node) => node.running && !inSync.includes(node) && this.#cluster.isMember(node));
    const node = this.#oneOf(away.length > 0 ? away : nodes);
    network.slow(client.name, node.name, 20 + this.#below(200));
    if (inSync.includes(node)) {
      this.#sever(client, node, this.#chance(50) ? 0 : this.#below(1_500));
    }
    strikeWhen(this.#context, {
      wanted: () => this.#cluster.client === client,
      condition: () => this.#lacksItsVersion(node),
      strike: () => {
        // What is on its way to it is lost, too.
        network.cut(client.name, node.name);
        this.#context.crashClient();
      },
      after: () => network.slow(client.name, node.name, 0),
    });
    return true;
  }

  /** Others have recorded a version with this member in its set, and it has not. */
  #lacksItsVersion(node: SimulatedStorageNode): boolean {
    const { version, memberId } = node;
    const highest = this.#cluster.highestVersion();
    if (highest === null || !highest.inSync.some((member) => member.memberId === memberId)) return false;
    return version === null || compareVersions(version, highest) < 0;
  }

  /** A member that pulls says what it has clean. The client hears it only when the member has left the set, and has missed something (R3, ◆22). */
  lateMapAnswers(): boolean {
    const client = this.#servingClient();
    const inSync = this.#inSync();
    if (client === null || inSync.length < 2) return false;
    const isBehind = (node: SimulatedStorageNode): boolean => node.dirtyCount(node.memberId) > 0;
    const behind = inSync.filter(isBehind);
    const node = this.#oneOf(behind.length > 0 ? behind : inSync);
    // Slowly enough that it is behind for seconds.
    const endLimit = this.#cluster.limitResync(SLOW_RESYNC_BYTES);
    if (behind.length === 0) this.#sever(client, node, this.#below(600));
    strikeWhen(this.#context, {
      wanted: () => this.#cluster.client === client,
      condition: () => this.#inSync().includes(node) && isBehind(node) && this.#cluster.settled,
      strike: () => this.#answersComeLate(client, node),
      after: () => this.#cluster.world.after(4_000, endLimit),
    });
    return true;
  }

  #answersComeLate(client: SimulatedClient, node: SimulatedStorageNode): void {
    const { network, world, all } = this.#cluster;
    const hosts = [client, ...all.filter((other) => other !== node)].map((host) => host.name);
    const lateMs = 200 + this.#below(LATE_MS_MAX - 200);
    for (const host of hosts) network.slow(node.name, host, lateMs);
    world.after(this.#below(1_500), () => {
      if (!this.#context.on || this.#cluster.client !== client) return;
      if (this.#chance(60)) this.#context.takeOut(node);
      else this.#sever(client, node, 500 + this.#below(3_000));
    });
    world.after(1_500 + lateMs + this.#below(1_000), () => {
      for (const host of hosts) network.slow(node.name, host, 0);
    });
  }

  /**
   * What a client sends reaches the members late, and another client has taken the pool over by then (I7, C2). Sometimes that happens
   * twice in a row. Then both clients count their versions from the same number.
   */
  takeOverOvertakes(): boolean {
    const client = this.#servingClient();
    if (client === null || this.#cluster.rival !== null) return false;
    if (this.#chance(30)) {
      this.#overtake(client);
      return true;
    }
    if (!this.#cluster.takeOver(true)) return false;
    const follow = (triesLeft: number): void => {
      if (!this.#context.on || triesLeft === 0) return;
      const next = this.#servingClient();
      if (next !== null && next !== client && this.#cluster.rival === null) this.#overtake(next);
      else this.#cluster.world.after(50, () => follow(triesLeft - 1));
    };
    follow(100);
    return true;
  }

  #overtake(client: SimulatedClient): void {
    const { network, world, all } = this.#cluster;
    const late = all.filter(() => this.#chance(80));
    for (const node of late) network.slow(client.name, node.name, 100 + this.#below(LATE_MS_MAX - 100));
    world.after(this.#below(1_000), () => {
      if (this.#context.on && this.#cluster.client === client) this.#cluster.takeOver(true);
    });
    world.after(3_000 + this.#below(3_000), () => {
      for (const node of late) network.slow(client.name, node.name, 0);
    });
  }

  /** Two clients claim the pool at the same time: the one that had it and lost its sessions, and one that is to take it over (C2). */
  raceForPool(): boolean {
    const client = this.#servingClient();
    if (client === null || this.#cluster.rival !== null) return false;
    const { network, world, all } = this.#cluster;
    for (const node of all) network.cut(client.name, node.name);
    world.after(this.#below(this.#chance(50) ? 100 : 1_500), () => {
      if (!this.#context.on || this.#cluster.client !== client || !this.#cluster.takeOver(true)) return;
      const { rival } = this.#cluster;
      // One of the two is late, with some members.
      const slow = rival !== null && this.#chance(50) ? rival : client;
      const late = all.filter(() => this.#chance(50));
      for (const node of late) network.slow(slow.name, node.name, this.#below(LATE_MS_MAX));
      world.after(3_000 + this.#below(3_000), () => {
        for (const node of late) network.slow(slow.name, node.name, 0);
      });
    });
    return true;
  }

  /**
   * For the client one connection to a member breaks, or all of them. What the client had sent there arrives all the same, but late: after
   * it was sent again on another path, or after the member has left and come back on another session (I10).
   */
  latePath(): boolean {
    const { client, network, world, nodes } = this.#cluster;
    if (client === null) return false;
    const sessions = nodes.map((node) => this.#pathsTo(client, node)).filter((paths) => paths.length > 0);
    if (sessions.length === 0) return false;
    const paths = this.#oneOf(sessions);
    const broken = paths.length > 1 && this.#chance(75) ? [this.#oneOf(paths)] : paths;
    for (const end of broken) end.peer.delay(300 + this.#below(LATE_MS_MAX - 300));
    world.after(this.#below(this.#chance(50) ? 50 : 600), () => {
      for (const end of broken) if (!end.isClosed) network.halve(end);
    });
    return true;
  }

  /** A disk is busy with one write for long while it does others; the client may lose its way to it meanwhile (◆17, I10). */
  stuckWrite(): boolean {
    const { client, network, world, nodes } = this.#cluster;
    const node = this.#oneOf(nodes);
    if (client === null || node.store === null) return false;
    node.stickNextWrite(100 + this.#below(STUCK_MS_MAX), () => {
      world.after(this.#below(100), () => {
        if (!this.#context.on || this.#cluster.client !== client) return;
        const then = this.#below(10);
        if (then < 4) network.cut(client.name, node.name);
        else if (then < 7) {
          const paths = this.#pathsTo(client, node);
          if (paths.length > 0) network.cutStream(this.#oneOf(paths));
        } else if (then < 9) this.#cluster.takeOver(true);
      });
    });
    return true;
  }

  /** The client's connections to the node break, and for so long there are no others. */
  #sever(client: SimulatedClient, node: SimulatedStorageNode, forMs: number): void {
    const { network, world } = this.#cluster;
    network.cut(client.name, node.name);
    if (forMs === 0) return;
    network.partition(client.name, node.name);
    world.after(forMs, () => network.heal(client.name, node.name));
  }

  /** The client's ends of its connections to the node. */
  #pathsTo(client: SimulatedClient, node: SimulatedStorageNode): MemoryStream[] {
    return this.#cluster.network.endsAt(client.name).filter((end) => end.peer.host === node.name && !end.peer.isClosed);
  }

  get #cluster(): SimulatedCluster {
    return this.#context.cluster;
  }

  /** The client, if it serves and no version change is under way. */
  #servingClient(): SimulatedClient | null {
    const { client, draining, settled } = this.#cluster;
    return client === null || draining || client.paused || !settled ? null : client;
  }

  #inSync(): readonly SimulatedStorageNode[] {
    return this.#cluster.inSync().filter((node) => node.store !== null);
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

/** Bytes per second of resync, so that members are behind for seconds. */
const SLOW_RESYNC_BYTES = 16 * 1024;
/** Sessions are given up after two seconds of silence: what is late comes before that. */
const LATE_MS_MAX = 1_700;
/** How long a disk may be busy with one write while others go on. */
const STUCK_MS_MAX = 6_000;
