import { SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { lifeOf, memberOf, POOL, storeOf } from '../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../testing/scripted-session.ts';
import { Leg } from './legs/leg.ts';
import { type ReleaseHost, releaseMembers } from './release.ts';

const AGED = { lifeUuid: lifeOf(2), age: 21 };

let sessions: ScriptedSession[];
let legs: Leg[];
/** The members that have told how old they are. */
let heard: number[];
let done: number;

const session = (memberId: number): ScriptedSession => sessions[memberId - 1] as ScriptedSession;
/** All requests without an answer. */
const open = (): string[] => sessions.flatMap(({ ops }, index) => ops.map((op) => `${op} ${index + 1}`));
const marks = () => heard.map((memberId) => ({ memberId, storeUuid: storeOf(memberId), seen: { ...AGED, atMs: 9_000 } }));

/** Members 1 and 2 are in sync; 3 is the witness, if there is one. */
function release(fields: Partial<ReleaseHost> = {}, witnessReady = true): void {
  const versions = {
    heard: ({ member }: Pick<Leg, 'member'>) => void heard.push(member.memberId),
    marks,
    witnessReady,
  } as unknown as ReleaseHost['versions'];
  releaseMembers({ log: SILENT_LOGGER, poolUuid: POOL, epoch: 7, versions, legs: legs.slice(0, 2), witness: null, ...fields }, () => {
    done++;
  });
}

function age(...memberIds: readonly number[]): void {
  for (const memberId of memberIds) session(memberId).next('age').answer({ mark: AGED });
}

beforeEach(() => {
  sessions = [1, 2, 3].map(() => new ScriptedSession());
  legs = sessions.map(
    ({ shared }, index) => new Leg(index, memberOf(index + 1, index === 2 ? 'witness' : undefined), shared, SILENT_LOGGER, () => 0),
  );
  heard = [];
  done = 0;
});

describe('an orderly stop releases the members (L8)', () => {
  test('each becomes older first, all of them before one is released; each hears of all, and then it is done', () => {
    release();
    expect([open(), session(1).calls[0]?.request]).toEqual([['age 1', 'age 2'], expect.objectContaining({ poolUuid: POOL, epoch: 7 })]);
    age(2);
    expect(open()).toEqual(['age 1']);
    age(1);
    expect([open(), heard]).toEqual([
      ['release 1', 'release 2'],
      [2, 1],
    ]);
    for (const memberId of [1, 2]) {
      const call = session(memberId).next('release');
      expect([call.request, done]).toEqual([{ op: 'release', poolUuid: POOL, epoch: 7, marks: marks() }, 0]);
      call.answer();
    }
    expect(done).toBe(1);
  });

  test('the witness hears how old they are, and is not waited for', () => {
    release({ witness: legs[2] as Leg });
    expect(open()).toEqual(['age 1', 'age 2']);
    age(1, 2);
    expect(open()).toEqual(['release 1', 'release 2', 'renew 3']);
    expect(session(3).next('renew').request).toEqual({ op: 'renew', poolUuid: POOL, epoch: 7, completedThrough: 0, marks: marks() });
    for (const memberId of [1, 2]) session(memberId).next('release').answer();
    expect(done).toBe(1);
  });

  test.each<[string, () => void]>([
    [
      'is away',
      () => {
        session(3).cut();
        release({ witness: legs[2] as Leg });
      },
    ],
    ['has not recorded the version', () => release({ witness: legs[2] as Leg }, false)],
  ])('the witness is told nothing that %s', (_name, begin) => {
    begin();
    age(1, 2);
    expect(open()).toEqual(['release 1', 'release 2']);
  });

  test('a member that does not say how old it is holds nobody up, nor does one that refuses the release', () => {
    release();
    session(1).next('age').refuse('STORE_ERROR');
    session(2).next('age').drop();
    expect([open(), heard]).toEqual([['release 1', 'release 2'], []]);
    session(1).next('release').drop();
    expect(done).toBe(0);
    session(2).next('release').refuse('STORE_ERROR');
    expect(done).toBe(1);
  });

  test('where nobody is in sync there is nothing to do', () => {
    release({ legs: [] });
    expect([done, open()]).toEqual([1, []]);
  });
});
