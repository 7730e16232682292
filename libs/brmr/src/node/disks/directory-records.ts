import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorMessage, isUuid, OperationError } from '@rmr/runtime';
import { replaceFileDurably } from '@rmr/runtime/node';
import { z } from 'zod';
import { DISKS_MAX } from '../../core/disks/disk-types.ts';

/** What a storage node remembers of its directories: the UUID of the marker in each, by the name of the disk. */
export interface DirectoryRecords {
  readonly all: ReadonlyMap<string, string>;
  /** Remembers it durably before it returns. Throws IO_ERROR. */
  set(name: string, directoryUuid: string): void;
}

const FILE_NAME = 'disks.json';

const fileSchema = z.strictObject({
  version: z.literal(1),
  directories: z
    .record(z.string().min(1).max(128), z.string().refine(isUuid))
    .refine((directories) => Object.keys(directories).length <= 16 * DISKS_MAX, 'too many directories'),
});

/** The records of a node in a file of its state directory. Disks that are not configured any more are kept: they may come back. */
export class DirectoryRecordFile implements DirectoryRecords {
  readonly #path: string;
  readonly #all: Map<string, string>;

  /** Throws INVALID_CONFIG for a file that is damaged or of a newer program: what it says is not guessed. */
  constructor(stateDir: string) {
    this.#path = join(stateDir, FILE_NAME);
    this.#all = read(this.#path);
  }

  get all(): ReadonlyMap<string, string> {
    return this.#all;
  }

  set(name: string, directoryUuid: string): void {
    if (this.#all.get(name) === directoryUuid) return;
    const directories = Object.fromEntries(new Map(this.#all).set(name, directoryUuid));
    try {
      replaceFileDurably(this.#path, `${JSON.stringify({ version: 1, directories }, null, 2)}\n`);
    } catch (error) {
      throw new OperationError('IO_ERROR', `${this.#path} can't be written: ${errorMessage(error)}; check the file system of stateDir`);
    }
    this.#all.set(name, directoryUuid);
  }
}

function read(path: string): Map<string, string> {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw new OperationError('IO_ERROR', `${path} can't be read: ${errorMessage(error)}`);
  }
  let reason: string;
  try {
    const parsed = fileSchema.safeParse(JSON.parse(content));
    if (parsed.success) return new Map(Object.entries(parsed.data.directories));
    reason = parsed.error.issues[0]?.message ?? 'it makes no sense';
  } catch (error) {
    reason = errorMessage(error);
  }
  throw new OperationError(
    'INVALID_CONFIG',
    `${path} is damaged, or was written by a newer release (${reason}). It tells which directories are those of this node's disks. Put back the release that wrote it. If it is damaged, see that every disk is mounted, and remove the file: it is made anew from what is in the directories`,
  );
}
