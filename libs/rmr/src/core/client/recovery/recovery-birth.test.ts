import { SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { BIRTH_MS } from '../../../constants.ts';
import { RecoveryRig } from '../../../testing/recovery-rig.ts';
import { identityOf, memberOf, probeOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { ProbeResult } from '../../../wire/control-message.ts';
import { Leg } from '../legs/leg.ts';

const REMEDY = /^If this pool is new, create it: client-node create --pool p\. If it has had data, do not: /;

let rig: RecoveryRig;

/** No member has ever been in service. */
beforeEach(() => {
  rig = new RecoveryRig();
  for (const memberId of [1, 2, 3]) rig.stores.set(memberId, { version: null, members: [] });
});

describe('a pool comes into being by an order alone (C0)', () => {
  test('without one it waits, however often it is tried, and says how it is given', () => {
    rig.begin();
    expect([rig.recovery.birth.born, rig.open]).toEqual([false, []]);
    expect(rig.waiting).toEqual({
      what: 'an operator to create pool p: no member that answers has ever been in service',
      remedy: expect.stringMatching(REMEDY),
    });
    rig.again();
    expect([rig.open, rig.waiting.remedy]).toEqual([[], expect.stringMatching(REMEDY)]);
  });

  test('whether it is born is not known before anybody has said so', () => {
    expect(rig.recovery.birth.born).toBeNull();
    rig.cut(1, 2, 3);
    rig.recovery.begin();
    expect(rig.recovery.birth.born).toBeNull();
  });

  test('it is carried out with all members, once', () => {
    rig.begin();
    rig.recovery.create(rig.done);
    expect(rig.recovery.birth.born).toBe(true);
    rig.probe();
    rig.grant([1, 2, 3]);
    expect(rig.ended).toEqual([]);
    const [recorded] = rig.serve([1, 2, 3]);
    expect([recorded?.version.epoch, recorded?.version.seq, rig.ended]).toEqual([1, 1, ['done']]);
    expect(recorded?.members.map(({ seen }) => seen?.age)).toEqual([20, 20, 20]);
    // It has been served, its members come back with empty stores: nothing is born again by itself.
    for (const memberId of [1, 2, 3]) rig.stores.set(memberId, { version: null, members: [] });
    rig.begin();
    expect([rig.open, rig.recovery.birth.born]).toEqual([[], false]);
  });

  test('it waits for a member that is away, and names it', () => {
    rig.cut(3);
    rig.begin();
    rig.recovery.create(rig.done);
    rig.probe();
    expect([rig.open, rig.ended]).toEqual([[], []]);
    expect(rig.waiting).toEqual({
      what: 'member 3 (storage-3): cut (every member is needed to create the pool)',
      remedy: expect.stringMatching(/^Start storage-3 or its host, /),
    });
    rig.session(3).reconnect();
    rig.again();
    expect(rig.open).toEqual(['claim 1', 'claim 2', 'claim 3']);
  });

  test('UNAVAILABLE: it ends after a while, says what it waited for, and is not carried out later', () => {
    rig.cut(3);
    rig.begin();
    rig.recovery.create(rig.done);
    rig.probe();
    rig.recovery.tick(rig.world.clock.nowMs() + BIRTH_MS - 1);
    for (const { calls } of rig.sessions) calls.length = 0;
    expect(rig.ended).toEqual([]);
    rig.recovery.tick(rig.world.clock.nowMs() + BIRTH_MS);
    expect([rig.ended, rig.errors[0]]).toEqual([
      ['UNAVAILABLE'],
      expect.stringMatching(/not created within 30 s: it waits for member 3 \(storage-3\): cut /),
    ]);
    rig.session(3).reconnect();
    // The attempt that is under way comes to an end.
    rig.recovery.sessionDown(rig.session(1).shared);
    for (const { calls } of rig.sessions) calls.length = 0;
    rig.again();
    expect([rig.open, rig.waiting.remedy]).toEqual([[], expect.stringMatching(REMEDY)]);
  });

  test('CONFLICT: some member has a version: the pool exists, and whose it is is said', () => {
    rig.begin();
    rig.stores.set(2, {});
    rig.recovery.create(rig.done);
    rig.probe();
    expect([rig.ended, rig.errors]).toEqual([
      ['CONFLICT'],
      [expect.stringMatching(/^pool p exists already: lineage .+ of member 2 \(storage-2\), version 5\.4\{1,2,3\}$/)],
    ]);
  });

  test('CONFLICT: the pool is served', () => {
    rig.stores.clear();
    rig.begin();
    rig.grant([1, 2, 3]);
    rig.serve([1, 2, 3]);
    rig.recovery.create(rig.done);
    expect([rig.ended, rig.errors]).toEqual([['CONFLICT'], ['pool p exists already: it is served']]);
  });

  test('UNAVAILABLE: a second order beside the first, and one that this node can not carry out any more', () => {
    rig.cut(3);
    rig.begin();
    rig.recovery.create(rig.done);
    rig.recovery.create(rig.done);
    expect([rig.ended, rig.errors[0]]).toEqual([['UNAVAILABLE'], 'pool p is being created: wait for the end of that']);
    rig.recovery.end();
    expect([rig.ended, rig.errors[1]]).toEqual([
      ['UNAVAILABLE', 'UNAVAILABLE'],
      expect.stringContaining('does not serve the pool any more'),
    ]);
  });

  test('INVALID_ARGUMENT: two stores were created with --keep-data: the data of one of them would be overwritten', () => {
    for (const memberId of [1, 3])
      rig.stores.set(memberId, { version: null, members: [], identity: { ...identityOf(memberId, 16, 4096), createdZeroed: false } });
    rig.begin();
    rig.recovery.create(rig.done);
    rig.probe();
    expect([rig.open, rig.ended]).toEqual([[], ['INVALID_ARGUMENT']]);
    expect(rig.errors[0]).toMatch(/^member 1 \(storage-1\) and member 3 \(storage-3\) were created with --keep-data, /);
    expect(rig.waiting.what).toContain('were created with --keep-data');
  });

  test('the data of one store that was created with --keep-data is taken over by all others', () => {
    rig.stores.set(2, { version: null, members: [], identity: { ...identityOf(2, 16, 4096), createdZeroed: false } });
    rig.begin();
    rig.recovery.create(rig.done);
    rig.probe();
    rig.grant([1, 2, 3]);
    rig.serve([1, 2, 3]);
    expect([1, 2, 3].map((memberId) => rig.assembled?.maps.of(memberId).dirtyCount)).toEqual([16, 0, 16]);
  });

  /** Somebody else than the members that the configuration names. */
  const other = (memberId: number, session = new ScriptedSession()): Leg =>
    new Leg(memberId - 1, memberOf(memberId), session.shared, SILENT_LOGGER, () => 0);

  test('CONFLICT: the witness has a version: the stores of the members are empty ones in the place of those that had the data', () => {
    const session = new ScriptedSession();
    rig.witness = other(9, session);
    const answer = (version: ProbeResult['version']): void =>
      session.next('probe').answer(probeOf(9, { version, identity: { ...identityOf(9, 16, 4096), witness: true } }));
    rig.begin();
    answer(null);
    expect([rig.recovery.birth.born, rig.waiting.what]).toEqual([false, expect.stringContaining('an operator to create pool p')]);
    rig.recovery.create(rig.done);
    rig.probe();
    answer(RecoveryRig.CURRENT);
    expect([rig.open, rig.ended, rig.recovery.birth.born]).toEqual([[], ['CONFLICT'], true]);
    expect(rig.waiting.what).toMatch(
      /^the members that have the data: member 9 \(storage-9\), version 5\.4\{1,2,3\}, has been in service /,
    );
  });

  test('a witness that has no version is one of those that are needed, and votes', () => {
    const session = new ScriptedSession();
    rig.witness = other(9, session);
    rig.begin();
    session.next('probe').answer(probeOf(9, { identity: { ...identityOf(9, 16, 4096), witness: true } }));
    rig.recovery.create(rig.done);
    rig.probe();
    session.next('probe').answer(probeOf(9, { identity: { ...identityOf(9, 16, 4096), witness: true } }));
    expect([rig.open, session.ops]).toEqual([['claim 1', 'claim 2', 'claim 3'], ['claim']]);
  });

  test.each([
    ['the witness', true],
    ['a member', false],
  ])('a store of the wrong kind is none: %s is found with that of the other kind', (_name, isWitness) => {
    const session = new ScriptedSession();
    rig.witness = other(9, session);
    if (!isWitness) rig.stores.set(2, { version: null, members: [], identity: { ...identityOf(2, 16, 4096), witness: true } });
    const answer = (): void => session.next('probe').answer(probeOf(9, { identity: { ...identityOf(9, 16, 4096), witness: !isWitness } }));
    rig.begin();
    answer();
    rig.recovery.create(rig.done);
    rig.probe();
    answer();
    const why = isWitness ? 'has a store with data, where a witness is expected' : 'has a store without data, as of a witness';
    expect([rig.open, session.ops, rig.waiting.what]).toEqual([[], [], expect.stringContaining(why)]);
  });

  test('CONFLICT: a member has its data at another place, where the configuration names it, and the pool knew it elsewhere', () => {
    const stray = other(2);
    rig.strays = [stray];
    rig.begin();
    expect(rig.recovery.birth.born).toBe(false);
    stray.probe = probeOf(2, { version: RecoveryRig.CURRENT });
    rig.recovery.create(rig.done);
    rig.probe();
    expect([rig.open, rig.ended, rig.recovery.birth.born]).toEqual([[], ['CONFLICT'], true]);
    expect(rig.waiting.what).toContain('the members that have the data: member 2 (storage-2), version 5.4{1,2,3}, has been in service');
    // That it was seen is not forgotten.
    rig.strays = [];
    rig.again();
    expect([rig.open, rig.recovery.birth.born]).toEqual([[], true]);
  });

  test('there is nothing to force: it has to be created', () => {
    rig.begin();
    expect(rig.recovery.forcePlan()).toMatchObject({
      ...{ refusal: 'no member that has ever been in service can be reached', members: [], leftBehind: [] },
    });
  });
});

describe('a pool that is half born', () => {
  /** One member has recorded the first version, and then it came to an end. */
  function halfBorn(...members: number[]): void {
    rig.begin();
    rig.recovery.create(rig.done);
    rig.probe();
    rig.grant([1, 2, 3]);
    rig.record(members);
    disturb();
  }

  /** A session is lost, and back at once. */
  function disturb(): void {
    rig.cut(3);
    rig.session(3).reconnect();
    for (const { calls } of rig.sessions) calls.length = 0;
  }

  test('goes on without an order, with all members: whoever has no version was to have it', () => {
    halfBorn(1);
    rig.again();
    expect(rig.recovery.birth.born).toBe(true);
    rig.grant([1, 2, 3]);
    rig.serve([1, 2, 3]);
    expect(rig.version).toMatchObject({ epoch: 2, seq: 1 });
  });

  test('L8: however often it comes to an end, nobody is thought to have lost a version that it never had', () => {
    halfBorn(1);
    for (const epoch of [2, 3, 4]) {
      rig.again();
      rig.grant([1, 2, 3]);
      expect(rig.record([1])[0]?.version.epoch).toBe(epoch);
      disturb();
    }
    rig.again();
    rig.grant([1, 2, 3]);
    rig.serve([1, 2, 3]);
    expect(rig.version).toMatchObject({ epoch: 5 });
  });

  test('waits for the members that are away', () => {
    halfBorn(1);
    rig.cut(2);
    rig.again();
    expect([rig.open, rig.waiting.what]).toEqual([[], expect.stringContaining('member 2 (storage-2)')]);
  });
});
