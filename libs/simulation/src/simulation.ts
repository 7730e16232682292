import { sameVersion, type VersionRecord } from '@rmr/rmr';
import { errorMessage, randomBelow, SeededRandom, Status, statusName, TICK_INTERVAL_MS } from '@rmr/runtime';
import { Checks } from './checks.ts';
import { SimulatedCluster } from './cluster.ts';
import { DISASTER, Disaster } from './disaster.ts';
import { FaultAtlas } from './fault-atlas.ts';
import { Faults, FAULT_KINDS as KINDS } from './faults.ts';
import { Moments } from './moments.ts';
import { Operator } from './operator.ts';
import { PLACE_KINDS, Places } from './places.ts';
import { SCHEME_NAMES, Schemes } from './schemes/schemes.ts';
import { SectorModel } from './sector-model.ts';
import type { SimulatedStorageNode } from './simulated-nodes.ts';
import { STUTTERING_MEMBER, StutteringMember } from './stuttering-member.ts';
import { Workload } from './workload.ts';

/** Virtual time in which a healed cluster must be whole again (I11). */
const LIVENESS_MS = 180_000;
/** How long the healed pool is used: members return under load. Without an end, a run that can't get whole would take for ever. */
const HEALED_WORK_MS = 5_000;
/** Percentage of runs that end with a power loss of all. */
const POWER_CYCLE_PERCENT = 30;
/** A run goes on until it has had so many operations and faults, or for so long. */
const OPERATIONS_MIN = 200;
const FAULTS_MIN = 24;
const FAULTS_MS_MAX = 120_000;
const FAULTS_STEP_MS = 500;
/** How often everything is read at the end, until all that can't be read was found: a member has few areas to find it in. */
const PASSES_MAX = 20;
/** Between two looks at bytes and maps. */
const SAMPLE_MS = 250;

/** What a run did. */
export interface SimulationResult {
  readonly seed: number;
  /** Null: everything held. Else the invariant and what broke it. */
  readonly failure: string | null;
  readonly operations: number;
  readonly faults: number;
  /** Changes of the membership that were made. */
  readonly changes: number;
  /** Pools that were forced into service. */
  readonly forced: number;
  /** Faults made, by kind. */
  readonly faultCounts: Readonly<Record<string, number>>;
  readonly events: number;
  readonly virtualMs: number;
  /** The last log lines of a failed or traced run. */
  readonly log: string;
}

/** How a run is watched or narrowed. */
export interface SimulationOptions {
  /** Every operation is in the log. It changes nothing about what happens. */
  readonly trace?: boolean;
  /** Only faults of these kinds: another run than without. */
  readonly faults?: readonly string[];
}

/**
 * A whole pool in one process on virtual time, running the production cores, from one seed: first operations under
 * faults (safety), then no faults (liveness), then every member's bytes are compared.
 */
class Simulation {
  readonly #seed: number;
  readonly #random: SeededRandom;
  readonly #cluster: SimulatedCluster;
  readonly #workload: Workload;
  readonly #atlas: FaultAtlas;
  readonly #faults: Faults;
  readonly #checks: Checks;
  readonly #operator: Operator;
  readonly #disaster: Disaster;
  readonly #schemes: Schemes;
  readonly #places: Places;
  readonly #stuttering: StutteringMember;
  readonly #trace: boolean;
  #nextTickMs = 0;
  #nextSampleMs = 0;
  /** The version as it was last seen: after the faults, until dead paths have been noticed, and after the last power loss. */
  #aftermath: VersionRecord | null = null;

