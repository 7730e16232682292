import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { OperationError, SeededRandom, Status } from '@rmr/runtime';
import { MemoryDisk, VirtualWorld } from '@rmr/testing';
import { expect, test } from 'vitest';
import { JOURNAL_OFFSET, SUPERBLOCK_A_OFFSET, SUPERBLOCK_B_OFFSET } from '../format/layout.ts';
import { decodeSuperblock, invalidSuperblock, SUPERBLOCK_BYTES } from '../format/superblock.ts';
import { BOOT_1, BOOT_2, HeldRequests, nextLife, opened, testUuid, WALL_MS } from '../testing/store-rig.ts';
import { BitmapStore } from './bitmap-store.ts';
import { inspectStore, type StoreInspection } from './inspect-store.ts';
import { openStore } from './open-store.ts';

/**
 * A store that was written by the last program of format version 1: created, opened, used, closed, opened again, used, and its process
 * killed. Records 1 to 4 are in the home areas, 5 to 7 in the journal.
 */
const IMAGE = new Uint8Array(gunzipSync(readFileSync(new URL('../testing/version-1.store.gz', import.meta.url))));
const AGE = 7;
const COPIES = [SUPERBLOCK_A_OFFSET, SUPERBLOCK_B_OFFSET];

function oldDisk(): MemoryDisk {
  const disk = new MemoryDisk({ sizeBytes: IMAGE.length });
  disk.corrupt(0, IMAGE);
  return disk;
}

/** Format version and sequence of each superblock copy; null: it is damaged. */
function superblocks(disk: MemoryDisk): readonly (string | null)[] {
  return COPIES.map((offset) => {
    const page = disk.peek(offset, SUPERBLOCK_BYTES);
    if (invalidSuperblock(page) !== null) return null;
    const { formatVersion, sequence } = decodeSuperblock(page);
    return `version ${formatVersion}, sequence ${sequence}`;
  });
}

function inspected(disk: MemoryDisk): StoreInspection {
  let found: StoreInspection | OperationError | null = null;
  inspectStore(disk.copy(), { label: 'x' }, (result) => {
    found = result;
  });
  if (found === null || (found as unknown) instanceof OperationError) throw found ?? new Error('inspecting did not end');
  return found;
}

/** Everything that the old program had put into the store. */
function expectContent(store: BitmapStore): void {
  store.verify();
  expect(store.promise).toEqual({ epoch: 3, clientInstance: testUuid(5), clientName: 'client-1' });
  expect(store.version).toEqual({
    lineageUuid: testUuid(3),
    epoch: 3,
    seq: 2,
    inSync: [{ memberId: 0, storeUuid: testUuid(1) }],
    horizon: 77,
  });
  expect(store.members).toEqual([
    { memberId: 0, storeUuid: testUuid(1), name: 'storage-0', addresses: ['tcp://10.0.0.1:7000'], joined: { epoch: 3, seq: 1 } },
    { memberId: 1, storeUuid: testUuid(8), name: 'storage-1', addresses: ['tcp://10.0.0.2:7000'], left: { epoch: 3, seq: 2 } },
  ]);
  expect(store.policy).toEqual({ quorum: 'majority', highestMemberId: 1, formerLineages: [testUuid(33)] });
  expect(store.dirtyMap(1)?.runs(9)).toEqual([
    { first: 0, count: 3 },
    { first: 100, count: 2 },
  ]);
  expect(store.intentRanges()).toEqual([{ offsetBytes: 0, lengthBytes: 1 << 20 }]);
  expect(store.lastIo()).toEqual([{ ioUnit: 2, writeSeq: 5, offsetBytes: 8192, lengthBytes: 4096 }]);
  expect(store.released).toBe(false);
}

test('a store of version 1 opens with all that is in it, becomes one of version 2, gets a life, and opens again', () => {
  const disk = oldDisk();
  const world = new VirtualWorld(1);
  expect(superblocks(disk)).toEqual(['version 1, sequence 1', 'version 1, sequence 1']);
  let store = opened(disk, world);
  expectContent(store);
  expect([store.age, store.superblock.formatVersion, store.superblock.sequence]).toEqual([AGE + 1, 2, 2]);
  const first = { lifeUuid: expect.any(String), firstAge: AGE + 1, lastAge: null, openedAtMs: WALL_MS };
  expect(store.lives).toEqual([first]);
  expect(superblocks(disk)).toEqual(['version 2, sequence 2', 'version 2, sequence 2']);
  expect(world.log.text()).toMatch(/has become one of a newer format version/);
  store.commit({ promise: { epoch: 3, clientInstance: testUuid(5), clientName: 'client-1' } }, (status) => expect(status).toBe(Status.OK));
  world.run(0);
  store.close((status) => expect(status).toBe(Status.OK));
  world.run(0);
  disk.abandon();
  store = opened(disk, world);
  expectContent(store);
  expect(store.lives).toEqual([
    { ...first, lastAge: AGE + 3 },
    { ...first, firstAge: AGE + 4 },
  ]);
  expect(superblocks(disk)).toEqual(['version 2, sequence 2', 'version 2, sequence 2']);
  expect(disk.peek(store.dataOffset + 8192, 1)[0]).toBe(0x5a);
});

