import { Status } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  IO_BYTES_MAX,
  MAP_CHECK_MS,
  MAP_CHECK_URGENT_MS,
  RESYNC_BYTES_MAX,
  RESYNC_BYTES_MIN,
  RESYNC_DEPTH_DEFAULT,
  RESYNC_LOAD_MS,
  RESYNC_READ_MS,
  RESYNC_RETRY_MS,
  RESYNC_RETRY_MS_MAX,
  RESYNC_WANTED_DEPTH,
} from '../../constants.ts';
import type { VersionRecord } from '../../pool-store.ts';
import { identityOf, memberOf, ScriptedSessions, storeOf, versionOf } from '../../testing/scripted-pool.ts';
import type { ScriptedIo, ScriptedSession } from '../../testing/scripted-session.ts';
import { ScriptedStore } from '../../testing/scripted-store.ts';
import { MessageType } from '../../wire/io-message.ts';
import { readLeaves } from '../map-leaves.ts';
import { Resync, type ResyncOptions } from './resync.ts';
import { type SyncPeer, SyncPeers } from './sync-peers.ts';

let world: VirtualWorld;
let store: ScriptedStore;
let sessions: ScriptedSessions;
let peers: SyncPeers;
let resync: Resync;
let released: number;
let chunkBytes: number;

const session = (memberId: number): ScriptedSession => sessions.of({ memberId });
/** Version 3.`seq`. */
const version = (seq: number, memberIds: readonly number[]): VersionRecord => versionOf(seq, memberIds, { epoch: 3 });
const peer = (memberId: number): SyncPeer => peers.all().find((one) => one.member.memberId === memberId) as SyncPeer;
/** Reads under way at a member, as chunk runs. */
const reads = (memberId: number): string[] => session(memberId).ios.map(({ message }) => runOf(message.offsetBytes, message.lengthBytes));
const runOf = (offset: number, length: number): string => `${offset / chunkBytes}+${Math.ceil(length / chunkBytes)}`;
/** A chunk run as the store notes it. */
const at = (first: number, count = 1): string => `${first * chunkBytes}+${count * chunkBytes}`;
const held = (): string[] => store.held.map(({ what }) => what);

interface Setting {
  readonly chunks?: number;
  readonly chunkBytes?: number;
  /** Bytes that the last chunk lacks. */
  readonly short?: number;
  readonly options?: ResyncOptions;
  readonly members?: readonly number[];
}

function setUp({ chunks = 64, chunkBytes: size = 4096, short = 0, options = {}, members = [1, 2, 3] }: Setting = {}): void {
  world = new VirtualWorld();
  sessions = new ScriptedSessions();
  released = 0;
  chunkBytes = size;
  store = new ScriptedStore(identityOf(1, chunks, size, short));
  store.members = members.map((memberId) => memberOf(memberId));
  peers = new SyncPeers(world, store, sessions, () => resync.poke());
  resync = new Resync(world, store, peers, options, () => void released++);
  world.check(() => resync.verify());
}

/** The pool is NORMAL under version 5 (unless told otherwise), and these members have answered sync-join. */
function start(joined: readonly number[] = [2, 3], inForce = version(5, [1, 2, 3])): void {
  peers.start(inForce);
  resync.start(inForce);
  world.run(50);
  for (const memberId of joined) {
    session(memberId)
      .next('sync-join')
      .answer({ poolHandle: 40 + memberId, memberId, storeUuid: storeOf(memberId) });
  }
  turn();
}

/** Ends the turn. */
function turn(): void {
  world.run(0);
  resync.verify();
}

/** A member answers its oldest read. */
function answer(memberId: number, status: number = Status.OK, fill = 9, lengthBytes?: number): ScriptedIo {
  const io = session(memberId).ios.shift();
  if (io === undefined) throw new Error(`nothing is read from member ${memberId}`);
  if (status === Status.OK) io.answer(status, new Uint8Array(lengthBytes ?? io.message.lengthBytes).fill(fill));
  else io.answer(status);
  turn();
  return io;
}

