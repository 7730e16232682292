import { SILENT_LOGGER, Status, type World } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { type ScriptedIo, ScriptedSession } from '../../../testing/scripted-session.ts';
import { MessageType } from '../../../wire/io-message.ts';
import { Leg } from '../legs/leg.ts';
import { IoEngine, type IoEngineHost } from './io-engine.ts';
import { IoRequest, type IoType } from './io-request.ts';
import { ReadPolicy } from './read-policy.ts';

const UNITS = 4;

let virtual: VirtualWorld;
let sessions: ScriptedSession[];
let engine: IoEngine;
let ended: [string, number][];
let failed: [number, string][];
let missed: [number, number][];
let mustWait: boolean;
let cleanLegs: IoEngineHost['cleanLegs'];
let quiet: number;

function submit(name: string, type: IoType, offsetBytes: number, lengthBytes: number): void {
  const request = new IoRequest({ onIoDone: (_request, status) => ended.push([name, status]) });
  request.type = type;
  request.offsetBytes = offsetBytes;
  request.lengthBytes = lengthBytes;
  if (type === MessageType.WRITE) request.payload = new Uint8Array(lengthBytes);
  engine.submit(request);
  engine.verify();
}
const write = (name: string, offset = 0, length = 4096): void => submit(name, MessageType.WRITE, offset, length);
const read = (name: string, offset = 0, length = 4096): void => submit(name, MessageType.READ, offset, length);
const flush = (name: string): void => submit(name, MessageType.FLUSH, 0, 0);

const sent = (leg: number): ScriptedIo[] => (sessions[leg] as ScriptedSession).ios;
const types = (leg: number): number[] => sent(leg).map(({ message }) => message.type);
const onQuiet = (): void => void quiet++;

/** Answers the oldest request on a leg. */
function answer(leg: number, status: number = Status.OK): void {
  const io = sent(leg).shift();
  if (io === undefined) throw new Error(`nothing was sent on leg ${leg}`);
  if (io.message.type === MessageType.READ && status === Status.OK) io.answer(status, new Uint8Array(io.message.lengthBytes));
  else io.answer(status);
  engine.verify();
}

/** Both legs of the set answer their oldest request. */
function answerBoth(status: number = Status.OK): void {
  answer(0, status);
  answer(1, status);
}

beforeEach(() => {
  virtual = new VirtualWorld();
  ended = [];
  failed = [];
  missed = [];
  mustWait = false;
  cleanLegs = (_offset, _length, candidates) => candidates;
  quiet = 0;
  sessions = [new ScriptedSession(), new ScriptedSession(), new ScriptedSession()];
  const legs = sessions.map((session, index) => {
    const member = { memberId: index + 1, name: `storage-${index + 1}`, addresses: [`storage-${index + 1}:1`] };
    return new Leg(index, member, session.shared, SILENT_LOGGER, () => 0);
  });
  const host: IoEngineHost = {
    onFenced: () => {},
    onLegsFailed: (mask, reason) => {
      failed.push([mask, reason]);
      engine.gate.awaitVersion(false);
      engine.legsLeft(mask);
    },
    cleanLegs: (offset, length, candidates) => cleanLegs(offset, length, candidates),
    absentMayHave: () => false,
    eachChunkClean: () => false,
    readByChunks: () => false,
    onUnreadable: () => {},
    onRead: () => {},
    onWriteEnded: ({ offsetBytes, lengthBytes }, _status, _carriedOut, isMissed) => {
      if (isMissed) missed.push([offsetBytes, lengthBytes]);
    },
    hastenReturn: () => false,
    flushMustWait: () => mustWait,
  };
  const world: World = {
    clock: virtual.clock,
    ticker: virtual.ticker,
    turn: virtual.turn,
    random: virtual.random,
    log: SILENT_LOGGER,
  };
  const inFlight = new Int32Array(8);
  engine = new IoEngine(world, host, legs, UNITS, new ReadPolicy('round-robin', inFlight), inFlight);
  engine.resume(0b011, 5, 1, [3]);
});

