import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describeDifference, RequestKind, VerifiedWriter } from '@rmr/chaos';
import {
  type DataArea,
  dataAreas,
  layout,
  parseNbdUri,
  pauseNode,
  powerCycle,
  resumeNode,
  setPartition,
  start,
  waitUntilConverged,
} from '@rmr/cluster';
import { MIB } from '@rmr/runtime';
import { expect } from 'vitest';
import { Gate } from './gate.ts';
import { NbdQuestion } from './nbd-question.ts';
import { type ClusterOptions, eventually, TestCluster, WAIT_MS_MAX } from './test-cluster.ts';

/**
 * A cluster under a client that knows what it wrote, whatever happens. Faults are calls of the cluster tool's functions,
 * which take less time than its command line.
 */
export class VerifiedDevice {
  readonly cluster: TestCluster;
  readonly writer: VerifiedWriter;
  /** The client node to connect to. */
  client = 'client-1';
  #asideChunks = 0;
  #dataAreas: readonly DataArea[] | null = null;

  private constructor(cluster: TestCluster, { seed, mayFailFlush = false }: VerifiedOptions) {
    this.cluster = cluster;
    this.writer = new VerifiedWriter({
      seed,
      firstByte: 0,
      lengthBytes: PART_BYTES,
      endpoint: () => {
        const node = cluster.file.clientNodes.find((each) => each.name === this.client);
        return node === undefined || node.pid === null ? null : { address: parseNbdUri(node.nbdUri), instance: `${node.name} ${node.pid}` };
      },
      mayFailFlush: () => mayFailFlush,
    });
  }

  /** A new cluster of two members, unless the options say otherwise, and a writer at rest. */
  static async start(options: VerifiedOptions): Promise<VerifiedDevice> {
    const cluster = await TestCluster.start({ size: '20MiB', chunkSize: '64KiB', ...options });
    return new VerifiedDevice(cluster, options);
  }

  /** Lets the writer write until it has had `count` more answers than now. Fails when one of them is wrong. */
  async progress(count: number): Promise<void> {
    this.writer.write();
    await this.writer.progress(count, WAIT_MS_MAX);
  }

  /** Kills nodes with SIGKILL, at this moment. */
  killNow(...names: readonly string[]): Promise<void> {
    return this.cluster.killNow(...names);
  }

  /** Starts nodes again. */
  start(...names: readonly string[]): Promise<void> {
    return start(this.cluster.folder, names);
  }

  /** Kills nodes at one moment and starts them on another boot; `all` stands for every daemon. */
  async powerCycle(...names: readonly string[]): Promise<void> {
    await powerCycle(this.cluster.folder, names);
  }

  pause(name: string): Promise<void> {
    return pauseNode(this.cluster.folder, name);
  }

  resume(name: string): Promise<void> {
    return resumeNode(this.cluster.folder, name);
  }

  partition(a: string, b: string): Promise<void> {
    return setPartition(this.cluster.folder, a, b, true);
  }

  heal(a: string, b: string): Promise<void> {
    return setPartition(this.cluster.folder, a, b, false);
  }

  /**
   * Puts a gate into the way from the client node to a storage node that is down at the moment, for as long as this client
   * node lives.
   */
  async gate(name: string): Promise<Gate> {
    const address = this.cluster.file.storageNodes.find((node) => node.name === name)?.rtrs ?? '';
    const target = address.replace(/^unix:/, '');
    const gate = await Gate.listen(join(dirname(target), 'gate.sock'), target);
    const path = layout.config(this.cluster.folder, this.client);
    const config = JSON.parse(readFileSync(path, 'utf8')) as { transport: { routes: Record<string, string> } };
    config.transport.routes[address] = `unix:${gate.path}`;
    writeFileSync(path, JSON.stringify(config));
    process.kill(this.cluster.pid(this.client), 'SIGHUP');
    await eventually(() => expect(gate.connections).toBeGreaterThan(0));
    return gate;
  }

