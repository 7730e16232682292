import { type Disk, OperationError, Status, statusName } from '@rmr/runtime';
import { PAGE_BYTES, ZERO_STEP_BYTES } from '../constants.ts';
import { allZero } from '../format/fields.ts';
import { computeLayout, JOURNAL_OFFSET, type Layout, SUPERBLOCK_A_OFFSET, SUPERBLOCK_B_OFFSET } from '../format/layout.ts';
import { remainsIn, remainsPage, type StoreRemains } from '../format/remains.ts';
import { invalidSuperblock, SUPERBLOCK_BYTES } from '../format/superblock.ts';
import { readSuperblocks } from './load-store.ts';
import { FLUSH_STEP, type Procedure, ProcedureRun } from './procedure.ts';

/**
 * Wipes a store. Wiping one that is wiped already does nothing; one whose wiping or creation was cut short is wiped to its end. The disk reads as
 * empty afterwards. A disk that frees space is freed as a whole. On others the data of the store stays until another store is made there.
 * Errors: STORE_FOREIGN (another store, or something else), STORE_DAMAGED (unless told), STORE_VERSION_UNKNOWN, IO_ERROR.
 */
export function wipeStore(disk: Disk, options: WipeOptions, done: (result: OperationError | null) => void): void {
  new ProcedureRun(disk, wipe(disk, options), done);
}

/**
 * The end of a store: its superblocks are destroyed durably, and then everything else that it wrote.
 *
 * A crash at any step leaves the whole store, or none and the mark of its wiping. So wiping can go on after a crash, and knows what it goes
 * on with: see {@link StoreRemains}.
 */

/** Bytes from the start of a disk that {@link storeRemains} looks at. */
export const STORE_HEAD_BYTES = JOURNAL_OFFSET;
/** Bytes at the end of a disk that have to read as zeroes before a store is created there. */
const TAIL_BYTES = JOURNAL_OFFSET;

/** Which store is wiped. */
export interface WipeOptions {
  /** What the disk is called in messages, for example its path. */
  readonly label: string;
  readonly storeUuid: string;
  /** Wipe a store of which both superblocks are damaged, too. Nothing then shows which store it was. */
  readonly damaged?: boolean;
}

/**
 * Tells what a wiping or a creation that was cut short has left. `head`: the first {@link STORE_HEAD_BYTES} of the disk, or all of a smaller
 * one. Null: a store may be there, or something else, or nothing.
 */
export function storeRemains(head: Uint8Array): StoreRemains | null {
  const superblocks = [SUPERBLOCK_A_OFFSET, SUPERBLOCK_B_OFFSET].map((at) => head.subarray(at, at + SUPERBLOCK_BYTES));
  // As long as one superblock is whole there is a store.
  return superblocks.some((page) => invalidSuperblock(page) === null) ? null : remainsIn(head);
}

function* wipe(disk: Disk, options: WipeOptions): Procedure<OperationError | null> {
  const { label, storeUuid } = options;
  const head = new Uint8Array(Math.min(disk.sizeBytes, STORE_HEAD_BYTES));
  let status = head.length === 0 ? Status.OK : yield { kind: 'read', offsetBytes: 0, target: head };
  const found = status === Status.OK ? yield* readSuperblocks(disk, { label }) : null;
  let layout: Layout | null = null;
  if (found instanceof OperationError) {
    const remains = storeRemains(head);
    if (remains?.kind === 'wiping' && remains.storeUuid !== storeUuid)
      return foreign(label, `the rest of store ${remains.storeUuid}`, options);
    if (remains === null) {
      if (found.code === 'STORE_NOT_FORMATTED') return allZero(head, 0, head.length) ? null : foreign(label, 'no store', options);
      if (found.code !== 'STORE_DAMAGED' || options.damaged !== true) return found;
    }
  } else if (found !== null) {
    const { superblock } = found;
    if (superblock.storeUuid !== storeUuid) {
      const owner = `store ${superblock.storeUuid} of member ${superblock.memberId} of pool "${superblock.poolName}"`;
      return foreign(label, owner, options);
    }
    layout = computeLayout(superblock);
  }
  if (status === Status.OK) status = yield* destroy(disk, storeUuid, layout);
  if (status === Status.OK) return null;
  return new OperationError(
    'IO_ERROR',
    `${label}: store ${storeUuid} can't be wiped (${statusName(status)}); check the disk and the kernel log, and wipe it again`,
  );
}

function foreign(label: string, what: string, { storeUuid }: WipeOptions): OperationError {
  return new OperationError(
    'STORE_FOREIGN',
    `${label} holds ${what}, not store ${storeUuid}: nothing was wiped. Correct the disk or the store`,
  );
}

function* destroy(disk: Disk, storeUuid: string, layout: Layout | null): Procedure<number> {
  const zeroes = new Uint8Array(SUPERBLOCK_BYTES);
  // One after the other, each durable before the next: at any time one superblock is whole, or the mark alone is there.
  for (const [offsetBytes, source] of [
    [SUPERBLOCK_A_OFFSET, remainsPage({ kind: 'wiping', storeUuid })],
    [SUPERBLOCK_B_OFFSET, zeroes],
  ] as const) {
    if (offsetBytes + source.length > disk.sizeBytes) continue;
    let status = yield { kind: 'write', offsetBytes, source };
    if (status === Status.OK) status = yield FLUSH_STEP;
    if (status !== Status.OK) return status;
  }
  for (const [from, to] of erasedRanges(disk, layout)) {
    for (let offsetBytes = from; offsetBytes < to; offsetBytes += ZERO_STEP_BYTES) {
      const kind = disk.features.fastPunch ? 'punch' : 'zero';
      const status = yield { kind, offsetBytes, lengthBytes: Math.min(ZERO_STEP_BYTES, to - offsetBytes) };
      if (status !== Status.OK) return status;
    }
  }
  let status = yield FLUSH_STEP;
  if (status !== Status.OK) return status;
  status = yield {
    kind: 'write',
    offsetBytes: SUPERBLOCK_A_OFFSET,
    source: zeroes.subarray(0, Math.min(disk.sizeBytes, SUPERBLOCK_BYTES)),
  };
  return status === Status.OK ? yield FLUSH_STEP : status;
}

/** What reads as zeroes afterwards, beside the mark: everything, or what makes the disk count as empty where zeroes cost as much as data. */
function erasedRanges(disk: Disk, layout: Layout | null): readonly (readonly [number, number])[] {
  const { sizeBytes } = disk;
  const from = Math.min(SUPERBLOCK_BYTES, sizeBytes);
  if (disk.features.fastPunch) return [[from, sizeBytes]];
  const headEnd = Math.min(sizeBytes, Math.max(STORE_HEAD_BYTES, layout?.dataOffset ?? 0));
  return [
    [from, headEnd],
    [Math.max(headEnd, Math.floor((sizeBytes - TAIL_BYTES) / PAGE_BYTES) * PAGE_BYTES), sizeBytes],
  ];
}
