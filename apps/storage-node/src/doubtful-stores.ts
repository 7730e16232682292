import { lstatSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { DoubtfulStores } from '@rmr/brmr';
import { nearest } from '@rmr/daemon';
import { isNbdUri } from '@rmr/nbd';
import { errorMessage, type Logger } from '@rmr/runtime';

/**
 * Remembers the doubtful stores in a file of the state directory. The file has to survive this process. It need not survive
 * the host: after a power loss every store that was open is doubtful anyway. So the file is never flushed. It is written in the
 * thread pool, because it may be on a disk that hangs. An operator may add stores to it, also by a path that the configuration
 * does not use.
 */
export class DoubtfulStoreFile implements DoubtfulStores {
  readonly #path: string;
  readonly #log: Logger;
  readonly #storePaths: readonly string[];
  readonly #doubtful: Set<string>;
  /** For each store, the entries that marked it when `has` was last called. `delete` removes these entries and no others. */
  readonly #entries = new Map<string, readonly string[]>();
  #written: Promise<void> = Promise.resolve();

  /** Reads the file that the last process left. If it can't be read, all of `storePaths` are doubtful. */
  constructor(stateDir: string, storePaths: readonly string[], log: Logger) {
    this.#path = join(stateDir, FILE);
    this.#log = log;
    this.#storePaths = storePaths;
    this.#doubtful = new Set(this.#read() ?? storePaths);
    for (const entry of this.#doubtful) this.#checkEntry(entry);
  }

  has(path: string): boolean {
    const entries = [...this.#doubtful].filter((entry) => entry === path || (!this.#isStore(entry) && leadToOne(entry, path)));
    this.#entries.set(path, entries);
    return entries.length > 0;
  }

  add(path: string): void {
    if (this.#doubtful.has(path)) return;
    this.#doubtful.add(path);
    this.#write();
  }

  delete(path: string): void {
    const deleted = [path, ...(this.#entries.get(path) ?? [])].filter((entry) => this.#doubtful.delete(entry));
    this.#entries.delete(path);
    if (deleted.length > 0) this.#write();
  }

  /** Resolves when the file is up to date, or the attempt to write it has failed. */
  async settled(): Promise<void> {
    await this.#written;
  }

  #isStore(entry: string): boolean {
    return this.#storePaths.includes(entry);
  }

  /** Warns of an entry that is no store of the configuration. A mistyped path marks nothing, and the store it was meant for would count as whole. */
  #checkEntry(entry: string): void {
    if (this.#isStore(entry) || this.#storePaths.some((path) => leadToOne(entry, path))) return;
    const meant = nearest(entry, this.#storePaths) ?? this.#storePaths.find((path) => basename(path) === basename(entry));
    this.#log.warn('an entry of the list of doubtful stores is not in the configuration: it marks nothing until it is', {
      path: this.#path,
      entry,
      hint: meant === undefined ? `configured are ${this.#storePaths.join(', ') || 'none'}` : `did you mean ${meant}?`,
    });
  }

  #read(): readonly string[] | null {
    try {
      const paths: unknown = JSON.parse(readFileSync(this.#path, 'utf8'));
      if (Array.isArray(paths) && paths.every((path) => typeof path === 'string')) return paths;
      this.#log.warn('the file of doubtful stores does not hold a list; every store counts as doubtful', { path: this.#path });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      this.#log.warn('the file of doubtful stores can not be read; every store counts as doubtful', {
        path: this.#path,
        why: errorMessage(error),
      });
    }
    return null;
  }

  /** Writes the file, after earlier writes have ended. So the last write has the newest content. */
  #write(): void {
    const content = `${JSON.stringify([...this.#doubtful], null, 2)}\n`;
    this.#written = this.#written.then(async () => {
      try {
        await writeFile(`${this.#path}.new`, content);
        await rename(`${this.#path}.new`, this.#path);
      } catch (error) {
        this.#log.error(
          'the file of doubtful stores can not be written, so the next process would not know them; check stateDir before this process ends',
          {
            path: this.#path,
            doubtful: content.trim(),
            why: errorMessage(error),
          },
        );
      }
    });
  }
}

const FILE = 'doubtful-stores.json';

/** Whether two paths lead to one file or device: through links, or through another node of the same device. */
function leadToOne(a: string, b: string): boolean {
  // An export has no links. The entry has to be what the configuration says.
  if (isNbdUri(a) || isNbdUri(b)) return a === b;
  if (realPath(a) === realPath(b)) return true;
  const [first, second] = [identityOf(a), identityOf(b)];
  return first !== null && first === second;
}

/** The path without links. It works also when nothing is at the end of the path, because the disk is away. */
function realPath(path: string): string {
  const absolute = resolve(path);
  try {
    return realpathSync(absolute);
  } catch {
    return absolute === '/' || isLink(absolute) ? absolute : join(realPath(dirname(absolute)), basename(absolute));
  }
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    return false;
  }
}

function identityOf(path: string): string | null {
  try {
    const status = statSync(path, { bigint: true });
    return status.isBlockDevice() ? `device ${status.rdev}` : `${status.dev} ${status.ino}`;
  } catch {
    // Nothing is at this path, so it can't be the same as something else.
    return null;
  }
}
