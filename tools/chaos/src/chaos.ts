import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checksum, clusterFilePath, dataAreas, down, newClusterOptions, parseNbdUri, report, unconverged, up } from '@rmr/cluster';
import { errorMessage, KIB, MIB, OperationError, SeededRandom } from '@rmr/runtime';
import { type FaultKind, FaultPlan, type FaultTargets } from './fault-plan.ts';
import { endpointUri, FaultRunner } from './fault-runner.ts';
import { FioLoad, fioAvailable, whyWithoutFio } from './fio-load.ts';
import { describeDifference } from './member-difference.ts';
import { VerifiedWriter } from './verified-writer.ts';
import { pause } from './waiting.ts';

/** One run: a cluster under load and faults, whose data is checked all the time, and whose members are compared after every round. */
export class Chaos {
  readonly #options: ChaosOptions;
  readonly #runner: FaultRunner;
  readonly #plan: FaultPlan;
  readonly #writer: VerifiedWriter;
  readonly #fio: FioLoad | null;
  readonly #startedMs = performance.now();
  #saidMs = performance.now();
  #rounds = 0;
  #convergences = 0;
  #convergeMsMax = 0;

  private constructor(options: ChaosOptions, targets: FaultTargets, whyNoFio: string | null) {
    const { directory, seed } = options;
    this.#options = options;
    this.#plan = new FaultPlan(new SeededRandom(seed), targets);
    const observer = {
      serverLost: () => this.#fio?.serverLost(),
      serverReplaced: () => this.#writer.abandonConnection(),
      volatileLost: () => this.#writer.record.volatileLost(),
    };
    this.#runner = new FaultRunner(directory, targets, observer, (line) => this.#say(line));
    const endpoint = () => endpointUri(directory, this.#runner.client);
    this.#writer = new VerifiedWriter({
      seed,
      firstByte: 0,
      lengthBytes: WRITER_BYTES,
      endpoint: () => {
        const found = endpoint();
        return found === null ? null : { address: parseNbdUri(found.uri), instance: found.instance };
      },
      mayFailFlush: () => this.#runner.powerLost,
    });
    if (whyNoFio !== null) this.#say(`without fio: ${whyNoFio}`);
    this.#fio =
      whyNoFio === null
        ? new FioLoad({ firstByte: WRITER_BYTES, lengthBytes: FIO_BYTES, uri: () => endpoint()?.uri ?? null, folder: directory })
        : null;
  }

  /**
   * Creates a cluster in the directory and runs until the time is up or something is wrong. The cluster is stopped in the
   * end, its data and logs are left. Throws only when the run could not begin.
   */
  static async run(options: ChaosOptions): Promise<ChaosTotals> {
    const { directory, replicas, quorum, witness, volatileCache, complete, say, signal } = options;
    const whyNoFio = whyWithoutFio({ volatileCache, complete, available: fioAvailable });
    if (existsSync(clusterFilePath(directory))) {
      throw new OperationError('CONFLICT', `${directory} holds a cluster already, of unknown content; choose an empty or new directory`);
    }
    mkdirSync(directory, { recursive: true });
    const asked = {
      storageNodes: replicas,
      replicas,
      clientNodes: 2,
      sizeBytes: WRITER_BYTES + FIO_BYTES,
      chunkSizeBytes: CHUNK_BYTES,
      quorum,
      witness,
      volatileCache,
    };
    newClusterOptions(asked);
    const { state } = await up({ directory, asked, web: false, progress: () => {}, signal });
    say(`seed ${options.seed}, ${replicas} members${witness ? ' and a witness' : ''}, quorum ${quorum}, in ${directory}`);
    const targets: FaultTargets = {
      members: state.storageNodes.filter((node) => !node.witness).map((node) => node.name),
      witnesses: state.storageNodes.filter((node) => node.witness).map((node) => node.name),
      clients: state.clientNodes.map((node) => node.name),
      volatileCache,
      kinds: options.faults,
    };
    try {
      return await new Chaos(options, targets, whyNoFio).#run();
    } finally {
      for (const text of await down(directory, () => {})) say(text);
    }
  }

  async #run(): Promise<ChaosTotals> {
    let failure: string | null = null;
    try {
      this.#writer.write();
      const endMs = this.#startedMs + this.#options.minutes * 60_000;
      do await this.#round();
      while (performance.now() < endMs);
      await this.#fio?.stop(ANSWER_MS_MAX);
      await this.#compare(2 * this.#options.replicas);
    } catch (error) {
      failure = errorMessage(error);
      await this.#keepEvidence();
    }
    this.#writer.stop();
    await this.#fio?.kill();
    return this.#totals(failure);
  }

  /** Faults, then none: everything has to become well again, with the same data everywhere. */
  async #round(): Promise<void> {
    this.#rounds++;
    this.#runner.beginRound();
    await this.#runner.run(this.#plan.nextRound(), () => this.#check());
    await this.#runner.heal();
    await this.#converge();
    await this.#compare(1);
  }

  async #converge(): Promise<void> {
    const beganMs = performance.now();
    for (;;) {
      this.#check();
      this.#runner.checkAlive('everything was healed');
      const why = unconverged(await report(this.#options.directory));
      const tookMs = performance.now() - beganMs;
      if (why === null) {
        this.#convergences++;
        this.#convergeMsMax = Math.max(this.#convergeMsMax, tookMs);
        this.#say(`converged after ${(tookMs / 1000).toFixed(1)} s`);
        return;
      }
      if (tookMs > CONVERGE_MS_MAX) {
        throw new OperationError('TIMEOUT', `stuck: ${CONVERGE_MS_MAX / 1000} s after the last fault was healed, ${why} (I11)`);
      }
      await pause(LOOK_MS);
    }
  }

  /** Compares the members, and what they hold with what was written, while nobody writes. */
  async #compare(rounds: number): Promise<void> {
    const { directory } = this.#options;
    await this.#rest();
    // Where power was lost, this is the flush that may say so; the next one may not.
    await this.#writer.flush(ANSWER_MS_MAX);
    let problem: string | null = null;
    const digests = await checksum(directory, (text) => {
      problem = text;
    });
    if (problem !== null) throw new OperationError('IO_ERROR', problem);
    if (new Set(digests.map(({ sha256 }) => sha256)).size > 1) {
      throw new OperationError(
        'IO_ERROR',
        `although nothing is dirty (I5), ${describeDifference(await dataAreas(directory)) ?? 'the members differed for a moment'}`,
      );
    }
    await this.#writer.readBack(rounds, ANSWER_MS_MAX);
    this.#writer.write();
    this.#fio?.thaw();
  }

  /** Until nothing is in flight, in a cluster that is still well then. */
  async #rest(): Promise<void> {
    for (let attempt = 1; attempt <= REST_ATTEMPTS_MAX; attempt++) {
      this.#fio?.freeze();
      await this.#writer.rest(ANSWER_MS_MAX);
      await this.#drained();
      const why = unconverged(await report(this.#options.directory));
      if (why === null) return;
      this.#say(`not at rest without any fault: ${why}`);
      await this.#converge();
    }
    throw new OperationError('TIMEOUT', `the cluster does not stay well: it fell apart ${REST_ATTEMPTS_MAX} times without a fault`);
  }

  /** Until the client node has nothing in flight: fio's requests go on while it is frozen. */
  async #drained(): Promise<void> {
    const deadline = performance.now() + ANSWER_MS_MAX;
    for (;;) {
      this.#check();
      const inFlight = (await report(this.#options.directory)).client?.pools[0]?.io.inFlight ?? 0;
      if (inFlight === 0) return;
      if (performance.now() > deadline)
        throw new OperationError('TIMEOUT', `${inFlight} requests are not answered after ${ANSWER_MS_MAX / 1000} s`);
      await pause(LOOK_MS);
    }
  }

  /** Throws what ends the run. */
  #check(): void {
    this.#options.signal.throwIfAborted();
    this.#writer.check();
    if (this.#fio !== null && this.#fio.failure !== null) throw new OperationError('IO_ERROR', this.#fio.failure);
    if (performance.now() - this.#saidMs < PROGRESS_MS) return;
    this.#saidMs = performance.now();
    const { faults, operations, writtenBytes, readBytes } = this.#totals(null);
    const count = Object.values(faults).reduce((sum, each) => sum + each, 0);
    const traffic = `${operations} operations, ${toMib(writtenBytes)} MiB written, ${toMib(readBytes)} MiB read`;
    const fio = this.#fio === null ? '' : `, ${this.#fio.passes} passes of fio (${this.#fio.interrupted} interrupted)`;
    this.#say(`round ${this.#rounds}, ${count} faults, ${this.#convergences} convergences; ${traffic}${fio}`);
  }

  /** Everything about the cluster that is gone once it is stopped. */
  async #keepEvidence(): Promise<void> {
    const path = join(this.#options.directory, 'logs', 'status-at-failure.json');
    try {
      writeFileSync(path, `${JSON.stringify(await report(this.#options.directory), null, 2)}\n`);
    } catch (error) {
      this.#say(`the status could not be kept: ${errorMessage(error)}`);
    }
    this.#say(`the writer: ${this.#writer.activity}`);
  }

  #totals(failure: string | null): ChaosTotals {
    const { seed, replicas, quorum, witness, volatileCache } = this.#options;
    const { reads, writes, discards, flushes, errors, writtenBytes, readBytes } = this.#writer.record.counters;
    return {
      seed,
      minutes: Math.round((performance.now() - this.#startedMs) / 600) / 100,
      replicas,
      quorum,
      witness,
      volatileCache,
      rounds: this.#rounds,
      faults: Object.fromEntries(this.#runner.counts),
      operations: reads + writes + discards + flushes,
      writtenBytes,
      readBytes,
      errors,
      reconnects: this.#writer.reconnects,
      fioPasses: this.#fio?.passes ?? null,
      convergences: this.#convergences,
      convergeSecondsMax: Math.round(this.#convergeMsMax / 100) / 10,
      failure,
    };
  }

  #say(line: string): void {
    this.#options.say(`${((performance.now() - this.#startedMs) / 1000).toFixed(1).padStart(6)} s  ${line}`);
  }
}

/** The device: our writer's part, and fio's behind it. */
const WRITER_BYTES = 32 * MIB;
const FIO_BYTES = 16 * MIB;
const CHUNK_BYTES = 64 * KIB;

/** A cluster without faults that has not converged by now is stuck. Generous: it takes seconds. */
const CONVERGE_MS_MAX = 180_000;
/** The same for requests of a healthy cluster. */
const ANSWER_MS_MAX = 60_000;
const LOOK_MS = 100;
/** How often a cluster may fall apart again while it is brought to rest without a fault. */
const REST_ATTEMPTS_MAX = 10;
const PROGRESS_MS = 10_000;

export interface ChaosOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly replicas: number;
  /** How many members have to record a version, and whether there is a witness. */
  readonly quorum: 'none' | 'majority';
  readonly witness: boolean;
  readonly directory: string;
  readonly faults: readonly FaultKind[];
  /** Stores forget what was not flushed when their storage node dies. */
  readonly volatileCache: boolean;
  /** No part of the load may be left out, whatever is not installed: as in CI. */
  readonly complete: boolean;
  /** Told what happens, line by line. */
  readonly say: (line: string) => void;
  /** Ends the run before its time. */
  readonly signal: AbortSignal;
}

/** What a run did. */
export interface ChaosTotals {
  readonly seed: number;
  readonly minutes: number;
  readonly replicas: number;
  readonly quorum: 'none' | 'majority';
  readonly witness: boolean;
  readonly volatileCache: boolean;
  readonly rounds: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly operations: number;
  readonly writtenBytes: number;
  readonly readBytes: number;
  readonly errors: number;
  readonly reconnects: number;
  readonly fioPasses: number | null;
  readonly convergences: number;
  readonly convergeSecondsMax: number;
  /** Null: everything held. */
  readonly failure: string | null;
}

function toMib(bytes: number): number {
  return Math.round(bytes / MIB);
}