describe('io engine: a map update is ahead (L4)', () => {
  test('nothing in flight: it is quiet at once', () => {
    engine.gate.quiesce(onQuiet);
    expect(quiet).toBe(1);
  });

  test('quiet comes once, when every leg has answered every write and flush', () => {
    write('w');
    flush('f');
    engine.gate.quiesce(onQuiet);
    answer(0);
    answer(0);
    answer(1);
    expect(quiet).toBe(0);
    answer(1);
    expect([quiet, ended.length]).toEqual([1, 2]);
    engine.settleAgain();
    expect(quiet).toBe(1);
  });

  test('writes and flushes wait meanwhile, reads go on and are not waited for', () => {
    read('r', 65536);
    engine.gate.quiesce(onQuiet);
    write('w');
    flush('f');
    read('r2', 131072);
    expect(quiet).toBe(1);
    expect([...types(0), ...types(1)]).toEqual([MessageType.READ, MessageType.READ]);
    engine.setVersion(5, 2, []);
    expect(types(0).slice(-2)).toEqual([MessageType.WRITE, MessageType.FLUSH]);
    expect(sent(0).at(-2)?.message).toMatchObject({ versionSeq: 2, missingCount: 0 });
  });

  test('what was in flight completes meanwhile, under the old version', () => {
    write('w');
    engine.gate.quiesce(onQuiet);
    answerBoth();
    expect([ended, missed]).toEqual([[['w', Status.OK]], [[0, 4096]]]);
  });

  test('a bounced write counts as answered: the update does not wait for what waits for it (◆20)', () => {
    write('w');
    engine.gate.quiesce(onQuiet);
    answer(0);
    answer(1, Status.EBOUNCED);
    expect([quiet, ended]).toEqual([1, []]);
    // It stays in flight for the version to come: it may have touched a member.
    expect(engine.incompleteWriteRanges()).toEqual([{ offsetBytes: 0, lengthBytes: 4096 }]);
  });

  test('a leg that fails ends it: its shrink comes first, and quiet is never called', () => {
    write('w');
    engine.gate.quiesce(onQuiet);
    answer(0, Status.EIO);
    answer(1);
    expect([quiet, failed.length, engine.gate.versionPending]).toEqual([0, 1, true]);
    engine.setVersion(5, 2, [1, 3]);
    expect([quiet, ended]).toEqual([0, [['w', Status.OK]]]);
    engine.gate.quiesce(onQuiet);
    expect(quiet).toBe(1);
  });

  test('a version change, or losing all legs, ends it', () => {
    write('w');
    engine.gate.quiesce(onQuiet);
    engine.gate.awaitVersion(false);
    answerBoth();
    expect([quiet, ended]).toEqual([0, []]);
    engine.setVersion(5, 2, [3]);
    expect(ended).toEqual([['w', Status.OK]]);
    write('x');
    engine.gate.quiesce(onQuiet);
    engine.allLegsLeft();
    engine.verify();
    engine.resume(0b011, 6, 1, [3]);
    answerBoth();
    expect(quiet).toBe(0);
  });

  test('quiesced twice is a mistake of the caller', () => {
    engine.gate.quiesce(onQuiet);
    expect(() => engine.gate.quiesce(onQuiet)).toThrow('quiesced twice');
  });
});