/** Everything that is under way ends well. */
function pullAll(): void {
  for (let again = true; again; ) {
    again = store.endAll().length > 0;
    turn();
    for (const [address, { ios }] of sessions.all()) {
      if (ios.length === 0) continue;
      answer(Number(address.slice(-1)));
      again = true;
    }
  }
}

beforeEach(() => setUp());

describe('resync: one pull (R1)', () => {
  test('lock, read, intent, write, flush, clear, unlock: each when the one before has ended', () => {
    store.prepared = false;
    store.mapOf(1).set(4, 2);
    start([2]);
    expect([reads(2), resync.locked, held()]).toEqual([['4+2'], 2, []]);
    expect(session(2).ios[0]?.message).toMatchObject({ type: MessageType.SYNC_READ, poolHandle: 42, epoch: 3, versionSeq: 5 });
    answer(2);
    expect(held()).toEqual([`prepare ${at(4, 2)}`]);
    store.end(`prepare ${at(4, 2)}`);
    turn();
    expect(held()).toEqual([`write ${at(4, 2)}`]);
    store.end(`write ${at(4, 2)}`);
    turn();
    expect(held()).toEqual(['flush']);
    store.end('flush');
    turn();
    expect([held(), resync.locked, released]).toEqual([['commit clear 1:4-5'], 2, 0]);
    store.end('commit clear 1:4-5');
    turn();
    expect([resync.locked, released, store.mapOf(1).dirtyCount]).toEqual([0, 1, 0]);
    expect(resync.status()).toMatchObject({ state: 'IDLE', bytesLeft: 0, pulledBytes: 8192, reason: '' });
  });

  test('every step is started in its turn: the store is told to submit', () => {
    store.mapOf(1).set(4, 1);
    start([2]);
    for (const step of ['read', 'write', 'flush']) {
      store.calls.length = 0;
      if (step === 'read') answer(2);
      else store.endOne(step);
      turn();
      expect(store.calls.at(-1)).toBe('submit');
    }
    expect(held()).toEqual(['commit clear 1:4']);
  });

  test('what reads as zeroes becomes a hole', () => {
    store.mapOf(1).set(4, 1);
    start([2]);
    answer(2, Status.OK, 0);
    expect(held()).toEqual([`punch ${at(4)}`]);
  });

  test('the last chunk may be short', () => {
    setUp({ chunks: 8, short: 1000 });
    store.mapOf(1).set(7, 1);
    start([2]);
    expect(session(2).ios[0]?.message.lengthBytes).toBe(3096);
    pullAll();
    expect(resync.status()).toMatchObject({ state: 'IDLE', pulledBytes: 3096 });
  });

  test('memory of the data is given back when the pull has ended, well or not', () => {
    store.mapOf(1).set(4, 2);
    start([2]);
    answer(2);
    expect(session(2).slabs.heldBytes).toBeGreaterThan(0);
    store.endOne('write', Status.EIO);
    turn();
    expect(session(2).slabs.heldBytes).toBe(0);
    world.run(RESYNC_RETRY_MS + 50);
    pullAll();
    expect([session(2).slabs.heldBytes, store.mapOf(1).dirtyCount]).toEqual([0, 0]);
  });

  test('I4: it is read only from members that have it clean, also run by run', () => {
    store.mapOf(1).set(0, 6);
    store.mapOf(2).set(2, 2);
    store.mapOf(3).set(0, 2);
    start();
    expect([reads(2), reads(3)]).toEqual([['0+2'], ['2+4']]);
  });

  test('members out of the in-sync set are not read from, nor is one that has not joined', () => {
    store.mapOf(1).set(0, 2);
    start([2], version(5, [1, 2]));
    expect([reads(2), sessions.inUse]).toEqual([['0+2'], ['memory:2']]);
  });

  test('pulls go to the member with the fewest reads in flight', () => {
    store.mapOf(1).set(0, 1);
    store.mapOf(1).set(10, 1);
    store.mapOf(1).set(20, 1);
    store.mapOf(1).set(30, 1);
    start();
    expect([reads(2).length, reads(3).length]).toEqual([2, 2]);
  });

  test('a chunk that a write replaces whole is left alone, and those beside it are not', () => {
    store.mapOf(1).set(4, 3);
    resync.lock(5);
    start([2]);
    expect([reads(2), resync.isLocked(5, 1)]).toEqual([['4+1', '6+1'], true]);
    expect(() => resync.lock(4)).toThrow('locked twice');
    expect(() => resync.unlock(9)).toThrow('not locked');
  });
});

