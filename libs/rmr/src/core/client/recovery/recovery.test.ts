import { DirtyMap } from '@rmr/dirty-map';
import { beforeEach, describe, expect, test } from 'vitest';
import { LEASE_END_MS, RECOVERY_RETRY_MS } from '../../../constants.ts';
import type { ByteRange, PoolPolicy, VersionRecord } from '../../../pool-store.ts';
import { RecoveryRig } from '../../../testing/recovery-rig.ts';
import {
  CLIENT,
  claimOf,
  identityOf,
  LINEAGE,
  MARK,
  memberOf,
  OTHER_LINEAGE,
  POLICY,
  probeOf,
  RIVAL,
  versionOf,
} from '../../../testing/scripted-pool.ts';
import type { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { ClaimResult, ControlRequest, ProbeResult } from '../../../wire/control-message.ts';
import { encodeLeaf } from '../../map-leaves.ts';
import type { Leg } from '../legs/leg.ts';

const CHUNK = 4096;
const CHUNKS = 16;
const MEMBERS = [1, 2, 3].map((memberId) => memberOf(memberId));
/** The version that members have unless a test says something else. */
const CURRENT = versionOf(4, [1, 2, 3], { epoch: 5 });

type RecordRequest = ControlRequest & { op: 'record-version' };

/** The policy that members tell of. */
let policy: PoolPolicy & ClaimResult['policy'];
let rig: RecoveryRig;

const session = (memberId: number): ScriptedSession => rig.sessions[memberId - 1] as ScriptedSession;
/** All requests without an answer. */
const open = (): string[] => rig.sessions.flatMap(({ ops }, index) => ops.map((op) => `${op} ${index + 1}`));

function probe(memberId: number, fields: Partial<ProbeResult> = {}): ProbeResult {
  return probeOf(memberId, { version: CURRENT, members: MEMBERS, policy, ...fields });
}

function claim(fields: Partial<ClaimResult> = {}): ClaimResult {
  return claimOf({ version: CURRENT, members: MEMBERS, policy, ...fields });
}

/** All that are connected answer the probe. */
function answerProbes(fields: (memberId: number) => Partial<ProbeResult> = () => ({})): void {
  for (const [index, each] of rig.sessions.entries()) if (each.connected) each.next('probe').answer(probe(index + 1, fields(index + 1)));
}

/** These grant. */
function grant(memberIds: readonly number[], fields: (memberId: number) => Partial<ClaimResult> = () => ({})): void {
  for (const memberId of memberIds)
    session(memberId)
      .next('claim')
      .answer(claim(fields(memberId)));
}

/** These have read what others may have to copy, all but what is `unreadable`. Returns what they were asked for. */
function checkReadable(memberIds: readonly number[], unreadable: (memberId: number) => ByteRange[] = () => []): ByteRange[][] {
  return memberIds.map((memberId) => {
    const call = session(memberId).next('read-check');
    call.answer({ unreadable: unreadable(memberId) });
    return call.request.ranges;
  });
}

/** Columns in which members differ from what was assembled are staged; then these record the version. */
function record(memberIds: readonly number[]): RecordRequest[] {
  for (const { calls } of rig.sessions) while (calls[0]?.request.op === 'map-stage') calls.shift()?.answer();
  return memberIds.map((memberId) => {
    const call = session(memberId).next('record-version');
    call.answer({ owed: [], mark: MARK });
    return call.request;
  });
}

function enable(memberIds: readonly number[]): void {
  for (const memberId of memberIds) session(memberId).next('enable').answer();
}

/** Time for the next attempt. */
function retry(): void {
  rig.virtual.run(4 * RECOVERY_RETRY_MS);
  rig.recovery.tick(rig.world.clock.nowMs());
}

function cut(...memberIds: readonly number[]): void {
  for (const memberId of memberIds) {
    session(memberId).cut();
    // As the pool's client does.
    (rig.legs[memberId - 1] as Leg).probe = null;
    rig.recovery.sessionDown(session(memberId).shared);
  }
}

beforeEach(() => {
  policy = { ...POLICY };
  rig = new RecoveryRig();
});

describe('the assemble rule', () => {
  test('C1: a pool is claimed when every member of the highest in-sync set is there; till then it says which members are missing', () => {
    cut(3);
    rig.recovery.begin();
    answerProbes();
    expect(open()).toEqual([]);
    expect(rig.waiting.what).toContain('storage-3');
    expect(rig.waiting.what).toContain('in-sync set of version 5.4{1,2,3}');
    session(3).reconnect();
    rig.recovery.poke();
    answerProbes();
    expect(open()).toEqual(['claim 1', 'claim 2', 'claim 3']);
  });

  test('C4: nothing is claimed while a member serves another client, not even from a member that does not', () => {
    policy = { ...POLICY, quorum: 'majority' };
    const promise = { epoch: 5, clientInstance: RIVAL, clientName: 'client-2' };
    rig.recovery.begin();
    answerProbes((memberId) => ({ promise, state: memberId === 3 ? 'NO_IO' : 'NORMAL' }));
    expect([open(), rig.waiting.what]).toEqual([[], expect.stringContaining('client-2')]);
    // It is gone, and so is its session with the members.
    rig.recovery.poke();
    answerProbes(() => ({ promise, state: 'NO_IO' }));
    expect(open()).toEqual(['claim 1', 'claim 2', 'claim 3']);
  });

  test('a member that is out of the highest set is not waited for, and not believed', () => {
    cut(3);
    rig.recovery.begin();
    answerProbes(() => ({ version: versionOf(6, [1, 2], { epoch: 5 }) }));
    expect(open()).toEqual(['claim 1', 'claim 2']);
  });

  test('claim, record on all, enable: in this order, and what may exist is noted before it is sent', () => {
    rig.recovery.begin();
    answerProbes((memberId) => ({ promise: { epoch: 4 + memberId, clientInstance: RIVAL, clientName: 'client-2' } }));
    expect(session(1).calls[0]?.request).toMatchObject({ op: 'claim', epoch: 8, clientInstance: CLIENT });
    grant([1, 2]);
    expect([open(), rig.attempts]).toEqual([['claim 3'], []]);
    grant([3]);
    expect(rig.attempts.map(({ epoch, seq }) => [epoch, seq])).toEqual([[8, 1]]);
    record([1, 2]);
    expect(open()).toEqual(['record-version 3']);
    record([3]);
    enable([1, 2, 3]);
    expect(rig.assembled?.version).toMatchObject({ epoch: 8, seq: 1, lineageUuid: LINEAGE });
  });

  test('C2: a version that was recorded while the pool was being claimed counts, and is waited for', () => {
    rig.recovery.begin();
    answerProbes(() => ({ version: versionOf(6, [1, 2], { epoch: 5 }) }));
    grant([1]);
    grant([2], () => ({ version: versionOf(7, [2, 3], { epoch: 5 }) }));
    expect([open(), rig.attempts]).toEqual([[], []]);
    expect(rig.waiting.what).toContain('5.7{2,3}');
  });

  test('C2: a refusal names the epoch to be beaten', () => {
    rig.recovery.begin();
    answerProbes();
    session(1).next('claim').refuse('STALE_EPOCH', 'epoch 20 is promised', { epoch: 20, clientInstance: RIVAL, clientName: 'client-2' });
    expect(rig.waiting.what).toContain('epoch 20 is promised');
    for (const { calls } of rig.sessions) calls.length = 0;
    retry();
    answerProbes();
    expect(session(1).calls[0]?.request).toMatchObject({ op: 'claim', epoch: 21 });
  });

  test('◆15: what may differ is dirty for all but one under the new version', () => {
    rig.recovery.begin();
    answerProbes();
    grant([1, 2, 3], (memberId) => ({ lastIo: memberId === 2 ? [{ offsetBytes: 3 * CHUNK, lengthBytes: CHUNK }] : [] }));
    checkReadable([1, 2, 3]);
    record([1, 2, 3]);
    enable([1, 2, 3]);
    const dirty = [1, 2, 3].map((memberId) => rig.assembled?.maps.of(memberId).test(3));
    expect(dirty).toEqual([false, true, true]);
  });

  test('I1: they are asked before whether they can read it, whole chunks; a member that can not does not win', () => {
    rig.recovery.begin();
    answerProbes();
    const [writing, flushing] = [
      { offsetBytes: 3 * CHUNK + 512, lengthBytes: 512 },
      { offsetBytes: 2 * CHUNK, lengthBytes: 2 * CHUNK },
    ];
    grant([1, 2, 3], (memberId) => (memberId === 2 ? { lastIo: [writing], volatileLost: true, intent: [flushing] } : {}));
    const asked = checkReadable([1, 2, 3], (memberId) => (memberId === 1 ? [{ offsetBytes: 3 * CHUNK, lengthBytes: 512 }] : []));
    const chunk = (index: number) => ({ offsetBytes: index * CHUNK, lengthBytes: CHUNK });
    expect(asked[0]).toEqual([chunk(3), chunk(2)]);
    record([1, 2, 3]);
    enable([1, 2, 3]);
    const dirty = [1, 2, 3].map((memberId) => [2, 3].map((index) => rig.assembled?.maps.of(memberId).test(index)));
    expect(dirty).toEqual([
      [false, true],
      [true, true],
      [false, false],
    ]);
  });

  test('I1: what once failed, and can be read now, counts as readable', () => {
    rig.recovery.begin();
    answerProbes();
    const range = { offsetBytes: 3 * CHUNK, lengthBytes: CHUNK };
    grant([1, 2, 3], (memberId) => (memberId === 1 ? { unreadable: [range] } : { volatileLost: true, intent: [range] }));
    checkReadable([1, 2, 3]);
    record([1, 2, 3]);
    enable([1, 2, 3]);
    expect([1, 2, 3].map((memberId) => rig.assembled?.maps.of(memberId).test(3))).toEqual([false, true, true]);
  });

  test('I1: what one could not read is read by all: it is passed over only for one that is known to read it', () => {
    rig.recovery.begin();
    answerProbes();
    const range = { offsetBytes: 3 * CHUNK, lengthBytes: CHUNK };
    grant([1, 2, 3], (memberId) => (memberId === 1 ? { unreadable: [range] } : {}));
    const asked = checkReadable([1, 2, 3], () => [range]);
    expect(asked).toEqual([[range], [range], [range]]);
    record([1, 2, 3]);
    enable([1, 2, 3]);
    // Each may be able to read what the others can't.
    expect([1, 2, 3].map((memberId) => rig.assembled?.maps.of(memberId).test(3))).toEqual([false, false, false]);
  });

  test('a member that does not say so ends the attempt', () => {
    rig.recovery.begin();
    answerProbes();
    grant([1, 2, 3], () => ({ lastIo: [{ offsetBytes: 0, lengthBytes: 512 }] }));
    session(2).next('read-check').refuse('BAD_STATE', 'epoch 5 is not served here');
    expect(rig.waiting.what).toContain('epoch 5 is not served here');
    expect(rig.assembled).toBeNull();
  });
});

describe('a recovery that is disturbed', () => {
  test('a session that ends ends the attempt: later answers mean nothing, and it starts over', () => {
    rig.recovery.begin();
    answerProbes();
    const late = session(1).next('claim');
    cut(3);
    late.answer(claim());
    grant([2]);
    expect([open(), rig.attempts]).toEqual([[], []]);
    retry();
    expect(open()).toEqual(['probe 1', 'probe 2']);
  });

  test('C3: a client that has served is fenced when another has been promised more', () => {
    rig.recovery.begin();
    answerProbes();
    grant([1, 2, 3]);
    record([1, 2, 3]);
    enable([1, 2, 3]);
    expect(rig.assembled).not.toBeNull();
    rig.recovery.begin();
    answerProbes(() => ({ promise: { epoch: 9, clientInstance: RIVAL, clientName: 'client-2' } }));
    expect(rig.fencedBy).toContain('client-2');
    expect(open()).toEqual([]);
  });
});

describe('a client that has served the pool (L5)', () => {
  const attempt = (seq: number, memberIds: readonly number[]): VersionRecord => versionOf(seq, memberIds, { epoch: 5 });

  beforeEach(() => {
    rig.memory = { durable: CURRENT, attempts: [], members: MEMBERS, policy };
    cut(2, 3);
  });

  test('goes on with any member of its last durable version, after a moment for the others', () => {
    rig.recovery.begin();
    answerProbes();
    expect(rig.waiting.what).toContain('storage-2');
    retry();
    answerProbes();
    expect(open()).toEqual(['claim 1']);
    grant([1]);
    expect(record([1])[0]?.version.inSync.map(({ memberId }) => memberId)).toEqual([1]);
    enable([1]);
    expect(rig.assembled?.legs).toEqual([rig.legs[0]]);
  });

  test('V4: not when an attempt may exist without any of them', () => {
    rig.memory = { durable: CURRENT, attempts: [attempt(5, [1, 2]), attempt(6, [2])], members: MEMBERS, policy };
    rig.recovery.begin();
    answerProbes();
    retry();
    answerProbes();
    expect(open()).toEqual([]);
    expect(rig.waiting.what).toContain('storage-2');
  });

  test('not when somebody has a version that it did not make', () => {
    rig.recovery.begin();
    answerProbes(() => ({ version: versionOf(1, [1, 2], { epoch: 6 }) }));
    retry();
    answerProbes(() => ({ version: versionOf(1, [1, 2], { epoch: 6 }) }));
    expect([open(), rig.waiting.what.includes('6.1{1,2}')]).toEqual([[], true]);
  });
});

describe('the lease of the former client (quorum, I7)', () => {
  /** Two of three have granted. */
  function grantedByMajority(): void {
    policy = { ...policy, quorum: 'majority' };
    cut(3);
    rig.recovery.begin();
    answerProbes();
    retry();
    answerProbes();
    grant([1, 2]);
  }

  function pass(ms: number): void {
    rig.virtual.run(ms);
    rig.recovery.tick(rig.world.clock.nowMs());
  }

  test('it is waited for where a member that the former client reads from has not granted', () => {
    grantedByMajority();
    pass(LEASE_END_MS - 1);
    expect([open(), rig.waiting.what]).toEqual([[], '5 s to pass, in which the former client may still read from member 3']);
    pass(1);
    const [request] = record([1, 2]);
    enable([1, 2]);
    expect([request?.version.inSync.length, rig.assembled?.legs.length]).toEqual([2, 2]);
  });

  test('an operator who forces the pool meanwhile does not make it begin anew', () => {
    grantedByMajority();
    pass(LEASE_END_MS - 1);
    rig.recovery.force();
    pass(1);
    const [request] = record([1, 2]);
    expect(request?.version.lineageUuid).toBe(LINEAGE);
  });

  test('a member that is lost meanwhile ends the attempt', () => {
    grantedByMajority();
    cut(2);
    pass(LEASE_END_MS);
    expect(open().filter((each) => each.startsWith('record-version'))).toEqual([]);
  });

  test('where every member in sync has granted there is none', () => {
    policy = { ...policy, quorum: 'majority' };
    rig.recovery.begin();
    answerProbes();
    grant([1, 2, 3]);
    expect(record([1, 2, 3]).length).toBe(3);
  });
});

describe('force', () => {
  beforeEach(() => {
    cut(3);
    rig.recovery.begin();
    answerProbes();
  });

  /** Two of three are there, and an operator forces the pool. */
  function force(): RecordRequest {
    rig.recovery.force();
    answerProbes();
    grant([1, 2]);
    const [request] = record([1, 2]);
    enable([1, 2]);
    return request as RecordRequest;
  }

  test('begins a new lineage with those that are there: the others have nothing that counts', () => {
    const { version, policy: recorded, newLineage } = force();
    expect([version.lineageUuid === LINEAGE, recorded.formerLineages, newLineage]).toEqual([false, [LINEAGE], true]);
    expect([1, 2, 3].map((memberId) => rig.assembled?.maps.of(memberId).dirtyCount)).toEqual([0, 0, CHUNKS]);
  });

  test('where those that are there suffice nothing is left behind', () => {
    session(3).reconnect();
    rig.recovery.force();
    answerProbes();
    grant([1, 2, 3]);
    const [request] = record([1, 2, 3]);
    expect(request?.version.lineageUuid).toBe(LINEAGE);
  });

  test('a majority that is not there any more is not waited for', () => {
    policy = { ...policy, quorum: 'majority' };
    cut(2);
    rig.recovery.force();
    answerProbes();
    grant([1]);
    const [request] = record([1]);
    expect(request?.policy.quorum).toBe('none');
    // L3: the table says which member left when.
    const left = { epoch: 6, seq: 1 };
    expect(request?.members.map((member) => member.left)).toEqual([undefined, left, left]);
  });

  test('it is tried once: other members may be there later', () => {
    rig.recovery.force();
    cut(2);
    session(1).calls.length = 0;
    retry();
    answerProbes();
    expect([open(), rig.waiting.what.includes('storage-2')]).toEqual([[], true]);
  });

  test('lineages that know nothing of one another are for an operator to choose from', () => {
    retry();
    answerProbes((memberId) => (memberId === 2 ? { version: versionOf(1, [2], { epoch: 9, lineageUuid: OTHER_LINEAGE }) } : {}));
    expect([open(), rig.waiting.what.includes('different lineages')]).toEqual([[], true]);
  });
});

describe('what is waited for', () => {
  const [one, two, three] = [1, 2, 3].map((memberId) => `member ${memberId} (storage-${memberId})`);

  test('each step names the members that have not answered yet', () => {
    rig.recovery.begin();
    answerProbes();
    const map = new DirtyMap(CHUNKS);
    map.set(5, 1);
    grant([2, 1, 3], (memberId) => (memberId === 1 ? { columns: [{ memberId: 3, dirtyChunks: 1, digest: map.digest() }] } : {}));
    session(1)
      .next('map-read')
      .answer({ stamp: null, leaves: [encodeLeaf(map, 0)], nextLeaf: null });
    record([1, 3, 2]);
    enable([1, 2, 3]);
    expect(rig.assembled).not.toBeNull();
    expect(rig.steps).toEqual([
      `${one} and ${two} and ${three} to grant epoch 6, once what was under way there has ended`,
      `… ${one} and ${three} to grant epoch 6, once what was under way there has ended`,
      `… ${three} to grant epoch 6, once what was under way there has ended`,
      `the dirty maps of ${one}`,
      ...rig.steps.filter((step) => step.includes('taken over by')),
      `version 6.1{1,2,3} to be recorded by ${one} and ${two} and ${three}`,
      `… version 6.1{1,2,3} to be recorded by ${two} and ${three}`,
      `… version 6.1{1,2,3} to be recorded by ${two}`,
      `${one} and ${two} and ${three} to be enabled`,
      `… ${two} and ${three} to be enabled`,
      `… ${three} to be enabled`,
    ]);
  });

  test('members that are asked what they can read are named', () => {
    rig.recovery.begin();
    answerProbes();
    grant([1, 2, 3], () => ({ lastIo: [{ offsetBytes: 0, lengthBytes: 512 }] }));
    checkReadable([1, 3]);
    expect(rig.waiting.what).toBe(`${two} to check that what others may have to copy can be read there`);
  });

  test('a member that does not say what it has is named after a moment, not at every attempt', () => {
    rig.recovery.begin();
    session(1).next('probe').answer(probe(1));
    rig.recovery.tick(rig.world.clock.nowMs());
    expect(rig.steps).toEqual([]);
    rig.virtual.run(1_000);
    rig.recovery.tick(rig.world.clock.nowMs());
    rig.recovery.tick(rig.world.clock.nowMs());
    expect(rig.steps).toEqual([`${two} and ${three} to say what is there`]);
  });

  test('an attempt that a lost session has ended waits for no member that had been asked', () => {
    rig.recovery.begin();
    answerProbes();
    session(3).lostReason = 'cut';
    rig.recovery.sessionDown(session(3).shared);
    expect(rig.waiting.what).toBe(`the next attempt, as the session to ${three} was lost (cut)`);
  });
});

describe('what somebody can do about it', () => {
  test('members that can not be reached are to be started', () => {
    cut(2, 3);
    rig.recovery.begin();
    answerProbes();
    expect(rig.waiting.remedy).toBe(
      'Start storage-2 and storage-3 or their hosts, or mend the network to them, unless they come back by themselves.',
    );
    session(2).reconnect();
    rig.recovery.poke();
    answerProbes();
    expect(rig.waiting.remedy).toBe('Start storage-3 or its host, or mend the network to it, unless it comes back by itself.');
    cut(1, 2);
    retry();
    expect(rig.waiting.remedy).toContain('Start storage-1 and storage-2 and storage-3');
  });

  test('a node whose store is not open, or not the right one, is told from one that is away', () => {
    rig.recovery.begin();
    session(1).next('probe').answer(probe(1));
    session(2).next('probe').refuse('UNKNOWN_POOL', 'no store');
    session(3)
      .next('probe')
      .answer(probe(3, { identity: identityOf(2, CHUNKS, CHUNK) }));
    expect(rig.waiting.what).toContain('no store');
    expect(rig.waiting.remedy).toMatch(
      /^Look at the stores in the status of storage-2: .+ Look which disk and which store are meant to be on storage-3: /,
    );
  });

  test('a majority that is missing is named', () => {
    policy = { ...POLICY, quorum: 'majority' };
    cut(2, 3);
    rig.recovery.begin();
    answerProbes();
    expect(rig.waiting.remedy).toMatch(/^Start storage-2 and storage-3 /);
  });

  test('a client that serves the pool is to be stopped', () => {
    const promise = { epoch: 5, clientInstance: RIVAL, clientName: 'client-2' };
    rig.recovery.begin();
    answerProbes(() => ({ promise, state: 'NORMAL' }));
    expect(rig.waiting.remedy).toBe('Stop client-2 if this node is to serve the pool instead.');
    rig.recovery.poke();
    answerProbes();
    session(1).next('claim').refuse('HELD', 'held', promise);
    expect(rig.waiting.remedy).toBe('Stop client-2 if this node is to serve the pool instead.');
  });

  test('nothing, where the next attempt looks again at what has just changed', () => {
    rig.recovery.begin();
    answerProbes();
    session(1).next('claim').refuse('STALE_EPOCH', 'epoch 20 is promised', { epoch: 20, clientInstance: RIVAL, clientName: 'client-2' });
    expect([rig.waiting.what.includes('epoch 20'), rig.waiting.remedy]).toEqual([true, undefined]);
  });
});
