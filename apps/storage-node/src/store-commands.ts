import { randomUUID } from 'node:crypto';
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { CHUNK_BYTES_DEFAULT, type StoreInspection } from '@rmr/bitmap-store';
import { createStore, dataDigest, dataDigests, inspect as inspectStore } from '@rmr/brmr/node';
import { isNbdUri, parseNbdUri } from '@rmr/nbd';
import { IO_UNITS_MAX } from '@rmr/rmr';
import { errorMessage, formatSize, isUuid, OperationError, parseSize } from '@rmr/runtime';
import type { Command } from 'commander';
import { stringify } from 'yaml';

const QUEUE_DEPTH_DEFAULT = '128';
/** Pieces that are digested one by one have a multiple of this: a page, so that none is read in parts of a block. */
const PIECE_UNIT_BYTES = 4096;
const PATH_HELP = 'file or block device, or the NBD URI of an export';

/** Adds `store create`, `store inspect` and `store checksum`. */
export function addStoreCommands(program: Command): void {
  const store = program.command('store').description('Create and look at stores.').helpCommand(false);
  store
    .command('create')
    .summary('create an empty store for a new pool, for a new member, or in the place of a store that is lost')
    .description(
      'Creates the store of a pool member in a new file, in an existing one, on a block device or on an export of an NBD server. Fails when something is there already, unless forced. A new store never brings data back: when a store is missing, check first whether its file system is mounted and its disk attached. No pool takes the store in by itself: an operator gives an order for that on the client node (client-node create, client-node replace-store).',
    )
    .requiredOption('--path <path>', PATH_HELP)
    .requiredOption('--size <size>', "size of the pool's device, for example 10GiB")
    .requiredOption('--pool-name <name>', 'name of the pool')
    .requiredOption('--pool-uuid <uuid>', 'UUID of the pool, the same for all of its members')
    .requiredOption('--member-id <number>', 'number of the member in the pool, from 1 to 255, different for each member')
    .option(
      '--chunk-size <size>',
      'size of a chunk, the unit in which missed writes are tracked; the same for all members',
      formatSize(CHUNK_BYTES_DEFAULT).replace(' ', ''),
    )
    .option('--queue-depth <number>', 'number of IO units of the pool, the same for all members', QUEUE_DEPTH_DEFAULT)
    .option(
      '--keep-data',
      'keep the bytes that are where the data area will be; everything before them is overwritten. At most one member of a new pool may keep its data: all others are copied from it, and their own data is overwritten',
    )
    .option(
      '--witness',
      "make a store without data, for a member that only votes with the others on which members are in sync; --size is still the size of the pool's device",
    )
    .option('--force', 'destroy whatever is there, the store of a pool too; without --force, the refusal says what is there')
    .action(create);
  store
    .command('inspect')
    .description('Show the metadata of a store. Changes nothing; the store may be in use.')
    .requiredOption('--path <path>', PATH_HELP)
    .option('--output <json|yaml|table>', 'form of the output', 'table')
    .action(inspect);
  store
    .command('checksum')
    .description("Print the SHA-256 of the store's data, holes as zeroes. Changes nothing; the store may be in use.")
    .requiredOption('--path <path>', PATH_HELP)
    .option(
      '--by <size>',
      'one line for each piece of this size, with the offset of the piece in the device: comparing the output of two members shows where they differ',
    )
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
  readonly witness?: true;
  readonly force?: true;
}

async function create(flags: CreateFlags): Promise<void> {
  const path = storePath(flags.path);
  const sizeBytes = sizeFlag('--size', flags.size);
  const chunkSizeBytes = sizeFlag('--chunk-size', flags.chunkSize);
  const poolUuid = flags.poolUuid.toLowerCase();
  if (!isUuid(poolUuid))
    throw new OperationError(
      'INVALID_ARGUMENT',
      `--pool-uuid "${flags.poolUuid}" is not a UUID; write the UUID of the pool. For a new pool, uuidgen draws one`,
    );
  const memberId = numberFlag('--member-id', flags.memberId);
  const storeUuid = randomUUID();
  const keepsData = flags.keepData === true && flags.witness !== true;
  if (keepsData && isFresh(path)) {
    throw new OperationError(
      'NOT_FOUND',
      `--keep-data: ${path} has no data that could be kept; correct the path, or leave out --keep-data`,
    );
  }
  await createStore({
    path,
    storeUuid,
    lineageUuid: randomUUID(),
    poolUuid,
    poolName: flags.poolName,
    memberId,
    sizeBytes,
    chunkSizeBytes,
    queueDepth: queueDepthOf(flags.queueDepth),
    force: flags.force === true,
    keepData: flags.keepData === true,
    witness: flags.witness === true,
  });
  process.stdout.write(
    `created ${flags.witness === true ? 'witness store' : 'store'} ${storeUuid} for member ${memberId} of pool "${flags.poolName}" in ${path}: a device of ${formatSize(sizeBytes)}, chunks of ${formatSize(chunkSizeBytes)}\n`,
  );
  if (keepsData) process.stdout.write(`${keptDataNote(memberId, flags.poolName)}\n`);
  process.stdout.write(`${nextSteps(flags.poolName, memberId)}\n`);
}

/** What `--path` names. Throws INVALID_ARGUMENT for an NBD URI that is none. */
function storePath(text: string): string {
  if (!isNbdUri(text)) return resolve(text);
  parseNbdUri(text);
  return text;
}

