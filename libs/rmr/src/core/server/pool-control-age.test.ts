import { Status } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { AGE_FLUSHED_MS, AGE_UNFLUSHED_MS } from '../../constants.ts';
import { claim, PoolServerRig, type RigOutcome, record } from '../../testing/pool-server-rig.ts';
import { identityOf, lifeOf, memberOf, POOL, RIVAL, seenOf, storeOf } from '../../testing/scripted-pool.ts';
import { ScriptedStore } from '../../testing/scripted-store.ts';
import type { ClaimResult, HeardMarks, MarkResult, ProbeResult } from '../../wire/control-message.ts';

let rig: PoolServerRig;

/** A mark of a member's store. */
const heard = (memberId: number, age: number, life = 1): HeardMarks[number] => ({
  ...{ memberId, storeUuid: storeOf(memberId), seen: seenOf(age, life) },
});
const renew = (...marks: HeardMarks): RigOutcome => rig.control({ op: 'renew', poolUuid: POOL, epoch: 1, completedThrough: 0, marks });
const ask = (op: 'age' | 'release', marks: HeardMarks = []): RigOutcome =>
  rig.control(op === 'age' ? { op, poolUuid: POOL, epoch: 1 } : { op, poolUuid: POOL, epoch: 1, marks });
/** The age that an answer tells. */
const told = ({ result }: RigOutcome): number | undefined => (result as MarkResult | null)?.mark.age;
const probe = (): ProbeResult => rig.control({ op: 'probe', poolUuid: POOL }).result as ProbeResult;
const seen = (): (number | undefined)[] => rig.store.members.map((member) => member.seen?.age);

/** A write is carried out, and, if it says so, flushed by its client. */
function write(flushed = false): void {
  rig.write('w');
  rig.store.endAll();
  rig.store.flushedSinceAged = flushed;
  rig.turn();
}

beforeEach(() => {
  rig = new PoolServerRig();
  rig.serve();
  // Since it was served for the first time nothing is due.
  rig.store.changedSinceAged = false;
  rig.store.flushedSinceAged = false;
});

describe('how old the store is, is told (L8)', () => {
  test('with a probe, and with a grant: as it durably is then, with its lives', () => {
    const { past } = probe();
    expect(past).toEqual({ age: rig.store.age, lives: rig.store.lives });
    const granted = rig.control(claim(2));
    rig.store.endAll();
    expect((granted.result as ClaimResult).past.age).toBe(past.age + 1);
  });

  test('with a version that was recorded, and not before that is durable', () => {
    const { age } = rig.store;
    const recorded = rig.control(record(2, [1, 2]));
    expect(recorded.ended).toBe(false);
    rig.store.endAll();
    expect(told(recorded)).toBe(age + 1);
  });

  test('with a renewal: of the life that goes on', () => {
    expect(renew().result).toMatchObject({ mark: { lifeUuid: rig.store.lives[0]?.lifeUuid } });
  });

  test('never as older than it durably is', () => {
    write(true);
    rig.world.run(AGE_FLUSHED_MS);
    const before = told(renew());
    expect(rig.held()).toEqual(['commit ages']);
    rig.world.run(AGE_FLUSHED_MS);
    expect([told(renew()), rig.held()]).toEqual([before, ['commit ages']]);
    rig.store.end('commit ages');
    expect(rig.store.age).toBeGreaterThan(before as number);
    expect(told(renew())).toBe(rig.store.age);
  });

  test('a record that fails raises nothing, and is tried again', () => {
    write(true);
    rig.world.run(AGE_FLUSHED_MS);
    const before = told(renew());
    rig.store.end('commit ages', Status.EIO);
    rig.world.run(AGE_FLUSHED_MS);
    expect([told(renew()), rig.held()]).toEqual([before, ['commit ages']]);
  });
});

