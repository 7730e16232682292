import { assert, type Disk, isUuid, OperationError, Status, statusName } from '@rmr/runtime';
import { FORMAT_VERSION } from '../constants.ts';
import { SUPERBLOCK_A_OFFSET, SUPERBLOCK_B_OFFSET } from '../format/layout.ts';
import { livesAfterOpening } from '../format/lives.ts';
import { encodeSuperblock, SUPERBLOCK_BYTES, type Superblock, superblockFollows } from '../format/superblock.ts';
import { BitmapStore, type StoreWorld } from './bitmap-store.ts';
import { type ExpectedStore, type LoadedStore, loadStore } from './load-store.ts';
import { allocateMetadata } from './metadata-space.ts';
import { FLUSH_STEP, type Procedure, ProcedureRun } from './procedure.ts';

/**
 * Opens the store on a disk. Errors: STORE_NOT_FORMATTED, STORE_VERSION_UNKNOWN, STORE_DAMAGED, STORE_FOREIGN,
 * STORE_TOO_SMALL, IO_ERROR, NO_SPACE. After an error the disk is still open, and unless it is one of the last two, untouched.
 * A store of an older format version becomes one of this version.
 */
export function openStore(disk: Disk, options: OpenOptions, done: (result: BitmapStore | OperationError) => void): void {
  assert(isUuid(options.lifeUuid), 'open: a life has a UUID');
  new ProcedureRun(disk, prepareStore(disk, options), (loaded) => {
    if (loaded instanceof OperationError) {
      done(loaded);
      return;
    }
    const { usage } = loaded.state;
    const cacheSurvived = usage.bootId === options.bootId && disk.features.survivesProcessCrash;
    const doubtful = options.doubtful === true || loaded.flushFailed;
    const { poolName, memberId } = loaded.superblock;
    const world = { ...options.world, log: options.world.log.child({ pool: poolName, member: memberId }) };
    const store = new BitmapStore(disk, loaded, world, options.label, cacheSurvived && (doubtful || usage.volatileLost));
    // A witness has no data that could be lost, and what it commits is durable before it is answered.
    const lost = (doubtful || (!usage.cleanShutdown && !cacheSurvived)) && !loaded.superblock.witness;
    if (lost && !usage.volatileLost) {
      const why = doubtful ? 'the disk failed or was away' : 'the host went down while the store was open';
      world.log.warn('unflushed data counts as lost', { store: options.label, why });
    }
    store.commitOpening(
      {
        volatileLost: usage.volatileLost || lost || loaded.lastIoDamaged,
        cleanShutdown: false,
        released: usage.released,
        bootId: options.bootId,
        openCount: usage.openCount + 1,
      },
      livesAfterOpening(loaded.state.lives, store.age, options.lifeUuid, Math.max(0, Math.floor(options.wallMs))),
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

/** How a store is opened. */
export interface OpenOptions extends ExpectedStore {
  readonly world: StoreWorld;
  /** The kernel's boot id: another one than last time means that the page cache is gone. */
  readonly bootId: string;
  /** Names the life that begins: a UUID that is drawn at random for this opening. */
  readonly lifeUuid: string;
  /** The wall clock, for people. */
  readonly wallMs: number;
  /** True: the disk failed or was away since the store was last open, so that unflushed data may be gone (L6). Default false. */
  readonly doubtful?: boolean;
}

/** Reads the store, gives its metadata the space that it may need, and brings the disk to the state that was read. */
function* prepareStore(disk: Disk, options: OpenOptions): Procedure<LoadedStore | OperationError> {
  const found = yield* loadStore(disk, options);
  if (found instanceof OperationError) return found;
  const allocated = yield* allocateMetadata(disk, found.layout);
  if (allocated !== Status.OK && allocated !== Status.ENOSPC) return notWritable(options.label, allocated);
  // A store that was made by an older program may lack space for its dirty maps. It can do without for a while, as the journal has its space.
  const loaded = { ...found, lacksMetadataSpace: allocated === Status.ENOSPC };
  if (loaded.lacksMetadataSpace)
    options.world.log.warn('the file system of a store is full, and has no space for all of its metadata', { store: options.label });
  for (const warning of loaded.warnings) options.world.log.warn(warning.event, warning.fields);
  for (const offsetBytes of loaded.damagedSuperblocks) {
    const status = yield { kind: 'write', offsetBytes, source: superblockPage(loaded.superblock) };
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
  if (status !== Status.OK) return notWritable(options.label, status);
  return loaded.superblock.formatVersion === FORMAT_VERSION ? loaded : yield* upgrade(loaded, options);
}

/**
 * Makes both superblocks say the format version of this program, before anything is written that older programs do not know. They refuse
 * a store if one copy says a newer version. The copies are written one after the other, each durably, so that one of them is whole at any
 * time. Damaged copies have been repaired before.
 */
function* upgrade(loaded: LoadedStore, options: OpenOptions): Procedure<LoadedStore | OperationError> {
  const { formatVersion, sequence } = loaded.superblock;
  const superblock = { ...loaded.superblock, formatVersion: FORMAT_VERSION, sequence: sequence + 1 };
  assert(superblockFollows(loaded.superblock, superblock), 'superblock: the new one follows the old one');
  const source = superblockPage(superblock);
  for (const offsetBytes of [SUPERBLOCK_A_OFFSET, SUPERBLOCK_B_OFFSET]) {
    let status = yield { kind: 'write', offsetBytes, source };
    if (status === Status.OK) status = yield FLUSH_STEP;
    if (status !== Status.OK) return notWritable(options.label, status);
  }
  options.world.log.info('the store has become one of a newer format version: older programs do not open it any more', {
    store: options.label,
    from: formatVersion,
    to: FORMAT_VERSION,
  });
  return { ...loaded, superblock };
}

function superblockPage(superblock: Superblock): Uint8Array {
  const page = new Uint8Array(SUPERBLOCK_BYTES);
  encodeSuperblock(page, superblock);
  return page;
}

function notWritable(label: string, status: number): OperationError {
  return new OperationError(
    status === Status.ENOSPC ? 'NO_SPACE' : 'IO_ERROR',
    status === Status.ENOSPC
      ? `${label}: the store can be read but not written (ENOSPC): its file system has no space for what an opening records; free some`
      : `${label}: the store can be read but not written (${statusName(status)}); check the disk and the kernel log`,
  );
}
