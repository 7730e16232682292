import { SILENT_LOGGER } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { memberOf, POLICY, POOL, probeOf, storeOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import { Leg } from '../legs/leg.ts';
import type { PoolClientOptions } from '../pool-client-types.ts';
import { differences, type RecordedPool } from './differences.ts';

const NO_WITNESS = [memberOf(1), memberOf(2)];

let options: PoolClientOptions;
let pool: RecordedPool;
let sessions: ScriptedSession[];

const found = (fields: Partial<PoolClientOptions> = {}, recorded: Partial<RecordedPool> = {}): string[] =>
  differences({ ...options, ...fields }, { ...pool, ...recorded }).map(({ what, remedy }) => {
    expect(remedy).toMatch(/\.$/);
    return what;
  });

/** The node that the session leads to. */
function peer(session: ScriptedSession | undefined, hostName: string, hostUuid: string): void {
  Object.assign(session?.rtrs ?? {}, { peer: { hostName, hostUuid } });
}

beforeEach(() => {
  sessions = [1, 2].map(() => new ScriptedSession());
  const legs = sessions.map(({ shared }, index) => {
    const leg = new Leg(index, memberOf(index + 1), shared, SILENT_LOGGER, () => 0);
    leg.probe = probeOf(index + 1);
    return leg;
  });
  options = { poolUuid: POOL, poolName: 'p', members: NO_WITNESS };
  pool = { members: NO_WITNESS, policy: POLICY, legs, witness: null, strayOf: () => undefined };
});

describe('where the configuration says otherwise than the pool (L9)', () => {
  test('there is nothing to tell where it says the same, or says nothing, or nothing is known of the pool yet', () => {
    expect(found()).toEqual([]);
    expect(found({ quorum: 'none' })).toEqual([]);
    expect(found({ poolName: 'other', quorum: 'majority', members: [memberOf(7)] }, { members: [] })).toEqual([]);
  });

  test('the quorum', () => {
    expect(found({ quorum: 'majority' })).toEqual(['the configuration says quorum majority, and the pool has quorum none, which counts']);
  });

  test('the name of the pool, in the store of each member that says so', () => {
    expect(found({ poolName: 'other' })).toEqual(
      [1, 2].map((id) => `the configuration calls the pool "other", and the store of member ${id} (storage-${id}) "p"`),
    );
  });

  test('a member that is none', () => {
    expect(found({ members: [...NO_WITNESS, memberOf(3)] })).toEqual([
      'the configuration names member 3 (storage-3), which is no member of the pool',
    ]);
  });

  test('a member that the configuration lacks; a witness is none of those', () => {
    expect(found({ members: [memberOf(1)] })).toEqual([
      'the pool has member 2 (storage-2, memory:2), which the configuration does not name',
    ]);
    expect(found({}, { members: [...NO_WITNESS, memberOf(9, 'witness')] })).toEqual([]);
  });

  test('the name of a member', () => {
    expect(found({ members: [memberOf(1), { ...memberOf(2), name: 'two' }] })).toEqual([
      'the configuration calls member 2 "two", and the pool calls it "storage-2"',
    ]);
  });

  test('the witness, be there another or none; where the configuration is silent, nothing', () => {
    const named = 'the configuration names member 8 (storage-8) as the witness, and the pool';
    expect(found({ witness: memberOf(8) })).toEqual([`${named} has none, which counts`]);
    const witnessed = { members: [...NO_WITNESS, memberOf(9, 'witness')] };
    expect(found({ witness: memberOf(8) }, witnessed)).toEqual([`${named} has member 9 (storage-9) for it, which counts`]);
    expect(found({ witness: memberOf(9) }, witnessed)).toEqual([]);
  });

  test('two storage nodes that call themselves by one name; a node that is reached twice is one, and one that is away is none', () => {
    peer(sessions[0], 'storage', 'a');
    peer(sessions[1], 'storage', 'b');
    expect(found()).toEqual(['the storage nodes of member 1 (storage-1) and member 2 (storage-2) both call themselves "storage"']);
    sessions[0]?.cut();
    expect(found()).toEqual([]);
    sessions[0]?.reconnect();
    peer(sessions[1], 'storage', 'a');
    expect(found()).toEqual([]);
  });
});

describe('the addresses of a member (L9)', () => {
  const members = [memberOf(1), { ...memberOf(2), addresses: ['memory:7', 'memory:8'] }];
  const elsewhere = 'the configuration names member 2 at memory:7 or memory:8, and the pool knows it at memory:2, which counts';

  function stray(storeUuid: string): Leg {
    const leg = new Leg(9, members[1] as ReturnType<typeof memberOf>, new ScriptedSession().shared, SILENT_LOGGER, () => 0);
    leg.probe = probeOf(2, { identity: { ...probeOf(2).identity, storeUuid } });
    return leg;
  }

  test('are told where nobody answers, or somebody with another store', () => {
    expect(found({ members })).toEqual([elsewhere]);
    expect(found({ members }, { strayOf: () => stray(storeOf(7)) })).toEqual([elsewhere]);
  });

  test('are told with what answers there, if that has the same store', () => {
    expect(found({ members }, { strayOf: (memberId) => (memberId === 2 ? stray(storeOf(2)) : undefined) })).toEqual([
      `${elsewhere}, and a copy of its store, or the same storage node, answers where the configuration names it`,
    ]);
  });
});
