import { Status } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { MAP_CHECK_MS, MAP_CHECK_URGENT_MS, RESYNC_RETRY_MS, RESYNC_RETRY_MS_MAX, RESYNC_UNREADABLE_MS } from '../../../constants.ts';
import { ResyncRig } from '../../../testing/resync-rig.ts';
import { memberOf, storeOf } from '../../../testing/scripted-pool.ts';
import { MessageType } from '../../../wire/io-message.ts';
import { readLeaves } from '../../map-leaves.ts';

let rig: ResyncRig;

beforeEach(() => {
  rig = new ResyncRig();
});

describe('resync: one pull (R1)', () => {
  test('lock, read, intent, write, flush, clear, unlock: each when the one before has ended', () => {
    rig.store.prepared = false;
    rig.store.mapOf(1).set(4, 2);
    rig.start([2]);
    expect([rig.reads(2), rig.resync.locked, rig.held()]).toEqual([['4+2'], 2, []]);
    expect(rig.session(2).ios[0]?.message).toMatchObject({ type: MessageType.SYNC_READ, poolHandle: 42, epoch: 3, versionSeq: 5 });
    rig.answer(2);
    expect(rig.held()).toEqual([`prepare ${rig.at(4, 2)}`]);
    rig.store.end(`prepare ${rig.at(4, 2)}`);
    rig.turn();
    expect(rig.held()).toEqual([`write ${rig.at(4, 2)}`]);
    rig.store.end(`write ${rig.at(4, 2)}`);
    rig.turn();
    expect(rig.held()).toEqual(['flush']);
    rig.store.end('flush');
    rig.turn();
    expect([rig.held(), rig.resync.locked, rig.released]).toEqual([['commit clear 1:4-5'], 2, 0]);
    rig.store.end('commit clear 1:4-5');
    rig.turn();
    expect([rig.resync.locked, rig.released, rig.store.mapOf(1).dirtyCount]).toEqual([0, 1, 0]);
    expect(rig.resync.status()).toMatchObject({ state: 'IDLE', bytesLeft: 0, pulledBytes: 8192, reason: '' });
  });

  test('every step is started in its turn: the store is told to submit', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.start([2]);
    for (const step of ['read', 'write', 'flush']) {
      rig.store.calls.length = 0;
      if (step === 'read') rig.answer(2);
      else rig.store.endOne(step);
      rig.turn();
      expect(rig.store.calls.at(-1)).toBe('submit');
    }
    expect(rig.held()).toEqual(['commit clear 1:4']);
  });

  test('I2, W3: unresolved writes that the data shows are in the own lastIo before the data is written, unless their unit is further', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.store.lastIoRanges = [{ ioUnit: 2, writeSeq: 8, offsetBytes: 0, lengthBytes: 512 }];
    rig.start([2]);
    rig.store.calls.length = 0;
    const write = (ioUnit: number, writeSeq: number) => ({ ioUnit, writeSeq, offsetBytes: 4 * 4096, lengthBytes: 1024 });
    rig.answer(2, Status.OK, 9, undefined, [write(1, 6), write(2, 7)]);
    expect(rig.store.calls.filter((call) => call.startsWith('lastIo'))).toEqual([`lastIo 1 #6 ${4 * 4096}+1024`]);
    expect(rig.held()).toEqual([`write ${rig.at(4)}`]);
  });

  test('a source whose unresolved writes make no sense is not believed', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.start([2]);
    rig.answer(2, Status.OK, 9, 4096 + 7);
    expect([rig.held(), rig.store.mapOf(1).dirtyCount]).toEqual([[], 1]);
  });

  test('what reads as zeroes becomes a hole', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.start([2]);
    rig.answer(2, Status.OK, 0);
    expect(rig.held()).toEqual([`punch ${rig.at(4)}`]);
  });

  test('W8: what was read gets its space before it leaves a trace; without, the chunks stay dirty, and who waits for them is told', () => {
    rig.store.scarce = true;
    rig.store.mapOf(1).set(4, 1);
    rig.store.mapOf(1).set(7, 1);
    rig.start([2]);
    rig.resync.want(4, 1);
    rig.answer(2);
    expect(rig.held()).toEqual([`reserve ${rig.at(4)}`]);
    rig.store.end(`reserve ${rig.at(4)}`, Status.ENOSPC);
    rig.answer(2);
    rig.store.end(`reserve ${rig.at(7)}`, Status.ENOSPC);
    rig.turn();
    expect([rig.refused, rig.resync.lacksSpace(4), rig.resync.lacksSpace(7)]).toEqual([2, true, false]);
    expect([rig.held(), rig.resync.locked, rig.store.mapOf(1).dirtyCount]).toEqual([[], 0, 2]);
    expect(rig.store.calls.filter((call) => /^(prepare|write|lastIo)/.test(call))).toEqual([]);
    expect(rig.resync.status()).toMatchObject({ state: 'FAILED', reason: "this member's disk is full" });
    // A request that comes later waits for another try.
    rig.resync.want(4, 1);
    expect(rig.resync.lacksSpace(4)).toBe(false);
  });

  test('W8: a hole is pulled without space', () => {
    rig.store.scarce = true;
    rig.store.mapOf(1).set(4, 1);
    rig.start([2]);
    rig.answer(2, Status.OK, 0);
    expect(rig.held()).toEqual([`punch ${rig.at(4)}`]);
  });

  test('the last chunk may be short', () => {
    rig = new ResyncRig({ chunks: 8, short: 1000 });
    rig.store.mapOf(1).set(7, 1);
    rig.start([2]);
    expect(rig.session(2).ios[0]?.message.lengthBytes).toBe(3096);
    rig.pullAll();
    expect(rig.resync.status()).toMatchObject({ state: 'IDLE', pulledBytes: 3096 });
  });

  test('memory of the data is given back when the pull has ended, well or not', () => {
    rig.store.mapOf(1).set(4, 2);
    rig.start([2]);
    rig.answer(2);
    expect(rig.session(2).slabs.heldBytes).toBeGreaterThan(0);
    rig.store.endOne('write', Status.EIO);
    rig.turn();
    expect(rig.session(2).slabs.heldBytes).toBe(0);
    rig.world.run(RESYNC_RETRY_MS + 50);
    rig.pullAll();
    expect([rig.session(2).slabs.heldBytes, rig.store.mapOf(1).dirtyCount]).toEqual([0, 0]);
  });

  test('I4: it is read only from members that have it clean, also run by run', () => {
    rig.store.mapOf(1).set(0, 6);
    rig.store.mapOf(2).set(2, 2);
    rig.store.mapOf(3).set(0, 2);
    rig.start();
    expect([rig.reads(2), rig.reads(3)]).toEqual([['0+2'], ['2+4']]);
  });

  test('members out of the in-sync set are not read from, nor is one that has not joined', () => {
    rig.store.mapOf(1).set(0, 2);
    rig.start([2], rig.version(5, [1, 2]));
    expect([rig.reads(2), rig.sessions.inUse]).toEqual([['0+2'], ['memory:2']]);
  });

  test('pulls go to the member with the fewest reads in flight', () => {
    rig.store.mapOf(1).set(0, 1);
    rig.store.mapOf(1).set(10, 1);
    rig.store.mapOf(1).set(20, 1);
    rig.store.mapOf(1).set(30, 1);
    rig.start();
    expect([rig.reads(2).length, rig.reads(3).length]).toEqual([2, 2]);
  });

  test('a chunk that a write replaces whole is left alone, and those beside it are not', () => {
    rig.store.mapOf(1).set(4, 3);
    rig.resync.lock(5);
    rig.start([2]);
    expect([rig.reads(2), rig.resync.isLocked(5, 1)]).toEqual([['4+1', '6+1'], true]);
    expect(() => rig.resync.lock(4)).toThrow('locked twice');
    expect(() => rig.resync.unlock(9)).toThrow('not locked');
  });
});

