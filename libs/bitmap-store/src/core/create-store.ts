import { type Disk, formatSize, OperationError, Status, statusName } from '@rmr/runtime';
import { FORMAT_VERSION, MAP_IO_BYTES, PAGE_BYTES, ZERO_STEP_BYTES } from '../constants.ts';
import { allZero } from '../format/fields.ts';
import {
  computeLayout,
  DOUBT_OFFSET,
  type Geometry,
  invalidGeometry,
  JOURNAL_OFFSET,
  journalBytesFor,
  type Layout,
  regionBytesFor,
  SUPERBLOCK_A_OFFSET,
  SUPERBLOCK_B_OFFSET,
} from '../format/layout.ts';
import { remainsPage } from '../format/remains.ts';
import {
  decodeSuperblock,
  encodeSuperblock,
  hasSuperblockMagic,
  invalidParameters,
  invalidSuperblock,
  SUPERBLOCK_BYTES,
  type Superblock,
  storeSeed,
} from '../format/superblock.ts';
import type { StoreParameters } from '../types.ts';
import { writeHome } from './checkpoint.ts';
import { loadStore } from './load-store.ts';
import { askForMetadataSpace } from './metadata-space.ts';
import { FLUSH_STEP, type Procedure, ProcedureRun } from './procedure.ts';
import { StoreState } from './store-state.ts';

/**
 * Puts a new store on a disk. Errors: INVALID_ARGUMENT, STORE_TOO_SMALL, ALREADY_EXISTS (a store is there),
 * CONFLICT (something else is), NO_SPACE, IO_ERROR. The superblocks are written last: a creation that is cut short
 * leaves no store. The disk stays open.
 */
export function createStore(disk: Disk, options: CreateOptions, done: (result: OperationError | null) => void): void {
  new ProcedureRun(disk, create(disk, options), done);
}

/** How a store is created. */
export interface CreateOptions extends StoreParameters {
  readonly label: string;
  /**
   * `known`: the disk reads as zeroes already (a fresh sparse file). `erase`: the data area is zeroed. `keep`: what is
   * there stays, and the store does not count as zeroed: as the first of its pool it is the authority.
   */
  readonly data: 'known' | 'erase' | 'keep';
  /** A witness has no data area: the store is its metadata, for a pool with a device of that size. */
  readonly witness?: boolean;
  /** Overwrite whatever is on the disk. */
  readonly force: boolean;
  /** For tests: smaller than the journal that the device size asks for. */
  readonly journalBytes?: number;
}

/** Bytes that a disk must have for a device of that size. Throws INVALID_ARGUMENT. */
export function storeBytes(
  sizeBytes: number,
  chunkSizeBytes: number,
  queueDepth: number,
  options: Pick<CreateOptions, 'witness' | 'journalBytes'> = {},
): number {
  return layoutFor({ ...options, sizeBytes, chunkSizeBytes, queueDepth }).totalBytes;
}

function layoutFor(sizes: Pick<CreateOptions, 'sizeBytes' | 'chunkSizeBytes' | 'queueDepth' | 'witness' | 'journalBytes'>): Layout {
  const geometry: Geometry = {
    sizeBytes: sizes.sizeBytes,
    chunkSizeBytes: sizes.chunkSizeBytes,
    queueDepth: sizes.queueDepth,
    regionBytes: regionBytesFor(sizes.sizeBytes, sizes.chunkSizeBytes),
    journalBytes: sizes.journalBytes ?? journalBytesFor(sizes.sizeBytes),
    witness: sizes.witness === true,
  };
  const wrong = invalidGeometry(geometry);
  if (wrong !== null) throw new OperationError('INVALID_ARGUMENT', `a store can't be created like this: ${wrong}`);
  return computeLayout(geometry);
}

