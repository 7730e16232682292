import { SILENT_LOGGER } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { MAP_CHECK_URGENT_MS } from '../../../constants.ts';
import type { ByteRange } from '../../../pool-store.ts';
import { CLIENT, identityOf, LINEAGE, MARK, memberOf, POLICY, POOL, versionOf } from '../../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../../testing/scripted-session.ts';
import type { ProbeResult } from '../../../wire/control-message.ts';
import { Leg } from '../legs/leg.ts';
import { PoolMaps } from '../pool-maps.ts';
import { datedTable, leftBefore } from './member-records.ts';
import { Versions } from './versions.ts';

const CHUNK = 4096;
const CHUNKS = 16;

const chunks = (first: number, count = 1): ByteRange => ({ offsetBytes: first * CHUNK, lengthBytes: count * CHUNK });

let sessions: ScriptedSession[];
let legs: Leg[];
let normal: Leg[];
let maps: PoolMaps;
/** Writes in flight. */
let incomplete: ByteRange[];
/** What the host was told of last. */
let owed: readonly ByteRange[];
let durable: number[];
/** What the last version change said of reads. */
let readsWait: boolean;
let nowMs: number;
let versions: Versions;

const session = (memberId: number): ScriptedSession => sessions[memberId - 1] as ScriptedSession;
const change = (): void => versions.change({ onDurable: ({ seq }) => void durable.push(seq) });

/** Chunks that the client has dirty for the member. */
const dirtyFor = (memberId: number): number[] => [...Array(CHUNKS).keys()].filter((chunk) => maps.of(memberId).test(chunk));

/** Time for owed adds to be asked for again. */
function tick(): void {
  nowMs += MAP_CHECK_URGENT_MS;
  versions.tick(nowMs);
}

beforeEach(() => {
  sessions = [new ScriptedSession(), new ScriptedSession(), new ScriptedSession()];
  legs = sessions.map(({ shared }, index) => {
    const member = { memberId: index + 1, name: `storage-${index + 1}`, addresses: [`memory:${index + 1}`] };
    const leg = new Leg(index, member, shared, SILENT_LOGGER, () => 0);
    leg.probe = { identity: { ...identityOf(index + 1, CHUNKS, CHUNK), witness: false } } as ProbeResult;
    return leg;
  });
  maps = new PoolMaps(CHUNKS * CHUNK, CHUNK);
  incomplete = [];
  owed = [];
  durable = [];
  nowMs = 0;
  versions = new Versions(new VirtualWorld().host('client-1'), {
    poolUuid: POOL,
    clientInstance: CLIENT,
    clientName: 'client-1',
    epoch: 1,
    maps,
    normalLegs: () => normal,
    witnessLeg: () => null,
    awaitVersion: (readsToo) => {
      readsWait = readsToo;
    },
    incompleteWriteRanges: () => incomplete,
    writeSeq: 5,
    onFenced: (by) => expect.fail(by),
    onNotRecorded: (_leg, reason) => expect.fail(reason),
    onPaused: (what) => expect.fail(what),
    onOwedChanged: (ranges) => {
      owed = ranges;
    },
  });
  const version = versionOf(1, [2, 3], { lineageUuid: LINEAGE });
  const members = [1, 2, 3].map((memberId) => memberOf(memberId));
  versions.adopt(version, datedTable(members, version), POLICY, false);
  normal = legs.slice(1, 2);
});

test('quorum: reads wait for a version where a majority decides: by what is, by what comes, or by what few have recorded', () => {
  change();
  expect(readsWait).toBe(false);
  versions.change({ policy: { ...POLICY, quorum: 'majority' }, onDurable: () => {} });
  expect(readsWait).toBe(true);
  const version = versionOf(2, [2, 3], { lineageUuid: LINEAGE });
  const members = [1, 2, 3].map((memberId) => memberOf(memberId));
  versions.adopt(version, members, { ...POLICY, quorum: 'majority' }, false);
  versions.change({ policy: POLICY, onDurable: () => {} });
  expect(readsWait).toBe(true);
});