describe('when the store becomes older (L8)', () => {
  const due = (ms: number): string[] => {
    rig.world.run(ms);
    renew();
    return rig.held();
  };

  test('not as long as nothing is written', () => {
    expect(due(10 * AGE_UNFLUSHED_MS)).toEqual([]);
  });

  test.each([
    ['after a flush', true, AGE_FLUSHED_MS],
    ['without one', false, AGE_UNFLUSHED_MS],
  ])('after a write, so often, and not oftener: %s', (_name, flushed, everyMs) => {
    // The first one is due at once.
    write(flushed);
    expect(due(0)).toEqual(['commit ages']);
    rig.store.endAll();
    write(flushed);
    expect(due(everyMs - 1)).toEqual([]);
    expect(due(1)).toEqual(['commit ages']);
  });

  test('a renewal is answered before anything is recorded: a lease does not wait for a disk (I7)', () => {
    write(true);
    rig.world.run(AGE_FLUSHED_MS);
    const answered = renew(heard(2, 7));
    expect([answered.ended, answered.failure, rig.held()]).toEqual([true, null, ['commit ages']]);
  });

  test('nor do other requests wait for it', () => {
    write(true);
    rig.world.run(AGE_FLUSHED_MS);
    renew();
    expect(rig.control({ op: 'freeze', poolUuid: POOL, epoch: 1 }).ended).toBe(true);
  });

  test('not for a client that is not served any more', () => {
    write(true);
    rig.world.run(AGE_UNFLUSHED_MS);
    expect(rig.control({ op: 'renew', poolUuid: POOL, epoch: 2, completedThrough: 0, marks: [heard(2, 7)] }).failure?.code).toBe(
      'BAD_STATE',
    );
    rig.control(claim(3, RIVAL), rig.rival);
    expect([rig.held(), seen()]).toEqual([[], [undefined, undefined, undefined]]);
  });
});

