import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DoubtfulStores } from '@rmr/brmr';
import { errorMessage, type Logger } from '@rmr/runtime';

const FILE = 'doubtful-stores.json';

/**
 * The doubtful stores, in a file of the state directory. It has to survive this process, not the host: after a power
 * loss every store that was open is doubtful anyway. So it is never flushed, and it is written in the thread pool, for
 * it may be on a disk that hangs.
 */
export class DoubtfulStoreFile implements DoubtfulStores {
  readonly #path: string;
  readonly #log: Logger;
  readonly #doubtful: Set<string>;
  #written: Promise<void> = Promise.resolve();

  /** Reads what the last process left. Where that can't be read, all of `storePaths` are doubtful. */
  constructor(stateDir: string, storePaths: readonly string[], log: Logger) {
    this.#path = join(stateDir, FILE);
    this.#log = log;
    this.#doubtful = new Set(this.#read() ?? storePaths);
  }

  has(path: string): boolean {
    return this.#doubtful.has(path);
  }

  add(path: string): void {
    if (this.#doubtful.has(path)) return;
    this.#doubtful.add(path);
    this.#write();
  }

  delete(path: string): void {
    if (this.#doubtful.delete(path)) this.#write();
  }

  /** Resolves when the file says what is known now. */
  async settled(): Promise<void> {
    await this.#written;
  }

  #read(): readonly string[] | null {
    try {
      const paths: unknown = JSON.parse(readFileSync(this.#path, 'utf8'));
      if (Array.isArray(paths) && paths.every((path) => typeof path === 'string')) return paths;
      this.#log.warn('the list of doubtful stores is no list; every store counts as doubtful', { path: this.#path });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      this.#log.warn('the list of doubtful stores can not be read; every store counts as doubtful', {
        path: this.#path,
        why: errorMessage(error),
      });
    }
    return null;
  }

  /** One write after the other: the last one has the newest content. */
  #write(): void {
    const content = `${JSON.stringify([...this.#doubtful], null, 2)}\n`;
    this.#written = this.#written.then(async () => {
      try {
        await writeFile(`${this.#path}.new`, content);
        await rename(`${this.#path}.new`, this.#path);
      } catch (error) {
        this.#log.error('which stores are doubtful can not be remembered; check stateDir before this process ends', {
          path: this.#path,
          doubtful: content.trim(),
          why: errorMessage(error),
        });
      }
    });
  }
}
