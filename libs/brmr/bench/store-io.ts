/**
 * Where should store IO run? Measures 4 KiB to 1 MiB requests at depth 32 (and 4 KiB at depth 1) through the ways there
 * are, on one file per directory: microseconds per request as the caller sees it, and CPU microseconds of the caller's thread and of
 * the whole process. `npm run bench:store-io -w @rmr/brmr -- [DIRECTORY …]`; the figures in docs/store-io.md come from it.
 */

import { closeSync, fdatasync, ftruncateSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { type Disk, SeededRandom } from '@rmr/runtime';
import { FileDisk } from '../src/node/file-disk.ts';

const FILE_BYTES = 256 * 1024 * 1024;
const MEASURE_MS = 400;
const SLOTS = 32;
const SLOT_BYTES = 1024 * 1024;

interface Job {
  readonly name: string;
  readonly write: boolean;
  readonly bytes: number;
  readonly depth: number;
  readonly sequential: boolean;
}

const JOBS: readonly Job[] = [
  { name: '4 KiB random write, depth 1', write: true, bytes: 4096, depth: 1, sequential: false },
  { name: '4 KiB random write, depth 32', write: true, bytes: 4096, depth: 32, sequential: false },
  { name: '4 KiB sequential write, depth 32', write: true, bytes: 4096, depth: 32, sequential: true },
  { name: '4 KiB random read, depth 32', write: false, bytes: 4096, depth: 32, sequential: false },
  { name: '1 MiB sequential write, depth 8', write: true, bytes: 1024 * 1024, depth: 8, sequential: true },
];

/** One way to do IO: `batch` does `depth` requests at these offsets and calls back when all have ended. */
interface Way {
  readonly name: string;
  batch(job: Job, offsets: readonly number[], done: () => void): void;
  close(): void | Promise<void>;
}

const buffers = Array.from({ length: SLOTS }, (_, i) => new Uint8Array(SLOT_BYTES).fill(i));

class InlineWay implements Way {
  readonly name = 'inline, one fs.writeSync/readSync each';
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, 'r+');
  }

  batch(job: Job, offsets: readonly number[], done: () => void): void {
    for (let i = 0; i < offsets.length; i++) {
      if (job.write) writeSync(this.#fd, buffers[i] as Uint8Array, 0, job.bytes, offsets[i] as number);
      else readSync(this.#fd, buffers[i] as Uint8Array, 0, job.bytes, offsets[i] as number);
    }
    setImmediate(done);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

class DiskWay implements Way {
  readonly name: string;
  readonly #disk: Disk;
  #left = 0;
  #done: () => void = () => {};

  constructor(name: string, disk: Disk) {
    this.name = name;
    this.#disk = disk;
  }

  onDiskDone(_tag: number, status: number): void {
    if (status !== 0) throw new Error(`status ${status}`);
    if (--this.#left === 0) setImmediate(this.#done);
  }

  batch(job: Job, offsets: readonly number[], done: () => void): void {
    this.#left = offsets.length;
    this.#done = done;
    for (let i = 0; i < offsets.length; i++) {
      const bytes = (buffers[i] as Uint8Array).subarray(0, job.bytes);
      if (job.write) this.#disk.write(offsets[i] as number, bytes, i, this);
      else this.#disk.read(offsets[i] as number, bytes, i, this);
    }
    this.#disk.submit();
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#disk.close(() => resolve()));
  }
}

/** A thread per store: jobs and payloads in shared memory, woken through a futex both ways. */
class WorkerWay implements Way {
  readonly name = 'worker thread, shared memory';
  readonly #control = new Int32Array(new SharedArrayBuffer(64 + SLOTS * 8));
  readonly #offsets = new Float64Array(this.#control.buffer, 64, SLOTS);
  readonly #data = new Uint8Array(new SharedArrayBuffer(SLOTS * SLOT_BYTES));
  readonly #worker: Worker;

  constructor(path: string) {
    this.#worker = new Worker(fileURLToPath(import.meta.url), { workerData: { path, control: this.#control, data: this.#data } });
  }

  batch(job: Job, offsets: readonly number[], done: () => void): void {
    for (let i = 0; i < offsets.length; i++) {
      this.#offsets[i] = offsets[i] as number;
      // Payloads arrive in ordinary memory, so they are copied in.
      if (job.write) this.#data.set((buffers[i] as Uint8Array).subarray(0, job.bytes), i * SLOT_BYTES);
    }
    this.#control[2] = job.bytes;
    this.#control[3] = job.write ? 1 : 0;
    this.#control[4] = offsets.length;
    const finished = Atomics.load(this.#control, 1);
    Atomics.add(this.#control, 0, 1);
    Atomics.notify(this.#control, 0);
    const copyOut = (): void => {
      if (!job.write)
        for (let i = 0; i < offsets.length; i++)
          (buffers[i] as Uint8Array).set(this.#data.subarray(i * SLOT_BYTES, i * SLOT_BYTES + job.bytes));
      setImmediate(done);
    };
    const waiting = waitAsync(this.#control, 1, finished);
    if (waiting.async) void waiting.value.then(copyOut);
    else copyOut();
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}

type WaitAsync = (words: Int32Array, index: number, value: number) => { async: false } | { async: true; value: Promise<string> };
const waitAsync = (Atomics as unknown as { waitAsync: WaitAsync }).waitAsync;

function runWorker({ path, control, data }: { path: string; control: Int32Array; data: Uint8Array }): void {
  const offsets = new Float64Array(control.buffer, 64, SLOTS);
  const fd = openSync(path, 'r+');
  for (let seen = 0; ; ) {
    Atomics.wait(control, 0, seen);
    seen = Atomics.load(control, 0);
    const bytes = control[2] as number;
    for (let i = 0; i < (control[4] as number); i++) {
      if (control[3] === 1) writeSync(fd, data, i * SLOT_BYTES, bytes, offsets[i] as number);
      else readSync(fd, data, i * SLOT_BYTES, bytes, offsets[i] as number);
    }
    Atomics.add(control, 1, 1);
    Atomics.notify(control, 1);
  }
}

/** CPU nanoseconds of this thread. */
function threadCpuNs(): number {
  return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]);
}

async function measure(way: Way, job: Job): Promise<string> {
  const random = new SeededRandom(1);
  const places = Math.floor(FILE_BYTES / job.bytes);
  let position = 0;
  const offsets = new Array<number>(job.depth).fill(0);
  const next = (): void => {
    for (let i = 0; i < job.depth; i++) offsets[i] = (job.sequential ? position++ % places : random.u32() % places) * job.bytes;
  };
  const once = (): Promise<void> =>
    new Promise((resolve) => {
      next();
      way.batch(job, offsets, resolve);
    });
  for (let i = 0; i < 20; i++) await once();
  let requests = 0;
  const cpuBefore = process.cpuUsage();
  const threadBefore = threadCpuNs();
  const start = performance.now();
  while (performance.now() - start < MEASURE_MS) {
    await once();
    requests += job.depth;
  }
  const wallUs = ((performance.now() - start) * 1000) / requests;
  const threadUs = (threadCpuNs() - threadBefore) / 1000 / requests;
  const cpu = process.cpuUsage(cpuBefore);
  return `${wallUs.toFixed(1)} | ${threadUs.toFixed(1)} | ${((cpu.user + cpu.system) / requests).toFixed(1)}`;
}

/** How long single inline writes take while the device is kept busy with flushes. */
async function measureStalls(path: string): Promise<string> {
  const disk = new FileDisk({ path });
  const way = new DiskWay('', disk);
  const fd = openSync(path, 'r+');
  let flushing = true;
  const flush = (): void => fdatasync(fd, () => (flushing ? flush() : closeSync(fd)));
  flush();
  const job: Job = { name: '', write: true, bytes: 4096, depth: 8, sequential: false };
  const random = new SeededRandom(3);
  const took: number[] = [];
  const start = performance.now();
  while (performance.now() - start < 2000) {
    const offsets = Array.from({ length: 8 }, () => (random.u32() % (FILE_BYTES / 4096)) * 4096);
    const before = performance.now();
    await new Promise<void>((resolve) => way.batch(job, offsets, resolve));
    took.push(performance.now() - before);
  }
  flushing = false;
  await way.close();
  took.sort((a, b) => a - b);
  const at = (share: number): string => (took[Math.floor((took.length - 1) * share)] as number).toFixed(2);
  return `${took.length} batches of 8: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, p99.9 ${at(0.999)} ms, max ${at(1)} ms; stalls seen ${disk.counters.stalls}`;
}

async function main(): Promise<void> {
  const parents = process.argv.slice(2);
  for (const parent of parents.length > 0 ? parents : ['/dev/shm', tmpdir()]) {
    const directory = mkdtempSync(join(parent, 'store-io-'));
    const path = join(directory, 'store');
    try {
      const fd = openSync(path, 'w');
      ftruncateSync(fd, FILE_BYTES);
      for (let at = 0; at < FILE_BYTES; at += SLOT_BYTES) writeSync(fd, buffers[1] as Uint8Array, 0, SLOT_BYTES, at);
      closeSync(fd);
      process.stdout.write(
        `\n### ${parent}\n\n| request | way | µs per request | caller's CPU µs | all CPU µs |\n| --- | --- | --- | --- | --- |\n`,
      );
      for (const job of JOBS) {
        const ways: (() => Way)[] = [
          () => new InlineWay(path),
          () => new DiskWay('FileDisk: inline, merged', new FileDisk({ path })),
          () => new DiskWay('FileDisk: thread pool', new FileDisk({ path, tuning: { mode: 'pool' } })),
          () => new WorkerWay(path),
        ];
        for (const make of ways) {
          const way = make();
          process.stdout.write(`| ${job.name} | ${way.name} | ${await measure(way, job)} |\n`);
          await way.close();
        }
      }
      process.stdout.write(`\nInline 4 KiB writes beside endless flushes: ${await measureStalls(path)}\n`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  }
}

if (isMainThread) await main();
else runWorker(workerData as Parameters<typeof runWorker>[0]);