describe('resync: failures', () => {
  test.each([
    ['EDIRTY', Status.EDIRTY],
    ['EVERSION', Status.EVERSION],
    ['EIO', Status.EIO],
    ['ESESSION', Status.ESESSION],
  ])('I11: a read that ends with %s is tried again after a while, with the chunk unlocked meanwhile', (name, status) => {
    store.mapOf(1).set(4, 1);
    start([2], version(5, [1, 2]));
    answer(2, status);
    expect([resync.locked, released, held()]).toEqual([0, 1, []]);
    expect(resync.status()).toMatchObject({ state: 'FAILED', reason: `member 2 (storage-2) could not be read: ${name}`, etaSeconds: null });
    world.run(RESYNC_RETRY_MS - 60);
    expect(reads(2)).toEqual([]);
    world.run(120);
    expect([reads(2), resync.status().state]).toEqual([['4+1'], 'RUNNING']);
    pullAll();
    expect(resync.status()).toMatchObject({ state: 'IDLE', reason: '' });
  });

  test('an answer of the wrong length is a failure', () => {
    store.mapOf(1).set(4, 1);
    start([2], version(5, [1, 2]));
    answer(2, Status.OK, 9, 100);
    expect([held(), resync.status().reason]).toEqual([[], expect.stringContaining('wrong length')]);
  });

  test('I12: the longer it fails the longer it waits, up to a bound; success begins anew', () => {
    store.mapOf(1).set(4, 1);
    start([2], version(5, [1, 2]));
    const pauses: number[] = [];
    for (let i = 0; i < 9; i++) {
      answer(2, Status.EIO);
      const failedMs = world.clock.nowMs();
      world.runUntil(() => reads(2).length > 0, 2 * RESYNC_RETRY_MS_MAX, 'another read');
      pauses.push(world.clock.nowMs() - failedMs);
    }
    expect(pauses[0]).toBeLessThanOrEqual(RESYNC_RETRY_MS + 50);
    for (let i = 1; i < pauses.length; i++) expect(pauses[i]).toBeGreaterThanOrEqual(pauses[i - 1] as number);
    expect(pauses.at(-1)).toBeGreaterThanOrEqual(RESYNC_RETRY_MS_MAX);
    expect(pauses.at(-1)).toBeLessThanOrEqual(RESYNC_RETRY_MS_MAX + 50);
    store.mapOf(1).set(9, 1);
    answer(2);
    for (const step of ['write', 'flush', 'commit']) {
      store.endOne(step);
      turn();
    }
    answer(2, Status.EIO);
    world.run(RESYNC_RETRY_MS + 50);
    expect(reads(2)).toEqual(['9+1']);
  });

  test('a handle that the member does not know any more is asked for anew', () => {
    store.mapOf(1).set(4, 1);
    start([2], version(5, [1, 2]));
    answer(2, Status.ENOPOOL);
    expect(peer(2).ready).toBe(false);
    world.run(RESYNC_RETRY_MS + 50);
    session(2)
      .next('sync-join')
      .answer({ poolHandle: 77, memberId: 2, storeUuid: storeOf(2) });
    turn();
    expect(session(2).ios[0]?.message.poolHandle).toBe(77);
  });

  test.each(['prepare', 'write', 'flush', 'commit'])(
    'a store that fails at %s: nothing is cleared, the chunk is unlocked, the reason is told',
    (step) => {
      store.prepared = false;
      store.mapOf(1).set(4, 1);
      start([2], version(5, [1, 2]));
      answer(2);
      for (const earlier of ['prepare', 'write', 'flush', 'commit'].slice(0, ['prepare', 'write', 'flush', 'commit'].indexOf(step))) {
        store.endOne(earlier);
        turn();
      }
      store.endOne(step, Status.EIO);
      turn();
      expect([store.mapOf(1).test(4), resync.locked, held()]).toEqual([true, 0, []]);
      expect(resync.status()).toMatchObject({ state: 'FAILED', reason: "this member's store failed: EIO" });
    },
  );

  test('while a read fails at one member the others go on', () => {
    store.mapOf(1).set(0, 1);
    store.mapOf(1).set(10, 1);
    start();
    expect([reads(2), reads(3)]).toEqual([['0+1'], ['10+1']]);
    answer(2, Status.EIO);
    answer(3);
    expect(held()).toEqual([`write ${at(10)}`]);
    expect(resync.status().state).toBe('RUNNING');
  });

  test('a member without a permit is asked once it has one', () => {
    store.mapOf(1).set(4, 1);
    peers.start(version(5, [1, 2]));
    resync.start(version(5, [1, 2]));
    world.run(50);
    session(2).permits = 0;
    session(2)
      .next('sync-join')
      .answer({ poolHandle: 42, memberId: 2, storeUuid: storeOf(2) });
    turn();
    expect([reads(2), resync.locked]).toEqual([[], 0]);
    session(2).permits = 1;
    for (const user of session(2).users) user.onSessionPermit(session(2).shared);
    turn();
    expect(reads(2)).toEqual(['4+1']);
  });
});

