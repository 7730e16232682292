import { createStore, openStore } from '@rmr/bitmap-store';
import type { PoolServer, PoolStore } from '@rmr/rmr';
import { OperationError, type OperationErrorCode, randomUuid, Status } from '@rmr/runtime';
import { MemoryDisk, VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { type OpenedStore, QUICK_MS, RETRY_MS, RETRY_MS_MAX, SLOW_ANSWER_MS, STEADY_MS, type StoreSpec } from './kept-store.ts';
import { PoolStoreAdapter } from './pool-store-adapter.ts';
import { StoreKeeper } from './store-keeper.ts';

const SIZE = 8 * 1024 * 1024;
const IO_TIMEOUT_MS = 20_000;
const BOOT = '00000000-0000-4000-8000-00000000b007';
const uuid = (digit: number): string => `00000000-0000-4000-8000-00000000000${digit}`;

/** What RMR-server has of a pool, as far as keeping its store goes. */
class FakePool {
  readonly store: PoolStore;
  executing = 0;
  failure = '';
  diskTrouble = '';
  /** As a client that takes it into service makes it. */
  state = 'REGISTERED';
  holder: string | null = null;
  whenDrained: (() => void) | null = null;

  constructor(store: PoolStore) {
    this.store = store;
  }

  storeFailed(reason: string): void {
    this.failure = reason;
  }

  describe(): { state: string; holder: string | null } {
    return { state: this.state, holder: this.holder };
  }

  /** The requests end. */
  drain(): void {
    this.executing = 0;
    this.whenDrained?.();
  }
}

/** A place where a disk may be, and what is the matter with it. */
class Slot {
  disk: MemoryDisk | null = null;
  refusal: OperationErrorCode | null = null;
  waitingMs = 0;
  oldestMs = 0;
  gone: string | null = null;
  /** Nobody says whether the path still leads to the store. */
  unknown = false;
  opened = 0;
}

let world: VirtualWorld;
let slots: Map<string, Slot>;
let pools: FakePool[];
let doubtful: Set<string>;
/** The paths for which the opener was told that their stores are kept no longer. */
let forgotten: string[];
let keeper: StoreKeeper;
/** How the start ended. */
let started: OperationError | null | undefined;

const registry = {
  register(store: PoolStore): PoolServer {
    const pool = new FakePool(store);
    pools.push(pool);
    return pool as unknown as PoolServer;
  },
  unregister(server: PoolServer, done: () => void): void {
    const pool = server as unknown as FakePool;
    expect(pools).toContain(pool);
    pools.splice(pools.indexOf(pool), 1);
    pool.whenDrained = done;
    if (pool.executing === 0) done();
  },
};

const opening = () => ({ world, bootId: BOOT, lifeUuid: randomUuid(world.random), wallMs: world.clock.wallMs() });

const opener = {
  forget(spec: StoreSpec): void {
    forgotten.push(spec.path);
  },
  open(spec: StoreSpec, isDoubtful: boolean, done: (result: OpenedStore | OperationError) => void): void {
    const slot = slots.get(spec.path) as Slot;
    slot.opened++;
    const { disk } = slot;
    if (slot.refusal !== null || disk === null) {
      const code = slot.refusal ?? 'NOT_FOUND';
      world.after(1, () => done(new OperationError(code, `${spec.path} can't be opened: ${code}`)));
      return;
    }
    // What was closed is opened anew.
    disk.abandon();
    const expected = { label: spec.path, ...(spec.poolUuid === undefined ? {} : { poolUuid: spec.poolUuid }) };
    openStore(disk, { ...expected, ...opening(), doubtful: isDoubtful }, (store) => {
      if (store instanceof OperationError) {
        disk.close(() => done(store));
        return;
      }
      done({
        store: new PoolStoreAdapter(store, disk),
        waitingMs: () => slot.waitingMs,
        pace: () => ({ oldestMs: slot.oldestMs, unwrittenBytes: 4096, bytesPerSecond: 1000 }),
        checkPresence: (known) => {
          if (!slot.unknown) world.after(1, () => known(slot.gone));
        },
      });
    });
  },
};

function newDisk(poolDigit: number, storeDigit = 8, witness = false): MemoryDisk {
  const disk = new MemoryDisk({ sizeBytes: 2 * SIZE });
  const parameters = {
    poolUuid: uuid(poolDigit),
    poolName: `pool-${poolDigit}`,
    memberId: 4,
    storeUuid: uuid(storeDigit),
    lineageUuid: uuid(9),
  };
  createStore(
    disk,
    { label: 'disk', data: 'known', force: false, sizeBytes: SIZE, chunkSizeBytes: 65_536, queueDepth: 8, witness, ...parameters },
    (error) => expect(error).toBeNull(),
  );
  return disk;
}

/** Starts a keeper of stores at these paths. */
function keep(specs: Record<string, MemoryDisk | null>, poolUuid?: string): void {
  for (const [path, disk] of Object.entries(specs)) slot(path).disk = disk;
  keeper = new StoreKeeper(
    Object.keys(specs).map((path) => ({ path, poolUuid, ioTimeoutMs: IO_TIMEOUT_MS })),
    { world, opener, registry, doubtful },
  );
  world.check(() => keeper.verify());
  keeper.start((error) => {
    started = error;
  });
}

function slot(path: string): Slot {
  const found = slots.get(path) ?? new Slot();
  slots.set(path, found);
  return found;
}
const kept = (path: string) => keeper.stores.find(({ spec }) => spec.path === path) as (typeof keeper.stores)[0];
const poolUuidOf = (path: string): string => kept(path).identity?.poolUuid ?? '';
const state = (path: string): string => kept(path).state;
const pool = (path: string): FakePool => kept(path).pool as unknown as FakePool;

function stop(): () => boolean {
  let stopped = false;
  keeper.stop(() => {
    stopped = true;
  });
  return () => stopped;
}

/** What the next process finds: whether unflushed data counts as lost. */
function lostAfter(disk: MemoryDisk): boolean | undefined {
  let lost: boolean | undefined;
  openStore(disk.copy(), { label: 'x', ...opening() }, (store) => {
    if (!(store instanceof OperationError)) lost = store.volatileLost;
  });
  world.run(0);
  return lost;
}

beforeEach(() => {
  world = new VirtualWorld(1);
  slots = new Map();
  pools = [];
  doubtful = new Set();
  forgotten = [];
  started = undefined;
});

describe('store keeper: start', () => {
  test('every store is opened and registered', () => {
    keep({ '/a': newDisk(1), '/b': newDisk(2) });
    world.run(0);
    expect(started).toBeNull();
    expect([state('/a'), state('/b')]).toEqual(['ATTACHED', 'ATTACHED']);
    expect(pools.map(({ store }) => store.identity.poolName)).toEqual(['pool-1', 'pool-2']);
    expect([kept('/a').waitsFor, kept('/a').remedy, kept('/a').reason]).toEqual([null, undefined, 'opened as member 4 of pool pool-1']);
  });

  test.each([
    ['NOT_FOUND', /^Mount the file system of \/a, attach its disk, .* An older copy .* A new store is only for /],
    ['STORE_NOT_FORMATTED', /^Mount the file system of \/a, attach its disk, .* An older copy .* A new store is only for /],
    ['STORE_FOREIGN', /^Attach the disk that belongs at \/a, .* Leave the store that is there as it is/],
    ['STORE_TOO_SMALL', /^Bring the whole file or device back to \/a .*don't lengthen this one\. .* An older copy /],
    ['INVALID_ARGUMENT', /^Correct "stores" in the configuration, where \/a /],
    ['TIMEOUT', /^Check the disk of \/a, .*reboot the host, or name the store in doubtful-stores.json/],
    ['PERMISSION_DENIED', /owner and mode/],
    ['STORE_LOCKED', /^Find out what has \/a open or mounted/],
    ['NO_SPACE', /^Free space on the file system of \/a: not in the store itself\.$/],
    ['IO_ERROR', /^Check the disk of \/a, /],
    ['STORE_DAMAGED', /^Check the disk of \/a, and keep what is there: .* An older copy of the store is no help: /],
    ['STORE_VERSION_UNKNOWN', /^Start a version of the storage node that knows the store \/a\. Don't create another store/],
  ] as const)('what helps a store that is not open (%s) is told until it is', (code, remedy) => {
    slot('/a').refusal = code;
    keep({ '/a': newDisk(1) });
    world.run(10);
    expect([state('/a'), kept('/a').remedy]).toEqual(['DETACHED', expect.stringMatching(remedy)]);
    slot('/a').refusal = null;
    world.runUntil(() => state('/a') === 'ATTACHED', RETRY_MS_MAX + 100, 'the store to be attached');
    expect(kept('/a').remedy).toBeUndefined();
  });

  test('a node without stores starts and stops', () => {
    keep({});
    expect(started).toBeNull();
    expect(stop()()).toBe(true);
  });

  test.each(['NOT_FOUND', 'STORE_LOCKED', 'IO_ERROR', 'STORE_DAMAGED', 'STORE_NOT_FORMATTED', 'PERMISSION_DENIED'] as const)(
    'a store that can not be opened (%s) does not stop the others, says why, and is tried again with growing pauses',
    (code) => {
      slot('/b').refusal = code;
      keep({ '/a': newDisk(1), '/b': newDisk(2) });
      const began = world.clock.nowMs();
      world.run(10);
      expect(started).toBeNull();
      expect([state('/a'), state('/b')]).toEqual(['ATTACHED', 'DETACHED']);
      expect(kept('/b').reason).toBe(`/b can't be opened: ${code}`);
      expect(kept('/b').waitsFor).toBe('the next attempt to open it, in 1 s');
      // It may be of any pool but the one that is open.
      expect(keeper.whyAbsent(uuid(2))).toBe(
        `this node has no open store of pool ${uuid(2)}; not open, and of a pool that it does not know: /b can't be opened: ${code}`,
      );
      const attempts: number[] = [];
      while (attempts.length < 8) {
        const { opened } = slot('/b');
        world.runUntil(() => slot('/b').opened > opened, 60_000, 'another attempt');
        attempts.push(world.clock.nowMs());
      }
      const pauses = attempts.slice(1).map((at, i) => Math.round((at - (attempts[i] as number)) / 1000));
      expect(pauses).toEqual([2, 4, 8, 16, 30, 30, 30]);
      expect(kept('/b').sinceWallMs - world.clock.wallMs()).toBe(began - world.clock.nowMs());
      slot('/b').refusal = null;
      world.runUntil(() => state('/b') === 'ATTACHED', RETRY_MS_MAX + 100, 'the store to be attached');
    },
  );

  test('a store that can not be opened for an hour is told of in a handful of lines, with how often it was tried and since when', () => {
    slot('/a').refusal = 'NOT_FOUND';
    keep({ '/a': newDisk(1) });
    world.run(60 * 60_000);
    expect(slot('/a').opened).toBeGreaterThan(100);
    const lines = world.log.entries.filter(({ level, fields }) => level !== 'debug' && fields['path'] === '/a');
    expect(lines.length).toBeLessThan(12);
    expect(lines.at(-1)).toMatchObject({ level: 'warn', event: 'a store could not be opened; it is tried again' });
    expect(lines.at(-1)?.fields['times']).toBeGreaterThan(50);
    expect(lines.at(-1)?.fields['since']).toBe(lines.find(({ level }) => level === 'warn')?.fields['since']);

    slot('/a').refusal = null;
    world.runUntil(() => state('/a') === 'ATTACHED', RETRY_MS_MAX + 100, 'the store to be attached');
    expect(world.log.entries.at(-1)).toMatchObject({ level: 'info', event: 'store state', fields: { to: 'ATTACHED' } });
    slot('/a').refusal = 'NOT_FOUND';
  });

  test('wrong pools are mistakes that end the start', () => {
    keep({ '/a': newDisk(1) }, uuid(2));
    world.run(10);
    expect(started).toMatchObject({ code: 'STORE_FOREIGN', message: expect.stringContaining('/a') });
    expect(stop()()).toBe(true);
  });

  test('two stores of one pool are a mistake that ends the start, and what was opened is closed cleanly', () => {
    const disks = { '/a': newDisk(1, 7), '/b': newDisk(1) };
    keep(disks);
    world.run(10);
    expect(started).toMatchObject({
      code: 'CONFLICT',
      message: expect.stringContaining(`stores: /b and /a are both of pool pool-1 (${uuid(1)}); a node has one store of a pool: take`),
    });
    const stopped = stop();
    world.run(0);
    expect(stopped()).toBe(true);
    expect(pools).toEqual([]);
    expect([lostAfter(disks['/a']), lostAfter(disks['/b']), doubtful.size]).toEqual([false, false, 0]);
  });

  test('a second store of a pool that turns up later stays out, also while the first is away', () => {
    keep({ '/a': newDisk(1), '/b': null });
    world.run(10);
    slot('/a').gone = '/a was removed';
    slot('/a').refusal = 'NOT_FOUND';
    world.runUntil(() => state('/a') === 'DETACHED', 10_000, 'the first to be detached');
    slot('/b').disk = newDisk(1, 7);
    world.runUntil(() => kept('/b').reason.includes('are both of pool'), 60_000, 'the second to be refused');
    expect([state('/a'), state('/b'), pools.length]).toEqual(['DETACHED', 'DETACHED', 0]);
  });

  test('a disk that does not answer holds the start up no longer than a request may take, and is attached when it does', () => {
    const disk = newDisk(1);
    disk.hang();
    keep({ '/a': disk, '/b': newDisk(2) });
    world.run(IO_TIMEOUT_MS - 100);
    expect(started).toBeUndefined();
    world.run(200);
    expect(started).toBeNull();
    expect([state('/a'), state('/b')]).toEqual(['OPENING', 'ATTACHED']);
    expect(kept('/a').reason).toContain('could not be opened within 20000 ms');
    expect(kept('/a').waitsFor).toBe('requests that do not end on the disk');
    world.run(60_000);
    expect(slot('/a').opened).toBe(1);
    disk.resume();
    world.run(100);
    expect(state('/a')).toBe('ATTACHED');
  });
});

describe('store keeper: a store and a copy of it', () => {
  const twins = `are the same store ${uuid(8)} of pool pool-1 (${uuid(1)}): one is a copy of the other`;

  test('at start neither is used: the start ends with both paths, and both were closed cleanly', () => {
    const disk = newDisk(1);
    const disks = { '/a': disk, '/b': disk.copy() };
    keep(disks);
    world.run(10);
    const message = `stores: /b and /a ${twins}, and neither is used. Take the copy out of "stores" and restart this node`;
    expect(started).toMatchObject({ code: 'CONFLICT', message: expect.stringContaining(message) });
    expect([kept('/a').pool, kept('/b').pool, pools.length]).toEqual([null, null, 0]);
    const stopped = stop();
    world.run(0);
    expect(stopped()).toBe(true);
    expect([lostAfter(disks['/a']), lostAfter(disks['/b']), doubtful.size]).toEqual([false, false, 0]);
  });

  test('one that no client has had in service goes, too, when its copy turns up; neither comes back, whichever is away', () => {
    const disk = newDisk(1);
    const copy = disk.copy();
    keep({ '/a': disk, '/b': null });
    world.run(10);
    const before = pool('/a');
    slot('/b').disk = copy;
    world.runUntil(() => kept('/b').reason.includes(twins), 60_000, 'the copy to be refused');
    world.run(100);
    expect([state('/a'), state('/b'), pools.length]).toEqual(['DETACHED', 'DETACHED', 0]);
    expect(kept('/a').reason).toContain(`/a and /b ${twins}, and neither is used`);
    expect(before.failure).toBe(kept('/a').reason);
    expect(kept('/a').remedy).toContain('out of "stores"');
    slot('/b').refusal = 'NOT_FOUND';
    world.run(5 * RETRY_MS_MAX);
    expect([state('/a'), kept('/a').reason.includes(twins), pools.length]).toEqual(['DETACHED', true, 0]);
    expect([lostAfter(disk), doubtful.size]).toEqual([false, 0]);
  });

  test.each([
    ['in service', false, 'NORMAL', null],
    ['a witness that votes', true, 'NO_IO', 'client-1'],
  ] as const)('one that is %s stays, its copy is refused, and it comes back when its disk does', (_what, witness, poolState, holder) => {
    const disk = newDisk(1, 8, witness);
    const copy = disk.copy();
    keep({ '/a': disk, '/b': null });
    world.run(10);
    pool('/a').state = poolState;
    pool('/a').holder = holder;
    slot('/b').disk = copy;
    world.runUntil(() => kept('/b').reason.includes(twins), 60_000, 'the copy to be refused');
    expect(kept('/b').reason).toContain('/a is the one that a client has had in service, and keeps its place: take /b out of "stores"');
    expect([state('/a'), state('/b'), pools.length]).toEqual(['ATTACHED', 'DETACHED', 1]);
    slot('/a').gone = '/a was removed';
    slot('/a').refusal = 'NOT_FOUND';
    world.runUntil(() => state('/a') === 'DETACHED', 10_000, 'the first to be detached');
    world.run(2 * RETRY_MS_MAX);
    expect([state('/b'), pools.length]).toEqual(['DETACHED', 0]);
    expect(kept('/b').reason).toContain('keeps its place: take the copy out of "stores", or /a if the store was moved from there');
    slot('/a').gone = null;
    slot('/a').refusal = null;
    world.runUntil(() => state('/a') === 'ATTACHED', RETRY_MS_MAX + 100, 'the first to be back');
    expect(state('/b')).not.toBe('ATTACHED');
  });
});

describe('store keeper: disks that fail', () => {
  let disk: MemoryDisk;
  beforeEach(() => {
    disk = newDisk(1);
    keep({ '/a': disk });
    world.run(STEADY_MS + 1000);
    expect(kept('/a').pool?.store.volatileLost).toBe(false);
  });

  function commit(): void {
    pool('/a').store.commit({ dirtyAdd: [{ memberIds: [2], ranges: [{ offsetBytes: 0, lengthBytes: 1 }] }] }, () => {});
  }

  test.each([
    ['write', 1],
    ['flush', 2],
  ] as const)('a journal that breaks (%s): clients are told, the store is closed, checked, and comes back', (kind, times) => {
    disk.fail(kind, Status.EIO, times);
    const before = pool('/a');
    const failedAt = world.clock.wallMs();
    commit();
    world.run(100);
    expect([state('/a'), pools.length, kept('/a').pool]).toEqual(['DETACHED', 0, null]);
    expect(before.failure).toContain('the journal of /a could not be written');
    expect(kept('/a').reason).toBe(before.failure);
    expect(kept('/a').sinceWallMs - failedAt).toBeLessThan(100);
    expect(doubtful.has('/a')).toBe(true);
    world.run(RETRY_MS + 100);
    expect(state('/a')).toBe('ATTACHED');
    expect(pool('/a')).not.toBe(before);
    // L6: the flush that failed may have been for data.
    expect(pool('/a').store.volatileLost).toBe(true);
    expect(doubtful.size).toBe(0);
  });

  test('a store that the node ended with before it could be opened again is doubtful in the next process, too', () => {
    disk.fail('flush', Status.EIO, 1000);
    commit();
    world.run(10_000);
    expect(state('/a')).toBe('DETACHED');
    expect(kept('/a').reason).toContain('can be read but not written');
    expect(stop()()).toBe(true);
    expect(doubtful.has('/a')).toBe(true);
  });

  test('a flush that fails while a store is opened makes it doubtful: the next attempt would not see it', () => {
    stop();
    world.run(0);
    expect(doubtful.size).toBe(0);
    disk.fail('flush', Status.EIO);
    keep({ '/a': disk });
    world.run(10);
    expect([state('/a'), doubtful.has('/a')]).toEqual(['DETACHED', true]);
    world.run(RETRY_MS + 100);
    expect(pool('/a').store.volatileLost).toBe(true);
  });

  test('a store that breaks again and again is tried less and less often, and anew once it has held', () => {
    const away: number[] = [];
    for (let i = 0; i < 7; i++) {
      disk.fail('write', Status.EIO);
      commit();
      world.runUntil(() => state('/a') === 'DETACHED', 1000, 'the store to be detached');
      const since = world.clock.nowMs();
      world.runUntil(() => state('/a') === 'ATTACHED', 60_000, 'the store to be attached');
      away.push(Math.round((world.clock.nowMs() - since) / 1000));
      if (i === 4) world.run(STEADY_MS + 1000);
    }
    expect(away).toEqual([1, 1, 2, 4, 8, 1, 1]);
  });

  test('a path that leads elsewhere: the store counts as having been away when it is back', () => {
    slot('/a').gone = '/a was removed';
    slot('/a').refusal = 'NOT_FOUND';
    expect(keeper.whyAbsent(poolUuidOf('/a'))).toBeNull();
    world.run(2000);
    expect(state('/a')).toBe('DETACHED');
    expect(keeper.whyAbsent(poolUuidOf('/a'))).toBe("its store is not open: /a can't be opened: NOT_FOUND");
    expect(keeper.whyAbsent(uuid(7))).toBeNull();
    slot('/a').gone = null;
    slot('/a').refusal = null;
    world.runUntil(() => state('/a') === 'ATTACHED', 10_000, 'the store to be attached');
    expect(pool('/a').store.volatileLost).toBe(true);
  });

  test('L6: a path that leads elsewhere: the store counts as having been away also if its disk was slow when it was opened', () => {
    stop();
    world.run(0);
    disk.abandon();
    disk.hang();
    keep({ '/a': disk });
    world.run(IO_TIMEOUT_MS + 1000);
    expect(state('/a')).toBe('OPENING');
    disk.resume();
    world.run(0);
    expect([state('/a'), doubtful.size]).toEqual(['ATTACHED', 0]);
    slot('/a').gone = '/a was removed';
    slot('/a').refusal = 'NOT_FOUND';
    world.run(2000);
    // It was closed without an error: what is elsewhere now may be written there.
    expect([state('/a'), lostAfter(disk), doubtful.has('/a')]).toEqual(['DETACHED', false, true]);
  });

  test('a store that was detached while its path was asked for is asked anew once it is back', () => {
    slot('/a').unknown = true;
    world.run(2000);
    disk.fail('write', Status.EIO);
    commit();
    world.run(100);
    expect(state('/a')).toBe('DETACHED');
    slot('/a').unknown = false;
    world.run(RETRY_MS + 100);
    expect(state('/a')).toBe('ATTACHED');
    slot('/a').gone = '/a was removed';
    slot('/a').refusal = 'NOT_FOUND';
    world.run(2000);
    expect(state('/a')).toBe('DETACHED');
  });

  test('a disk that hangs: clients are told, and the store waits for its requests, saying how many', () => {
    const before = pool('/a');
    before.executing = 3;
    slot('/a').waitingMs = SLOW_ANSWER_MS + 3_000;
    world.run(100);
    expect(before.diskTrouble).toBe('waits for its disk, which has not answered for 5 s');
    slot('/a').waitingMs = 0;
    world.run(100);
    expect(before.diskTrouble).toBe('');
    slot('/a').waitingMs = IO_TIMEOUT_MS + 1;
    world.run(100);
    expect(before.failure).toContain('the disk of /a has not answered within 20000 ms');
    expect([state('/a'), pools.length]).toEqual(['DETACHING', 0]);
    expect(kept('/a').waitsFor).toBe('3 requests that do not end on the disk');
    expect(kept('/a').remedy).toMatch(/^Check the disk of \/a, /);
    world.run(600_000);
    expect([state('/a'), slot('/a').opened]).toEqual(['DETACHING', 1]);
    expect(doubtful.has('/a')).toBe(true);
    slot('/a').waitingMs = 0;
    before.drain();
    world.run(RETRY_MS + 100);
    expect(state('/a')).toBe('ATTACHED');
    // It did all that it was asked to, a flush included: nothing was lost.
    expect(pool('/a').store.volatileLost).toBe(false);
  });

  test('a disk that is slow and goes on keeps its store, however long it takes; that is told until it has been quick for a while', () => {
    slot('/a').oldestMs = 100 * IO_TIMEOUT_MS;
    world.run(10 * IO_TIMEOUT_MS);
    expect([state('/a'), pools.length, doubtful.size]).toEqual(['ATTACHED', 1, 0]);
    const since = kept('/a').slowSinceWallMs;
    expect(since).toBeLessThanOrEqual(world.clock.wallMs() - 9 * IO_TIMEOUT_MS);
    expect(kept('/a').pace).toEqual({ oldestMs: 100 * IO_TIMEOUT_MS, unwrittenBytes: 4096, bytesPerSecond: 1000 });
    slot('/a').oldestMs = 0;
    world.run(QUICK_MS - 1000);
    expect(kept('/a').slowSinceWallMs).toBe(since);
    world.run(2000);
    expect(kept('/a').slowSinceWallMs).toBeNull();
    // It may stop to go on all the same.
    slot('/a').waitingMs = IO_TIMEOUT_MS + 1;
    world.run(100);
    expect(state('/a')).not.toBe('ATTACHED');
    expect(kept('/a').pace).toBeNull();
  });

  test('a disk that hangs and then fails has lost what was not flushed', () => {
    slot('/a').waitingMs = IO_TIMEOUT_MS + 1;
    disk.fail('flush', Status.EIO);
    world.run(100);
    slot('/a').waitingMs = 0;
    expect(state('/a')).toBe('DETACHED');
    world.run(RETRY_MS + 100);
    expect(pool('/a').store.volatileLost).toBe(true);
  });
});

describe('store keeper: stores that come and go while the node runs', () => {
  test('a store that is added is opened, and one that is removed is closed cleanly, while the others go on', () => {
    const added = newDisk(2);
    keep({ '/a': newDisk(1) });
    world.run(10);
    slot('/b').disk = added;
    let outcome: OperationError | null | undefined;
    keeper.add({ path: '/b', ioTimeoutMs: IO_TIMEOUT_MS }, (error) => {
      outcome = error;
    });
    world.run(10);
    expect([outcome, state('/b'), pools.length]).toEqual([null, 'ATTACHED', 2]);
    expect(() => keeper.add({ path: '/b', ioTimeoutMs: IO_TIMEOUT_MS }, () => {})).toThrow(/\/b is kept already/);
    let isRemoved = false;
    keeper.remove('/b', () => {
      isRemoved = true;
    });
    world.run(10);
    expect({ isRemoved, stores: keeper.stores.map(({ spec }) => spec.path), forgotten }).toEqual({
      isRemoved: true,
      stores: ['/a'],
      forgotten: ['/b'],
    });
    expect([state('/a'), pools.length, lostAfter(added)]).toEqual(['ATTACHED', 1, false]);
  });

  test('a store whose disk is away when it is added is tried again', () => {
    keep({});
    let outcome: OperationError | null = null;
    slot('/b').refusal = 'NOT_FOUND';
    keeper.add({ path: '/b', ioTimeoutMs: IO_TIMEOUT_MS }, (error) => {
      outcome = error;
    });
    world.run(10);
    expect(outcome).toMatchObject({ code: 'NOT_FOUND' });
    slot('/b').disk = newDisk(2);
    slot('/b').refusal = null;
    world.runUntil(() => state('/b') === 'ATTACHED', RETRY_MS_MAX + 100, 'the store to be attached');
  });

  test('of a store and its copy, the one that is left is used once the other is removed', () => {
    const disk = newDisk(1);
    const copy = disk.copy();
    keep({ '/a': disk });
    world.run(10);
    slot('/b').disk = copy;
    keeper.add({ path: '/b', ioTimeoutMs: IO_TIMEOUT_MS }, () => {});
    world.run(100);
    expect([state('/a'), state('/b')]).toEqual(['DETACHED', 'DETACHED']);
    keeper.remove('/b', () => {});
    world.runUntil(() => state('/a') === 'ATTACHED', RETRY_MS_MAX + 100, 'the one that is left to be attached');
  });

  test('a store that is removed twice, and when the node stops meanwhile, is closed once, and each is told', () => {
    const disk = newDisk(1);
    keep({ '/a': disk, '/b': newDisk(2) });
    world.run(10);
    disk.hang();
    let told = 0;
    keeper.remove('/a', () => told++);
    keeper.remove('/a', () => told++);
    const stopped = stop();
    world.run(100);
    expect([told, stopped(), state('/b')]).toEqual([0, false, 'STOPPED']);
    disk.resume();
    world.run(100);
    expect([told, stopped(), doubtful.size]).toEqual([2, true, 0]);
  });

  test('a removal waits no longer for a disk that hangs than a request may take', () => {
    const disk = newDisk(1);
    keep({ '/a': disk });
    world.run(10);
    disk.hang();
    let isRemoved = false;
    keeper.remove('/a', () => {
      isRemoved = true;
    });
    world.run(IO_TIMEOUT_MS + 200);
    expect([isRemoved, keeper.stores.length, doubtful.has('/a')]).toEqual([true, 0, true]);
  });
});

describe('store keeper: stop', () => {
  test('stores are closed, marked as shut down cleanly', () => {
    const disks = { '/a': newDisk(1), '/b': newDisk(2) };
    keep(disks);
    world.run(10);
    const stopped = stop();
    world.run(0);
    expect(stopped()).toBe(true);
    expect([state('/a'), state('/b'), pools.length]).toEqual(['STOPPED', 'STOPPED', 0]);
    world.run(10_000);
    expect(slot('/a').opened).toBe(1);
  });

  test('a store whose disk hangs is waited for no longer than a request may take', () => {
    keep({ '/a': newDisk(1), '/b': newDisk(2) });
    world.run(10);
    const { disk } = slot('/b');
    (disk as MemoryDisk).hang();
    const stopped = stop();
    world.run(IO_TIMEOUT_MS - 100);
    expect([stopped(), state('/a'), state('/b')]).toEqual([false, 'STOPPED', 'DETACHING']);
    world.run(200);
    expect([stopped(), state('/b')]).toEqual([true, 'STOPPED']);
    // Its disk may go away with what was not flushed, and the next process would take it for whole.
    expect([...doubtful]).toEqual(['/b']);
    disk?.resume();
    world.run(1000);
    expect(state('/b')).toBe('STOPPED');
  });

  test('a store that is being opened is closed again, or given up with its disk', () => {
    const slow = newDisk(1);
    const dead = newDisk(2);
    slow.hang();
    dead.hang();
    keep({ '/a': slow, '/b': dead });
    const stopped = stop();
    slow.resume();
    world.run(100);
    expect([state('/a'), state('/b'), stopped()]).toEqual(['STOPPED', 'OPENING', false]);
    expect(lostAfter(slow)).toBe(false);
    world.run(IO_TIMEOUT_MS);
    expect([state('/b'), stopped()]).toEqual(['STOPPED', true]);
    dead.resume();
    world.run(1000);
    expect(pools).toEqual([]);
  });

  test('a store that can not be closed cleanly is doubtful', () => {
    const disk = newDisk(1);
    keep({ '/a': disk });
    world.run(10);
    disk.fail('flush', Status.EIO, 10);
    const stopped = stop();
    world.run(0);
    expect([stopped(), doubtful.has('/a')]).toEqual([true, true]);
  });
});