describe('what others tell of their stores is remembered (L8)', () => {
  test('but not of a store that was accepted anew and has not joined since: what was heard before says nothing of it', () => {
    const members = rig.store.members.map((member) => (member.memberId === 2 ? { ...member, anew: { epoch: 1, seq: 1 } } : member));
    rig.store.commit({ members }, () => {});
    rig.store.endAll();
    rig.world.run(AGE_FLUSHED_MS);
    renew(heard(2, 7), heard(3, 9));
    rig.store.endAll();
    expect(seen()).toEqual([undefined, undefined, 9]);
    // The version that it joins has its first mark, and from then on it is as any other.
    const joined = members.map((member) => (member.memberId === 2 ? { ...member, seen: seenOf(3, 4) } : member));
    rig.store.commit({ members: joined }, () => {});
    rig.store.endAll();
    rig.world.run(AGE_FLUSHED_MS);
    renew(heard(2, 5, 4));
    rig.store.endAll();
    expect(seen()[1]).toBe(5);
  });

  test('durably, with the next record', () => {
    const before = told(renew(heard(2, 7), heard(3, 9)));
    expect(rig.held()).toEqual(['commit ages']);
    rig.store.endAll();
    expect([seen(), probe().members.map((member) => member.seen?.age)]).toEqual([
      [undefined, 7, 9],
      [undefined, 7, 9],
    ]);
    // That alone raises nothing that is told: else members would make one another older for ever.
    expect(told(renew(heard(2, 7), heard(3, 9)))).toBe(before);
  });

  test('so that where nobody writes nothing is recorded any more, also if the store hears of itself', () => {
    const own = { memberId: 1, storeUuid: storeOf(1), seen: { ...seenOf(told(renew())), lifeUuid: rig.store.lives[0]?.lifeUuid ?? '' } };
    renew(own, heard(2, 7));
    rig.store.endAll();
    for (let round = 0; round < 5; round++) {
      rig.world.run(AGE_UNFLUSHED_MS);
      const mark = { ...own, seen: { ...own.seen, age: told(renew(own)) as number } };
      renew(mark, heard(2, 7));
    }
    expect(rig.held()).toEqual([]);
  });

  test('not oftener than the store becomes older after flushes', () => {
    renew(heard(2, 7));
    rig.store.endAll();
    rig.world.run(AGE_FLUSHED_MS - 1);
    renew(heard(2, 8));
    expect(rig.held()).toEqual([]);
    rig.world.run(1);
    renew(heard(2, 8));
    expect(rig.held()).toEqual(['commit ages']);
  });

  test('the newer of two in one life; in another life whatever is told', () => {
    for (const [mark, expected] of [
      [heard(2, 7), 7],
      [heard(2, 6), 7],
      [heard(2, 5, 2), 5],
    ] as const) {
      rig.world.run(AGE_FLUSHED_MS);
      renew(mark);
      rig.store.endAll();
      expect(seen()[1]).toBe(expected);
    }
  });

  test('not of a store that the table has not', () => {
    renew({ ...heard(2, 7), storeUuid: storeOf(8) }, heard(5, 7));
    expect([rig.held(), seen()]).toEqual([[], [undefined, undefined, undefined]]);
  });

  test('and takes nothing back of a version that is recorded right behind the renewal: its table stays, with the mark', () => {
    // Both wait behind a request that is slow, and so have their turn at once.
    ask('age');
    const renewal = renew(heard(2, 7));
    const members = [1, 2, 3, 4].map((memberId) => memberOf(memberId));
    const recorded = rig.control(record(2, [1, 2, 3], { members }));
    rig.store.endAll();
    expect({
      renewed: renewal.ended,
      recorded: recorded.failure,
      members: rig.store.members.map((member) => member.memberId),
      seen: seen()[1],
    }).toEqual({
      renewed: true,
      recorded: null,
      members: [1, 2, 3, 4],
      seen: 7,
    });
  });

  test('nor what a renewal has brought that is still being recorded, with a release that says nothing new', () => {
    renew(heard(2, 7));
    ask('release');
    rig.store.endAll();
    rig.store.endAll();
    expect({ seen: seen()[1], released: rig.store.released }).toEqual({ seen: 7, released: true });
  });

  test('with a release, together with that the client has ended in order', () => {
    const released = ask('release', [heard(2, 7)]);
    expect(rig.store.endAll()).toEqual(['flush', 'commit reconciled released']);
    expect([released.failure, seen()[1], rig.store.released, probe().released]).toEqual([null, 7, true, true]);
  });

  test('the next version tells of a new client: what was released is not any more', () => {
    ask('release');
    rig.store.endAll();
    rig.control(claim(2));
    rig.store.endAll();
    expect(probe().released).toBe(true);
    rig.control({ ...record(1, [1, 2, 3]), epoch: 2, version: { ...record(1, [1, 2, 3]).version, epoch: 2 } });
    rig.store.endAll();
    expect(probe().released).toBe(false);
  });

  test('a release that can not be recorded is told, and the pool is not released', () => {
    const released = ask('release', [heard(2, 7)]);
    rig.store.end('flush');
    rig.store.end('commit reconciled released', Status.EIO);
    expect([released.failure?.code, probe().released, seen()[1]]).toEqual(['STORE_ERROR', false, undefined]);
  });
});

describe('the question how old it is becomes (L8)', () => {
  test('makes it older, be anything written or not, and is answered when that is durable', () => {
    const before = rig.store.age;
    const aged = ask('age');
    expect([aged.ended, rig.held()]).toEqual([false, ['commit ages']]);
    rig.store.endAll();
    expect([told(aged), told(renew())]).toEqual([before + 1, before + 1]);
  });

  test('is refused where that can not be recorded, and to a client that is not served', () => {
    const aged = ask('age');
    rig.store.end('commit ages', Status.EIO);
    expect(aged.failure?.code).toBe('STORE_ERROR');
    expect(rig.control({ op: 'age', poolUuid: POOL, epoch: 2 }).failure?.code).toBe('BAD_STATE');
  });
});

test('bytes that the member knows to have missed are told with a probe', () => {
  rig.store.mapOf(1).set(0, 2);
  expect(probe().missedBytes).toBe(8192);
});

test('a store tells of the life that goes on, which is its last', () => {
  rig.store.lives = [{ lifeUuid: lifeOf(1), firstAge: 1, lastAge: 2, openedAtMs: 0 }, ...new ScriptedStore(identityOf(1, 16, 4096)).lives];
  expect(renew().result).toMatchObject({ mark: { lifeUuid: rig.store.lives[1]?.lifeUuid } });
});