describe('adds of a shrink (V2, V5)', () => {
  beforeEach(() => {
    // Member 1 is out of the set, 3 leaves, 2 stays.
    incomplete = [chunks(4, 2)];
    maps.add(2, chunks(4));
  });

  test('what no holder objects to is marked by all, the client included', () => {
    maps.of(2).clear(4, 1);
    change();
    const record = session(2).next('record-version');
    expect(record.request.mapAdds).toEqual([{ memberIds: [3], ranges: [chunks(4, 2)] }]);
    record.answer({ owed: [], mark: MARK });
    expect([durable, owed, dirtyFor(3)]).toEqual([[2], [], [4, 5]]);
  });

  test('V5, I1: the client objects too, also where a member has it clean that is out of the set', () => {
    change();
    const record = session(2).next('record-version');
    expect(record.request.mapAdds).toEqual([{ memberIds: [3], ranges: [chunks(5)] }]);
    record.answer({ owed: [], mark: MARK });
    expect([durable, owed, dirtyFor(3)]).toEqual([[2], [chunks(4)], [5]]);
    // As long as the client knows of no other copy, nobody is asked.
    tick();
    expect(session(2).ops).toEqual([]);
    // An in-sync member has pulled it.
    maps.of(2).clear(4, 1);
    tick();
    const add = session(2).next('map-add');
    expect(add.request.add).toEqual({ memberIds: [3], ranges: [chunks(4)] });
    add.answer({ owed: [] });
    expect([owed, dirtyFor(3)]).toEqual([[], [4, 5]]);
  });

  test('V5: of a write that is owed in part, the client marks the chunks that the members have marked', () => {
    change();
    session(2)
      .next('record-version')
      .answer({ owed: [chunks(4)], mark: MARK });
    expect([durable, owed, dirtyFor(3)]).toEqual([[2], [chunks(4)], [5]]);
  });

  test('V5: what is owed is asked for until the member makes it; what may not be asked for holds up nothing else', () => {
    maps.add(2, chunks(8));
    incomplete = [chunks(8)];
    change();
    session(2)
      .next('record-version')
      .answer({ owed: [chunks(8)], mark: MARK });
    // Another version, with another write that is owed by the client's own maps.
    normal = legs.slice(0, 2);
    versions.adopt(
      versionOf(3, [1, 2, 3]),
      [1, 2, 3].map((memberId) => memberOf(memberId)),
      POLICY,
      false,
    );
    normal = legs.slice(1, 2);
    maps.of(2).clear(8, 1);
    maps.add(2, chunks(4));
    maps.add(1, chunks(4));
    incomplete = [chunks(4), chunks(8)];
    change();
    session(2)
      .next('record-version')
      .answer({ owed: [chunks(8)], mark: MARK });
    expect(owed).toEqual([chunks(4), chunks(8)]);
    tick();
    const add = session(2).next('map-add');
    expect(add.request.add.ranges).toEqual([chunks(8)]);
    add.answer({ owed: [] });
    expect([owed, dirtyFor(3).includes(8)]).toEqual([[chunks(4)], true]);
  });
});

