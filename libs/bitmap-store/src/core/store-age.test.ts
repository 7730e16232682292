import { OperationError, randomBelow, SeededRandom, Status } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { beforeEach, expect, test } from 'vitest';
import { MEMBER_SLOTS } from '../constants.ts';
import { readU64 } from '../format/fields.ts';
import { HOME_B_OFFSET, JOURNAL_OFFSET } from '../format/layout.ts';
import { RecordMagic, RecordWriter } from '../format/record.ts';
import { storeSeed } from '../format/superblock.ts';
import {
  BOOT_1,
  BOOT_2,
  chunks,
  createdDisk,
  HeldRequests,
  Outcomes,
  open,
  opened,
  SMALL_STORE,
  StoreRig,
  testUuid,
  WALL_MS,
} from '../testing/store-rig.ts';
import type { StoreLife } from '../types.ts';
import { inspectStore, type StoreInspection } from './inspect-store.ts';
import { StoreState } from './store-state.ts';

const NOBODY = new Uint8Array(MEMBER_SLOTS);
const PROMISE = { epoch: 1, clientInstance: testUuid(5), clientName: 'client' };
const VERSION = { lineageUuid: testUuid(3), epoch: 1, seq: 1, inSync: [{ memberId: 1, storeUuid: testUuid(8) }], horizon: 0 };
let rig: StoreRig;
let outcomes: Outcomes;

beforeEach(() => {
  rig = new StoreRig();
  outcomes = new Outcomes();
});

/** What happens to a store between two of its lives. */
function end(how: string): void {
  if (how === 'clean') expect(rig.close()).toBe(Status.OK);
  if (how === 'power') rig.disk.crash(rig.world.random);
  rig.reopen(how === 'power' ? BOOT_2 : BOOT_1);
}

/** Whether the store has gone through that life up to that age. */
function shows(lives: readonly StoreLife[], age: number, mark: { lifeUuid: string; age: number }): boolean {
  return lives.some((life) => life.lifeUuid === mark.lifeUuid && life.firstAge <= mark.age && mark.age <= (life.lastAge ?? age));
}

function inspected(): StoreInspection {
  let found: StoreInspection | OperationError | null = null;
  inspectStore(rig.disk.copy(), { label: 'x' }, (result) => {
    found = result;
  });
  if (found === null || (found as unknown) instanceof OperationError) throw new Error('the store can not be inspected');
  return found;
}

test('the age counts records: of a new store none, then its opening, its commits, its close', () => {
  rig.disk = createdDisk();
  expect(inspected()).toMatchObject({ age: 0, lives: [], released: false, formatVersion: 2 });
  rig.take(rig.disk);
  expect(rig.store.age).toBe(1);
  // What is asked for in one turn is one record.
  for (let i = 0; i < 3; i++) rig.store.commit({ promise: { ...PROMISE, epoch: 1 + i } }, () => {});
  expect(rig.store.age).toBe(1);
  rig.world.run(0);
  expect(rig.store.age).toBe(2);
  expect(rig.close()).toBe(Status.OK);
  // The journal is empty now: what the age was stands in the home record.
  expect(inspected()).toMatchObject({ age: 3, journalRecords: 0 });
  rig.reopen();
  expect(rig.store.age).toBe(4);
});

test('the age never goes back, over checkpoints that empty the journal, clean closes, crashes and power losses', () => {
  let age = rig.store.age;
  for (const how of ['clean', 'clean', 'crash', 'power', 'clean', 'power']) {
    for (let i = 0; i < 60; i++) {
      expect(rig.commit({ dirtyAdd: [{ memberIds: [1], ranges: [chunks(age * 60 + i, 1)] }] })).toBe(Status.OK);
      expect(rig.store.age).toBe(++age);
    }
    if (how === 'clean') age++;
    end(how);
    expect(rig.store.age).toBe(++age);
  }
});

