import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { type Outcome, type Running, runProgram, startProgram, succeeded } from './command.ts';
import { pythonScript } from './paths.ts';
import { PYTHON } from './requirements.ts';
import { eventually } from './test-cluster.ts';

/** A writer that records what was acknowledged to it, and the comparison of its record with the device. */
export class RecordingWriter {
  readonly #record: string;
  readonly #client: Running;

  constructor(uri: string, record: string, seed: number) {
    this.#record = record;
    this.#client = startProgram(PYTHON, [pythonScript('recording_writer.py'), uri, record, `${seed}`]);
  }

  /** Waits until `count` more writes than now are acknowledged, and one more flush. */
  async progress(count: number): Promise<void> {
    const acknowledged = this.#count('A ');
    const flushed = this.#count('D');
    await eventually(() => {
      expect(this.#count('A '), this.#client.stderr()).toBeGreaterThan(acknowledged + count);
      expect(this.#count('D')).toBeGreaterThan(flushed);
    });
  }

  /** How it ended, once its server is gone. */
  get ended(): Promise<Outcome> {
    return this.#client.ended;
  }

  /** Ends it after a last flush. Fails when it has seen an IO error. */
  async stop(): Promise<void> {
    this.#client.signal('SIGTERM');
    succeeded(await this.#client.ended);
  }

  /** Compares the device with the record. */
  async check(uri: string): Promise<string> {
    return succeeded(await runProgram(PYTHON, [pythonScript('check_record.py'), uri, this.#record])).stdout;
  }

  #count(start: string): number {
    if (!existsSync(this.#record)) return 0;
    return readFileSync(this.#record, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith(start)).length;
  }
}