  /** One request besides the writer's, which waits for nothing but what it is for. */
  ask(kind: RequestKind, offsetBytes: number, lengthBytes: number): Promise<NbdQuestion> {
    return NbdQuestion.ask(this.cluster.nbdUri, kind, offsetBytes, lengthBytes);
  }

  /** Writes to a chunk that the writer leaves alone, every time to another one, and reads it back. */
  async writeAside(): Promise<void> {
    const { chunkSize, size } = this.cluster.file.pool;
    const offsetBytes = PART_BYTES + ((this.#asideChunks++ * chunkSize) % (size - PART_BYTES));
    for (const kind of [RequestKind.WRITE, RequestKind.READ]) {
      const question = await this.ask(kind, offsetBytes, 4096);
      await eventually(() => expect(question.state).toBe(0));
    }
  }

  /**
   * Asks for a chunk that no member but `holder` has clean, which is away. That request waits, and status names the holder. Returns
   * the request. It is to be answered when the holder is back. Other IO is answered meanwhile: see {@link expectWaiting}.
   */
  async askForWhatOnlyHas(holder: string): Promise<NbdQuestion> {
    const { chunkSize } = this.cluster.file.pool;
    const firstChunk = await eventually(async () => {
      const { withoutCleanCopy, waits, legs } = await this.cluster.poolStatus();
      // The client node asks once a second what has been pulled.
      for (const leg of legs) if (leg.state === 'NORMAL') expect(leg.dirtyBytes).toBe(await this.cluster.missedBytes(leg.name));
      expect(withoutCleanCopy?.holders).toContain(holder);
      expect(waits).toEqual([]);
      return withoutCleanCopy?.firstChunk ?? 0;
    });
    const question = await this.ask(RequestKind.READ, firstChunk * chunkSize, 4096);
    await this.expectWaiting(question, holder);
    return question;
  }

  /** The question is not answered, status says that it waits for `holder`, and chunks that are clean are read and written. */
  async expectWaiting(question: NbdQuestion, holder: string): Promise<void> {
    await eventually(async () => {
      const { state, waits } = await this.cluster.poolStatus();
      expect(state).toBe('SERVING');
      const wait = waits.find((each) => each.kind === 'CHUNK' && each.what.includes(holder));
      expect(wait?.requests, JSON.stringify(waits)).toBeGreaterThan(0);
    });
    await this.writeAside();
    expect(question.state).toBe('waiting');
  }

  /** Waits until a member is back in the set and pulls what it has missed. */
  async resyncing(name: string): Promise<void> {
    await eventually(async () => {
      this.writer.check();
      expect((await this.cluster.leg(name)).state).toBe('NORMAL');
      expect(await this.cluster.missedBytes(name)).toBeGreaterThan(0);
    });
  }

  /** With no fault left, everything becomes well by itself, while the writer goes on. */
  converged(): Promise<void> {
    return waitUntilConverged(this.cluster.folder, WAIT_MS_MAX);
  }

  /** Everything becomes well by itself; then the members hold the same, and that is what was written. */
  async expectConverged(): Promise<void> {
    await this.converged();
    await this.writer.rest(WAIT_MS_MAX);
    await this.writer.flush(WAIT_MS_MAX);
    this.#dataAreas ??= await dataAreas(this.cluster.folder);
    expect(describeDifference(this.#dataAreas), 'I5').toBeNull();
    await this.writer.readBack(this.cluster.file.storageNodes.length, WAIT_MS_MAX);
    this.writer.check();
  }

  async dispose(): Promise<void> {
    this.writer.stop();
    await this.cluster.dispose();
  }
}

/** The writer's part: the first bytes of the device. */
const PART_BYTES = 16 * MIB;

export interface VerifiedOptions extends ClusterOptions {
  readonly seed: number;
  /** Power will be lost: flushes may fail. */
  readonly mayFailFlush?: boolean;
}
