import { Status } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { EngineRig } from '../../../testing/engine-rig.ts';
import { MessageType } from '../../../wire/io-message.ts';

let rig: EngineRig;

beforeEach(() => {
  rig = new EngineRig();
});

describe('io engine: a map update is ahead (L4)', () => {
  test('nothing in flight: it is quiet at once', () => {
    rig.quiesce();
    expect(rig.quiet).toBe(1);
  });

  test('quiet comes once, when every leg has answered every write and flush', () => {
    rig.write('w');
    rig.flush('f');
    rig.quiesce();
    rig.answer(0);
    rig.answer(0);
    rig.answer(1);
    expect(rig.quiet).toBe(0);
    rig.answer(1);
    expect({ quiet: rig.quiet, endedCount: rig.ended.length }).toEqual({ quiet: 1, endedCount: 2 });
    rig.engine.settleAgain();
    expect(rig.quiet).toBe(1);
  });

  test('writes and flushes wait meanwhile, reads go on and are not waited for', () => {
    rig.read('r', 65536);
    rig.quiesce();
    rig.write('w');
    rig.flush('f');
    rig.read('r2', 131072);
    expect(rig.quiet).toBe(1);
    expect([...rig.types(0), ...rig.types(1)]).toEqual([MessageType.READ, MessageType.READ]);
    rig.engine.setVersion(5, 2, []);
    expect(rig.types(0).slice(-2)).toEqual([MessageType.WRITE, MessageType.FLUSH]);
    expect(rig.sent(0).at(-2)?.message).toMatchObject({ versionSeq: 2, missingCount: 0 });
  });

  test('what was in flight completes meanwhile, under the old version', () => {
    rig.write('w');
    rig.quiesce();
    rig.answerBoth();
    expect({ ended: rig.ended, missed: rig.missed }).toEqual({ ended: ['w OK'], missed: [{ offsetBytes: 0, lengthBytes: 4096 }] });
  });

  test('a bounced write counts as answered: the update does not wait for what waits for it (◆20)', () => {
    rig.write('w');
    rig.quiesce();
    rig.answer(0);
    rig.answer(1, Status.EBOUNCED);
    expect({ quiet: rig.quiet, ended: rig.ended }).toEqual({ quiet: 1, ended: [] });
    // It stays in flight for the version to come: it may have touched a member.
    expect(rig.engine.incompleteWriteRanges()).toEqual([{ offsetBytes: 0, lengthBytes: 4096 }]);
  });

  test('a leg that fails ends it: its shrink comes first, and quiet is never called', () => {
    rig.write('w');
    rig.quiesce();
    rig.answer(0, Status.EIO);
    rig.answer(1);
    expect({ quiet: rig.quiet, failedCount: rig.failed.length, versionPending: rig.engine.gate.versionPending }).toEqual({
      quiet: 0,
      failedCount: 1,
      versionPending: true,
    });
    rig.engine.setVersion(5, 2, [1, 3]);
    expect({ quiet: rig.quiet, ended: rig.ended }).toEqual({ quiet: 0, ended: ['w OK'] });
    rig.quiesce();
    expect(rig.quiet).toBe(1);
  });

  test('a version change, or losing all legs, ends it', () => {
    rig.write('w');
    rig.quiesce();
    rig.engine.gate.awaitVersion(false);
    rig.answerBoth();
    expect({ quiet: rig.quiet, ended: rig.ended }).toEqual({ quiet: 0, ended: [] });
    rig.engine.setVersion(5, 2, [3]);
    expect(rig.ended).toEqual(['w OK']);
    rig.write('x');
    rig.quiesce();
    rig.engine.allLegsLeft();
    rig.engine.verify();
    rig.engine.resume(0b011, 6, 1, [3]);
    rig.answerBoth();
    expect(rig.quiet).toBe(0);
  });

  test('quiesced twice is a mistake of the caller', () => {
    rig.quiesce();
    expect(() => rig.quiesce()).toThrow('quiesced twice');
  });
});

