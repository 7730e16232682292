import { createHash, randomUUID } from 'node:crypto';
import { unlinkSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  CHUNK_BYTES_DEFAULT,
  type CreateOptions,
  createStore,
  inspectStore,
  locateData,
  type StoreInspection,
  storeBytes,
} from '@rmr/bitmap-store';
import { errorMessage, formatSize, isUuid, OperationError, parseSize } from '@rmr/runtime';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { StoreFile } from './store-file.ts';

const QUEUE_DEPTH_DEFAULT = '128';
/** Large enough that hashing, not calling, takes the time. */
const CHECKSUM_READ_BYTES = 4 * 1024 * 1024;
/** Metadata of a store in use changes while it is read: then it is read again. */
const INSPECT_ATTEMPTS = 5;

/** Adds `store create`, `store inspect` and `store checksum`. */
export function addStoreCommands(program: Command): void {
  const store = program.command('store').description('Create and look at stores.').helpCommand(false);
  store
    .command('create')
    .summary('create an empty store')
    .description(
      'Creates the store of a pool member in a new file, in an existing one or on a block device. Fails when something is there already, unless forced.',
    )
    .requiredOption('--path <path>', 'file or block device')
    .requiredOption('--size <size>', 'size of the device that the pool is, for example 10GiB')
    .requiredOption('--pool-name <name>', 'name of the pool')
    .requiredOption('--pool-uuid <uuid>', 'identity of the pool: the same for all of its members')
    .requiredOption('--member-id <number>', 'place in the pool, different for each of its members')
    .option(
      '--chunk-size <size>',
      'unit in which missed writes are tracked, the same for all members',
      formatSize(CHUNK_BYTES_DEFAULT).replace(' ', ''),
    )
    .option('--queue-depth <number>', 'IO units of the pool, the same for all members', QUEUE_DEPTH_DEFAULT)
    .option('--keep-data', "keep what is in the data area's place: this member is then the one that the others are copied from")
    .option('--force', 'destroy whatever is there')
    .action(create);
  store
    .command('inspect')
    .description('Show the metadata of a store. Changes nothing; the store may be in use.')
    .requiredOption('--path <path>', 'file or block device')
    .option('--output <json|yaml|table>', 'form of the output', 'table')
    .action(inspect);
  store
    .command('checksum')
    .description("Print the SHA-256 of the store's data, holes as zeroes. Changes nothing; the store may be in use.")
    .requiredOption('--path <path>', 'file or block device')
    .action(checksum);
}

interface CreateFlags {
  readonly path: string;
  readonly size: string;
  readonly poolName: string;
  readonly poolUuid: string;
  readonly memberId: string;
  readonly chunkSize: string;
  readonly queueDepth: string;
  readonly keepData?: true;
  readonly force?: true;
}

async function create(flags: CreateFlags): Promise<void> {
  const path = resolve(flags.path);
  const sizes = {
    deviceBytes: sizeFlag('--size', flags.size),
    chunkBytes: sizeFlag('--chunk-size', flags.chunkSize),
    queueDepth: numberFlag('--queue-depth', flags.queueDepth),
  };
  const poolUuid = flags.poolUuid.toLowerCase();
  if (!isUuid(poolUuid))
    throw new OperationError('INVALID_ARGUMENT', `--pool-uuid "${flags.poolUuid}" is not a UUID; draw one with uuidgen`);
  const memberId = numberFlag('--member-id', flags.memberId);
  const totalBytes = storeBytes(sizes.deviceBytes, sizes.chunkBytes, sizes.queueDepth);

  const made = StoreFile.create(path);
  const disk = made ?? StoreFile.open(path, true);
  try {
    const fresh = made !== null || disk.sizeBytes === 0;
    if (fresh) disk.resize(totalBytes);
    const options: CreateOptions = {
      ...sizes,
      label: path,
      storeUuid: randomUUID(),
      lineageUuid: randomUUID(),
      poolUuid,
      poolName: flags.poolName,
      memberId,
      data: fresh ? 'known' : flags.keepData === true ? 'keep' : 'erase',
      force: flags.force === true,
    };
    const failure = await new Promise<OperationError | null>((done) => createStore(disk, options, done));
    if (failure !== null) throw failure;
    process.stdout.write(
      `created store ${options.storeUuid} for member ${memberId} of pool "${flags.poolName}" in ${path}: a device of ${formatSize(sizes.deviceBytes)}, chunks of ${formatSize(sizes.chunkBytes)}\n`,
    );
  } catch (error) {
    if (made !== null) unlinkSync(path);
    throw error;
  } finally {
    disk.close(() => {});
  }
}