describe('resync: failures', () => {
  test.each([
    ['EDIRTY', Status.EDIRTY],
    ['ESESSION', Status.ESESSION],
  ])('I11: a read that ends with %s is tried again after a while, with the chunk unlocked meanwhile', (name, status) => {
    rig.store.mapOf(1).set(4, 1);
    rig.start([2], rig.version(5, [1, 2]));
    rig.answer(2, status);
    expect([rig.resync.locked, rig.released, rig.held()]).toEqual([0, 1, []]);
    expect(rig.resync.status()).toMatchObject({
      state: 'FAILED',
      reason: `member 2 (storage-2) could not be read: ${name}`,
      etaSeconds: null,
    });
    rig.world.run(RESYNC_RETRY_MS - 60);
    expect(rig.reads(2)).toEqual([]);
    rig.world.run(120);
    expect([rig.reads(2), rig.resync.status().state]).toEqual([['4+1'], 'RUNNING']);
    rig.pullAll();
    expect(rig.resync.status()).toMatchObject({ state: 'IDLE', reason: '' });
  });

  test.each([
    ['EVERSION', Status.EVERSION],
    ['ENOTNORMAL', Status.ENOTNORMAL],
  ])(
    'a source that is not served under this version yet (%s) rests for a moment, each time the same; others are read from',
    (name, status) => {
      rig.store.mapOf(1).set(4, 1);
      rig.start([2], rig.version(5, [1, 2]));
      for (let times = 0; times < 4; times++) {
        rig.answer(2, status);
        expect([rig.resync.locked, rig.resync.status().reason]).toEqual([0, expect.stringContaining(name)]);
        rig.world.run(RESYNC_RETRY_MS - 60);
        expect(rig.reads(2)).toEqual([]);
        rig.world.run(120);
        expect(rig.reads(2)).toEqual(['4+1']);
      }
      rig.pullAll();
      expect(rig.resync.status()).toMatchObject({ state: 'IDLE', reason: '' });
    },
  );

  test('while one source rests another one is read from', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.start();
    const first = rig.reads(2).length > 0 ? 2 : 3;
    rig.answer(first, Status.ENOTNORMAL);
    expect([rig.reads(first), rig.reads(5 - first)]).toEqual([[], ['4+1']]);
  });

  test('an answer of the wrong length is a failure', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.start([2], rig.version(5, [1, 2]));
    rig.answer(2, Status.OK, 9, 100);
    expect([rig.held(), rig.resync.status().reason]).toEqual([[], expect.stringContaining('wrong length')]);
  });

  test('I12: the longer it fails the longer it waits, up to a bound; success begins anew', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.start([2], rig.version(5, [1, 2]));
    const pauses: number[] = [];
    for (let i = 0; i < 9; i++) {
      rig.answer(2, Status.ESESSION);
      const failedMs = rig.world.clock.nowMs();
      rig.world.runUntil(() => rig.reads(2).length > 0, 2 * RESYNC_RETRY_MS_MAX, 'another read');
      pauses.push(rig.world.clock.nowMs() - failedMs);
    }
    expect(pauses[0]).toBeLessThanOrEqual(RESYNC_RETRY_MS + 50);
    for (let i = 1; i < pauses.length; i++) expect(pauses[i]).toBeGreaterThanOrEqual(pauses[i - 1] as number);
    expect(pauses.at(-1)).toBeGreaterThanOrEqual(RESYNC_RETRY_MS_MAX);
    expect(pauses.at(-1)).toBeLessThanOrEqual(RESYNC_RETRY_MS_MAX + 50);
    rig.store.mapOf(1).set(9, 1);
    rig.answer(2);
    for (const step of ['write', 'flush', 'commit']) {
      rig.store.endOne(step);
      rig.turn();
    }
    rig.answer(2, Status.ESESSION);
    rig.world.run(RESYNC_RETRY_MS + 50);
    expect(rig.reads(2)).toEqual(['9+1']);
  });

  test('a handle that the member does not know any more is asked for anew', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.start([2], rig.version(5, [1, 2]));
    rig.answer(2, Status.ENOPOOL);
    expect(rig.peer(2).ready).toBe(false);
    rig.world.run(RESYNC_RETRY_MS + 50);
    rig
      .session(2)
      .next('sync-join')
      .answer({ poolHandle: 77, memberId: 2, storeUuid: storeOf(2) });
    rig.turn();
    expect(rig.session(2).ios[0]?.message.poolHandle).toBe(77);
  });

  test.each(['prepare', 'flush', 'commit'])(
    'a store that fails at %s: nothing is cleared, the chunk is unlocked, the reason is told',
    (step) => {
      rig.store.prepared = false;
      rig.store.mapOf(1).set(4, 1);
      rig.start([2], rig.version(5, [1, 2]));
      rig.answer(2);
      for (const earlier of ['prepare', 'write', 'flush', 'commit'].slice(0, ['prepare', 'write', 'flush', 'commit'].indexOf(step))) {
        rig.store.endOne(earlier);
        rig.turn();
      }
      rig.store.endOne(step, Status.EIO);
      rig.turn();
      expect([rig.store.mapOf(1).test(4), rig.resync.locked, rig.held()]).toEqual([true, 0, []]);
      expect(rig.resync.status()).toMatchObject({ state: 'FAILED', reason: "this member's store failed: EIO" });
    },
  );

  test('W10: chunks that the disk does not take are found one by one, and hold up nothing else', () => {
    rig.store.mapOf(1).set(4, 3);
    rig.store.mapOf(1).set(10, 1);
    rig.start([2], rig.version(5, [1, 2]));
    rig.answer(2);
    rig.answer(2);
    rig.store.endOne(`write ${rig.at(4, 3)}`, Status.EIO);
    rig.turn();
    // Whichever of the three it is, each is tried alone, and chunk 5 is the one.
    for (let more = true; more; ) {
      more = rig.session(2).ios.length > 0;
      if (more) rig.answer(2);
      for (const { what } of [...rig.store.held]) {
        more = true;
        if (what === `write ${rig.at(5)}`) rig.store.endOne(what, Status.EIO);
        else rig.store.endOne(what);
        rig.turn();
      }
    }
    expect(rig.store.mapOf(1).runs(9)).toEqual([{ first: 5, count: 1 }]);
    const { offsetBytes, lengthBytes } = { offsetBytes: Number(rig.at(5).split('+')[0]), lengthBytes: Number(rig.at(5).split('+')[1]) };
    expect(rig.resync.status()).toMatchObject({ state: 'RUNNING', refused: [{ offsetBytes, lengthBytes }] });
    expect(rig.resync.status().reason).toContain('the disk of this member fails to take chunk 5');
  });

  test('while a read fails at one member the others go on', () => {
    rig.store.mapOf(1).set(0, 1);
    rig.store.mapOf(1).set(10, 1);
    rig.start();
    expect([rig.reads(2), rig.reads(3)]).toEqual([['0+1'], ['10+1']]);
    rig.answer(2, Status.EIO);
    rig.answer(3);
    expect(rig.held()).toEqual([`write ${rig.at(10)}`]);
    expect(rig.resync.status().state).toBe('RUNNING');
  });

  test('a member without a permit is asked once it has one', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.peers.start(rig.version(5, [1, 2]));
    rig.resync.start(rig.version(5, [1, 2]));
    rig.world.run(50);
    rig.session(2).permits = 0;
    rig
      .session(2)
      .next('sync-join')
      .answer({ poolHandle: 42, memberId: 2, storeUuid: storeOf(2) });
    rig.turn();
    expect([rig.reads(2), rig.resync.locked]).toEqual([[], 0]);
    rig.session(2).permits = 1;
    for (const user of rig.session(2).users) user.onSessionPermit(rig.session(2).shared);
    rig.turn();
    expect(rig.reads(2)).toEqual(['4+1']);
  });
});

