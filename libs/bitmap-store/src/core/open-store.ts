import { type Disk, OperationError, Status, statusName } from '@rmr/runtime';
import { encodeSuperblock, SUPERBLOCK_BYTES } from '../format/superblock.ts';
import { BitmapStore, type StoreWorld } from './bitmap-store.ts';
import { type ExpectedStore, type LoadedStore, loadStore } from './load-store.ts';
import { FLUSH_STEP, type Procedure, ProcedureRun } from './procedure.ts';

/** How a store is opened. */
export interface OpenOptions extends ExpectedStore {
  readonly world: StoreWorld;
  /** The kernel's boot id: another one than last time means that the page cache is gone. */
  readonly bootId: string;
  /** True: the disk failed or was away since the store was last open, so that unflushed data may be gone (L6). Default false. */
  readonly doubtful?: boolean;
}

/**
 * Opens the store on a disk. Errors: STORE_NOT_FORMATTED, STORE_VERSION_UNKNOWN, STORE_DAMAGED, STORE_FOREIGN,
 * STORE_TOO_SMALL, IO_ERROR, NO_SPACE. After an error the disk is still open, and unless it is one of the last two, untouched.
 */
export function openStore(disk: Disk, options: OpenOptions, done: (result: BitmapStore | OperationError) => void): void {
  new ProcedureRun(disk, prepareStore(disk, options), (loaded) => {
    if (loaded instanceof OperationError) {
      done(loaded);
      return;
    }
    const { usage } = loaded.state;
    const cacheSurvived = usage.bootId === options.bootId && disk.features.survivesProcessCrash;
    const doubtful = options.doubtful === true || loaded.flushFailed;
    const store = new BitmapStore(disk, loaded, options.world, options.label, cacheSurvived && (doubtful || usage.volatileLost));
    // A witness has no data that could be lost, and what it commits is durable before it is answered.
    const lost = (doubtful || (!usage.cleanShutdown && !cacheSurvived)) && !loaded.superblock.witness;
    if (lost && !usage.volatileLost) {
      const why = doubtful ? 'the disk failed or was away' : 'the host went down while the store was open';
      options.world.log.warn('unflushed data counts as lost', { store: options.label, why });
    }
    store.commitUsage(
      {
        volatileLost: usage.volatileLost || lost || loaded.lastIoDamaged,
        cleanShutdown: false,
        bootId: options.bootId,
        openCount: usage.openCount + 1,
      },
      (status) => {
        if (status === Status.OK) {
          done(store);
          return;
        }
        // Nothing of it is to touch the disk any more, which the caller closes.
        options.world.ticker.unsubscribe(store);
        done(notWritable(options.label, status));
      },
    );
  });
}

/** Reads the store, and brings the disk to the state that was read. */
function* prepareStore(disk: Disk, options: OpenOptions): Procedure<LoadedStore | OperationError> {
  const loaded = yield* loadStore(disk, options);
  if (loaded instanceof OperationError) return loaded;
  for (const warning of loaded.warnings) options.world.log.warn(warning.event, warning.fields);
  for (const offsetBytes of loaded.damagedSuperblocks) {
    const source = new Uint8Array(SUPERBLOCK_BYTES);
    encodeSuperblock(source, loaded.superblock);
    const status = yield { kind: 'write', offsetBytes, source };
    if (status !== Status.OK) return notWritable(options.label, status);
    options.world.log.warn('a superblock copy was repaired from the other one', { store: options.label, offsetBytes });
  }
  // What was read may be in the page cache only: after a process crash the newest record may not be on the disk yet, and
  // after a flush that failed it never will be unless it is written again. It must be there before another one is written,
  // or a power loss could keep the later and lose the earlier.
  for (const { offsetBytes, bytes } of loaded.records) {
    const status = yield { kind: 'write', offsetBytes, source: bytes };
    if (status !== Status.OK) return notWritable(options.label, status);
  }
  const status = yield FLUSH_STEP;
  return status === Status.OK ? loaded : notWritable(options.label, status);
}

function notWritable(label: string, status: number): OperationError {
  return new OperationError(
    status === Status.ENOSPC ? 'NO_SPACE' : 'IO_ERROR',
    `${label}: the store can be read but not written (${statusName(status)}); check the disk and the kernel log`,
  );
}