describe('resync: versions (R2, ◆21)', () => {
  test('what is being read when the version changes is dropped, its chunks are unlocked at once, and it is read anew', () => {
    store.mapOf(1).set(4, 1);
    start([2], version(5, [1, 2]));
    resync.start(version(6, [1, 2]));
    peers.start(version(6, [1, 2]));
    expect([resync.locked, released]).toEqual([0, 1]);
    turn();
    expect([reads(2), session(2).ios.map(({ message }) => message.versionSeq)]).toEqual([
      ['4+1', '4+1'],
      [5, 6],
    ]);
    // The answer to the old read changes nothing, whatever it is.
    answer(2, Status.OK, 1);
    expect([held(), resync.locked]).toEqual([[], 1]);
    answer(2);
    expect(held()).toEqual([`write ${at(4)}`]);
  });

  test('an old read that fails is no failure of the new version', () => {
    store.mapOf(1).set(4, 1);
    start([2], version(5, [1, 2]));
    resync.start(version(6, [1, 2]));
    turn();
    answer(2, Status.EVERSION);
    expect([resync.status().state, resync.locked]).toEqual(['RUNNING', 1]);
  });

  test.each(['prepare', 'write', 'flush'])(
    '◆21: a version change during %s: the chunk is not cleared, and stays locked until the disk is done',
    (step) => {
      store.prepared = false;
      store.mapOf(1).set(4, 1);
      start([2], version(5, [1, 2]));
      answer(2);
      for (const earlier of ['prepare', 'write', 'flush'].slice(0, ['prepare', 'write', 'flush'].indexOf(step))) {
        store.endOne(earlier);
        turn();
      }
      resync.start(version(6, [1, 2]));
      turn();
      expect([resync.locked, reads(2)]).toEqual([1, []]);
      while (held().length > 0) {
        expect(held()[0]).not.toContain('commit');
        store.endOne('');
        turn();
      }
      expect(store.mapOf(1).test(4)).toBe(true);
      // It is pulled again under the new version.
      expect(session(2).ios.map(({ message }) => message.versionSeq)).toEqual([6]);
      store.prepared = true;
      pullAll();
      expect(store.mapOf(1).dirtyCount).toBe(0);
    },
  );

  test('leaving NORMAL ends everything: nothing is read or cleared any more', () => {
    store.mapOf(1).set(4, 1);
    store.mapOf(1).set(10, 1);
    start([2], version(5, [1, 2]));
    answer(2);
    resync.stop();
    peers.stop();
    expect([resync.status().state, resync.locked]).toEqual(['IDLE', 1]);
    answer(2);
    store.endAll();
    turn();
    world.run(5000);
    expect([store.mapOf(1).dirtyCount, resync.locked, reads(2), held()]).toEqual([2, 0, [], []]);
  });

  test('I7, I10: a drain waits for what is being written, and for nothing else', () => {
    store.mapOf(1).set(4, 1);
    store.mapOf(1).set(10, 1);
    start([2], version(5, [1, 2]));
    const drained: string[] = [];
    resync.whenOffDisk(() => drained.push('nothing on disk'));
    expect(drained).toEqual(['nothing on disk']);
    answer(2);
    resync.stop();
    resync.whenOffDisk(() => drained.push('written'));
    expect(drained.length).toBe(1);
    store.endOne('write');
    turn();
    expect(drained.length).toBe(1);
    store.endOne('flush');
    expect(drained).toEqual(['nothing on disk', 'written']);
  });
});