describe('resync: versions (R2, ◆21)', () => {
  test('what is being read when the version changes is dropped, its chunks are unlocked at once, and it is read anew', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.start([2], rig.version(5, [1, 2]));
    rig.resync.start(rig.version(6, [1, 2]));
    rig.peers.start(rig.version(6, [1, 2]));
    expect([rig.resync.locked, rig.released]).toEqual([0, 1]);
    rig.turn();
    expect([rig.reads(2), rig.session(2).ios.map(({ message }) => message.versionSeq)]).toEqual([
      ['4+1', '4+1'],
      [5, 6],
    ]);
    // The answer to the old read changes nothing, whatever it is.
    rig.answer(2, Status.OK, 1);
    expect([rig.held(), rig.resync.locked]).toEqual([[], 1]);
    rig.answer(2);
    expect(rig.held()).toEqual([`write ${rig.at(4)}`]);
  });

  test('I11: a source that left with a read unanswered, as its disk hangs, holds nothing up', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.store.mapOf(3).set(4, 1);
    rig.resync.options = { depth: 1 };
    rig.start();
    expect([rig.reads(2), rig.reads(3)]).toEqual([['4+1'], []]);
    rig.store.mapOf(3).clear(4, 1);
    rig.peers.start(rig.version(6, [1, 3]));
    rig.resync.start(rig.version(6, [1, 3]));
    rig.turn();
    expect([rig.reads(3), rig.resync.status().sourceMemberIds]).toEqual([['4+1'], [3]]);
  });

  test('an old read that fails is no failure of the new version', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.start([2], rig.version(5, [1, 2]));
    rig.resync.start(rig.version(6, [1, 2]));
    rig.turn();
    rig.answer(2, Status.EVERSION);
    expect([rig.resync.status().state, rig.resync.locked]).toEqual(['RUNNING', 1]);
  });

  test.each(['prepare', 'write', 'flush'])(
    '◆21: a version change during %s: the chunk is not cleared, and stays locked until the disk is done',
    (step) => {
      rig.store.prepared = false;
      rig.store.mapOf(1).set(4, 1);
      rig.start([2], rig.version(5, [1, 2]));
      rig.answer(2);
      for (const earlier of ['prepare', 'write', 'flush'].slice(0, ['prepare', 'write', 'flush'].indexOf(step))) {
        rig.store.endOne(earlier);
        rig.turn();
      }
      rig.resync.start(rig.version(6, [1, 2]));
      rig.turn();
      expect([rig.resync.locked, rig.reads(2)]).toEqual([1, []]);
      while (rig.held().length > 0) {
        expect(rig.held()[0]).not.toContain('commit');
        rig.store.endOne('');
        rig.turn();
      }
      expect(rig.store.mapOf(1).test(4)).toBe(true);
      // It is pulled again under the new version.
      expect(rig.session(2).ios.map(({ message }) => message.versionSeq)).toEqual([6]);
      rig.store.prepared = true;
      rig.pullAll();
      expect(rig.store.mapOf(1).dirtyCount).toBe(0);
    },
  );

  test('leaving NORMAL ends everything: nothing is read or cleared any more', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.store.mapOf(1).set(10, 1);
    rig.start([2], rig.version(5, [1, 2]));
    rig.answer(2);
    rig.resync.stop();
    rig.peers.stop();
    expect([rig.resync.status().state, rig.resync.locked]).toEqual(['IDLE', 1]);
    rig.answer(2);
    rig.store.endAll();
    rig.turn();
    rig.world.run(5000);
    expect([rig.store.mapOf(1).dirtyCount, rig.resync.locked, rig.reads(2), rig.held()]).toEqual([2, 0, [], []]);
  });

  test('I7, I10: a drain waits for what is being written, and for nothing else', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.store.mapOf(1).set(10, 1);
    rig.start([2], rig.version(5, [1, 2]));
    const drained: string[] = [];
    rig.resync.whenOffDisk(() => drained.push('nothing on disk'));
    expect(drained).toEqual(['nothing on disk']);
    rig.answer(2);
    rig.resync.stop();
    rig.resync.whenOffDisk(() => drained.push('written'));
    expect(drained.length).toBe(1);
    rig.store.endOne('write');
    rig.turn();
    expect(drained.length).toBe(1);
    rig.store.endOne('flush');
    expect(drained).toEqual(['nothing on disk', 'written']);
  });
});