function* create(disk: Disk, options: CreateOptions): Procedure<OperationError | null> {
  const { label } = options;
  const wrong = invalidParameters(options);
  if (wrong !== null) return new OperationError('INVALID_ARGUMENT', `${label}: ${wrong}`);
  if (options.witness === true && options.data === 'keep') {
    return new OperationError('INVALID_ARGUMENT', `${label}: a witness has no data area, so there is no data that it could keep`);
  }
  let layout: Layout;
  try {
    layout = layoutFor(options);
  } catch (error) {
    if (error instanceof OperationError) return error;
    throw error;
  }
  if (disk.sizeBytes < layout.totalBytes) {
    return new OperationError(
      'STORE_TOO_SMALL',
      `${label} has ${disk.sizeBytes} bytes; ${layout.witness ? "a witness's store" : 'a store'} for a device of ${formatSize(options.sizeBytes)} needs ${layout.totalBytes}`,
    );
  }
  if (!options.force) {
    const occupied = yield* findContent(disk, label);
    if (occupied !== null) return occupied;
  }
  let status = yield* erase(disk, layout, options);
  if (status !== Status.OK) return failure(label, status);

  const seed = storeSeed(options.storeUuid);
  const state = new StoreState(layout, {
    volatileLost: false,
    cleanShutdown: true,
    released: false,
    bootId: '00000000-0000-0000-0000-000000000000',
    openCount: 0,
  });
  status = yield* writeHome(state, seed, 1, 1, 0);
  if (status !== Status.OK) return failure(label, status);

  const superblock: Superblock = {
    storeUuid: options.storeUuid,
    poolUuid: options.poolUuid,
    lineageUuid: options.lineageUuid,
    poolName: options.poolName,
    memberId: options.memberId,
    sizeBytes: layout.sizeBytes,
    chunkSizeBytes: layout.chunkSizeBytes,
    queueDepth: layout.queueDepth,
    regionBytes: layout.regionBytes,
    journalBytes: layout.journalBytes,
    witness: layout.witness,
    formatVersion: FORMAT_VERSION,
    sequence: 1,
    createdZeroed: options.data !== 'keep',
  };
  const source = new Uint8Array(SUPERBLOCK_BYTES);
  encodeSuperblock(source, superblock);
  for (const offsetBytes of [SUPERBLOCK_A_OFFSET, SUPERBLOCK_B_OFFSET]) {
    status = yield { kind: 'write', offsetBytes, source };
    if (status !== Status.OK) return failure(label, status);
  }
  status = yield FLUSH_STEP;
  return status === Status.OK ? null : failure(label, status);
}

/** Looks for a store, or anything else but zeroes, at the head and the tail of the disk. */
function* findContent(disk: Disk, label: string): Procedure<OperationError | null> {
  const probeBytes = Math.min(disk.sizeBytes, JOURNAL_OFFSET);
  const tailOffset = Math.max(probeBytes, Math.floor((disk.sizeBytes - probeBytes) / PAGE_BYTES) * PAGE_BYTES);
  for (const [offsetBytes, lengthBytes] of [
    [0, probeBytes],
    [tailOffset, disk.sizeBytes - tailOffset],
  ] as const) {
    if (lengthBytes === 0) continue;
    const target = new Uint8Array(lengthBytes);
    const status = yield { kind: 'read', offsetBytes, target };
    if (status !== Status.OK) return failure(label, status);
    for (const at of [SUPERBLOCK_A_OFFSET, SUPERBLOCK_B_OFFSET]) {
      if (offsetBytes !== 0 || at + SUPERBLOCK_BYTES > lengthBytes) continue;
      const page = target.subarray(at, at + SUPERBLOCK_BYTES);
      if (!hasSuperblockMagic(page)) continue;
      const superblock = invalidSuperblock(page) === null ? decodeSuperblock(page) : null;
      const owner = superblock === null ? 'a store that this program can not read' : yield* describeOwner(disk, superblock);
      return new OperationError(
        'ALREADY_EXISTS',
        `${label} already holds ${owner}. Creating another one destroys it, and what only it has is lost for good: take another path, or force it when the pool does without this store`,
      );
    }
    if (!allZero(target, 0, lengthBytes)) {
      const first = offsetBytes + target.findIndex((byte) => byte !== 0);
      return new OperationError(
        'CONFLICT',
        `${label} is not empty: there is data at offset ${first}. Creating a store destroys it: find out first what it is (blkid, lsblk), and force it when nobody needs it`,
      );
    }
  }
  return null;
}