describe('io engine: what bounces (◆20)', () => {
  test('a write keeps its unit and ioUnit, and is sent again to all under the next version with a new sequence number', () => {
    write('w', 8192);
    write('other', 0);
    const first = sent(0)[0]?.message;
    answer(0);
    answer(1, Status.EBOUNCED);
    answerBoth();
    expect(ended).toEqual([['other', Status.OK]]);
    engine.gate.awaitVersion(false);
    engine.setVersion(5, 2, []);
    for (const leg of [0, 1]) {
      expect(sent(leg).map(({ message }) => message)).toMatchObject([
        { type: MessageType.WRITE, ioUnit: first?.ioUnit, offsetBytes: 8192, versionSeq: 2, writeSeq: 3, missingCount: 0 },
      ]);
    }
    answerBoth();
    expect(ended[1]).toEqual(['w', Status.OK]);
    expect(engine.counters.bounces).toBe(1);
  });

  test('W7: completedThrough stays below a write that is to be sent again, and then below its new number', () => {
    write('w');
    answer(0);
    answer(1, Status.EBOUNCED);
    write('later', 65536);
    expect(sent(0)[0]?.message).toMatchObject({ writeSeq: 2, completedThrough: 0 });
    answerBoth();
    engine.nextRound();
    expect(sent(0)[0]?.message).toMatchObject({ writeSeq: 3, completedThrough: 2 });
    write('last', 131072);
    expect(sent(0)[1]?.message).toMatchObject({ writeSeq: 4, completedThrough: 2 });
  });

  test('W1: what overlaps a bounced write goes on waiting', () => {
    write('w');
    answerBoth(Status.EBOUNCED);
    write('x');
    read('r');
    expect([sent(0), sent(1)]).toEqual([[], []]);
    engine.nextRound();
    expect([types(0), types(1)]).toEqual([[MessageType.WRITE], [MessageType.WRITE]]);
    answerBoth();
    answerBoth();
    answer(sent(0).length > 0 ? 0 : 1);
    expect(ended.map(([name]) => name)).toEqual(['w', 'x', 'r']);
  });

  test('it is not sent again in the same round, nor before a version or a map update has ended', () => {
    write('w');
    answerBoth(Status.EBOUNCED);
    engine.retryWaiting();
    engine.settleAgain();
    expect(sent(0)).toEqual([]);
    engine.gate.quiesce(onQuiet);
    engine.nextRound();
    expect([quiet, sent(0)]).toEqual([1, []]);
    engine.gate.awaitVersion(false);
    engine.nextRound();
    expect(sent(0)).toEqual([]);
    engine.setVersion(5, 2, [3]);
    expect(types(0)).toEqual([MessageType.WRITE]);
  });

  test('W5: an error beside a bounce decides nothing: all legs get it again', () => {
    write('w');
    answer(0, Status.ENOSPC);
    answer(1, Status.EBOUNCED);
    expect([failed, ended]).toEqual([[], []]);
    engine.nextRound();
    answerBoth();
    expect([failed, ended]).toEqual([[], [['w', Status.OK]]]);
  });

  test('a flush bounces like a write', () => {
    flush('f');
    answer(0);
    answer(1, Status.EBOUNCED);
    engine.setVersion(5, 2, [3]);
    expect([types(0), types(1)]).toEqual([[MessageType.FLUSH], [MessageType.FLUSH]]);
    answerBoth();
    expect(ended).toEqual([['f', Status.OK]]);
  });

  test('a member that leaves while a write waits to be sent again is not waited for', () => {
    write('w');
    answer(0, Status.EBOUNCED);
    engine.gate.awaitVersion(false);
    engine.legsLeft(0b10);
    engine.verify();
    expect(ended).toEqual([]);
    engine.setVersion(5, 2, [2, 3]);
    engine.verify();
    expect([types(0), sent(1).length]).toEqual([[MessageType.WRITE], 1]);
    answer(0);
    expect(ended).toEqual([['w', Status.OK]]);
  });

  test('V6: with no leg left a bounced write waits in line with the others', () => {
    write('w');
    answerBoth(Status.EBOUNCED);
    engine.allLegsLeft();
    engine.verify();
    expect([engine.executing, engine.waiting]).toEqual([0, 1]);
    engine.resume(0b001, 6, 1, [2, 3]);
    expect(sent(0)[0]?.message).toMatchObject({ epoch: 6, writeSeq: 2 });
    answer(0);
    expect(ended).toEqual([['w', Status.OK]]);
  });

  test('without a permit a bounced write stays where it is until there is one', () => {
    write('w');
    answerBoth(Status.EBOUNCED);
    (sessions[1] as ScriptedSession).permits = 0;
    engine.nextRound();
    engine.verify();
    expect([sent(0).length, (sessions[0] as ScriptedSession).permits]).toEqual([0, 64]);
    (sessions[1] as ScriptedSession).permits = 64;
    engine.retryWaiting();
    answerBoth();
    expect(ended).toEqual([['w', Status.OK]]);
  });

  test('a bounced read gives its unit back and waits for the next round, in its place', () => {
    read('r');
    write('w', 65536);
    answer(sent(0)[0]?.message.type === MessageType.READ ? 0 : 1, Status.EBOUNCED);
    expect([engine.executing, engine.waiting]).toEqual([1, 1]);
    write('x');
    engine.retryWaiting();
    expect([...types(0), ...types(1)]).toEqual([MessageType.WRITE, MessageType.WRITE]);
    engine.nextRound();
    // The read is older than the write of its range: it is sent first, and the write waits for it.
    expect([...types(0), ...types(1)].filter((type) => type === MessageType.READ)).toEqual([MessageType.READ]);
    answerBoth();
    answer(sent(0).length > 0 ? 0 : 1);
    answerBoth();
    expect(ended.map(([name]) => name)).toEqual(['w', 'r', 'x']);
    expect(failed).toEqual([]);
  });

  test('ioTimeout: a write that only ever bounced fails with EIO; one that a member has applied goes on', () => {
    write('untouched');
    answerBoth(Status.EBOUNCED);
    write('applied', 65536);
    answer(0);
    answer(1, Status.EBOUNCED);
    virtual.run(2);
    expect(engine.expire(virtual.clock.nowMs(), Number.NEGATIVE_INFINITY)).toBe(0);
    engine.verify();
    expect([ended, missed]).toEqual([[['untouched', Status.EIO]], []]);
    engine.nextRound();
    answerBoth();
    expect([ended[1], missed]).toEqual([['applied', Status.OK], [[65536, 4096]]]);
  });

  test.each([
    ['has applied', () => answer(0)],
    ['had not answered', () => {}],
  ])('I2, ioTimeout: a write that a leg which has left %s goes on, as others may have pulled what it wrote', (_what, before) => {
    write('w');
    before();
    answer(1, Status.EBOUNCED);
    engine.gate.awaitVersion(false);
    engine.legsLeft(0b001);
    virtual.run(2);
    const expire = () => engine.expire(virtual.clock.nowMs(), Number.NEGATIVE_INFINITY);
    // Neither while the version without the leg is being recorded, so that one which takes its place counts the write in (V4), nor after.
    expire();
    engine.setVersion(5, 2, [1, 3]);
    expire();
    engine.nextRound();
    answer(1, Status.EBOUNCED);
    expire();
    expect(ended).toEqual([]);
    engine.nextRound();
    answer(1);
    expect([ended, missed]).toEqual([[['w', Status.OK]], [[0, 4096]]]);
  });
});