describe('resync: bounds (I12)', () => {
  test('no more pulls than the depth; more only for chunks that IO waits for, and not without end', () => {
    setUp({ chunks: 4096 });
    for (let chunk = 0; chunk < 4096; chunk += 2) store.mapOf(1).set(chunk, 1);
    start([2], version(5, [1, 2]));
    expect(reads(2).length).toBe(RESYNC_DEPTH_DEFAULT);
    answer(2);
    // The place of a pull is free when it has ended, not when it was answered.
    expect(reads(2).length).toBe(RESYNC_DEPTH_DEFAULT - 1);
    store.endAll();
    turn();
    expect(reads(2).length).toBe(RESYNC_DEPTH_DEFAULT);
    session(2).permits = 1000;
    resync.want(2000, 200);
    turn();
    expect(reads(2).length).toBe(RESYNC_DEPTH_DEFAULT + RESYNC_WANTED_DEPTH);
  });

  test('as many bytes as the way carries without a queue, between two bounds, in requests as large as a message at most', () => {
    setUp({ chunks: 4096, chunkBytes: 131072 });
    store.mapOf(1).set(0, 4096);
    start([2], version(5, [1, 2]));
    const inFlight = (): number => session(2).ios.reduce((sum, { message }) => sum + message.lengthBytes, 0);
    expect(inFlight()).toBe(RESYNC_BYTES_MIN);
    const seen: number[] = [];
    for (let i = 0; i < 100; i++) {
      answer(2);
      store.endAll();
      turn();
      seen.push(inFlight());
    }
    expect([Math.max(...seen), seen.at(-1)]).toEqual([RESYNC_BYTES_MAX, RESYNC_BYTES_MAX]);
    expect(Math.max(...session(2).ios.map(({ message }) => message.lengthBytes))).toBe(IO_BYTES_MAX);
    for (let i = 0; i < 30; i++) {
      world.run(RESYNC_READ_MS + 50);
      answer(2);
      store.endAll();
      turn();
    }
    expect(inFlight()).toBeLessThanOrEqual(RESYNC_BYTES_MIN);
    expect(inFlight()).toBeGreaterThan(0);
  });

  test('the depth can be changed while it runs', () => {
    setUp({ options: { depth: 2 } });
    for (let chunk = 0; chunk < 64; chunk += 2) store.mapOf(1).set(chunk, 1);
    start([2], version(5, [1, 2]));
    expect(reads(2).length).toBe(2);
    resync.options = { depth: 5 };
    turn();
    expect(reads(2).length).toBe(5);
  });

  test('a depth that is lowered while pulls are under way counts for the next ones', () => {
    setUp({ options: { depth: 4 } });
    for (let chunk = 0; chunk < 64; chunk += 2) store.mapOf(1).set(chunk, 1);
    start([2], version(5, [1, 2]));
    resync.options = { depth: 1 };
    turn();
    for (let left = 3; left >= 0; left--) {
      answer(2);
      store.endAll();
      turn();
      expect(reads(2).length).toBe(Math.max(left, 1));
    }
  });

  test('chunks larger than a message are read in pieces', () => {
    setUp({ chunks: 4, chunkBytes: 4 * IO_BYTES_MAX, short: 1000 });
    store.mapOf(1).set(2, 2);
    start([2], version(5, [1, 2]));
    for (const { message } of session(2).ios) expect(message.lengthBytes).toBeLessThanOrEqual(IO_BYTES_MAX);
    pullAll();
    expect([store.mapOf(1).dirtyCount, resync.status().pulledBytes]).toEqual([0, 8 * IO_BYTES_MAX - 1000]);
  });

  test('an all-dirty device without anybody to read from costs no step per chunk', () => {
    setUp({ chunks: 2 ** 28, chunkBytes: 4096 });
    store.mapOf(1).set(0, 2 ** 28);
    let looked = 0;
    const { dirtyMap } = store;
    store.dirtyMap = (memberId) => {
      looked++;
      if (looked > 10_000) throw new Error('the maps are looked at once per chunk');
      return dirtyMap.call(store, memberId);
    };
    start([], version(5, [1, 2]));
    world.run(1000);
    expect(resync.status().reason).toContain('wait for member 2');
    store.mapOf(2).set(0, 2 ** 28 - 5);
    session(2)
      .next('sync-join')
      .answer({ poolHandle: 42, memberId: 2, storeUuid: storeOf(2) });
    turn();
    expect(reads(2)).toEqual([`${2 ** 28 - 5}+5`]);
  });

  test('an all-dirty device whose only source has no permit costs no step per chunk', () => {
    setUp({ chunks: 2 ** 28, chunkBytes: 4096 });
    store.mapOf(1).set(0, 2 ** 28);
    start([], version(5, [1, 2]));
    let tried = 0;
    session(2).permits = 0;
    const { rtrs } = session(2);
    rtrs.allocate = () => {
      tried++;
      if (tried > 1000) throw new Error('a permit is asked for once per chunk');
      return -1;
    };
    session(2)
      .next('sync-join')
      .answer({ poolHandle: 42, memberId: 2, storeUuid: storeOf(2) });
    turn();
    expect(tried).toBeGreaterThan(0);
  });
});