/** Which pool and member a store belongs to, and when it was last in service, as far as that can be read. */
function* describeOwner(disk: Disk, superblock: Superblock): Procedure<string> {
  const { memberId, poolName, poolUuid, storeUuid } = superblock;
  const owner = `the store ${storeUuid} of member ${memberId} of pool "${poolName}" (${poolUuid})`;
  const loaded = yield* loadStore(disk, { label: 'the store' });
  if (loaded instanceof OperationError) return `${owner}, the rest of which can not be read (${loaded.code})`;
  const { version } = loaded.state;
  if (version === null) return `${owner}, which has never been in service`;
  const members = version.inSync.map((member) => member.memberId).sort((a, b) => a - b);
  return `${owner}, which has recorded version ${version.epoch}.${version.seq} with ${members.length === 1 ? 'member' : 'members'} ${members.join(', ')} in sync`;
}

function* erase(disk: Disk, layout: Layout, { data, storeUuid }: CreateOptions): Procedure<number> {
  // Superblocks first, durably: no mixture of an old store and a new one can be opened.
  let status = Status.OK as number;
  if (data !== 'known') {
    // Where all that is on the disk goes anyway, what was begun is left in their place: a creation that is cut short is made again.
    const zeroes = new Uint8Array(SUPERBLOCK_BYTES);
    for (const [offsetBytes, source] of [
      [SUPERBLOCK_A_OFFSET, data === 'erase' ? remainsPage({ kind: 'unfinished', storeUuid }) : zeroes],
      [SUPERBLOCK_B_OFFSET, zeroes],
    ] as const) {
      status = yield { kind: 'write', offsetBytes, source };
      if (status !== Status.OK) return status;
    }
    status = yield FLUSH_STEP;
    if (status !== Status.OK) return status;
    const kind = disk.features.fastPunch ? 'punch' : 'zero';
    const end = data === 'erase' ? layout.totalBytes : layout.dataOffset;
    for (let offsetBytes = SUPERBLOCK_BYTES; offsetBytes < end; offsetBytes += ZERO_STEP_BYTES) {
      status = yield { kind, offsetBytes, lengthBytes: Math.min(ZERO_STEP_BYTES, end - offsetBytes) };
      if (status !== Status.OK) return status;
    }
  }
  // All metadata gets its space now, so that a full file system can't fail a commit later. What lies before the maps is written with zeroes,
  // too. So are the maps where that is the only way to give them space.
  status = yield* askForMetadataSpace(layout);
  if (status !== Status.OK && status !== Status.ENOTSUP) return status;
  const writtenBytes = status === Status.OK || disk.space === null ? layout.mapsOffset : layout.dataOffset;
  const zeroes = new Uint8Array(MAP_IO_BYTES);
  for (let offsetBytes = DOUBT_OFFSET; offsetBytes < writtenBytes; offsetBytes += MAP_IO_BYTES) {
    status = yield { kind: 'write', offsetBytes, source: zeroes.subarray(0, Math.min(MAP_IO_BYTES, writtenBytes - offsetBytes)) };
    if (status !== Status.OK) return status;
  }
  return yield FLUSH_STEP;
}

function failure(label: string, status: number): OperationError {
  if (status === Status.ENOSPC)
    return new OperationError('NO_SPACE', `${label}: the file system is full; free some space and create the store again`);
  return new OperationError('IO_ERROR', `${label}: the store can't be written (${statusName(status)}); check the disk and the kernel log`);
}
