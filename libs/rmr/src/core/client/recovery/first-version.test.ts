import { DirtyMap } from '@rmr/dirty-map';
import { SILENT_LOGGER } from '@rmr/runtime';
import { type VirtualHost, VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { FORMER_LINEAGES_MAX } from '../../../constants.ts';
import { claimOf, identityOf, LINEAGE, memberOf, OTHER_LINEAGE, POLICY, storeOf, versionOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { ClaimResult, ProbeResult } from '../../../wire/control-message.ts';
import { Leg } from '../legs/leg.ts';
import { PoolMaps } from '../pool-maps.ts';
import type { Grant } from './assembly.ts';
import { type FirstVersion, type FirstVersionInputs, firstVersion } from './first-version.ts';

const CHUNK = 4096;
const CHUNKS = 8;
const MEMBERS = [1, 2, 3].map((memberId) => memberOf(memberId));
const CURRENT = versionOf(4, [1, 2, 3], { epoch: 5 });

let host: VirtualHost;
let allLegs: Leg[];
/** The member whose store is not proven to read as zeroes; a test changes it before it decides. */
let keeps: number;
/** The member whose leg leads elsewhere than the tables say; a test changes it before it decides. */
let moved: number;
/** Whether the client has found that member by a move that no table has (L9); a test changes it before it decides. */
let followed: boolean;

const ELSEWHERE = ['memory:elsewhere'];

/** A leg that has answered the probe. */
function probed(memberId: number): Leg {
  const member = memberId === moved ? { ...memberOf(memberId), addresses: ELSEWHERE } : memberOf(memberId);
  const leg = new Leg(memberId - 1, member, new ScriptedSession().shared, SILENT_LOGGER, () => 0);
  leg.moved = followed && memberId === moved;
  leg.probe = { identity: { ...identityOf(memberId, CHUNKS, CHUNK), createdZeroed: memberId !== keeps } } as ProbeResult;
  return leg;
}

function claim(fields: Partial<ClaimResult> = {}): ClaimResult {
  return claimOf({ version: CURRENT, members: MEMBERS, ...fields });
}

/** The first version with these members, all of which have granted. */
function decide(
  memberIds: readonly number[],
  rest: Partial<FirstVersionInputs> = {},
  grantOf: (memberId: number) => Partial<ClaimResult> = () => ({}),
): FirstVersion {
  allLegs = [1, 2, 3].map(probed);
  const legs = allLegs.filter((leg) => memberIds.includes(leg.member.memberId));
  const claims = new Map(legs.map((leg) => [leg, claim(grantOf(leg.member.memberId))]));
  const grants: Grant[] = legs.map((leg) => {
    const { version, volatileLost, lastIo, intent, unreadable } = claims.get(leg) as ClaimResult;
    return { memberId: leg.member.memberId, version, volatileLost, lastIo, intent, unreadable, columns: new Map() };
  });
  const witness = rest.witness ?? null;
  return firstVersion(host, {
    epoch: 6,
    legs,
    claims: witness === null ? claims : new Map([...claims, [witness, claim(grantOf(witness.member.memberId))]]),
    grants,
    highest: CURRENT,
    memory: null,
    forced: false,
    quorum: 'none',
    allLegs,
    maps: new PoolMaps(CHUNKS * CHUNK, CHUNK),
    ...rest,
    witness,
  });
}

const dirtyCounts = ({ maps }: FirstVersion): number[] => [1, 2, 3].map((memberId) => maps.of(memberId).dirtyCount);
const warnings = (): string[] => host.log.entries.filter(({ level }) => level === 'warn').map(({ event }) => event);

beforeEach(() => {
  host = new VirtualWorld().host('client-1');
  keeps = 0;
  moved = 0;
  followed = false;
});

describe('a pool that is born', () => {
  const born = { highest: null, quorum: 'majority' as const };
  const nothing = (): Partial<ClaimResult> => ({ version: null, members: [] });

  test('has a lineage of its own, all members, and the quorum that is configured', () => {
    const { version, members, policy, foreign } = decide([1, 2, 3], born, nothing);
    expect(version).toMatchObject({ epoch: 6, seq: 1, horizon: 0, inSync: CURRENT.inSync });
    expect(version.lineageUuid).not.toBe(decide([1, 2, 3], born, nothing).version.lineageUuid);
    expect(members.map(({ memberId, joined }) => [memberId, joined])).toEqual([1, 2, 3].map((id) => [id, { epoch: 6, seq: 1 }]));
    expect(policy).toEqual({ quorum: 'majority', highestMemberId: 3, formerLineages: [] });
    expect([foreign, warnings()]).toEqual([[], []]);
  });

  test('is clean where all stores are proven to read as zeroes', () => {
    expect(dirtyCounts(decide([1, 2, 3], born, nothing))).toEqual([0, 0, 0]);
  });

  test.each([
    [1, [0, CHUNKS, CHUNKS]],
    [2, [CHUNKS, 0, CHUNKS]],
    [3, [CHUNKS, CHUNKS, 0]],
  ])('has the data of the member that was created with --keep-data, be it member %i: all others take it over', (memberId, dirty) => {
    keeps = memberId;
    expect(dirtyCounts(decide([1, 2, 3], born, nothing))).toEqual(dirty);
  });
});

describe('with which version members have joined', () => {
  const joinedWith = (first: FirstVersion) => first.members.map(({ joined }) => joined);
  const members = MEMBERS.map((member) => ({ ...member, joined: { epoch: 5, seq: member.memberId === 3 ? 4 : 2 } }));
  const [before, halfway, now] = [
    { epoch: 5, seq: 2 },
    { epoch: 5, seq: 4 },
    { epoch: 6, seq: 1 },
  ];

  test('stays, where they have recorded it', () => {
    expect(joinedWith(decide([1, 2, 3], {}, () => ({ members })))).toEqual([before, before, halfway]);
  });

  test.each([
    ['an older version', versionOf(3, [1, 2], { epoch: 5 })],
    ['none, as in a pool that is half born', null],
    ['one of a lineage that was left behind', versionOf(9, [3], { epoch: 5, lineageUuid: OTHER_LINEAGE })],
  ])('L8: a member that was about to join, and has not recorded that, joins with this version: it has %s', (_name, version) => {
    const first = decide([1, 2, 3], {}, (memberId) => (memberId === 3 ? { members, version } : { members }));
    expect(joinedWith(first)).toEqual([before, before, now]);
  });

  test('is the first one of a lineage for all members that the pool is forced with', () => {
    expect(joinedWith(decide([1, 2], { forced: true }, () => ({ members })))).toEqual([now, now, undefined]);
  });
});

describe('a pool that is there', () => {
  test('keeps its lineage, and no random number is drawn', () => {
    const { version, policy, foreign } = decide([1, 2, 3]);
    const untouched = new VirtualWorld().host('client-1');
    expect([version.lineageUuid, policy, foreign]).toEqual([LINEAGE, POLICY, []]);
    expect(host.random.u32()).toBe(untouched.random.u32());
  });

  test('L9: has a member that has moved where it is, and one that takes no part where it was: what answers elsewhere may be a copy', () => {
    moved = 3;
    const memory = { durable: CURRENT, attempts: [], members: MEMBERS, policy: POLICY };
    const places = (memberIds: readonly number[], rest: Partial<FirstVersionInputs> = {}) =>
      decide(memberIds, rest).members.map(({ addresses }) => addresses);
    const [first, second, third] = MEMBERS.map(({ addresses }) => addresses);
    for (const hasFollowed of [false, true]) {
      followed = hasFollowed;
      expect(places([1, 2, 3])).toEqual([first, second, ELSEWHERE]);
      expect(places([1, 2, 3], { memory })).toEqual([first, second, ELSEWHERE]);
      expect(places([1, 2])).toEqual([first, second, third]);
    }
  });

  test('I8: what the disk of a member can not read is dirty for it, and the last copy never is', () => {
    const chunk = (index: number) => ({ offsetBytes: index * CHUNK, lengthBytes: CHUNK });
    const all = [chunk(5)];
    const first = decide([1, 2, 3], {}, (memberId) => ({ unreadable: memberId === 2 ? [chunk(3), ...all] : all }));
    expect(dirtyCounts(first)).toEqual([0, 1, 0]);
    expect(first.maps.of(2).test(3)).toBe(true);
  });

  test('V1: a version that does not rise is refused', () => {
    expect(() => decide([1, 2, 3], { epoch: 5 })).toThrow('V1');
  });

  test('table and policy are those of the holder of the highest version, whatever others remember', () => {
    const stale = {
      version: versionOf(3, [1, 2, 3], { epoch: 5 }),
      members: MEMBERS.slice(0, 2),
      policy: { ...POLICY, highestMemberId: 2 },
    };
    const { members, policy } = decide([1, 2, 3], {}, (memberId) =>
      memberId === 2 ? { policy: { ...POLICY, quorum: 'majority', highestMemberId: 7 } } : stale,
    );
    expect([members.length, policy]).toEqual([3, { ...POLICY, quorum: 'majority', highestMemberId: 7 }]);
  });

  test('L5: a client that goes on with what it remembers keeps its table and policy', () => {
    const memory = { durable: CURRENT, attempts: [], members: MEMBERS.slice(0, 2), policy: { ...POLICY, highestMemberId: 9 } };
    const { members, policy } = decide([1, 2], { memory });
    expect([members.map(({ memberId }) => memberId), policy.highestMemberId]).toEqual([[1, 2], 9]);
  });

  test('the highest member id never falls, and rises with the table', () => {
    const highestWith = (highestMemberId: number): number =>
      decide([1, 2, 3], {}, () => ({ policy: { ...POLICY, highestMemberId } })).policy.highestMemberId;
    expect([highestWith(8), highestWith(0)]).toEqual([8, 3]);
  });

  test('a member of another lineage is told that this one follows it; one without a version is not', () => {
    const { foreign } = decide([1, 2, 3], {}, (memberId) => {
      if (memberId === 2) return { version: versionOf(9, [2], { epoch: 3, lineageUuid: OTHER_LINEAGE }) };
      return memberId === 3 ? { version: null } : {};
    });
    expect(foreign).toEqual([allLegs[1]]);
  });

  test('columns of members that are none any more are erased', () => {
    const columns = [2, 7].map((memberId) => ({ memberId, dirtyChunks: 0, digest: '' }));
    expect(decide([1, 2, 3], {}, () => ({ columns })).erase).toEqual([7]);
  });

  test('what was not flushed is lost when every member says so, not before', () => {
    expect(decide([1, 2, 3], {}, (memberId) => ({ volatileLost: memberId !== 2 })).allVolatileLost).toBe(false);
    expect(decide([1, 2, 3], {}, () => ({ volatileLost: true })).allVolatileLost).toBe(true);
  });

  test('the witness records if it has granted, and is not in the set', () => {
    const witness = probed(9);
    const members = [...MEMBERS, memberOf(9, 'witness')];
    const first = decide([1, 2, 3], { witness }, () => ({ members }));
    expect([first.witness, first.version.inSync.length]).toEqual([witness, 3]);
    expect(first.members[3]).toMatchObject({ role: 'witness', storeUuid: storeOf(9) });
    // It is known, and was not asked or has not answered.
    const claims = new Map(first.legs.map((leg) => [leg, claim({ members })]));
    expect(decide([1, 2, 3], { witness, claims, legs: first.legs, allLegs: [...first.legs] }).witness).toBeNull();
  });
});

describe('force', () => {
  const majority = { ...POLICY, quorum: 'majority' as const };

  test('begins a lineage that names the former one, and those that are away have nothing', () => {
    const first = decide([1, 2], { forced: true });
    expect(first.version.lineageUuid).not.toBe(LINEAGE);
    expect([first.policy.formerLineages, first.foreign, dirtyCounts(first)]).toEqual([[LINEAGE], first.legs, [0, 0, CHUNKS]]);
    expect(first.members.map(({ left }) => left)).toEqual([undefined, undefined, { epoch: 6, seq: 1 }]);
    expect(warnings()).toEqual(['the pool is forced into service as a new lineage']);
  });

  test('V1: its version needs not rise above one of the former lineage', () => {
    expect(decide([1, 2], { forced: true, epoch: 5 }).version).toMatchObject({ epoch: 5, seq: 1 });
  });

  test('without a majority the quorum is dropped, with one it stays', () => {
    const quorumWith = (memberIds: readonly number[]): string =>
      decide(memberIds, { forced: true }, () => ({ policy: majority })).policy.quorum;
    expect([quorumWith([1]), quorumWith([1, 2])]).toEqual(['none', 'majority']);
  });

  test('former lineages are kept bounded: the oldest is forgotten', () => {
    const lineage = (index: number): string => `00000000-0000-4000-8000-0000000001${String(index).padStart(2, '0')}`;
    const formerLineages = Array.from({ length: FORMER_LINEAGES_MAX }, (_, index) => lineage(index));
    const { policy } = decide([1, 2], { forced: true }, () => ({ policy: { ...POLICY, formerLineages } }));
    expect(policy.formerLineages).toEqual([...formerLineages.slice(1), LINEAGE]);
  });

  test('I8: what nobody that is there has clean is lost: nothing waits for it, as it would without force', () => {
    const own = new DirtyMap(CHUNKS);
    own.set(2, 1);
    const none = { volatileLost: false, lastIo: [], intent: [], unreadable: [] };
    const grants = [{ memberId: 1, version: CURRENT, ...none, columns: new Map([[1, own]]) }];
    const waitsFor = (forced: boolean): number => decide([1], { grants, forced }).maps.heldElsewhere([1]);
    expect([waitsFor(false), waitsFor(true)]).toEqual([2, -1]);
  });
});