describe('resync: why it stands still', () => {
  test('and since when: not since it began to run', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.start([2]);
    const runsSinceMs = rig.resync.status().sinceMs;
    rig.world.run(300);
    expect(rig.resync.status()).toMatchObject({ reason: '', sinceMs: runsSinceMs });
    rig.session(2).cut('cable');
    rig.world.run(300);
    const stands = rig.resync.status();
    expect(stands.reason).toContain('cable');
    expect(stands.sinceMs).toBeGreaterThan(runsSinceMs + 250);
    rig.world.run(300);
    expect(rig.resync.status().sinceMs).toBe(stands.sinceMs);
  });

  test('the members are named that have the chunk and cannot be read from', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.start([]);
    rig.session(2).next('sync-join').refuse('UNKNOWN_POOL', 'no such pool');
    rig.session(3).cut('cable');
    rig.world.run(100);
    expect(rig.resync.status()).toMatchObject({ state: 'RUNNING', sourceMemberIds: [], etaSeconds: null });
    expect(rig.resync.status().reason).toBe(
      'chunk 4 and others wait for member 2 (storage-2) (member 2 (storage-2): no such pool) or member 3 (storage-3) (no session: cable)',
    );
  });

  test('I8: a member out of the set that alone has it is waited for, by name', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.store.mapOf(2).set(4, 1);
    rig.start([2], rig.version(5, [1, 2]));
    expect(rig.resync.status().reason).toBe('chunk 4 and others wait for member 3 (storage-3) (out of the in-sync set)');
    rig.resync.want(4, 1);
    rig.turn();
    expect([rig.resync.status().reason, rig.peers.urgent]).toEqual([
      'chunk 4 waits for member 3 (storage-3) (out of the in-sync set)',
      true,
    ]);
  });

  test('a version that brings a source makes it go on, and forget what failed before', () => {
    rig.store.mapOf(1).set(4, 1);
    rig.store.mapOf(3).set(4, 1);
    rig.start();
    rig.answer(2, Status.ESESSION);
    expect(rig.resync.status()).toMatchObject({ state: 'FAILED' });
    const alone = rig.version(6, [1, 3]);
    rig.peers.start(alone);
    rig.resync.start(alone);
    rig.turn();
    expect(rig.resync.status()).toMatchObject({
      state: 'RUNNING',
      reason: 'chunk 4 and others wait for member 2 (storage-2) (out of the in-sync set)',
    });
    rig.peers.start(rig.version(7, [1, 2, 3]));
    rig.resync.start(rig.version(7, [1, 2, 3]));
    rig.turn();
    expect(rig.resync.status()).toMatchObject({ state: 'RUNNING', reason: '', sourceMemberIds: [2] });
  });
});