  constructor(seed: number, options: SimulationOptions) {
    this.#seed = seed;
    this.#random = new SeededRandom(seed);
    this.#trace = options.trace === true;
    const cluster = new SimulatedCluster(seed);
    const model = new SectorModel(cluster.geometry.hotSectorCount);
    this.#cluster = cluster;
    this.#workload = new Workload(cluster, model, seed, this.#trace);
    const moments = new Moments();
    this.#atlas = new FaultAtlas(cluster, model);
    this.#faults = new Faults(cluster, this.#atlas, moments, seed, options.faults ?? null);
    this.#checks = new Checks(cluster, this.#workload, model);
    cluster.listener = {
      isIdle: (client) => this.#workload.idle(client),
      onClientGone: (client) => this.#workload.abandon(client),
      onPowerLost: (nodes) => this.#atlas.powerLost(nodes),
      onOpened: () => this.#atlas.observe(),
      onStoreChanged: (node) => this.#checks.storeChanged(node),
    };
    // What power had taken by then is no surprise to a read, and does not become durable with a flush.
    this.#workload.onAnswer = () => this.#atlas.observeVersion();
    this.#workload.onAcknowledged = (operation) => {
      this.#checks.acknowledged(operation);
      moments.reached('acknowledged', null);
    };
    this.#workload.onRefused = (operation) => this.#checks.refused(operation);
    this.#workload.onDurable = (operation) => {
      this.#checks.durable(operation);
      moments.reached('durable', null);
    };
    const watch = (node: SimulatedStorageNode): void => {
      node.onDiskEnd = (at, request) => {
        this.#checks.diskEnd(at, request);
        if (request.kind === 'flush' && at.disk.losesAtFlush) this.#atlas.flushFails(at);
        this.#atlas.failedReads.diskEnd(at, request);
      };
      node.onDiskRequest = (at, request) => {
        this.#checks.diskRequest(at, request);
        this.#atlas.failedReads.diskRequest(at, request);
        // Before anybody pulls what a new version serves.
        this.#atlas.observeVersion();
        if (request.kind !== 'write') return;
        if (moments.awaited('record') && at.writesLongRecord(request)) moments.reached('record', at);
        if (!(moments.awaited('write') || moments.awaited('write behind'))) return;
        const chunk = at.chunkAt(request.offsetBytes, cluster.geometry);
        if (chunk < 0) return;
        moments.reached('write', at);
        if (at.isDirty(at.memberId, chunk)) moments.reached('write behind', at);
      };
    };
    for (const node of cluster.nodes) watch(node);
    cluster.onNode = watch;
    this.#operator = new Operator(cluster, this.#atlas, seed);
    this.#faults.takeOut = (node) => this.#operator.takeOut(node);
    this.#faults.addMember = () => this.#operator.addMember();
    const disaster = options.faults?.includes(DISASTER);
    this.#disaster = new Disaster(
      { cluster, model, atlas: this.#atlas, operator: this.#operator, workload: this.#workload },
      seed,
      disaster,
    );
    // What a forced pool may take from a copy that was put back is not what the model allows it.
    this.#faults.oldCopies.allowed = () => this.#disaster.isOver;
    this.#schemes = new Schemes(this.#faults, this.#workload, moments, seed, options.faults ?? null);
    this.#places = new Places(this.#faults, seed, options.faults ?? null);
    this.#places.allowed = () => this.#disaster.isOver;
    this.#stuttering = new StutteringMember(this.#faults, this.#workload, seed, options.faults ?? null);
    cluster.world.check(() => this.#look());
  }

  run(): SimulationResult {
    const { world } = this.#cluster;
    let failure: string | null = null;
    try {
      this.#underFaults();
      this.#healed();
    } catch (error) {
      failure = errorMessage(error);
      this.#checks.describe();
      world.log.error('violation', { what: failure });
    }
    return {
      seed: this.#seed,
      failure,
      operations: this.#workload.operationCount,
      changes: this.#operator.changeCount,
      faults: this.#faultCount,
      faultCounts: Object.fromEntries([
        ...this.#faults.counts,
        [DISASTER, this.#disaster.count],
        ...this.#schemes.counts,
        ...this.#places.counts,
        ...this.#stuttering.counts,
      ]),
      forced: this.#disaster.forcedCount,
      events: world.scheduler.eventCount,
      virtualMs: world.scheduler.nowMs,
      log: failure === null && !this.#trace ? '' : world.log.text(),
    };
  }

  #underFaults(): void {
    this.#cluster.start();
    this.#workload.start();
    this.#faults.start();
    this.#operator.start();
    this.#disaster.start();
    this.#schemes.start();
    this.#places.start();
    this.#stuttering.start();
    const { world } = this.#cluster;
    world.run(5_000 + randomBelow(this.#random, 30_000));
    while (this.#isPoor && world.scheduler.nowMs < FAULTS_MS_MAX) world.run(FAULTS_STEP_MS);
    this.#faults.stop();
    this.#operator.finish();
    this.#disaster.finish();
    this.#places.finish();
  }

  /** Whether the run has shown little yet: some draw few faults, or few operations. */
  get #isPoor(): boolean {
    return this.#workload.operationCount < OPERATIONS_MIN || this.#faultCount < FAULTS_MIN;
  }

  /** Of all kinds, those in several steps included. */
  get #faultCount(): number {
    let count = this.#faults.count;
    const { counts } = this.#stuttering;
    for (const made of [...this.#schemes.counts.values(), ...this.#places.counts.values(), ...counts.values()]) count += made;
    return count;
  }

  #healed(): void {
    this.#cluster.waitForever();
    const unfinished = (): string | null =>
      this.#disaster.pending ??
      this.#operator.pending ??
      this.#faults.oldCopies.pending ??
      this.#places.pending ??
      this.#checks.unfinished();
    const { rival, draining } = this.#cluster;
    const canRepair = rival === null && !draining;
    this.#cluster.heal((node, chunk) => canRepair && chunk >= 0 && this.#atlas.mayLose(node, chunk));
    this.#faults.oldCopies.heal();
    this.#aftermath = this.#cluster.highestVersion();
    this.#cluster.world.run(HEALED_WORK_MS);
    if (this.#workload.operationCount < OPERATIONS_MIN) {
      // For most of it nobody could be served.
      this.#until('the pool to be served', () => this.#disaster.unserved);
      this.#until('operations to be made', () => (this.#workload.operationCount < OPERATIONS_MIN ? 'the workload has just begun' : null));
    }
    this.#aftermath = null;
    this.#workload.stop();
    this.#until('the pool to be served', () => this.#disaster.unserved);
    this.#workload.readsSucceed = true;
    if (this.#cluster.lost.size > 0) this.#useLost();
    this.#disaster.overwrite();
    this.#until('the pool to be whole again', unfinished);
    this.#untilIdle();
    this.#compare(unfinished);
    // Now everything that was acknowledged is flushed: a power loss of all may take nothing of it (I1).
    this.#flush();
    this.#checks.compareDurable();
    if (randomBelow(this.#random, 100) >= POWER_CYCLE_PERCENT) return;
    this.#aftermath = this.#cluster.highestVersion();
    this.#cluster.losePower(this.#cluster.nodes);
    this.#cluster.world.run(HEALED_WORK_MS);
    this.#until('the pool to be whole after a power loss of all', unfinished);
    this.#aftermath = null;
    this.#compare(unfinished);
  }

  /**
   * A member that leaves once more because of the former faults misses writes. A member that the others go on without after a power loss
   * may have lost some. If every other member has a bad sector in the chunks of these writes, no member has the chunks whole. That is no
   * fault of the product. Where all members go on together it would be one.
   */
  #mendLastCopies(): void {
    const former = this.#aftermath;
    const version = this.#cluster.highestVersion();
    if (former === null || version === null) return;
    this.#aftermath = version;
    if (version.inSync.length >= former.inSync.length) return;
    for (const node of this.#cluster.inSync()) {
      const { disk } = node;
      disk.repair((offsetBytes) => {
        const chunk = node.chunkAt(offsetBytes, this.#cluster.geometry);
        return chunk >= 0 && this.#atlas.mayLose(node, chunk);
      });
    }
  }

  /** I8: with chunks that nobody has any more, everything ends: reads of them with an error, flushes too. */
  #useLost(): void {
    // A client that was asked to end before the faults stopped does so when its IO has ended, and there is none then.
    this.#until('a client that stays', () => (this.#cluster.draining || !this.#cluster.settled ? 'one is being stopped or starts' : null));
    this.#untilIdle();
    this.#workload.readAll();
    this.#untilIdle();
    this.#flush();
    this.#checks.lostIsNamed();
  }

  /** Every leg answers, and all say the same (I2); every member has the same (I5). */
  #compare(unfinished: () => string | null): void {
    for (let pass = 1; this.#readFromAll(unfinished); pass++)
      if (pass === PASSES_MAX) throw new Error('I8: members leave again and again for what they can not read, and others have');
    this.#checks.compareMembers();
  }

  /** Reads everything. Returns whether a member left meanwhile: one that can't read a sector leaves, and comes back to write it anew. */
  #readFromAll(unfinished: () => string | null): boolean {
    const before = this.#cluster.highestVersion();
    for (let round = 0; round < 2 * this.#cluster.nodes.length; round++) {
      this.#workload.readAll();
      this.#untilIdle();
    }
    this.#until('the pool to be whole after everything was read', unfinished);
    const after = this.#cluster.highestVersion();
    return before !== null && after !== null && !sameVersion(before, after);
  }

  /** A flush fails once when what was not flushed may be lost: then another one must not. */
  #flush(): void {
    for (let left = 2; ; left--) {
      let status: number = Status.EIO;
      this.#workload.flush((ended) => {
        status = ended;
      });
      this.#untilIdle();
      if (status === Status.OK) return;
      if (left === 0) throw new Error(`I1: flushes fail for ever with ${statusName(status)}`);
    }
  }

  #untilIdle(): void {
    this.#until('every operation to end', () => {
      const { size } = this.#workload.operations;
      return size === 0 ? null : `${size} are under way`;
    });
  }

  /** After every event. */
  #look(): void {
    this.#disaster.look();
    this.#faults.oldCopies.look();
    this.#places.look();
    const { nowMs } = this.#cluster.world.scheduler;
    if (nowMs < this.#nextTickMs) return;
    this.#nextTickMs = nowMs + TICK_INTERVAL_MS;
    this.#cluster.tend();
    this.#atlas.observe();
    this.#mendLastCopies();
    this.#checks.tick();
    this.#stuttering.tick();
    if (nowMs < this.#nextSampleMs) return;
    this.#nextSampleMs = nowMs + SAMPLE_MS;
    this.#checks.sample();
  }

  /** Lets time pass until `unmet` has nothing to say any more. */
  #until(what: string, unmet: () => string | null): void {
    const { world } = this.#cluster;
    const untilMs = world.scheduler.nowMs + LIVENESS_MS;
    for (let why = unmet(); why !== null; why = unmet()) {
      if (world.scheduler.nowMs >= untilMs) throw new Error(`I11: waited ${LIVENESS_MS} ms for ${what} in vain: ${why}`);
      world.run(TICK_INTERVAL_MS);
    }
  }
}

/** Names of all kinds of faults. */
export const FAULT_KINDS: readonly string[] = [...KINDS, DISASTER, ...SCHEME_NAMES, ...PLACE_KINDS, STUTTERING_MEMBER];

/** Runs one seed. The same seed always does the same. */
export function simulate(seed: number, options: SimulationOptions = {}): SimulationResult {
  return new Simulation(seed, options).run();
}