describe('io engine: owed adds (◆13)', () => {
  const owed = [{ offsetBytes: 8192, lengthBytes: 4096 }];

  test('a write that touches an owed range is not acknowledged, others are', () => {
    write('touches', 4096, 8192);
    write('beside', 12288);
    write('before', 0);
    engine.setOwed(owed);
    for (let i = 0; i < 3; i++) answerBoth();
    expect(ended).toEqual([
      ['beside', Status.OK],
      ['before', Status.OK],
    ]);
    expect(engine.incompleteWriteRanges()).toEqual([{ offsetBytes: 4096, lengthBytes: 8192 }]);
    // Part of it has been made: not yet.
    engine.setOwed([{ offsetBytes: 12000, lengthBytes: 288 }]);
    engine.settleAgain();
    expect(ended.length).toBe(2);
    engine.setOwed([]);
    engine.settleAgain();
    expect(ended[2]).toEqual(['touches', Status.OK]);
  });

  test('what overlaps an owed write waits; reads of other ranges and flushes do not', () => {
    write('w', 8192);
    engine.setOwed(owed);
    answerBoth();
    read('same', 8192);
    read('other', 65536);
    flush('f');
    expect([...types(0), ...types(1)].sort()).toEqual([MessageType.READ, MessageType.FLUSH, MessageType.FLUSH]);
  });

  test('L4: an owed write does not keep a map update from beginning', () => {
    write('w', 8192);
    engine.setOwed(owed);
    answerBoth();
    engine.gate.quiesce(onQuiet);
    expect([quiet, ended]).toEqual([1, []]);
  });

  test('W5: a leg that joined gets what could not complete, and so do the others', () => {
    write('w', 8192);
    engine.setOwed(owed);
    answerBoth();
    engine.gate.awaitVersion(false);
    engine.setOwed([]);
    engine.resume(0b111, 5, 2, []);
    engine.verify();
    expect(ended).toEqual([]);
    engine.nextRound();
    for (const leg of [0, 1, 2]) expect(sent(leg).map(({ message }) => [message.versionSeq, message.writeSeq])).toEqual([[2, 2]]);
    answerBoth();
    expect(ended).toEqual([]);
    answer(2);
    expect(ended).toEqual([['w', Status.OK]]);
  });

  test('W5: so does a flush that could not complete', () => {
    mustWait = true;
    flush('f');
    answerBoth();
    engine.gate.awaitVersion(false);
    mustWait = false;
    engine.resume(0b111, 5, 2, []);
    engine.nextRound();
    expect([ended, types(2)]).toEqual([[], [MessageType.FLUSH]]);
  });

  test('V6: with no leg left nothing is owed any more: the writes are sent anew', () => {
    write('w', 8192);
    engine.setOwed(owed);
    answerBoth();
    engine.allLegsLeft();
    expect(engine.owed).toEqual([]);
    engine.resume(0b001, 6, 1, [2, 3]);
    answer(0);
    expect(ended).toEqual([['w', Status.OK]]);
  });
});

