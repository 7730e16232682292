import { MIB } from '@rmr/runtime';
import { expect } from 'vitest';
import { describe, type Outcome, type Running, startProgram } from './command.ts';
import { pythonScript } from './paths.ts';
import { residentBytes } from './processes.ts';
import { PYTHON } from './requirements.ts';
import { eventually, type TestCluster } from './test-cluster.ts';

/** No daemon may ever be larger. */
const DAEMON_BYTES_MAX = 200 * MIB;
/** A daemon may grow by this much under attack: buffers that it keeps, code that gets compiled. */
const GROWTH_BYTES_MAX = 96 * MIB;

/** A well-behaved client beside an attack, and the state of the daemons before it. */
class Bystander {
  readonly #cluster: TestCluster;
  readonly #client: Running;
  readonly #before: ReadonlyMap<number, number>;

  private constructor(cluster: TestCluster) {
    this.#cluster = cluster;
    this.#client = startProgram(PYTHON, [pythonScript('good_client.py'), cluster.nbdUri, '11']);
    this.#before = new Map(cluster.pids().map((pid) => [pid, residentBytes(pid)]));
  }

  static async start(cluster: TestCluster): Promise<Bystander> {
    const bystander = new Bystander(cluster);
    await bystander.expectProgress();
    return bystander;
  }

  /** The well-behaved client gets on: it completes rounds from now on. */
  async expectProgress(): Promise<void> {
    const from = this.#rounds();
    await eventually(() => expect(this.#rounds(), this.#client.stderr()).toBeGreaterThan(from + 2));
  }

  /** Every daemon is the process that it was and has not grown; the client made progress and saw no error. */
  async expectUnharmed(): Promise<void> {
    this.#cluster.expectUnharmed([...this.#before.keys()]);
    await this.expectProgress();
    for (const [pid, before] of this.#before) {
      await eventually(() => {
        const now = residentBytes(pid);
        expect(now, `process ${pid} is too large`).toBeLessThan(DAEMON_BYTES_MAX);
        expect(now - before, `process ${pid} grew from ${before}`).toBeLessThan(GROWTH_BYTES_MAX);
      });
    }
    const outcome = await this.stop();
    expect(outcome.code, describe(outcome)).toBe(0);
    await this.#cluster.expectIdenticalMembers();
  }

  /** Ends the client. It writes all over the device: two of them at a time would not leave one another's data alone. */
  stop(): Promise<Outcome> {
    this.#client.signal('SIGTERM');
    return this.#client.ended;
  }

  #rounds(): number {
    const lines = this.#client.stdout().split('\n');
    return Number(lines.at(-2) ?? 0);
  }
}

/** Runs an attack while a well-behaved client works; fails when that client or a daemon comes to harm. */
export async function besideBystander(cluster: TestCluster, attack: () => Promise<void>): Promise<void> {
  const bystander = await Bystander.start(cluster);
  try {
    await attack();
    await bystander.expectUnharmed();
  } finally {
    await bystander.stop();
  }
}