/** Whether nothing is there to keep: there is no file at this path, or it is empty. An export has some content. */
function isFresh(path: string): boolean {
  if (isNbdUri(path)) return false;
  try {
    const status = statSync(path);
    return status.isFile() && status.size === 0;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

function keptDataNote(memberId: number, poolName: string): string {
  return `Member ${memberId} keeps the data that was there. In the new pool "${poolName}" all other members are copied from it, and their own data is overwritten. No second member of the pool may keep its data.`;
}

/** The next steps for people. They are needed because no store becomes part of a pool just because it exists. */
function nextSteps(poolName: string, memberId: number): string {
  return [
    'Name it under "stores" in the configuration of its storage node. No pool takes it in by itself:',
    `- for a new pool: once all of its stores are there, type "client-node create --pool ${poolName}";`,
    `- for a pool that exists and has lost member ${memberId}'s store: once the storage node has opened this one, type "client-node replace-store --pool ${poolName} --member ${memberId}".`,
    '  The data is then copied to it from the other members.',
  ].join('\n');
}

async function inspect(flags: { readonly path: string; readonly output: string }): Promise<void> {
  const format = OUTPUTS[flags.output];
  if (format === undefined)
    throw new OperationError('INVALID_ARGUMENT', `--output "${flags.output}": write ${Object.keys(OUTPUTS).join(', ')}`);
  const path = storePath(flags.path);
  process.stdout.write(format(path, await inspectStore(path)));
}

async function checksum(flags: { readonly path: string; readonly by?: string }): Promise<void> {
  const path = storePath(flags.path);
  if (flags.by !== undefined) {
    const pieceBytes = sizeFlag('--by', flags.by);
    if (pieceBytes === 0 || pieceBytes % PIECE_UNIT_BYTES !== 0)
      throw new OperationError('INVALID_ARGUMENT', `--by ${flags.by}: write a multiple of ${formatSize(PIECE_UNIT_BYTES)}`);
    // Without the path: the lines of two members are equal where their data is.
    for await (const { offsetBytes, lengthBytes, sha256 } of dataDigests(path, pieceBytes))
      process.stdout.write(`${offsetBytes} ${lengthBytes} ${sha256}\n`);
    return;
  }
  process.stdout.write(`${await dataDigest(path)}  ${path}\n`);
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
    [
      'device',
      `${formatSize(store.sizeBytes)} (${store.sizeBytes} bytes) ${store.witness ? 'on other members: this is a witness' : `at offset ${store.dataOffset}`}`,
    ],
    ['chunks', formatSize(store.chunkSizeBytes)],
    ['queue depth', String(store.queueDepth)],
    ['quorum', store.policy.quorum],
    [
      'version',
      version === null
        ? 'none: never in service'
        : `epoch ${version.epoch}, seq ${version.seq}, in sync: ${inSync}, lineage ${version.lineageUuid}`,
    ],
    ['promised', promise === null ? 'to nobody' : `epoch ${promise.epoch} to ${promise.clientName}`],
    ['age', `${store.age} records, format version ${store.formatVersion}`],
    ['lives', livesOf(store)],
    ['released', store.released ? 'yes: the client of this version has ended in order' : 'no'],
    ['shutdown', store.cleanShutdown ? 'clean' : 'in use, or not shut down cleanly'],
    ['unflushed data', store.volatileLost ? 'may be lost, until it has been reconciled' : 'nothing is known to be lost'],
    [
      'write intent',
      store.intentOverflow ? 'overflowed: the whole device' : `${store.intentRegions} regions of ${formatSize(store.regionBytes)}`,
    ],
    ...store.members.map((member): [string, string] => [
      `member ${member.memberId}`,
      [`${member.name} ${member.addresses.join(' ')} store ${member.storeUuid}`, ...conditionsOf(member)].join(', '),
    ]),
    ...store.dirty.map(({ memberId, chunks }): [string, string] => [
      `dirty for ${memberId}`,
      `${chunks} chunks (${formatSize(chunks * store.chunkSizeBytes)})`,
    ]),
    ...(store.damagedSuperblocks.length === 0
      ? []
      : [['damaged', `superblock copy at offset ${store.damagedSuperblocks.join(', ')}`] as [string, string]]),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return `${rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n')}\n`;
}

function livesOf({ lives }: StoreInspection): string {
  const newest = lives.at(-1);
  return newest === undefined ? 'none: never opened' : `${lives.length}, the newest opened ${new Date(newest.openedAtMs).toISOString()}`;
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

/** The queue depth of `--queue-depth`. The disk format has room for more IO units, but no client would take such a store into service. */
function queueDepthOf(text: string): number {
  const queueDepth = numberFlag('--queue-depth', text);
  if (queueDepth < 1 || queueDepth > IO_UNITS_MAX)
    throw new OperationError('INVALID_ARGUMENT', `--queue-depth ${text}: it must be from 1 to ${IO_UNITS_MAX}`);
  return queueDepth;
}

function conditionsOf({ role, maintenance, left }: StoreInspection['members'][number]): string[] {
  return [
    ...(role === 'witness' ? ['witness'] : []),
    ...(maintenance === true ? ['in maintenance'] : []),
    ...(left === undefined ? [] : [`out of the set since version ${left.epoch}.${left.seq}`]),
  ];
}
