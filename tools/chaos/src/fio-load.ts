import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { parseNbdUri } from '@rmr/cluster';
import { OperationError } from '@rmr/runtime';
import { NbdClient } from './nbd-client.ts';
import { pause } from './waiting.ts';

/** A load by somebody else: fio writes a part of the device, verifies it on the way and at the end, and begins anew. */
export class FioLoad {
  readonly #options: FioOptions;
  readonly #finished: Promise<void>;
  #child: ChildProcess | null = null;
  #frozen = false;
  #stopped = false;
  #losses = 0;
  #passes = 0;
  #interrupted = 0;
  #failure: string | null = null;

  constructor(options: FioOptions) {
    this.#options = options;
    this.#finished = this.#repeat();
  }

  /** Passes that were verified to their end. */
  get passes(): number {
    return this.#passes;
  }

  /** Passes that ended with the client node. */
  get interrupted(): number {
    return this.#interrupted;
  }

  /** What fio has found, or null. */
  get failure(): string | null {
    return this.#failure;
  }

  /** The client node is about to end, and the present pass with it: fio would complain about every request it has left. */
  serverLost(): void {
    this.#losses++;
    this.#child?.kill('SIGKILL');
  }

  /** Stops issuing requests until {@link thaw}; those that are under way go on. */
  freeze(): void {
    this.#frozen = true;
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#frozen = false;
    this.#child?.kill('SIGCONT');
  }

  /** Lets the present pass come to its end. Throws TIMEOUT when it does not. */
  async stop(timeoutMs: number): Promise<void> {
    this.#stopped = true;
    this.thaw();
    const timer = setTimeout(() => {
      this.#failure ??= `fio did not end within ${timeoutMs / 1000} s`;
      this.#child?.kill('SIGKILL');
    }, timeoutMs);
    await this.#finished;
    clearTimeout(timer);
    if (this.#failure !== null) throw new OperationError('TIMEOUT', this.#failure);
  }

  /** Ends it at once. */
  async kill(): Promise<void> {
    this.#stopped = true;
    this.#losses++;
    this.#child?.kill('SIGKILL');
    await this.#finished;
  }

  async #repeat(): Promise<void> {
    while (!this.#stopped && this.#failure === null) {
      const losses = this.#losses;
      const uri = this.#options.uri();
      if (this.#frozen || uri === null || !(await answers(uri))) await pause(RETRY_MS);
      // The one that has answered may have been lost meanwhile.
      else if (!this.#stopped && !this.#frozen && losses === this.#losses) await this.#pass(uri, losses);
    }
  }

  /** `losses`: how many servers had been lost when it was looked for. */
  async #pass(uri: string, losses: number): Promise<void> {
    const child = spawn('fio', this.#arguments(uri), { cwd: this.#options.folder, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    let output = '';
    let mismatch = false;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        // What came before a mismatch matters, what comes after it does not.
        if (mismatch) return;
        output += text;
        mismatch = MISMATCH.test(output);
        output = output.slice(-OUTPUT_CHARACTERS_MAX);
      });
    }
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    this.#child = null;
    if (mismatch) this.#failure ??= `fio read something else than it had written:\n${output.trim()}`;
    else if (code === 0) this.#passes++;
    else if (this.#losses !== losses) this.#interrupted++;
    else this.#failure ??= `fio failed with exit code ${code} while the client node lived:\n${output.trim()}`;
  }

  #arguments(uri: string): string[] {
    const { firstByte, lengthBytes } = this.#options;
    const partBytes = lengthBytes / JOBS;
    return [
      '--name=chaos',
      '--thread',
      '--ioengine=nbd',
      `--uri=${uri}`,
      '--rw=randwrite',
      '--bs=4k',
      '--iodepth=8',
      `--numjobs=${JOBS}`,
      `--rate_iops=${WRITES_PER_SECOND}`,
      `--offset=${firstByte}`,
      `--size=${partBytes}`,
      `--offset_increment=${partBytes}`,
      '--randrepeat=0',
      '--verify=crc32c',
      '--verify_fatal=1',
      '--verify_backlog=256',
      '--group_reporting',
    ];
  }
}

/** Jobs of a pass, each on a connection and a part of its own. */
const JOBS = 2;
/** Writes per second and job: a pass takes some seconds, and daemons have time for everything else. */
const WRITES_PER_SECOND = 300;
const RETRY_MS = 100;
/** The end of fio's output that is kept: enough for its reasons, however much it says. */
const OUTPUT_CHARACTERS_MAX = 16_384;
/** What fio says of a block that is not what it wrote. */
const MISMATCH = /\bverify: bad\b|verify failed/;

export interface FioOptions {
  /** fio's part of the device. */
  readonly firstByte: number;
  readonly lengthBytes: number;
  /** Where the device is served; null while nobody is known to serve. */
  readonly uri: () => string | null;
  /** fio may leave files here. */
  readonly folder: string;
}

/** What decides about a load by fio. */
export interface FioNeeds {
  readonly volatileCache: boolean;
  /** Nothing may be left out, as in CI. */
  readonly complete: boolean;
  readonly available: () => boolean;
}

/** Whether fio with its NBD engine is installed. */
export function fioAvailable(): boolean {
  return spawnSync('fio', ['--enghelp=nbd'], { stdio: 'ignore' }).status === 0;
}

/**
 * Why there is no load by fio, or null. It can't be used with stores that have a volatile cache, as fio does not know what a power loss may
 * take. Throws UNAVAILABLE if fio is missing although nothing may be left out.
 */
export function whyWithoutFio({ volatileCache, complete, available }: FioNeeds): string | null {
  if (volatileCache) return 'it does not know what a power loss may take';
  if (available()) return null;
  const missing = 'fio with its NBD engine is not installed ("fio --enghelp=nbd" fails)';
  if (!complete) return missing;
  throw new OperationError(
    'UNAVAILABLE',
    `${missing}, and with CI=true no part of the load may be left out. Install it (Debian: apt-get install fio), or run without CI=true to go on without its load`,
  );
}

/** Whether the export can be had at the moment. */
async function answers(uri: string): Promise<boolean> {
  try {
    const client = await NbdClient.connect(parseNbdUri(uri), { onReply: () => {}, onClosed: () => {} });
    client.end();
    return true;
  } catch (error) {
    if (error instanceof OperationError && error.code === 'UNAVAILABLE') return false;
    throw error;
  }
}