test('a newest record that was torn or lost was never told: its number goes to the next one', () => {
  const found = new Set<number>();
  for (let seed = 1; seed <= 40; seed++) {
    rig = new StoreRig();
    const held = new HeldRequests(seed);
    const disk = rig.disk.copy({ schedule: (request, done) => (request.kind === 'flush' && slow ? held.schedule(request, done) : done()) });
    let slow = false;
    rig.take(disk);
    const told = rig.store.age;
    slow = true;
    const addresses = Array.from({ length: 8 }, (_, i) => `${i}`.repeat(255));
    const member = { memberId: 1, storeUuid: testUuid(8), name: 'n', addresses };
    rig.store.commit({ members: [member, { ...member, memberId: 2 }] }, () => expect.unreachable());
    rig.world.run(0);
    expect(held.waiting).toHaveLength(1);
    expect(rig.store.age).toBe(told);
    const next = opened(rig.disk.crashImage(new SeededRandom(seed)), new VirtualWorld(1), BOOT_2);
    expect(next.age).toBeGreaterThan(told);
    next.verify();
    found.add(next.age - told);
  }
  expect(found).toEqual(new Set([1, 2]));
});

test('a commit that changes nothing has no record and does not raise the age, unless it is to', () => {
  const { age } = rig.store;
  expect(rig.commit({ dirtyAdd: [] })).toBe(Status.OK);
  expect(rig.store.age).toBe(age);
  expect(rig.commit({ ages: true })).toBe(Status.OK);
  expect(rig.commit({ ages: true, dirtyAdd: [] })).toBe(Status.OK);
  expect(rig.store.age).toBe(age + 2);
  rig.store.commit({ ages: true }, () => {});
  rig.store.commit({ ages: true }, () => {});
  rig.world.run(0);
  expect(rig.store.age).toBe(age + 3);
  end('power');
  expect(rig.store.age).toBe(age + 4);
});

test('a store remembers the lives in which something was promised, each from the age at its opening to the last before the next', () => {
  const [first] = rig.store.lives;
  expect(first).toEqual({ lifeUuid: expect.any(String), firstAge: 1, lastAge: null, openedAtMs: WALL_MS });
  expect(rig.commit({ promise: PROMISE })).toBe(Status.OK);
  expect(rig.commit({ ages: true })).toBe(Status.OK);
  end('clean');
  const lives = [{ ...first, lastAge: 4 }];
  expect(rig.store.lives).toEqual([...lives, { lifeUuid: expect.any(String), firstAge: 5, lastAge: null, openedAtMs: WALL_MS }]);
  // Of this one nobody hears.
  expect(rig.commit({ version: VERSION })).toBe(Status.OK);
  const untold = rig.store.lives.at(-1)?.lifeUuid;
  end('power');
  expect(rig.store.lives.map(({ lifeUuid }) => lifeUuid)).not.toContain(untold);
  expect(rig.store.lives).toEqual([...lives, { lifeUuid: expect.any(String), firstAge: 7, lastAge: null, openedAtMs: WALL_MS }]);
  expect(inspected().lives).toEqual(rig.store.lives);
});

test('a storage node that restarts in a loop keeps the lives that somebody was told of; of these the newest 32', () => {
  const told: string[] = [];
  for (let i = 1; i <= 40; i++) {
    expect(rig.commit({ promise: { ...PROMISE, epoch: i } })).toBe(Status.OK);
    told.push(rig.store.lives.at(-1)?.lifeUuid as string);
    if (i % 3 === 0) end('clean');
    end('crash');
  }
  expect(rig.store.lives).toHaveLength(32);
  for (let i = 0; i < 50; i++) end(i % 10 === 0 ? 'clean' : 'crash');
  expect(rig.store.lives.slice(0, -1).map(({ lifeUuid }) => lifeUuid)).toEqual(told.slice(-31));
});

test('a copy of a store can not show what the store was told after it was made, whatever the copy goes through', () => {
  expect(rig.commit({ promise: PROMISE })).toBe(Status.OK);
  const life = rig.store.lives.at(-1)?.lifeUuid as string;
  const before = { lifeUuid: life, age: rig.store.age };
  const copy = rig.disk.copy();
  expect(rig.commit({ ages: true })).toBe(Status.OK);
  const after = { lifeUuid: life, age: rig.store.age };
  end('clean');
  for (const mark of [before, after]) expect(shows(rig.store.lives, rig.store.age, mark)).toBe(true);
  rig.take(copy);
  for (let i = 0; i < 20; i++) expect(rig.commit({ promise: { ...PROMISE, epoch: 2 + i } })).toBe(Status.OK);
  end('clean');
  expect(rig.store.age).toBeGreaterThan(after.age);
  expect(shows(rig.store.lives, rig.store.age, before)).toBe(true);
  expect(shows(rig.store.lives, rig.store.age, after)).toBe(false);
});

