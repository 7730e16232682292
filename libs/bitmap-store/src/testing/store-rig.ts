import { type OperationError, SeededRandom } from '@rmr/runtime';
import { type DiskRequest, MemoryDisk, VirtualWorld } from '@rmr/testing';
import { INTENT_IDLE_TICKS } from '../constants.ts';
import type { BitmapStore } from '../core/bitmap-store.ts';
import { BitmapStore as BitmapStoreClass } from '../core/bitmap-store.ts';
import { type CreateOptions, createStore, storeBytes } from '../core/create-store.ts';
import { openStore } from '../core/open-store.ts';
import type { MetadataChange } from '../types.ts';

/** One store over its lives, on a disk that ends requests at once. */
export class StoreRig {
  readonly world = new VirtualWorld(7);
  disk = createdDisk();
  store = opened(this.disk, this.world);

  /** Goes on with another disk, and opens the store on it. */
  take(disk: MemoryDisk): void {
    this.disk = disk;
    this.store = opened(disk, this.world);
  }

  /** Commits, and lets everything happen. */
  commit(change: MetadataChange): number {
    let result = -1;
    this.store.commit(change, (status) => {
      result = status;
    });
    this.world.run(0);
    this.store.verify();
    return result;
  }

  close(): number {
    let result = -1;
    this.store.close((status) => {
      result = status;
    });
    this.world.run(0);
    return result;
  }

  /** Opens the store again, as the next process does. */
  reopen(bootId = BOOT_1): void {
    this.disk.abandon();
    this.store = opened(this.disk, this.world, bootId);
    this.store.verify();
  }

  /** Lets so much time pass that regions which nobody writes to may leave the write intent. */
  idle(): void {
    for (let tick = 0; tick < INTENT_IDLE_TICKS * 5; tick++) {
      this.store.tick();
      this.world.run(0);
    }
  }
}

/** A UUID that ends in a number, for tests. */
export function testUuid(number: number): string {
  return `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`;
}

let livesDrawn = 0;

/** Names for lives, each of which is another one. */
export function nextLife(): string {
  return testUuid(0x11fe_0000_0000 + ++livesDrawn);
}

/** The wall clock of stores that are opened in tests, unless they say another one. */
export const WALL_MS = 1_700_000_000_000;

export const BOOT_1 = testUuid(0xb001);
export const BOOT_2 = testUuid(0xb002);

/** Options of a store with three map pages and the smallest journal. */
export const SMALL_STORE: CreateOptions = {
  label: 'test disk',
  storeUuid: testUuid(1),
  poolUuid: testUuid(2),
  lineageUuid: testUuid(3),
  poolName: 'pool',
  memberId: 0,
  sizeBytes: 256 << 20,
  chunkSizeBytes: 4096,
  queueDepth: 32,
  data: 'known',
  force: false,
  journalBytes: 256 << 10,
};

/** Bytes of a disk for {@link SMALL_STORE} and the like. */
export function diskBytesFor(options: CreateOptions): number {
  return storeBytes(options.sizeBytes, options.chunkSizeBytes, options.queueDepth, options);
}

/** A disk with a new store on it. */
export function createdDisk(overrides: Partial<CreateOptions> = {}): MemoryDisk {
  const options = { ...SMALL_STORE, ...overrides };
  const disk = new MemoryDisk({ sizeBytes: diskBytesFor(options) });
  let result: OperationError | null | undefined;
  createStore(disk, options, (error) => {
    result = error;
  });
  if (result === undefined) throw new Error('creating did not end');
  if (result !== null) throw result;
  return disk;
}

/** Opens the store on a disk that ends requests at once. */
export function open(disk: MemoryDisk, world: VirtualWorld, bootId = BOOT_1): BitmapStore | OperationError {
  let result: BitmapStore | OperationError | null = null;
  openStore(disk, { label: 'test disk', world, bootId, lifeUuid: nextLife(), wallMs: WALL_MS }, (opened) => {
    result = opened;
  });
  world.run(0);
  if (result === null) throw new Error('opening did not end');
  return result;
}

/** Opens the store; throws the error where there is one. */
export function opened(disk: MemoryDisk, world = new VirtualWorld(1), bootId = BOOT_1): BitmapStore {
  const result = open(disk, world, bootId);
  if (result instanceof BitmapStoreClass) return result;
  throw result;
}

/** A range of whole chunks of {@link SMALL_STORE}, in bytes. */
export function chunks(first: number, count: number): { offsetBytes: number; lengthBytes: number } {
  return { offsetBytes: first * SMALL_STORE.chunkSizeBytes, lengthBytes: count * SMALL_STORE.chunkSizeBytes };
}

/** Collects outcomes by tag. */
export class Outcomes {
  readonly byTag = new Map<number, number>();

  onDiskDone(tag: number, status: number): void {
    if (this.byTag.has(tag)) throw new Error(`request ${tag} was answered twice`);
    this.byTag.set(tag, status);
  }
}

/** Requests of a disk that wait to be let through one by one. */
export class HeldRequests {
  readonly waiting: { readonly request: DiskRequest; readonly end: () => void }[] = [];
  readonly #random: SeededRandom;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  readonly schedule = (request: DiskRequest, end: () => void): void => {
    this.waiting.push({ request, end });
  };

  /** Ends one of the waiting requests, any of them. False when there is none. */
  endOne(): boolean {
    if (this.waiting.length === 0) return false;
    const [chosen] = this.waiting.splice(this.#random.u32() % this.waiting.length, 1);
    chosen?.end();
    return true;
  }
}
