// Stores on disks that are taken whole, with crashes between any two requests.
import { inspectStore, type StoreInspection } from '@rmr/bitmap-store';
import { MIB, OperationError, SeededRandom, Status } from '@rmr/runtime';
import { MemoryDisk } from '@rmr/testing';
import { expect, test } from 'vitest';
import { checkPlace, type WantedStore } from '../../core/disks/disk-checks.ts';
import type { PlaceContent } from '../../core/disks/disk-types.ts';
import { ThreadPlaces } from '../../core/server/thread-places.ts';
import { createOnDisk, type NewStore, type StepOptions, wipeOnDisk } from './disk-stores.ts';
import { scanDisk } from './place-scan.ts';

const uuid = (digit: number): string => `00000000-0000-4000-8000-00000000000${digit}`;
const STORE: NewStore = {
  storeUuid: uuid(1),
  poolUuid: uuid(2),
  lineageUuid: uuid(3),
  poolName: 'vm-1',
  memberId: 1,
  sizeBytes: 4 * MIB,
  queueDepth: 32,
};
const WANTED: WantedStore = { ...STORE, totalBytes: 12 * MIB, metadataBytes: 8 * MIB };
const DISK_BYTES = 16 * MIB;
const options: StepOptions = { places: new ThreadPlaces(64).join(), beforeStep: () => {} };

/** As the catalogue decides. */
function check(content: PlaceContent): void {
  const place = {
    label: 'disk',
    content,
    unavailable: null,
    use: null,
    roomBytes: DISK_BYTES,
    freeBytes: null,
    sectorBytes: 512,
    neighbours: [],
  };
  const refusal = checkPlace('create', place, WANTED);
  if (refusal !== null) throw new OperationError(refusal.code, refusal.sentence);
}

function look(disk: MemoryDisk): Promise<StoreInspection | OperationError> {
  return new Promise((resolve) => inspectStore(disk, { label: 'disk' }, resolve));
}

/**
 * Runs `change` on a copy of the disk until it has made so many requests, and no further. Returns the disk as a power loss leaves it then, and
 * whether the change had ended.
 */
async function crashAfter(from: MemoryDisk, requests: number, seed: number, change: (disk: MemoryDisk) => Promise<void>) {
  let left = requests;
  const state = { stopped: (): void => {}, ended: false };
  const stopping = new Promise<void>((resolve) => {
    state.stopped = resolve;
  });
  const disk = from.copy({
    schedule: (_request, end) => {
      if (left-- > 0) end();
      else state.stopped();
    },
  });
  const changing = change(disk).then(() => {
    state.ended = true;
  });
  await Promise.race([changing, stopping]);
  return { disk: disk.crashImage(new SeededRandom(seed), { schedule: (_request, end) => end() }), ended: state.ended };
}

test.each([
  ['frees space', {}],
  ['does not', { fastPunch: false, fastZero: false }],
])('a creation that is cut short is made again without force, on a disk that %s', async (_what, features) => {
  const empty = new MemoryDisk({ sizeBytes: DISK_BYTES, features });
  const kinds = new Set<string>();
  for (let requests = 0, ended = false; !ended; requests++) {
    for (let seed = 0; seed < 3; seed++) {
      const crash = await crashAfter(empty, requests, seed, (disk) => createOnDisk(disk, 'disk', STORE, check, options));
      ended = crash.ended;
      const content = await scanDisk(crash.disk, 'disk', 'everything');
      kinds.add(content.kind);
      expect([requests, seed, ['empty', 'unfinished', 'store'].includes(content.kind)]).toEqual([requests, seed, true]);
      if (content.kind !== 'store') await createOnDisk(crash.disk, 'disk', STORE, check, options);
      expect(await look(crash.disk)).toMatchObject({ storeUuid: uuid(1) });
    }
  }
  expect([...kinds].sort()).toEqual(['empty', 'store', 'unfinished']);
});

test('a wiping that is cut short is taken over by the creation of another store', async () => {
  const used = new MemoryDisk({ sizeBytes: DISK_BYTES });
  await createOnDisk(used, 'disk', { ...STORE, storeUuid: uuid(9) }, check, options);
  const kinds = new Set<string>();
  for (let requests = 0, ended = false; !ended; requests++) {
    const crash = await crashAfter(used, requests, requests, (disk) => wipeOnDisk(disk, 'disk', uuid(9), false, options));
    ended = crash.ended;
    const content = await scanDisk(crash.disk, 'disk', 'everything');
    kinds.add(content.kind);
    const creating = createOnDisk(crash.disk, 'disk', STORE, check, options);
    if (content.kind === 'store') {
      await expect(creating).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
      expect(await look(crash.disk)).toMatchObject({ storeUuid: uuid(9) });
    } else {
      await creating;
      expect(await look(crash.disk)).toMatchObject({ storeUuid: uuid(1) });
    }
  }
  expect([...kinds].sort()).toEqual(['empty', 'store', 'wiping']);
});

test('what came to the disk after it was looked at is not overwritten', async () => {
  const disk = new MemoryDisk({ sizeBytes: DISK_BYTES });
  disk.write(1024 + 56, Uint8Array.of(0x53, 0xef), 0, { onDiskDone: () => {} });
  disk.submit();
  await expect(createOnDisk(disk, 'disk', STORE, check, options)).rejects.toMatchObject({
    code: 'CONFLICT',
    message: expect.stringContaining('an ext2 file system'),
  });
  expect(disk.allocatedBytes).toBe(4096);
});

test.each(['superblocks', 'everything'] as const)('a disk is told by what is on it: a look at %s', async (depth) => {
  const kindOf = async (prepare: (disk: MemoryDisk) => void | Promise<void>): Promise<string> => {
    const disk = new MemoryDisk({ sizeBytes: DISK_BYTES });
    await prepare(disk);
    return (await scanDisk(disk, 'disk', depth)).kind;
  };
  const write = (disk: MemoryDisk, at: number, bytes: Uint8Array): void => {
    disk.write(at, bytes, 0, { onDiskDone: () => {} });
    disk.submit();
  };
  const create = (disk: MemoryDisk): Promise<void> => createOnDisk(disk, 'disk', STORE, check, options);
  expect(await kindOf(() => {})).toBe('empty');
  expect(await kindOf(create)).toBe('store');
  expect(await kindOf((disk) => write(disk, DISK_BYTES - 1, Uint8Array.of(1)))).toBe('data');
  expect(await kindOf((disk) => write(disk, 0, new TextEncoder().encode('XFSB')))).toBe('foreign');
  expect(await kindOf((disk) => disk.fail('read', Status.EIO, 9))).toBe('damaged');
  expect(await kindOf((disk) => disk.fail('read', Status.EIO, 1, 2))).toBe('unreadable');
  const damaged = async (disk: MemoryDisk): Promise<void> => {
    await create(disk);
    // Both home records.
    write(disk, 65_536, new Uint8Array(131_072).fill(7));
  };
  expect(await kindOf(damaged)).toBe(depth === 'everything' ? 'damaged' : 'store');
  const short = new MemoryDisk({ sizeBytes: DISK_BYTES });
  await create(short);
  const head = new Uint8Array(MIB);
  short.read(0, head, 0, { onDiskDone: () => {} });
  short.submit();
  const cut = new MemoryDisk({ sizeBytes: 2 * MIB });
  write(cut, 0, head);
  expect((await scanDisk(cut, 'disk', depth)).kind).toBe('cut');
});