describe('resync: rate', () => {
  /** Pulls for so many milliseconds, each read answered at once; returns the bytes. */
  function pullFor(durationMs: number, each: () => void = () => {}): number {
    const before = resync.status().pulledBytes;
    const untilMs = world.clock.nowMs() + durationMs;
    while (world.clock.nowMs() < untilMs) {
      each();
      pullAll();
      world.run(50);
    }
    return resync.status().pulledBytes - before;
  }

  beforeEach(() => {
    setUp({ chunks: 1024, chunkBytes: 131072, options: { rateBytes: 4 * 1048576, loadedRateBytes: 1048576 } });
    store.mapOf(1).set(0, 1024);
  });

  test('no faster than the rate, and not much slower', () => {
    start([2], version(5, [1, 2]));
    pullFor(1000);
    const bytes = pullFor(4000);
    expect(bytes).toBeGreaterThan(0.9 * 16 * 1048576);
    expect(bytes).toBeLessThan(1.1 * 16 * 1048576 + IO_BYTES_MAX);
    expect(resync.status().bytesPerSecond).toBeGreaterThan(3 * 1048576);
    expect(resync.status().bytesPerSecond).toBeLessThan(5 * 1048576);
    const { bytesLeft, bytesPerSecond, etaSeconds } = resync.status();
    expect(etaSeconds).toBe(Math.ceil(bytesLeft / bytesPerSecond));
  });

  test('slower while clients do IO, and at full rate some time after', () => {
    start([2], version(5, [1, 2]));
    pullFor(1000);
    const loaded = pullFor(4000, () => resync.noteClientIo(world.clock.nowMs()));
    expect(loaded).toBeLessThan(1.1 * 4 * 1048576 + IO_BYTES_MAX);
    expect(loaded).toBeGreaterThan(0.5 * 4 * 1048576);
    pullFor(RESYNC_LOAD_MS);
    expect(pullFor(2000)).toBeGreaterThan(0.8 * 8 * 1048576);
  });

  test('an idle time is not saved up for a burst', () => {
    start([2], version(5, [1, 2]));
    resync.paused = true;
    world.run(60_000);
    resync.paused = false;
    turn();
    let bytes = 0;
    for (const { message } of session(2).ios) bytes += message.lengthBytes;
    expect(bytes).toBeLessThanOrEqual(1048576 + IO_BYTES_MAX);
  });

  test('the rate can be lifted while it runs', () => {
    start([2], version(5, [1, 2]));
    pullFor(500);
    resync.options = { rateBytes: null, loadedRateBytes: null };
    expect(pullFor(100)).toBeGreaterThan(16 * 1048576);
  });

  test('chunks that IO waits for come first, and beyond the rate', () => {
    resync.options = { rateBytes: 1, loadedRateBytes: 1 };
    start([2], version(5, [1, 2]));
    resync.want(800, 2);
    turn();
    expect(reads(2).slice(-2)).toEqual(['800+1', '801+1']);
    // Beyond the depth, too.
    resync.options = { depth: 1 };
    resync.want(900, 1);
    turn();
    expect(reads(2).at(-1)).toBe('900+1');
  });
});

