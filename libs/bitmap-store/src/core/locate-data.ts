import { type Disk, OperationError } from '@rmr/runtime';
import { computeLayout } from '../format/layout.ts';
import { type ExpectedStore, readSuperblocks } from './load-store.ts';
import { type Procedure, ProcedureRun } from './procedure.ts';

/** Whose data is where on a disk. */
export interface DataLocation {
  readonly storeUuid: string;
  readonly poolUuid: string;
  readonly memberId: number;
  /** The data area, in bytes of the disk. */
  readonly dataOffset: number;
  readonly deviceBytes: number;
}

/**
 * Finds the data area of a store by its superblock alone, which never changes while a store is in use: unlike
 * inspection this is exact for a store that another process has open. Changes nothing. Errors: STORE_NOT_FORMATTED,
 * STORE_VERSION_UNKNOWN, STORE_DAMAGED.
 */
export function locateData(disk: Disk, expected: ExpectedStore, done: (result: DataLocation | OperationError) => void): void {
  new ProcedureRun(disk, locate(disk, expected), done);
}

function* locate(disk: Disk, expected: ExpectedStore): Procedure<DataLocation | OperationError> {
  const superblocks = yield* readSuperblocks(disk, expected);
  if (superblocks instanceof OperationError) return superblocks;
  const { storeUuid, poolUuid, memberId } = superblocks.superblock;
  const { dataOffset, deviceBytes } = computeLayout(superblocks.superblock);
  return { storeUuid, poolUuid, memberId, dataOffset, deviceBytes };
}