describe('resync: chunks without a clean copy (I8)', () => {
  /** Member `memberId` answers a map check with its own map as it is known here. */
  function confirm(memberId: number, seq = 5): void {
    rig.world.runUntil(() => rig.session(memberId).ops.includes('map-check'), 2 * MAP_CHECK_MS, `a map check of member ${memberId}`);
    const call = rig.session(memberId).next('map-check');
    call.answer({ stamp: { epoch: 3, seq }, ...readLeaves(rig.store.mapOf(memberId), call.request.fromLeaf) });
    rig.turn();
  }

  beforeEach(() => {
    for (const memberId of [1, 2, 3]) rig.store.mapOf(memberId).set(4, 1);
  });

  test('lost only after every in-sync peer has confirmed it since IO began to wait', () => {
    rig.start();
    confirm(2);
    confirm(3);
    rig.world.run(10);
    expect(rig.resync.isLost(4)).toBe(false);
    rig.resync.want(4, 1);
    rig.turn();
    rig.world.run(10);
    confirm(2);
    // That round may have begun before IO waited.
    expect(rig.resync.isLost(4)).toBe(false);
    for (let i = 0; i < 2; i++) confirm(3);
    for (let i = 0; i < 2; i++) confirm(2);
    expect(rig.resync.isLost(4)).toBe(true);
    rig.world.run(50);
    expect(rig.released).toBeGreaterThan(0);
  });

  test('lost too when the disks of those that have it can’t read it, whatever else they have goes on', () => {
    rig.store.mapOf(2).clear(4, 1);
    for (const chunk of [5, 6]) rig.store.mapOf(1).set(chunk, 1);
    rig.start();
    // All in one read, which can't tell which of them is to blame: each for itself then, and from either member.
    expect([rig.reads(2), rig.reads(3)]).toEqual([['4+3'], []]);
    rig.resync.want(4, 1);
    rig.answer(2, Status.EIO);
    expect([...rig.reads(2), ...rig.reads(3)].sort()).toEqual(['4+1', '5+1', '6+1']);
    rig.answer(2, Status.EIO);
    expect(rig.resync.sourceOf(4)).toBe("member 2 (storage-2) (its disk can't read the chunk)");
    rig.pullAll();
    expect([rig.store.mapOf(1).dirtyCount, rig.pulled.length, rig.reads(2)]).toEqual([1, 2, []]);
    expect(rig.resync.isLost(4)).toBe(false);
    for (let i = 0; i < 2; i++) confirm(3);
    expect(rig.resync.isLost(4)).toBe(true);
    // The sector may be written anew meanwhile: it is asked for again.
    rig.world.runUntil(() => rig.reads(2).length > 0, 2 * RESYNC_UNREADABLE_MS, 'another read');
    expect([rig.reads(2), rig.resync.isLost(4)]).toEqual([['4+1'], false]);
    rig.pullAll();
    expect(rig.store.mapOf(1).dirtyCount).toBe(0);
  });

  test('a peer that does not answer leaves it open; so does an answer under another version', () => {
    rig.start();
    rig.resync.want(4, 1);
    rig.turn();
    for (let i = 0; i < 3; i++) confirm(2);
    for (let i = 0; i < 3; i++) confirm(3, 4);
    rig.world.run(2000);
    expect([rig.resync.isLost(4), rig.released]).toEqual([false, 0]);
    rig.session(3).calls.length = 0;
  });

  test('a chunk is not lost while a member out of the set has it', () => {
    rig.store.mapOf(3).clear(4, 1);
    rig.start([2], rig.version(5, [1, 2]));
    rig.resync.want(4, 1);
    rig.turn();
    for (let i = 0; i < 3; i++) confirm(2);
    expect(rig.resync.isLost(4)).toBe(false);
  });

  test('a witness has no copy to wait for', () => {
    rig.store.members = [...rig.store.members, memberOf(4, 'witness')];
    rig.start();
    rig.resync.want(4, 1);
    rig.turn();
    for (let i = 0; i < 3; i++) for (const memberId of [2, 3]) confirm(memberId);
    expect(rig.resync.isLost(4)).toBe(true);
  });

  test('maps are checked more often while IO waits, and at the usual pace when it does not any more', () => {
    rig.start();
    rig.resync.want(4, 1);
    rig.turn();
    expect(rig.peers.urgent).toBe(true);
    rig.session(2).calls.length = 0;
    rig.world.run(10);
    const beganMs = rig.world.clock.nowMs();
    confirm(2);
    confirm(2);
    expect(rig.world.clock.nowMs() - beganMs).toBeLessThanOrEqual(2 * MAP_CHECK_URGENT_MS + 100);
    rig.store.mapOf(1).clear(4, 1);
    rig.world.run(50);
    expect(rig.peers.urgent).toBe(false);
  });

  test('only chunks that IO waits for are called lost', () => {
    rig.start();
    for (let i = 0; i < 3; i++) for (const memberId of [2, 3]) confirm(memberId);
    expect([rig.resync.isLost(4), rig.resync.isLost(5)]).toEqual([false, false]);
  });
});