describe('what is owed (V5, I8)', () => {
  /** Where something may be dirty for the member, as a version's record says. */
  const knownFor = (memberId: number, known: readonly { readonly memberId: number; readonly dirty: readonly ByteRange[] }[]) =>
    known.find((each) => each.memberId === memberId)?.dirty;

  test('of a member that leaves, a holder clears what the client knows to be clean there, even if a write in flight is owed', () => {
    incomplete = [chunks(4, 2)];
    maps.add(1, chunks(4));
    maps.add(2, chunks(4));
    maps.add(3, chunks(9));
    change();
    const record = session(2).next('record-version');
    // Chunk 5 is marked with this very version; member 1, which was out before, may have been marked in all of it.
    expect(knownFor(3, record.request.mapKnown)).toEqual([chunks(5), chunks(9)]);
    expect(knownFor(1, record.request.mapKnown)).toEqual([chunks(4, 2)]);
    // A member that stays may be away at the next assembly, so the others have to know what it has clean. Nobody marks it.
    expect(knownFor(2, record.request.mapKnown)).toEqual([chunks(4)]);
  });

  test('a write that failed is missed where a member of the set has the chunk clean, and owed where none is known to', () => {
    maps.add(2, chunks(4));
    maps.add(3, chunks(4));
    expect(versions.missed(chunks(4, 2), false)).toBe(true);
    expect([dirtyFor(1), versions.owed]).toEqual([[5], [chunks(4)]]);
    tick();
    expect(session(2).ops).toEqual([]);
    maps.of(2).clear(4, 1);
    tick();
    session(2).next('map-add').answer({ owed: [] });
    expect([dirtyFor(1), versions.owed]).toEqual([[4, 5], []]);
  });

  test('one that succeeded is missed for certain: a member that took it has it, though the maps here may not say so yet', () => {
    maps.add(2, chunks(4));
    maps.add(3, chunks(4));
    expect(versions.missed(chunks(4), true)).toBe(false);
    expect([dirtyFor(1), versions.owed]).toEqual([[4], []]);
  });

  test('a member that returns misses what is owed for it where one of the set turns out to have the chunk clean', () => {
    maps.add(2, chunks(4, 2));
    maps.add(3, chunks(4, 2));
    versions.missed(chunks(4, 2), false);
    maps.of(3).clear(5, 1);
    versions.markOwed(1);
    versions.markOwed(2);
    expect([dirtyFor(1), dirtyFor(2)]).toEqual([[5], [4, 5]]);
  });

  test('nothing is owed for a member that was removed', () => {
    maps.add(2, chunks(4));
    maps.add(3, chunks(4));
    versions.missed(chunks(4), false);
    versions.change({ members: versions.members.filter(({ memberId }) => memberId !== 1), onDurable: () => {} });
    session(2).next('record-version').answer({ owed: [], mark: MARK });
    expect(versions.owed).toEqual([]);
  });
});

describe('the members that left first (L3)', () => {
  /** These stay or come, and record the version. */
  function becomes(...memberIds: readonly number[]): void {
    const before = versions.current?.inSync.map(({ memberId }) => memberId) ?? [];
    const [joining] = memberIds.filter((memberId) => !before.includes(memberId)).map((memberId) => legs[memberId - 1] as Leg);
    normal = legs.filter((leg) => leg !== joining && memberIds.includes(leg.member.memberId));
    versions.change({
      onDurable: () => {},
      ...(joining === undefined ? {} : { joining: { leg: joining, columns: new Map(), newLineage: false, erase: [] } }),
    });
    for (const memberId of memberIds) session(memberId).next('record-version').answer({ owed: [], mark: MARK });
  }

  test('a member that was away when this client took the pool over left before those that leave later', () => {
    becomes(2);
    expect([leftBefore(versions.members, 3), leftBefore(versions.members, 1)]).toEqual([[1], []]);
  });

  test('of those that leave with one version nobody knows', () => {
    becomes(1, 2, 3);
    becomes(2);
    expect([leftBefore(versions.members, 3), leftBefore(versions.members, 1)]).toEqual([[], []]);
  });

  test('a member that returns and leaves again has left last', () => {
    becomes(2);
    becomes(1, 2);
    becomes(2);
    expect([leftBefore(versions.members, 1), leftBefore(versions.members, 3)]).toEqual([[3], []]);
  });

  test('the next client knows, as it is recorded with every version', () => {
    becomes(2);
    normal = legs.slice(1, 2);
    change();
    const recorded = session(2).next('record-version').request.members;
    const next = versionOf(1, [2], { epoch: 2 });
    expect(leftBefore(datedTable(recorded, next), 3)).toEqual([1]);
  });

  test('◆14: the table records since when each member has been in the set', () => {
    const joined = (): unknown[] => versions.members.map((member) => member.joined ?? null);
    const [first, second] = joined();
    becomes(2);
    expect(joined()).toEqual([null, second, null]);
    becomes(1, 2);
    const { epoch, seq } = versions.current ?? { epoch: 0, seq: 0 };
    expect(joined()).toEqual([{ epoch, seq }, second, null]);
    expect(first).not.toEqual({ epoch, seq });
    becomes(2, 3, 1);
    expect(joined().slice(0, 2)).toEqual([{ epoch, seq }, second]);
  });
});
