/**
 * What a daemon remembers beyond its restart, one file per record: operations, and what it was told to map or to keep. A record is replaced
 * as a whole: a new file is written and flushed, takes the name of the old one, and the directory is flushed. So after a crash, or a loss of
 * power, each record is as it was before or after. A record that can't be understood is refused, and never passed over.
 */
import { mkdirSync, readdirSync, readFileSync, unlinkSync } from 'node:fs';
import { open, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { assert, errorMessage, OperationError } from '@rmr/runtime';
import { z } from 'zod';

export class RecordDirectory<T> {
  readonly #options: RecordDirectoryOptions<T>;
  readonly #calls: FileCalls;
  readonly #records = new Map<string, T>();
  /** By id, the end of the changes that are under way. Changes of one record come one after the other. */
  readonly #lanes = new Map<string, Promise<void>>();

  /** Reads every record. Throws INVALID_CONFIG for one that is damaged or of another version, with what to do. */
  constructor(options: RecordDirectoryOptions<T>) {
    this.#options = options;
    this.#calls = options.calls ?? SYSTEM_CALLS;
    const { path, what } = options;
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      for (const name of readdirSync(path)) {
        // A change that was cut short: it was never promised.
        if (name.endsWith(TEMPORARY)) unlinkSync(join(path, name));
        else if (name.endsWith(SUFFIX)) this.#read(name);
      }
    } catch (error) {
      if (error instanceof OperationError) throw error;
      throw new OperationError('INVALID_CONFIG', `stateDir: the ${what} in ${path} can't be read: ${errorMessage(error)}`, {
        cause: error,
      });
    }
  }

  /** All records, as they are durable. */
  get entries(): readonly T[] {
    return [...this.#records.values()];
  }

  get(id: string): T | null {
    return this.#records.get(id) ?? null;
  }

  /** Replaces or adds a record. `done` is called once it is durable, or with NO_SPACE or IO_ERROR: then it is as before, or as wanted. */
  put(record: T, done: Done): void {
    const id = this.#options.idOf(record);
    assert(ID.test(id), 'record directory: an id that is a file name');
    const content = JSON.stringify({ version: this.#options.version, record });
    if (content.length > RECORD_BYTES_MAX || (!this.#records.has(id) && this.#records.size >= RECORDS_MAX)) {
      const limit = content.length > RECORD_BYTES_MAX ? `one is longer than ${RECORD_BYTES_MAX} bytes` : `there are ${RECORDS_MAX} already`;
      queueMicrotask(() => done(new OperationError('NO_SPACE', `the ${this.#options.what} of this node can't grow: ${limit}`)));
      return;
    }
    const path = this.#pathOf(id);
    this.#change(id, done, async () => {
      await this.#calls.write(`${path}${TEMPORARY}`, content);
      await this.#calls.rename(`${path}${TEMPORARY}`, path);
      await this.#calls.flushDirectory(this.#options.path);
      this.#records.set(id, record);
    });
  }

  /** Removes a record; one that is not there is removed already. */
  delete(id: string, done: Done): void {
    this.#change(id, done, async () => {
      if (!this.#records.has(id)) return;
      await this.#calls.unlink(this.#pathOf(id)).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      });
      await this.#calls.flushDirectory(this.#options.path);
      this.#records.delete(id);
    });
  }

  /** Resolves when nothing is being changed any more. */
  async settled(): Promise<void> {
    while (this.#lanes.size > 0) await Promise.all(this.#lanes.values());
  }

  #change(id: string, done: Done, work: () => Promise<void>): void {
    const before = this.#lanes.get(id) ?? Promise.resolve();
    const after = before.then(async () => {
      let failure: OperationError | null = null;
      try {
        await work();
      } catch (error) {
        failure = this.#failed(error);
      }
      if (this.#lanes.get(id) === after) this.#lanes.delete(id);
      done(failure);
    });
    this.#lanes.set(id, after);
  }

  #failed(error: unknown): OperationError {
    const { code } = error as NodeJS.ErrnoException;
    const { what, path } = this.#options;
    const isFull = code === 'ENOSPC' || code === 'EDQUOT';
    return new OperationError(
      isFull ? 'NO_SPACE' : 'IO_ERROR',
      `the ${what} of this node can't be written in ${path}: ${errorMessage(error)}; check the space and the disk of stateDir`,
      { cause: error },
    );
  }

  #read(name: string): void {
    const { path, what, version, schema, idOf } = this.#options;
    const file = join(path, name);
    let content: unknown;
    try {
      content = JSON.parse(readFileSync(file, 'utf8'));
    } catch (error) {
      throw this.#damaged(file, errorMessage(error));
    }
    const envelope = z.object({ version: z.int(), record: z.unknown() }).safeParse(content);
    if (!envelope.success) throw this.#damaged(file, 'it has no version, or no record');
    if (envelope.data.version !== version) {
      throw new OperationError(
        'INVALID_CONFIG',
        `stateDir: ${file} is of version ${envelope.data.version} of the ${what}, and this program knows version ${version}: start the version of the daemon that wrote it`,
      );
    }
    const record = schema.safeParse(envelope.data.record);
    if (!record.success) {
      const [issue] = record.error.issues;
      throw this.#damaged(file, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`);
    }
    const id = idOf(record.data);
    if (`${id}${SUFFIX}` !== name) throw this.#damaged(file, `it is the record of ${id}`);
    this.#records.set(id, record.data);
  }

  #damaged(file: string, why: string): OperationError {
    return new OperationError(
      'INVALID_CONFIG',
      `stateDir: ${file} is damaged: ${why}. Bring the file back from a backup; or move it away, and this node forgets what it says: look into it before`,
    );
  }

  #pathOf(id: string): string {
    return join(this.#options.path, `${id}${SUFFIX}`);
  }
}

/** The largest record. Each holds a few names, addresses and UUIDs. */
export const RECORD_BYTES_MAX = 256 * 1024;
/** Records of one directory. */
export const RECORDS_MAX = 4_096;
const SUFFIX = '.json';
const TEMPORARY = '.new';
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** The calls to the file system that make a record durable. Tests put others in their place. */
export interface FileCalls {
  /** Writes a file, and flushes it. */
  write(path: string, content: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Makes the names in a directory durable. */
  flushDirectory(path: string): Promise<void>;
}

export const SYSTEM_CALLS: FileCalls = {
  async write(path, content) {
    const file = await open(path, 'w', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
  },
  rename,
  unlink,
  async flushDirectory(path) {
    const directory = await open(path, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
};

export interface RecordDirectoryOptions<T> {
  /** It is made if it is not there. */
  readonly path: string;
  /** What the records are, for people: "operations". */
  readonly what: string;
  /** The version of the schema, from 1. A record of another one is refused. */
  readonly version: number;
  readonly schema: z.ZodType<T>;
  readonly idOf: (record: T) => string;
  readonly calls?: FileCalls;
}

type Done = (error: OperationError | null) => void;