describe('resync: paused', () => {
  test('nothing is begun but what IO waits for; what is under way ends', () => {
    for (let chunk = 0; chunk < 64; chunk += 2) store.mapOf(1).set(chunk, 1);
    resync.options = { depth: 2 };
    start([2], version(5, [1, 2]));
    resync.paused = true;
    turn();
    expect(resync.status()).toMatchObject({ state: 'PAUSED', reason: 'paused by an operator', bytesPerSecond: 0, etaSeconds: null });
    pullAll();
    expect([reads(2), resync.locked, store.mapOf(1).dirtyCount]).toEqual([[], 0, 30]);
    resync.want(40, 1);
    turn();
    expect(reads(2)).toEqual(['40+1']);
    pullAll();
    expect(store.mapOf(1).dirtyCount).toBe(29);
    resync.paused = false;
    turn();
    pullAll();
    expect(resync.status().state).toBe('IDLE');
  });
});

describe('resync: why it stands still', () => {
  test('the members are named that have the chunk and cannot be read from', () => {
    store.mapOf(1).set(4, 1);
    start([]);
    session(2).next('sync-join').refuse('UNKNOWN_POOL', 'no such pool');
    session(3).cut('cable');
    world.run(100);
    expect(resync.status()).toMatchObject({ state: 'RUNNING', sourceMemberIds: [], etaSeconds: null });
    expect(resync.status().reason).toBe(
      'chunk 4 and others wait for member 2 (storage-2) (member 2 (storage-2): no such pool) or member 3 (storage-3) (no session: cable)',
    );
  });

  test('I8: a member out of the set that alone has it is waited for, by name', () => {
    store.mapOf(1).set(4, 1);
    store.mapOf(2).set(4, 1);
    start([2], version(5, [1, 2]));
    expect(resync.status().reason).toBe('chunk 4 and others wait for member 3 (storage-3) (out of the in-sync set)');
    resync.want(4, 1);
    turn();
    expect([resync.status().reason, peers.urgent]).toEqual(['chunk 4 waits for member 3 (storage-3) (out of the in-sync set)', true]);
  });

  test('a version that brings a source makes it go on, and forget what failed before', () => {
    store.mapOf(1).set(4, 1);
    store.mapOf(3).set(4, 1);
    start();
    answer(2, Status.EIO);
    expect(resync.status()).toMatchObject({ state: 'FAILED' });
    const alone = version(6, [1, 3]);
    peers.start(alone);
    resync.start(alone);
    turn();
    expect(resync.status()).toMatchObject({
      state: 'RUNNING',
      reason: 'chunk 4 and others wait for member 2 (storage-2) (out of the in-sync set)',
    });
    peers.start(version(7, [1, 2, 3]));
    resync.start(version(7, [1, 2, 3]));
    turn();
    expect(resync.status()).toMatchObject({ state: 'RUNNING', reason: '', sourceMemberIds: [2] });
  });
});

