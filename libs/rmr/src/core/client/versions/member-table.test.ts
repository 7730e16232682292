import { SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { claimOf, memberOf, PAST, probeOf, seenOf, storeOf, versionOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { ClaimResult } from '../../../wire/control-message.ts';
import { Leg } from '../legs/leg.ts';
import { memberTable, unknownColumns } from './member-table.ts';

const NOW = 8_000;
const VERSION = versionOf(4, [1, 2], { epoch: 5 });

let legs: Leg[];
let grants: Map<Leg, ClaimResult>;

const leg = (memberId: number): Leg => legs[memberId - 1] as Leg;
const grant = (memberId: number, fields: Partial<ClaimResult>): void => void grants.set(leg(memberId), claimOf(fields));
const table = (remembered: Parameters<typeof memberTable>[0] = null, witness: Leg | null = null) =>
  memberTable(remembered, legs, witness, grants, NOW);

beforeEach(() => {
  legs = [1, 2, 3].map((memberId) => new Leg(memberId - 1, memberOf(memberId), new ScriptedSession().shared, SILENT_LOGGER, () => 0));
  for (const each of legs) each.probe = probeOf(each.member.memberId);
  grants = new Map();
});

describe('the member table of a first version', () => {
  test('is made of the configuration where nobody has one, of those that have granted: the pool is born', () => {
    grant(1, {});
    grant(2, {});
    expect(table()).toEqual([1, 2].map((memberId) => ({ ...memberOf(memberId), seen: seenOf(20, 2, NOW) })));
  });

  test('L9: else what the highest version has counts: its places and names, and no member that only the configuration names', () => {
    const known = [
      { ...memberOf(1), name: 'one' },
      { ...memberOf(2), addresses: ['memory:7'] },
    ];
    grant(1, { version: VERSION, members: known });
    grant(3, { version: versionOf(3, [1, 2], { epoch: 5 }), members: [memberOf(1), memberOf(2), memberOf(3)] });
    expect(table().map(({ memberId, name, addresses }) => [memberId, name, addresses])).toEqual([
      [1, 'one', ['memory:1']],
      [2, 'storage-2', ['memory:7']],
    ]);
  });

  test('L9: but where a member of the set to come has answered is where it is, whatever tables say', () => {
    grant(1, { version: VERSION, members: [{ ...memberOf(1), addresses: ['memory:7'] }, memberOf(2)] });
    expect(table()[0]?.addresses).toEqual(['memory:1']);
  });

  test('what this client remembers counts before all that others say', () => {
    grant(1, { version: VERSION, members: [memberOf(1), memberOf(2)] });
    expect(table([memberOf(1)]).map(({ memberId }) => memberId)).toEqual([1]);
  });

  test('L8: of those that have granted the mark is that of the grant; of others the newest that a holder of the same version has heard', () => {
    const knows = (age: number) => [memberOf(1), { ...memberOf(2), seen: seenOf(age) }, { ...memberOf(3), seen: seenOf(age) }];
    grant(1, { version: VERSION, members: knows(30), past: { ...PAST, age: 44 } });
    grant(2, { version: VERSION, members: knows(50), past: { ...PAST, age: 60 } });
    expect(table().map(({ seen }) => seen)).toEqual([seenOf(44, 2, NOW), seenOf(60, 2, NOW), seenOf(50)]);
    // What was heard before that version is in its table, or says nothing any more.
    grants.clear();
    grant(1, { version: VERSION, members: knows(30) });
    grant(2, { version: versionOf(3, [1, 2], { epoch: 5 }), members: knows(50) });
    expect(table()[2]?.seen?.age).toBe(30);
  });

  test('the store of a member that the table has stays, whatever another leg shows', () => {
    leg(3).probe = probeOf(3, { identity: { ...probeOf(3).identity, storeUuid: storeOf(7) } });
    grant(1, { version: VERSION, members: [memberOf(1), memberOf(3)] });
    expect(table()[1]?.storeUuid).toBe(storeOf(3));
  });

  test('the witness is in it with its role, from the birth on', () => {
    const witness = new Leg(8, memberOf(9), new ScriptedSession().shared, SILENT_LOGGER, () => 0);
    witness.probe = probeOf(9);
    grant(1, {});
    expect(table(null, witness)[1]).toEqual(memberOf(9, 'witness'));
  });
});

test('columns of members that the table has not are unknown, each once', () => {
  const columns = [1, 5, 6].map((memberId) => ({ memberId, dirtyChunks: 0, digest: 'x' }));
  expect(unknownColumns([claimOf({ columns }), claimOf({ columns })], [memberOf(1)])).toEqual([5, 6]);
});