test('inspecting a store of version 1 says so, and upgrades nothing', () => {
  const disk = oldDisk();
  expect(inspected(disk)).toMatchObject({ formatVersion: 1, age: AGE, lives: [], released: false, damagedSuperblocks: [] });
  expect(superblocks(disk)).toEqual(['version 1, sequence 1', 'version 1, sequence 1']);
});

test.each(['STORE_FOREIGN', 'IO_ERROR'])('a store of version 1 that is refused as %s is not upgraded', (code) => {
  const disk = oldDisk();
  if (code === 'IO_ERROR') disk.fail('flush', Status.EIO);
  const world = new VirtualWorld(1);
  let result: BitmapStore | OperationError | null = null;
  const expected = code === 'STORE_FOREIGN' ? { poolUuid: testUuid(77) } : {};
  openStore(disk, { label: 'x', world, bootId: BOOT_1, lifeUuid: nextLife(), wallMs: 0, ...expected }, (found) => {
    result = found;
  });
  world.run(0);
  expect(result).toMatchObject({ code });
  expect(superblocks(disk)).toEqual(['version 1, sequence 1', 'version 1, sequence 1']);
});

test.each([
  ['both copies whole', null],
  ['the first copy damaged', SUPERBLOCK_A_OFFSET],
  ['the second copy damaged', SUPERBLOCK_B_OFFSET],
])(
  'no crash point of the upgrade, %s, leaves a store that can not be opened, or one with lives that an older program would open',
  (_what, damaged) => {
    const seen = new Set<string>();
    let withLives = 0;
    for (let stop = 0, done = false; !done; stop++) {
      const random = new SeededRandom(stop + 1);
      const held = new HeldRequests(stop);
      const disk = oldDisk();
      if (damaged !== null) disk.corrupt(damaged + 64, Uint8Array.of(0xa5));
      const slow = disk.copy({ schedule: held.schedule });
      const world = new VirtualWorld(1);
      openStore(slow, { label: 'x', world, bootId: BOOT_1, lifeUuid: nextLife(), wallMs: WALL_MS }, (store) => {
        expect(store).toBeInstanceOf(BitmapStore);
        done = true;
      });
      world.run(0);
      for (let step = 0; step < stop && held.endOne(); step++) world.run(0);
      // What is known on the way is known for sure: with the first life, nobody but this program opens the store.
      for (let i = 0; i < 6; i++) {
        const image = slow.crashImage(random);
        const copies = superblocks(image);
        seen.add(copies.join(' / '));
        const { age, lives, formatVersion } = inspected(image);
        expect([AGE, AGE + 1]).toContain(age);
        expect(lives).toHaveLength(age - AGE);
        if (lives.length > 0) {
          withLives++;
          expect([formatVersion, copies]).toEqual([2, ['version 2, sequence 2', 'version 2, sequence 2']]);
        }
        const next = opened(image, new VirtualWorld(1), BOOT_2);
        expectContent(next);
        expect(next.age).toBe(age + 1);
        expect(next.lives).toEqual([{ lifeUuid: expect.any(String), firstAge: age + 1, lastAge: null, openedAtMs: WALL_MS }]);
        expect(superblocks(image)).toEqual(['version 2, sequence 2', 'version 2, sequence 2']);
      }
    }
    expect(withLives).toBeGreaterThan(0);
    expect(seen).toContain('version 1, sequence 1 / version 1, sequence 1');
    expect(seen).toContain('version 2, sequence 2 / version 1, sequence 1');
  },
);

test('the record of a life is written when both superblocks say version 2 durably, one after the other', () => {
  const old = oldDisk();
  const log: string[] = [];
  const disk: MemoryDisk = old.copy({
    schedule: (request, end) => {
      const { kind, offsetBytes } = request;
      if (kind === 'flush') log.push('flush');
      else if (kind === 'write' && COPIES.includes(offsetBytes)) log.push(`superblock at ${offsetBytes}`);
      else if (kind === 'write' && offsetBytes >= JOURNAL_OFFSET) log.push('record');
      end();
    },
  });
  opened(disk);
  // Before: what was read is written again, as it may be in the page cache only.
  expect(log.slice(log.indexOf('flush'))).toEqual([
    'flush',
    `superblock at ${SUPERBLOCK_A_OFFSET}`,
    'flush',
    `superblock at ${SUPERBLOCK_B_OFFSET}`,
    'flush',
    'record',
    'flush',
  ]);
});