test('a life that begins behind the end of the journal is damage: no crash leaves such a store', () => {
  const disk = createdDisk();
  const usage = { volatileLost: false, cleanShutdown: true, released: false, bootId: BOOT_1, openCount: 1 };
  for (const [firstAge, code] of [
    [4, null],
    [5, 'STORE_DAMAGED'],
  ] as const) {
    const state = new StoreState(rig.store.layout, usage);
    state.lives = { all: [{ lifeUuid: testUuid(1), firstAge, lastAge: null, openedAtMs: 0 }], told: true };
    const writer = new RecordWriter();
    writer.begin();
    state.addTo(writer);
    disk.corrupt(HOME_B_OFFSET, writer.finish(RecordMagic.HOME, 9, 5, storeSeed(SMALL_STORE.storeUuid)));
    const result = open(disk.copy(), new VirtualWorld(1));
    if (code === null) expect(result).not.toBeInstanceOf(OperationError);
    else expect(result).toMatchObject({ code, message: expect.stringContaining('a life begins with journal record 5') });
  }
});

test('released holds over everything but another version, which takes it back in its own record', () => {
  expect(rig.store.released).toBe(false);
  expect(rig.commit({ version: VERSION, promise: PROMISE })).toBe(Status.OK);
  expect(rig.commit({ released: true })).toBe(Status.OK);
  expect(rig.store.released).toBe(true);
  expect(rig.commit({ promise: { ...PROMISE, epoch: 2 }, members: [], dirtyAdd: [], reconciled: true, ages: true })).toBe(Status.OK);
  rig.disk.fail('flush', Status.EIO);
  rig.store.flush(1, outcomes);
  rig.world.run(1_000);
  expect([rig.store.released, rig.store.volatileLost]).toEqual([true, true]);
  for (const how of ['clean', 'crash', 'power']) {
    end(how);
    expect([rig.store.released, inspected().released]).toEqual([true, true]);
  }
  expect(rig.commit({ version: { ...VERSION, seq: 2 } })).toBe(Status.OK);
  expect(rig.store.released).toBe(false);
  end('power');
  expect([rig.store.version?.seq, rig.store.released]).toEqual([2, false]);
});

test('released and a version in one turn: what was asked for last holds; in one change the version does', () => {
  const both = (first: 'version' | 'released'): boolean => {
    const version = { version: { ...VERSION, seq: ++seq } };
    for (const change of first === 'version' ? [version, { released: true }] : [{ released: true }, version])
      rig.store.commit(change, () => {});
    const { journalRecords } = rig.store.counters;
    rig.world.run(0);
    expect(rig.store.counters.journalRecords).toBe(journalRecords + 1);
    end('power');
    return rig.store.released;
  };
  let seq = 1;
  expect([both('version'), both('released')]).toEqual([true, false]);
  expect(rig.commit({ released: true, version: { ...VERSION, seq: ++seq } })).toBe(Status.OK);
  expect(rig.store.released).toBe(false);
});

test('data counts as changed from prepareWrite, recordLastIo and its end on, until a record begins', () => {
  expect([rig.store.changedSinceAged, rig.store.flushedSinceAged]).toEqual([false, false]);
  const change = [
    () => rig.store.prepareWrite(0, 4096, 1, NOBODY, 0, 1, { onDiskDone() {} }),
    () => rig.store.recordLastIo(0, 1, 0, 4096),
    () => rig.store.dataChanged(),
  ];
  for (const changeData of change) {
    changeData();
    expect(rig.store.changedSinceAged).toBe(true);
    expect(rig.commit({ ages: true })).toBe(Status.OK);
    expect(rig.store.changedSinceAged).toBe(false);
  }
  rig.store.flush(1, outcomes);
  expect(rig.store.flushedSinceAged).toBe(true);
  expect(rig.commit({ ages: true })).toBe(Status.OK);
  expect([rig.store.changedSinceAged, rig.store.flushedSinceAged]).toEqual([false, false]);
});