describe('io engine: dirty chunks', () => {
  test('◆8: a flush waits while a chunk is dirty for every in-sync member', () => {
    mustWait = true;
    flush('f');
    answerBoth();
    engine.settleAgain();
    expect(ended).toEqual([]);
    mustWait = false;
    engine.settleAgain();
    expect(ended).toEqual([['f', Status.OK]]);
  });

  test('ioTimeout: a flush that waits for a clean copy fails with EIO', () => {
    mustWait = true;
    flush('f');
    answerBoth();
    virtual.run(2);
    engine.expire(virtual.clock.nowMs(), Number.NEGATIVE_INFINITY);
    expect(ended).toEqual([['f', Status.EIO]]);
  });

  test('I4: reads are steered to legs that have the range clean', () => {
    engine.dirtyMask = 0b10;
    const asked: number[][] = [];
    cleanLegs = (offset, length, candidates) => {
      asked.push([offset, length, candidates]);
      return 0b01;
    };
    for (let i = 0; i < 3; i++) read(`r${i}`, i * 8192, 8192);
    expect([sent(0).length, sent(1).length]).toEqual([3, 0]);
    expect(asked[2]).toEqual([16384, 8192, 0b11]);
  });

  test('a read that one leg has failed is steered among the others', () => {
    engine.allLegsLeft();
    engine.resume(0b111, 6, 1, []);
    engine.dirtyMask = 0b100;
    const asked: number[] = [];
    cleanLegs = (_offset, _length, candidates) => {
      asked.push(candidates);
      return candidates;
    };
    read('r');
    answer(1, Status.ELOST);
    expect(asked).toEqual([0b111, 0b101]);
  });

  test('while no leg is dirty nobody is asked', () => {
    cleanLegs = () => {
      throw new Error('asked');
    };
    read('r');
    answer(1);
    expect(ended).toEqual([['r', Status.OK]]);
  });

  test('what members out of the set miss of a write is told when it ends', () => {
    write('w', 4096, 12288);
    answerBoth();
    expect(missed).toEqual([[4096, 12288]]);
    engine.gate.awaitVersion(false);
    engine.setVersion(5, 2, []);
    write('x');
    answerBoth();
    expect(missed.length).toBe(1);
  });

  test('I2: a write waits for reads of its range that are in flight, then keeps its turn', () => {
    read('r', 4096);
    write('w', 0, 8192);
    read('r2', 4096);
    write('beside', 65536);
    expect([...types(0), ...types(1)].sort()).toEqual([MessageType.READ, MessageType.WRITE, MessageType.WRITE]);
    answer(types(0)[0] === MessageType.READ ? 0 : 1);
    // The write goes out before the read that came after it.
    expect(sent(0).at(-1)?.message).toMatchObject({ type: MessageType.WRITE, lengthBytes: 8192 });
    answerBoth();
    answerBoth();
    answer(sent(0).length > 0 ? 0 : 1);
    expect(ended.map(([name]) => name)).toEqual(['r', 'beside', 'w', 'r2']);
  });
});