describe('io engine: what bounces (◆20)', () => {
  test('a write keeps its unit and ioUnit, and is sent again to all under the next version with a new sequence number', () => {
    rig.write('w', 8192);
    rig.write('other', 0);
    const first = rig.sent(0)[0]?.message;
    rig.answer(0);
    rig.answer(1, Status.EBOUNCED);
    rig.answerBoth();
    expect(rig.ended).toEqual(['other OK']);
    rig.engine.gate.awaitVersion(false);
    rig.engine.setVersion(5, 2, []);
    for (const leg of [0, 1]) {
      expect(rig.sent(leg).map(({ message }) => message)).toMatchObject([
        { type: MessageType.WRITE, ioUnit: first?.ioUnit, offsetBytes: 8192, versionSeq: 2, writeSeq: 3, missingCount: 0 },
      ]);
    }
    rig.answerBoth();
    expect(rig.ended[1]).toEqual('w OK');
    expect(rig.engine.counters.bounces).toBe(1);
  });

  test('W7: completedThrough stays below a write that is to be sent again, and then below its new number', () => {
    rig.write('w');
    rig.answer(0);
    rig.answer(1, Status.EBOUNCED);
    rig.write('later', 65536);
    expect(rig.sent(0)[0]?.message).toMatchObject({ writeSeq: 2, completedThrough: 0 });
    rig.answerBoth();
    rig.engine.nextRound();
    expect(rig.sent(0)[0]?.message).toMatchObject({ writeSeq: 3, completedThrough: 2 });
    rig.write('last', 131072);
    expect(rig.sent(0)[1]?.message).toMatchObject({ writeSeq: 4, completedThrough: 2 });
  });

  test('W1: what overlaps a bounced write goes on waiting', () => {
    rig.write('w');
    rig.answerBoth(Status.EBOUNCED);
    rig.write('x');
    rig.read('r');
    expect({ sentTo0: rig.sent(0), sentTo1: rig.sent(1) }).toEqual({ sentTo0: [], sentTo1: [] });
    rig.engine.nextRound();
    expect({ typesTo0: rig.types(0), typesTo1: rig.types(1) }).toEqual({ typesTo0: [MessageType.WRITE], typesTo1: [MessageType.WRITE] });
    rig.answerBoth();
    rig.answerBoth();
    rig.answer(rig.sent(0).length > 0 ? 0 : 1);
    expect(rig.endedNames).toEqual(['w', 'x', 'r']);
  });

  test('it is not sent again in the same round, nor before a version or a map update has ended', () => {
    rig.write('w');
    rig.answerBoth(Status.EBOUNCED);
    rig.engine.retryWaiting();
    rig.engine.settleAgain();
    expect(rig.sent(0)).toEqual([]);
    rig.quiesce();
    rig.engine.nextRound();
    expect({ quiet: rig.quiet, sentTo0: rig.sent(0) }).toEqual({ quiet: 1, sentTo0: [] });
    rig.engine.gate.awaitVersion(false);
    rig.engine.nextRound();
    expect(rig.sent(0)).toEqual([]);
    rig.engine.setVersion(5, 2, [3]);
    expect(rig.types(0)).toEqual([MessageType.WRITE]);
  });

  test('W5: an error beside a bounce decides nothing: all legs get it again', () => {
    rig.write('w');
    rig.answer(0, Status.ENOSPC);
    rig.answer(1, Status.EBOUNCED);
    expect({ failed: rig.failed, ended: rig.ended }).toEqual({ failed: [], ended: [] });
    rig.engine.nextRound();
    rig.answerBoth();
    expect({ failed: rig.failed, ended: rig.ended }).toEqual({ failed: [], ended: ['w OK'] });
  });

  test('a flush bounces like a write', () => {
    rig.flush('f');
    rig.answer(0);
    rig.answer(1, Status.EBOUNCED);
    rig.engine.setVersion(5, 2, [3]);
    expect({ typesTo0: rig.types(0), typesTo1: rig.types(1) }).toEqual({ typesTo0: [MessageType.FLUSH], typesTo1: [MessageType.FLUSH] });
    rig.answerBoth();
    expect(rig.ended).toEqual(['f OK']);
  });

  test('a member that leaves while a write waits to be sent again is not waited for', () => {
    rig.write('w');
    rig.answer(0, Status.EBOUNCED);
    rig.engine.gate.awaitVersion(false);
    rig.engine.legsLeft(0b10);
    rig.engine.verify();
    expect(rig.ended).toEqual([]);
    rig.engine.setVersion(5, 2, [2, 3]);
    rig.engine.verify();
    expect({ typesTo0: rig.types(0), sentTo1: rig.sent(1).length }).toEqual({ typesTo0: [MessageType.WRITE], sentTo1: 1 });
    rig.answer(0);
    expect(rig.ended).toEqual(['w OK']);
  });

  test('V6: with no leg left a bounced write waits in line with the others', () => {
    rig.write('w');
    rig.answerBoth(Status.EBOUNCED);
    rig.engine.allLegsLeft();
    rig.engine.verify();
    expect({ executing: rig.engine.executing, waiting: rig.engine.waiting }).toEqual({ executing: 0, waiting: 1 });
    rig.engine.resume(0b001, 6, 1, [2, 3]);
    expect(rig.sent(0)[0]?.message).toMatchObject({ epoch: 6, writeSeq: 2 });
    rig.answer(0);
    expect(rig.ended).toEqual(['w OK']);
  });

  test('without a permit a bounced write stays where it is until there is one', () => {
    rig.write('w');
    rig.answerBoth(Status.EBOUNCED);
    rig.leg(1).permits = 0;
    rig.engine.nextRound();
    rig.engine.verify();
    expect({ sentTo0: rig.sent(0).length, permitsOf0: rig.leg(0).permits }).toEqual({ sentTo0: 0, permitsOf0: 64 });
    rig.leg(1).permits = 64;
    rig.engine.retryWaiting();
    rig.answerBoth();
    expect(rig.ended).toEqual(['w OK']);
  });

  test('a bounced read gives its unit back and waits for the next round, in its place', () => {
    rig.read('r');
    rig.write('w', 65536);
    rig.answer(rig.sent(0)[0]?.message.type === MessageType.READ ? 0 : 1, Status.EBOUNCED);
    expect({ executing: rig.engine.executing, waiting: rig.engine.waiting }).toEqual({ executing: 1, waiting: 1 });
    rig.write('x');
    rig.engine.retryWaiting();
    expect([...rig.types(0), ...rig.types(1)]).toEqual([MessageType.WRITE, MessageType.WRITE]);
    rig.engine.nextRound();
    // The read is older than the write of its range: it is sent first, and the write waits for it.
    expect([...rig.types(0), ...rig.types(1)].filter((type) => type === MessageType.READ)).toEqual([MessageType.READ]);
    rig.answerBoth();
    rig.answer(rig.sent(0).length > 0 ? 0 : 1);
    rig.answerBoth();
    expect(rig.endedNames).toEqual(['w', 'r', 'x']);
    expect(rig.failed).toEqual([]);
  });

  test('ioTimeout: a write that only ever bounced fails with EIO; one that a member has applied goes on', () => {
    rig.write('untouched');
    rig.answerBoth(Status.EBOUNCED);
    rig.write('applied', 65536);
    rig.answer(0);
    rig.answer(1, Status.EBOUNCED);
    rig.nowMs += 2;
    expect(rig.engine.expire(rig.nowMs, Number.NEGATIVE_INFINITY)).toBe(0);
    rig.engine.verify();
    expect({ ended: rig.ended, missed: rig.missed }).toEqual({ ended: ['untouched EIO'], missed: [] });
    rig.engine.nextRound();
    rig.answerBoth();
    expect({ ended: rig.ended[1], missed: rig.missed }).toEqual({
      ended: 'applied OK',
      missed: [{ offsetBytes: 65536, lengthBytes: 4096 }],
    });
  });

  test.each([
    ['has applied', () => rig.answer(0)],
    ['had not answered', () => {}],
  ])('I2, ioTimeout: a write that a leg which has left %s goes on, as others may have pulled what it wrote', (_what, before) => {
    rig.write('w');
    before();
    rig.answer(1, Status.EBOUNCED);
    rig.engine.gate.awaitVersion(false);
    rig.engine.legsLeft(0b001);
    rig.nowMs += 2;
    const expire = () => rig.engine.expire(rig.nowMs, Number.NEGATIVE_INFINITY);
    // Neither while the version without the leg is being recorded, so that one which takes its place counts the write in (V4), nor after.
    expire();
    rig.engine.setVersion(5, 2, [1, 3]);
    expire();
    rig.engine.nextRound();
    rig.answer(1, Status.EBOUNCED);
    expire();
    expect(rig.ended).toEqual([]);
    rig.engine.nextRound();
    rig.answer(1);
    expect({ ended: rig.ended, missed: rig.missed }).toEqual({ ended: ['w OK'], missed: [{ offsetBytes: 0, lengthBytes: 4096 }] });
  });
});