describe('resync: chunks without a clean copy (I8)', () => {
  /** Member `memberId` answers a map check with its own map as it is known here. */
  function confirm(memberId: number, seq = 5): void {
    world.runUntil(() => session(memberId).ops.includes('map-check'), 2 * MAP_CHECK_MS, `a map check of member ${memberId}`);
    const call = session(memberId).next('map-check');
    call.answer({ stamp: { epoch: 3, seq }, ...readLeaves(store.mapOf(memberId), call.request.fromLeaf) });
    turn();
  }

  beforeEach(() => {
    for (const memberId of [1, 2, 3]) store.mapOf(memberId).set(4, 1);
  });

  test('lost only after every in-sync peer has confirmed it since IO began to wait', () => {
    start();
    confirm(2);
    confirm(3);
    world.run(10);
    expect(resync.isLost(4)).toBe(false);
    resync.want(4, 1);
    turn();
    world.run(10);
    confirm(2);
    // That round may have begun before IO waited.
    expect(resync.isLost(4)).toBe(false);
    for (let i = 0; i < 2; i++) confirm(3);
    for (let i = 0; i < 2; i++) confirm(2);
    expect(resync.isLost(4)).toBe(true);
    world.run(50);
    expect(released).toBeGreaterThan(0);
  });

  test('a peer that does not answer leaves it open; so does an answer under another version', () => {
    start();
    resync.want(4, 1);
    turn();
    for (let i = 0; i < 3; i++) confirm(2);
    for (let i = 0; i < 3; i++) confirm(3, 4);
    world.run(2000);
    expect([resync.isLost(4), released]).toEqual([false, 0]);
    session(3).calls.length = 0;
  });

  test('a chunk is not lost while a member out of the set has it', () => {
    store.mapOf(3).clear(4, 1);
    start([2], version(5, [1, 2]));
    resync.want(4, 1);
    turn();
    for (let i = 0; i < 3; i++) confirm(2);
    expect(resync.isLost(4)).toBe(false);
  });

  test('a witness has no copy to wait for', () => {
    store.members = [...store.members, memberOf(4, 'witness')];
    start();
    resync.want(4, 1);
    turn();
    for (let i = 0; i < 3; i++) for (const memberId of [2, 3]) confirm(memberId);
    expect(resync.isLost(4)).toBe(true);
  });

  test('maps are checked more often while IO waits, and at the usual pace when it does not any more', () => {
    start();
    resync.want(4, 1);
    turn();
    expect(peers.urgent).toBe(true);
    session(2).calls.length = 0;
    world.run(10);
    const beganMs = world.clock.nowMs();
    confirm(2);
    confirm(2);
    expect(world.clock.nowMs() - beganMs).toBeLessThanOrEqual(2 * MAP_CHECK_URGENT_MS + 100);
    store.mapOf(1).clear(4, 1);
    world.run(50);
    expect(peers.urgent).toBe(false);
  });

  test('only chunks that IO waits for are called lost', () => {
    start();
    for (let i = 0; i < 3; i++) for (const memberId of [2, 3]) confirm(memberId);
    expect([resync.isLost(4), resync.isLost(5)]).toEqual([false, false]);
  });
});
