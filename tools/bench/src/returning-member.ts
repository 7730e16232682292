import { setTimeout as sleep } from 'node:timers/promises';
import { adminError, createAdminClient, type ResyncStatus } from '@rmr/admin-api';
import { assert, OperationError } from '@rmr/runtime';
import { cluster, readClusterFile } from './cluster-tool.ts';
import { hasEnded, type ResyncRun, type ResyncSample, resyncRun } from './resync-figures.ts';

/** Storage-2 of a cluster in `folder`, which is killed and comes back to pull what it has missed. */
export class ReturningMember {
  readonly #folder: string;
  readonly #signal: AbortSignal;

  constructor(folder: string, signal: AbortSignal) {
    this.#folder = folder;
    this.#signal = signal;
  }

  async kill(): Promise<void> {
    await this.#cluster('kill', NAME);
  }

  /** Starts it again and watches until nothing is left. Throws TIMEOUT. */
  async startAndResync(): Promise<ResyncRun> {
    // It is down now, so a resync that no other sample shows began after this one.
    const samples: ResyncSample[] = [{ atMs: performance.now(), bytesLeft: 0, pulledBytes: 0 }];
    await this.#startUntil(({ bytesLeft, pulledBytes }) => {
      const sample = { atMs: performance.now(), bytesLeft, pulledBytes };
      samples.push(sample);
      return hasEnded(sample);
    });
    const run = resyncRun(samples);
    assert(run !== null, 'resync: samples from before the start to the end show no resync');
    return run;
  }

  /** Starts it again and returns once resync runs, or is over already. Throws TIMEOUT. */
  async start(): Promise<void> {
    await this.#startUntil((status) => status.state === 'RUNNING' || hasEnded(status));
  }

  /** What it has left to pull. Throws UNAVAILABLE when it does not answer. */
  async bytesLeft(): Promise<number> {
    const status = await this.#status();
    if (status === null)
      throw new OperationError('UNAVAILABLE', `${NAME} does not answer, or has no open store; see its log in ${this.#folder}`);
    return status.bytesLeft;
  }

  /** Waits until nobody knows of anything missed, and compares the members byte by byte. Throws IO_ERROR when they differ. */
  async converge(): Promise<void> {
    await this.#cluster('wait', '--converged', '--timeout', `${RESYNC_MS_MAX}ms`);
    await this.#cluster('checksum');
  }

  async #startUntil(reached: (status: ResyncStatus) => boolean): Promise<void> {
    const failed = new AbortController();
    const look = async (): Promise<void> => {
      const deadlineMs = performance.now() + RESYNC_MS_MAX;
      for (;;) {
        const status = await this.#status();
        if (status !== null && reached(status)) return;
        if (performance.now() > deadlineMs) {
          const how =
            status === null ? 'does not answer' : `has ${status.bytesLeft} bytes left, resync is ${status.state}: ${status.reason}`;
          throw new OperationError('TIMEOUT', `${NAME} ${how} after ${RESYNC_MS_MAX / 1000} s; see the logs in ${this.#folder}`);
        }
        await sleep(POLL_MS, undefined, { signal: AbortSignal.any([this.#signal, failed.signal]) });
      }
    };
    // Watched from the beginning: a small resync is over before the command is.
    await Promise.all([this.#cluster('start', NAME), look()]).finally(() => failed.abort());
  }

  /** How its resync is; null while it does not answer or has not opened its store. */
  async #status(): Promise<ResyncStatus | null> {
    const url = readClusterFile(this.#folder).storageNodes.find((node) => node.name === NAME)?.admin;
    if (url === undefined) throw new OperationError('NOT_FOUND', `the cluster in ${this.#folder} has no ${NAME}`);
    try {
      const status = await createAdminClient({ url }).status.query();
      if (status.role !== 'storage-node') throw new OperationError('CONFLICT', `the daemon at ${url} is no storage node`);
      return status.pools[0]?.sync ?? null;
    } catch (error) {
      const why = adminError(error, url);
      if (why.code === 'UNAVAILABLE' || why.code === 'TIMEOUT') return null;
      throw why;
    }
  }

  #cluster(command: string, ...args: readonly string[]): Promise<string> {
    return cluster([command, ...args, '--dir', this.#folder], this.#signal);
  }
}

/** The member that misses something and comes back. */
const NAME = 'storage-2';
/** How often it is asked how far it is: often against a second, seldom against what an answer costs it. */
const POLL_MS = 20;
/** How long a return or a resync may take before something is wrong. Generous: nothing here depends on it. */
const RESYNC_MS_MAX = 300_000;