describe('io engine: owed adds (◆13)', () => {
  const owed = [{ offsetBytes: 8192, lengthBytes: 4096 }];

  test('a write that touches an owed range is not acknowledged, others are', () => {
    rig.write('touches', 4096, 8192);
    rig.write('beside', 12288);
    rig.write('before', 0);
    rig.engine.setOwed(owed);
    for (let i = 0; i < 3; i++) rig.answerBoth();
    expect(rig.ended).toEqual(['beside OK', 'before OK']);
    expect(rig.engine.incompleteWriteRanges()).toEqual([{ offsetBytes: 4096, lengthBytes: 8192 }]);
    // Part of it has been made: not yet.
    rig.engine.setOwed([{ offsetBytes: 12000, lengthBytes: 288 }]);
    rig.engine.settleAgain();
    expect(rig.ended.length).toBe(2);
    rig.engine.setOwed([]);
    rig.engine.settleAgain();
    expect(rig.ended[2]).toEqual('touches OK');
  });

  test('what overlaps an owed write waits; reads of other ranges and flushes do not', () => {
    rig.write('w', 8192);
    rig.engine.setOwed(owed);
    rig.answerBoth();
    rig.read('same', 8192);
    rig.read('other', 65536);
    rig.flush('f');
    expect([...rig.types(0), ...rig.types(1)].sort()).toEqual([MessageType.READ, MessageType.FLUSH, MessageType.FLUSH]);
  });

  test('L4: an owed write does not keep a map update from beginning', () => {
    rig.write('w', 8192);
    rig.engine.setOwed(owed);
    rig.answerBoth();
    rig.quiesce();
    expect({ quiet: rig.quiet, ended: rig.ended }).toEqual({ quiet: 1, ended: [] });
  });

  test('W5: a leg that joined gets what could not complete, and so do the others', () => {
    rig.write('w', 8192);
    rig.engine.setOwed(owed);
    rig.answerBoth();
    rig.engine.gate.awaitVersion(false);
    rig.engine.setOwed([]);
    rig.engine.resume(0b111, 5, 2, []);
    rig.engine.verify();
    expect(rig.ended).toEqual([]);
    rig.engine.nextRound();
    for (const leg of [0, 1, 2]) expect(rig.sent(leg).map(({ message }) => [message.versionSeq, message.writeSeq])).toEqual([[2, 2]]);
    rig.answerBoth();
    expect(rig.ended).toEqual([]);
    rig.answer(2);
    expect(rig.ended).toEqual(['w OK']);
  });

  test('W5: so does a flush that could not complete', () => {
    rig.host.flushMustWait = () => true;
    rig.flush('f');
    rig.answerBoth();
    rig.engine.gate.awaitVersion(false);
    rig.host.flushMustWait = () => false;
    rig.engine.resume(0b111, 5, 2, []);
    rig.engine.nextRound();
    expect({ ended: rig.ended, typesTo2: rig.types(2) }).toEqual({ ended: [], typesTo2: [MessageType.FLUSH] });
  });

  test('V6: with no leg left nothing is owed any more: the writes are sent anew', () => {
    rig.write('w', 8192);
    rig.engine.setOwed(owed);
    rig.answerBoth();
    rig.engine.allLegsLeft();
    expect(rig.engine.owed).toEqual([]);
    rig.engine.resume(0b001, 6, 1, [2, 3]);
    rig.answer(0);
    expect(rig.ended).toEqual(['w OK']);
  });
});

