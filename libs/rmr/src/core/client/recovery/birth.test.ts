import { type OperationError, SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { BIRTH_MS } from '../../../constants.ts';
import { identityOf, LINEAGE, memberOf, probeOf, versionOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import { Leg } from '../legs/leg.ts';
import { orderBirth } from '../status/remedies.ts';
import { Birth } from './birth.ts';

const VERSION = versionOf(4, [1, 2], { epoch: 5 });

let birth: Birth;
let legs: Leg[];
let errors: (OperationError | null)[];

function legTo(memberId: number, role?: 'witness'): Leg {
  return new Leg(memberId - 1, memberOf(memberId, role), new ScriptedSession().shared, SILENT_LOGGER, () => 0);
}

/** A leg that has answered, with a version or without one. */
function answering(memberId: number, version: typeof VERSION | null = null): Leg {
  const leg = legTo(memberId);
  leg.probe = probeOf(memberId, { version });
  return leg;
}

const order = (nowMs = 0): void => birth.order((error) => void errors.push(error), nowMs);
const one = (): Leg => legs[0] as Leg;

/** Both members answer, and neither has a version. */
beforeEach(() => {
  birth = new Birth('p');
  legs = [answering(1), answering(2)];
  errors = [];
});

describe('whether a pool is born', () => {
  test('is not known before anybody was heard, nor while a member that the configuration names has not answered', () => {
    expect(birth.born).toBeNull();
    one().probe = null;
    birth.heard(null, legs, null, []);
    expect(birth.born).toBeNull();
  });

  test('it is not, where all have answered, and none has a version; and it is about to be, when somebody has ordered it', () => {
    birth.heard(null, legs, null, []);
    expect(birth.born).toBe(false);
    order();
    expect(birth.born).toBe(true);
    birth.end(null);
    expect([birth.born, errors]).toEqual([false, [null]]);
  });

  test('that is not known any more, where a member does not answer any more: it may be the one that has the data', () => {
    birth.heard(null, legs, null, []);
    one().probe = null;
    birth.heard(null, legs, null, []);
    expect(birth.born).toBeNull();
  });

  test.each<[string, (known: Leg) => void]>([
    ['a member', () => birth.heard(LINEAGE, legs, null, [])],
    ['members of two lineages', () => birth.heard(undefined, legs, null, [])],
    ['the witness', (known) => birth.heard(null, legs, known, [])],
    ['a member at another place', (known) => birth.heard(null, legs, null, [legTo(4), known])],
  ])('it is, since a version was seen: %s; and that is not forgotten, whoever answers later', (_who, hear) => {
    hear(answering(3, VERSION));
    expect(birth.born).toBe(true);
    birth.heard(null, legs, answering(3), []);
    expect(birth.born).toBe(true);
  });
});

describe('what has to happen before it comes into being', () => {
  test('the order; whoever does not answer is named', () => {
    expect(birth.wants(legs, null, [])).toEqual({
      what: 'an operator to create pool p: no member that answers has ever been in service',
      remedy: orderBirth('p'),
    });
    one().probe = null;
    one().problem = 'member 1 (storage-1): no store';
    expect(birth.wants(legs, null, [])?.what).toMatch(/has ever been in service \(member 1 \(storage-1\): no store\)$/);
  });

  test('with the order nothing more, where all answer; a witness is one of them', () => {
    order();
    expect([birth.wants(legs, null, []), birth.wants(legs, answering(3), [answering(4)])]).toEqual([null, null]);
    expect(birth.wants(legs, legTo(3, 'witness'), [])?.what).toMatch(/^member 3 .+ \(every member is needed to create the pool\)$/);
  });

  const history = 'member 3 (storage-3), version 5.4{1,2}, has been in service with pool p, and the members that answer have empty stores';

  test.each<[string, () => ReturnType<Birth['wants']>]>([
    ['the witness', () => birth.wants(legs, answering(3, VERSION), [])],
    ['a member that answers at another place', () => birth.wants(legs, null, [answering(4), answering(3, VERSION)])],
  ])('nothing helps where somebody has a version: %s. Status says which member; an order ends, and is not remembered', (_who, wants) => {
    order();
    expect(wants()).toEqual({ what: `the members that have the data: ${history}`, remedy: expect.stringContaining('do not create it') });
    expect(errors.map((error) => [error?.code, error?.message])).toEqual([['CONFLICT', `pool p exists already: ${history}`]]);
    expect([birth.ordered, wants()?.what]).toEqual([false, `the members that have the data: ${history}`]);
  });

  test('at most one member was created to keep its data', () => {
    order();
    for (const [index, leg] of legs.entries())
      leg.probe = probeOf(index + 1, { identity: { ...identityOf(index + 1, 16, 4096), createdZeroed: index === 0 } });
    expect([birth.wants(legs, null, []), errors]).toEqual([null, []]);
    one().probe = probeOf(1, { identity: { ...identityOf(1, 16, 4096), createdZeroed: false } });
    expect(birth.wants(legs, null, [])?.what).toContain('member 1 (storage-1) and member 2 (storage-2) were created with --keep-data');
    expect(errors.map((error) => error?.code)).toEqual(['INVALID_ARGUMENT']);
  });
});

test('an order is waited for as long as that, ends once, and says what it waited for', () => {
  order(1_000);
  birth.tick(1_000 + BIRTH_MS - 1, 'member 2');
  expect([errors, birth.ordered]).toEqual([[], true]);
  birth.tick(1_000 + BIRTH_MS, 'member 2');
  birth.tick(9_000 + BIRTH_MS, 'member 2');
  birth.end(null);
  expect(errors.map((error) => error?.message)).toEqual(['pool p was not created within 30 s: it waits for member 2']);
});