test('what changes while a record is under way counts as changed after it', () => {
  const held = new HeldRequests(1);
  let slow = false;
  const disk = createdDisk().copy({ schedule: (request, done) => (slow ? held.schedule(request, done) : done()) });
  rig.take(disk);
  slow = true;
  rig.store.recordLastIo(0, 1, 0, 4096);
  rig.store.commit({ ages: true }, () => {});
  // It has not begun: a record is made of what a turn asks for.
  expect(rig.store.changedSinceAged).toBe(true);
  rig.world.run(0);
  expect(rig.store.changedSinceAged).toBe(false);
  rig.store.recordLastIo(0, 2, 0, 4096);
  rig.store.flush(1, outcomes);
  while (held.endOne()) rig.world.run(0);
  expect([rig.store.changedSinceAged, rig.store.flushedSinceAged]).toEqual([true, true]);
});

test.each(['flush', 'write'] as const)('after a %s of the record that failed, data counts as changed and flushed as before', (kind) => {
  rig.store.recordLastIo(0, 1, 0, 4096);
  rig.store.submitLastIo();
  rig.store.flush(1, outcomes);
  rig.world.run(0);
  const { age } = rig.store;
  rig.disk.fail(kind, Status.EIO);
  const status = rig.commit({ ages: true });
  expect([rig.store.changedSinceAged, rig.store.flushedSinceAged]).toEqual([true, true]);
  // What is written again with the loss in it is durable, and older.
  expect([status, rig.store.age > age, rig.store.failed]).toEqual(kind === 'flush' ? [Status.OK, true, false] : [Status.EIO, false, true]);
});

test('a flush that failed, whoever asked for it, leaves data counted as changed', () => {
  expect(rig.store.changedSinceAged).toBe(false);
  rig.disk.fail('flush', Status.EIO);
  rig.store.flush(1, outcomes);
  let whenAnswered = false;
  rig.store.onDoubt = () => {
    whenAnswered = rig.store.changedSinceAged;
  };
  rig.world.run(1_000);
  expect(whenAnswered).toBe(true);
});

test('an age that shows vouches for every write that had ended before its record was begun: a flush that began after its end has ended', () => {
  let compared = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed);
    const held = new HeldRequests(seed + 100);
    /** Writes that have ended, those of which a flush has made durable, and by the number of a record those that had ended when it was begun. */
    const ended: number[] = [];
    const durable = new Set<number>();
    const endedBefore = new Map<number, readonly number[]>();
    let slow = false;
    const disk = createdDisk().copy({
      schedule: (request, done) => {
        const { kind, offsetBytes, bytes } = request;
        if (kind === 'write' && bytes !== null && offsetBytes >= JOURNAL_OFFSET && offsetBytes < rig.store.layout.mapsOffset)
          endedBefore.set(readU64(bytes, 8), [...ended]);
        // A disk owes a flush only what had ended when it began; the one in memory gives more.
        const covered = kind === 'flush' ? [...ended] : [];
        const end = (): void => {
          for (const write of covered) durable.add(write);
          done();
        };
        if (slow) held.schedule(request, end);
        else end();
      },
    });
    rig.take(disk);
    slow = true;
    let writes = 0;
    for (let round = 0; round < 300; round++) {
      const choice = randomBelow(random, 8);
      if (choice < 3) {
        const write = writes++;
        disk.write(rig.store.dataOffset + write * 4096, new Uint8Array(4096), 1, { onDiskDone: () => ended.push(write) });
        disk.submit();
      } else if (choice === 3) rig.store.commit({ ages: true }, () => {});
      else if (choice === 4) rig.store.flush(1, { onDiskDone() {} });
      rig.world.run(0);
      // Several are under way at a time, so that they overtake one another.
      if (held.waiting.length < 5) continue;
      held.endOne();
      rig.world.run(0);
      for (const write of endedBefore.get(rig.store.age) ?? []) {
        expect(durable.has(write), `seed ${seed}, age ${rig.store.age}, write ${write}`).toBe(true);
        compared++;
      }
    }
  }
  expect(compared).toBeGreaterThan(1000);
});