async function inspect(flags: { readonly path: string; readonly output: string }): Promise<void> {
  const format = OUTPUTS[flags.output];
  if (format === undefined)
    throw new OperationError('INVALID_ARGUMENT', `--output "${flags.output}": write ${Object.keys(OUTPUTS).join(', ')}`);
  const path = resolve(flags.path);
  const disk = StoreFile.open(path, false);
  try {
    process.stdout.write(format(path, await inspected(disk, path)));
  } finally {
    disk.close(() => {});
  }
}

async function inspected(disk: StoreFile, path: string): Promise<StoreInspection> {
  for (let attempt = 1; ; attempt++) {
    const result = await new Promise<StoreInspection | OperationError>((done) => inspectStore(disk, { label: path }, done));
    if (!(result instanceof OperationError)) return result;
    if (result.code !== 'STORE_DAMAGED' || attempt === INSPECT_ATTEMPTS) throw result;
  }
}

async function checksum(flags: { readonly path: string }): Promise<void> {
  const path = resolve(flags.path);
  const disk = StoreFile.open(path, false);
  try {
    const location = await new Promise<Parameters<Parameters<typeof locateData>[2]>[0]>((done) => locateData(disk, { label: path }, done));
    if (location instanceof OperationError) throw location;
    const hash = createHash('sha256');
    const buffer = new Uint8Array(CHECKSUM_READ_BYTES);
    const end = location.dataOffset + location.deviceBytes;
    for (let offsetBytes = location.dataOffset; offsetBytes < end; ) {
      const target = buffer.subarray(0, Math.min(buffer.length, end - offsetBytes));
      const count = disk.readNow(offsetBytes, target);
      if (count === 0)
        throw new OperationError('STORE_TOO_SMALL', `${path} ends at offset ${offsetBytes}, within the data; it should go to ${end}`);
      hash.update(target.subarray(0, count));
      offsetBytes += count;
    }
    process.stdout.write(`${hash.digest('hex')}  ${path}\n`);
  } finally {
    disk.close(() => {});
  }
}

const OUTPUTS: Readonly<Record<string, (path: string, store: StoreInspection) => string>> = {
  json: (path, store) => `${JSON.stringify({ path, ...store }, null, 2)}\n`,
  yaml: (path, store) => stringify({ path, ...store }),
  table,
};

function table(path: string, store: StoreInspection): string {
  const { version, promise } = store;
  const inSync = version?.inSync.map((member) => member.memberId).join(', ');
  const rows: [string, string][] = [
    ['path', path],
    ['pool', `${store.poolName} (${store.poolUuid})`],
    ['member', String(store.memberId)],
    ['store', store.storeUuid],
    ['device', `${formatSize(store.deviceBytes)} (${store.deviceBytes} bytes) at offset ${store.dataOffset}`],
    ['chunks', formatSize(store.chunkBytes)],
    ['queue depth', String(store.queueDepth)],
    [
      'version',
      version === null
        ? 'none: never in service'
        : `epoch ${version.epoch}, seq ${version.seq}, in sync: ${inSync}, lineage ${version.lineageUuid}`,
    ],
    ['promised', promise === null ? 'to nobody' : `epoch ${promise.epoch} to ${promise.clientName}`],
    ['shutdown', store.cleanShutdown ? 'clean' : 'in use, or not shut down cleanly'],
    ['unflushed data', store.volatileLost ? 'may be lost, until it has been reconciled' : 'nothing is known to be lost'],
    [
      'write intent',
      store.intentOverflow ? 'overflowed: the whole device' : `${store.intentRegions} regions of ${formatSize(store.regionBytes)}`,
    ],
    ...store.members.map((member): [string, string] => [
      `member ${member.memberId}`,
      `${member.name} ${member.addresses.join(' ')} store ${member.storeUuid}`,
    ]),
    ...store.dirty.map(({ memberId, chunks }): [string, string] => [
      `dirty for ${memberId}`,
      `${chunks} chunks (${formatSize(chunks * store.chunkBytes)})`,
    ]),
    ...(store.damagedSuperblocks.length === 0
      ? []
      : [['damaged', `superblock copy at offset ${store.damagedSuperblocks.join(', ')}`] as [string, string]]),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return `${rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n')}\n`;
}

function sizeFlag(flag: string, text: string): number {
  try {
    return parseSize(text);
  } catch (error) {
    throw new OperationError('INVALID_ARGUMENT', `${flag}: ${errorMessage(error)}`, { cause: error });
  }
}

function numberFlag(flag: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new OperationError('INVALID_ARGUMENT', `${flag} "${text}": write a whole number`);
  return Number(text);
}