describe('io engine: dirty chunks', () => {
  test('◆8: a flush waits while a chunk is dirty for every in-sync member', () => {
    rig.host.flushMustWait = () => true;
    rig.flush('f');
    rig.answerBoth();
    rig.engine.settleAgain();
    expect(rig.ended).toEqual([]);
    rig.host.flushMustWait = () => false;
    rig.engine.settleAgain();
    expect(rig.ended).toEqual(['f OK']);
  });

  test('ioTimeout: a flush that waits for a clean copy fails with EIO', () => {
    rig.host.flushMustWait = () => true;
    rig.flush('f');
    rig.answerBoth();
    rig.nowMs += 2;
    rig.engine.expire(rig.nowMs, Number.NEGATIVE_INFINITY);
    expect(rig.ended).toEqual(['f EIO']);
  });

  test('I4: reads are steered to legs that have the range clean', () => {
    rig.engine.dirtyMask = 0b10;
    const asked: number[][] = [];
    rig.host.cleanLegs = (offset, length, candidates) => {
      asked.push([offset, length, candidates]);
      return 0b01;
    };
    for (let i = 0; i < 3; i++) rig.read(`r${i}`, i * 8192, 8192);
    expect({ sentTo0: rig.sent(0).length, sentTo1: rig.sent(1).length }).toEqual({ sentTo0: 3, sentTo1: 0 });
    expect(asked[2]).toEqual([16384, 8192, 0b11]);
  });

  test('a read that one leg has failed is steered among the others', () => {
    rig.engine.allLegsLeft();
    rig.engine.resume(0b111, 6, 1, []);
    rig.engine.dirtyMask = 0b100;
    const asked: number[] = [];
    rig.host.cleanLegs = (_offset, _length, candidates) => {
      asked.push(candidates);
      return candidates;
    };
    rig.read('r');
    rig.answer(1, Status.ELOST);
    expect(asked).toEqual([0b111, 0b101]);
  });

  test('while no leg is dirty nobody is asked', () => {
    rig.host.cleanLegs = () => {
      throw new Error('asked');
    };
    rig.read('r');
    rig.answer(1);
    expect(rig.ended).toEqual(['r OK']);
  });

  test('what members out of the set miss of a write is told when it ends', () => {
    rig.write('w', 4096, 12288);
    rig.answerBoth();
    expect(rig.missed).toEqual([{ offsetBytes: 4096, lengthBytes: 12288 }]);
    rig.engine.gate.awaitVersion(false);
    rig.engine.setVersion(5, 2, []);
    rig.write('x');
    rig.answerBoth();
    expect(rig.missed.length).toBe(1);
  });

  test('I2: a write waits for reads of its range that are in flight, then keeps its turn', () => {
    rig.read('r', 4096);
    rig.write('w', 0, 8192);
    rig.read('r2', 4096);
    rig.write('beside', 65536);
    expect([...rig.types(0), ...rig.types(1)].sort()).toEqual([MessageType.READ, MessageType.WRITE, MessageType.WRITE]);
    rig.answer(rig.types(0)[0] === MessageType.READ ? 0 : 1);
    // The write goes out before the read that came after it.
    expect(rig.sent(0).at(-1)?.message).toMatchObject({ type: MessageType.WRITE, lengthBytes: 8192 });
    rig.answerBoth();
    rig.answerBoth();
    rig.answer(rig.sent(0).length > 0 ? 0 : 1);
    expect(rig.endedNames).toEqual(['r', 'beside', 'w', 'r2']);
  });
});