describe('io engine: chunks without a clean copy (I8)', () => {
  test('a write that every leg calls lost fails with EIO, no leg leaves, and nobody misses it', () => {
    write('w');
    answerBoth(Status.ELOST);
    // Of the other chunks that it touches, a member that is away may have the only clean copy.
    expect([ended, failed, missed]).toEqual([[['w', Status.EIO]], [], []]);
    write('whole');
    answerBoth();
    expect(ended[1]).toEqual(['whole', Status.OK]);
  });

  test('a read is asked of every leg before it fails with EIO, and no leg leaves', () => {
    read('r');
    answer(1, Status.ELOST);
    expect(ended).toEqual([]);
    answer(0, Status.ELOST);
    expect([ended, failed]).toEqual([[['r', Status.EIO]], []]);
  });

  test('a read that only one leg calls lost is answered by another', () => {
    read('r');
    answer(1, Status.ELOST);
    answer(0);
    expect([ended, failed]).toEqual([[['r', Status.OK]], []]);
  });

  test.each([
    ['first', Status.ELOST, Status.EIO],
    ['last', Status.EIO, Status.ELOST],
  ])(
    'I5: where one leg calls a write lost, and says so %s, and another has failed in the middle of it, one of them leaves',
    (_when, one, other) => {
      write('w');
      answer(0, one);
      answer(1, other);
      expect([failed.map(([mask]) => mask), ended]).toEqual([[0b10], []]);
      engine.setVersion(5, 2, [2, 3]);
      expect([ended, missed]).toEqual([[['w', Status.EIO]], [[0, 4096]]]);
    },
  );

  test('I2: a write that the legs that stay have lost, and a leg that has left has applied, is missed by members that are away', () => {
    write('w');
    answer(0);
    engine.gate.awaitVersion(false);
    engine.legsLeft(0b001);
    answer(1, Status.ELOST);
    engine.setVersion(5, 2, [1, 3]);
    expect([failed, ended, missed]).toEqual([[], [['w', Status.EIO]], [[0, 4096]]]);
  });

  test('I5: a leg that calls a write lost which another has applied leaves: they differ', () => {
    write('w');
    answer(0);
    answer(1, Status.ELOST);
    expect([failed.map(([mask]) => mask), ended]).toEqual([[0b10], []]);
    engine.setVersion(5, 2, [2, 3]);
    expect(ended).toEqual([['w', Status.OK]]);
  });
});

test('I2: a write that the last member fails goes to a leg that has joined since before it fails: a part of it may be carried out', () => {
  engine.gate.awaitVersion(false);
  engine.legsLeft(0b010);
  engine.resume(0b001, 5, 2, [2, 3]);
  write('w');
  engine.gate.awaitVersion(false);
  answer(0, Status.EIO);
  engine.resume(0b011, 5, 3, [3]);
  expect([ended, types(1)]).toEqual([[], [MessageType.WRITE]]);
  answer(0, Status.EIO);
  answer(1);
  expect([ended, failed]).toEqual([[], [[0b001, 'write failed: EIO']]]);
  engine.resume(0b010, 5, 4, [1, 3]);
  expect(ended).toEqual([['w', Status.OK]]);
});