describe('io engine: chunks without a clean copy (I8)', () => {
  test('a write that every leg calls lost fails with EIO, no leg leaves, and nobody misses it', () => {
    rig.write('w');
    rig.answerBoth(Status.ELOST);
    // Of the other chunks that it touches, a member that is away may have the only clean copy.
    expect({ ended: rig.ended, failed: rig.failed, missed: rig.missed }).toEqual({ ended: ['w EIO'], failed: [], missed: [] });
    rig.write('whole');
    rig.answerBoth();
    expect(rig.ended[1]).toEqual('whole OK');
  });

  test('a read is asked of every leg before it fails with EIO, and no leg leaves', () => {
    rig.read('r');
    rig.answer(1, Status.ELOST);
    expect(rig.ended).toEqual([]);
    rig.answer(0, Status.ELOST);
    expect({ ended: rig.ended, failed: rig.failed }).toEqual({ ended: ['r EIO'], failed: [] });
  });

  test('a read that only one leg calls lost is answered by another', () => {
    rig.read('r');
    rig.answer(1, Status.ELOST);
    rig.answer(0);
    expect({ ended: rig.ended, failed: rig.failed }).toEqual({ ended: ['r OK'], failed: [] });
  });

  test.each([
    ['first', Status.ELOST, Status.EIO],
    ['last', Status.EIO, Status.ELOST],
  ])(
    'I5: where one leg calls a write lost, and says so %s, and another has failed in the middle of it, one of them leaves',
    (_when, one, other) => {
      rig.write('w');
      rig.answer(0, one);
      rig.answer(1, other);
      expect({ left: rig.failed.map(({ mask }) => mask), ended: rig.ended }).toEqual({ left: [0b10], ended: [] });
      rig.engine.setVersion(5, 2, [2, 3]);
      expect({ ended: rig.ended, missed: rig.missed }).toEqual({ ended: ['w EIO'], missed: [{ offsetBytes: 0, lengthBytes: 4096 }] });
    },
  );

  test('I2: a write that the legs that stay have lost, and a leg that has left has applied, is missed by members that are away', () => {
    rig.write('w');
    rig.answer(0);
    rig.engine.gate.awaitVersion(false);
    rig.engine.legsLeft(0b001);
    rig.answer(1, Status.ELOST);
    rig.engine.setVersion(5, 2, [1, 3]);
    expect({ failed: rig.failed, ended: rig.ended, missed: rig.missed }).toEqual({
      failed: [],
      ended: ['w EIO'],
      missed: [{ offsetBytes: 0, lengthBytes: 4096 }],
    });
  });

  test('I5: a leg that calls a write lost which another has applied leaves: they differ', () => {
    rig.write('w');
    rig.answer(0);
    rig.answer(1, Status.ELOST);
    expect({ left: rig.failed.map(({ mask }) => mask), ended: rig.ended }).toEqual({ left: [0b10], ended: [] });
    rig.engine.setVersion(5, 2, [2, 3]);
    expect(rig.ended).toEqual(['w OK']);
  });
});

test('I2: a write that the last member fails goes to a leg that has joined since before it fails: a part of it may be carried out', () => {
  rig.engine.gate.awaitVersion(false);
  rig.engine.legsLeft(0b010);
  rig.engine.resume(0b001, 5, 2, [2, 3]);
  rig.write('w');
  rig.engine.gate.awaitVersion(false);
  rig.answer(0, Status.EIO);
  rig.engine.resume(0b011, 5, 3, [3]);
  expect({ ended: rig.ended, typesTo1: rig.types(1) }).toEqual({ ended: [], typesTo1: [MessageType.WRITE] });
  rig.answer(0, Status.EIO);
  rig.answer(1);
  expect({ ended: rig.ended, failed: rig.failed }).toEqual({ ended: [], failed: [{ mask: 0b001, reason: 'write failed: EIO' }] });
  rig.engine.resume(0b010, 5, 4, [1, 3]);
  expect(rig.ended).toEqual(['w OK']);
});
