import { DirtyMap } from '@rmr/dirty-map';
import { randomBelow, SeededRandom } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import type { ByteRange, MemberRecord, VersionRecord } from '../../../pool-store.ts';
import { memberOf, OTHER_LINEAGE, versionOf } from '../../../testing/scripted-pool.ts';
import { PoolMaps } from '../pool-maps.ts';
import {
  assembleMaps,
  type Grant,
  type Holders,
  holdersOf,
  markReturning,
  passOverUnreadable,
  reconcile,
  suspectRanges,
} from './assembly.ts';

const CHUNK = 4096;
const CHUNKS = 16;

const range = (chunk: number, count = 1): ByteRange => ({ offsetBytes: chunk * CHUNK, lengthBytes: count * CHUNK });

function mapWith(chunks: readonly number[]): DirtyMap {
  const map = new DirtyMap(CHUNKS);
  for (const chunk of chunks) map.set(chunk, 1);
  return map;
}

const all = (grants: readonly Grant[]): Holders => ({ owners: grants, holders: grants });

function grant(memberId: number, rest: Partial<Omit<Grant, 'columns'>> & { columns?: Record<number, readonly number[]> } = {}): Grant {
  const columns = new Map(Object.entries(rest.columns ?? {}).map(([id, chunks]) => [Number(id), mapWith(chunks)]));
  return { memberId, version: versionOf(1, [1, 2, 3]), volatileLost: false, lastIo: [], intent: [], unreadable: [], ...rest, columns };
}

let maps: PoolMaps;

/** The dirty chunks of a member. */
function dirty(memberId: number): number[] {
  const chunks: number[] = [];
  maps.of(memberId).forEachRun((first, count) => chunks.push(...Array.from({ length: count }, (_, i) => first + i)));
  return chunks;
}

beforeEach(() => {
  maps = new PoolMaps(CHUNKS * CHUNK, CHUNK);
});

describe('assembly: whose maps count', () => {
  test('◆14: what a holder of an older version says is worthless', () => {
    const highest = versionOf(2, [1, 2]);
    const current = grant(1, { version: highest, columns: { 3: [4] } });
    const stale = grant(2, { version: versionOf(1, [1, 2, 3]), columns: { 1: [0, 1], 3: [9] } });
    expect(holdersOf([current, stale], highest, false, [])).toEqual(all([current]));
    assembleMaps(maps, holdersOf([current, stale], highest, false, []), [1, 2, 3]);
    expect([dirty(1), dirty(2), dirty(3)]).toEqual([[], [], [4]]);
  });

  test('◆14: a member without a version, and one whose version has the same number but another set, are no holders', () => {
    const highest = versionOf(2, [1, 2]);
    const holder = grant(1, { version: highest });
    const others = [grant(2, { version: null }), grant(3, { version: versionOf(2, [1, 3]) })];
    expect(holdersOf([holder, ...others], highest, false, [])).toEqual(all([holder]));
  });

  test('◆14, I1: a member that the highest version has not reached knows what it has pulled, if it has been in sync all along', () => {
    const highest = versionOf(4, [2, 3]);
    const table = (joined: MemberRecord['joined']): MemberRecord[] => [memberOf(1), { ...memberOf(2), joined }, memberOf(3)];
    // It has pulled all but chunk 5 from member 1, which has left: the holder has not heard of that.
    const holder = grant(3, { version: highest, columns: { 1: [], 2: [4, 5, 6], 3: [0] } });
    const reached = (version: VersionRecord): Grant => grant(2, { version, columns: { 1: [9], 2: [5], 3: [8] } });
    const before = reached(versionOf(3, [1, 2, 3]));
    for (const joined of [
      { epoch: 1, seq: 3 },
      { epoch: 1, seq: 1 },
    ]) {
      expect(holdersOf([holder, before], highest, false, table(joined))).toEqual({ owners: [holder, before], holders: [holder] });
    }
    assembleMaps(maps, holdersOf([holder, before], highest, false, table({ epoch: 1, seq: 3 })), [1, 2, 3]);
    expect([dirty(1), dirty(2), dirty(3)]).toEqual([[], [5], [0]]);

    // It was out in between, it was not in sync then, another client has reconciled since, or nobody knows.
    const stale = all([holder]);
    expect(holdersOf([holder, before], highest, false, table({ epoch: 1, seq: 4 }))).toEqual(stale);
    expect(holdersOf([holder, before], highest, false, table(undefined))).toEqual(stale);
    const others = [
      versionOf(3, [1, 3]),
      versionOf(3, [1, 2, 3], { epoch: 0 }),
      { ...versionOf(3, [1, 2, 3]), lineageUuid: OTHER_LINEAGE },
    ];
    for (const other of others) expect(holdersOf([holder, reached(other)], highest, false, table({ epoch: 1, seq: 1 }))).toEqual(stale);
  });

  test('L5, I8: to a client that has served the pool all along every member speaks for itself, and the newest attempt for the absent', () => {
    // Member 3, which is away, has cleared chunk 7, as members that took part in the attempt know.
    const attempt = grant(1, { version: versionOf(3, [1, 3]), columns: { 1: [7], 2: [1, 7], 3: [2] } });
    const before = grant(2, { version: versionOf(2, [1, 2, 3]), columns: { 1: [5], 2: [1], 3: [2, 7] } });
    expect(holdersOf([attempt, before], versionOf(3, [1, 3]), true, [])).toEqual({ owners: [attempt, before], holders: [attempt] });
    assembleMaps(maps, holdersOf([attempt, before], versionOf(3, [1, 3]), true, []), [1, 2, 3]);
    expect([dirty(1), dirty(2), dirty(3)]).toEqual([[7], [1], [2]]);
    // An attempt of which only a witness has heard says nothing.
    expect(holdersOf([before], versionOf(3, [1, 3]), true, [])).toEqual(all([before]));
  });

  test('a pool without any version has no stale holder', () => {
    const grants = [grant(1, { version: null }), grant(2, { version: null })];
    expect(holdersOf(grants, null, false, [])).toEqual(all(grants));
  });

  test('a holder supplies its own column, whatever others say of it', () => {
    const holders = [grant(1, { columns: { 1: [1], 2: [5, 6] } }), grant(2, { columns: { 1: [2, 3], 2: [6] } })];
    assembleMaps(maps, all(holders), [1, 2]);
    expect([dirty(1), dirty(2)]).toEqual([[1], [6]]);
  });

  test('a holder that has no column of its own is clean', () => {
    assembleMaps(maps, all([grant(1), grant(2, { columns: { 1: [2, 3] } })]), [1, 2]);
    expect(dirty(1)).toEqual([]);
  });

  test('every other column is the union over the holders', () => {
    const holders = [grant(1, { columns: { 3: [1, 2] } }), grant(2, { columns: { 3: [2, 7], 4: [0] } })];
    assembleMaps(maps, all(holders), [1, 2, 3, 4]);
    expect([dirty(3), dirty(4)]).toEqual([[1, 2, 7], [0]]);
  });

  test('what the maps held before is replaced, and the grants stay as they are', () => {
    const holders = [grant(1, { columns: { 2: [1] } }), grant(3, { columns: { 2: [4] } })];
    maps.put(2, mapWith([9]));
    assembleMaps(maps, all(holders), [1, 2, 3]);
    maps.of(2).set(15, 1);
    expect(holders.map((holder) => holder.columns.get(2)?.dirtyCount)).toEqual([1, 1]);
    expect(dirty(2)).toEqual([1, 4, 15]);
  });
});

describe('reconcile: what a crash may have left different', () => {
  test('a lastIo chunk stays clean for one in-sync member and becomes dirty for all others, in the set or not', () => {
    reconcile(maps, [grant(1, { lastIo: [range(3)] }), grant(2)], [1, 2, 3]);
    expect([dirty(1), dirty(2), dirty(3)]).toEqual([[], [3], [3]]);
  });

  test('lastIo of any member counts, and a range covers every chunk that it touches', () => {
    reconcile(maps, [grant(1), grant(2, { lastIo: [{ offsetBytes: 2 * CHUNK - 1, lengthBytes: 2 }, range(9)] })], [1, 2]);
    expect([dirty(1), dirty(2)]).toEqual([[], [1, 2, 9]]);
  });

  test('I4: a member that is dirty for the chunk does not win', () => {
    maps.of(1).set(3, 1);
    reconcile(maps, [grant(1, { lastIo: [range(3)] }), grant(2)], [1, 2, 3]);
    expect([dirty(1), dirty(2), dirty(3)]).toEqual([[3], [], [3]]);
  });

  test('I8: where no in-sync member is clean nothing changes, so that the last clean copy stays', () => {
    maps.of(1).set(3, 1);
    maps.of(2).set(3, 1);
    const ranges = { lastIo: [range(3)], intent: [range(3)], volatileLost: true };
    reconcile(maps, [grant(1, ranges), grant(2, ranges)], [1, 2, 3]);
    expect([dirty(1), dirty(2), dirty(3)]).toEqual([[3], [3], []]);
  });

  test('survivors win over members that may have lost what they had not flushed', () => {
    reconcile(maps, [grant(1, { volatileLost: true, intent: [range(2, 3)], lastIo: [range(3)] }), grant(2)], [1, 2]);
    expect([dirty(1), dirty(2)]).toEqual([[2, 3, 4], []]);
  });

  test('a member that lost volatile state may still win where its write intent says that all was flushed', () => {
    reconcile(maps, [grant(1, { volatileLost: true, intent: [range(8)], lastIo: [range(3)] }), grant(2)], [1, 2]);
    expect([dirty(1), dirty(2)]).toEqual([[8], [3]]);
  });

  test('◆4: the write intent of members that kept everything is not replayed', () => {
    reconcile(maps, [grant(1, { intent: [range(2)] }), grant(2, { intent: [range(5)] })], [1, 2]);
    expect([dirty(1), dirty(2)]).toEqual([[], []]);
  });

  test('◆4: survivors that are clean agree already and need not pull from one another', () => {
    reconcile(maps, [grant(1), grant(2), grant(3, { volatileLost: true, intent: [range(5)] })], [1, 2, 3]);
    expect([dirty(1), dirty(2), dirty(3)]).toEqual([[], [], [5]]);
  });

  test('I2: a member that lost volatile state wins where it is the only clean one, and the others pull from it', () => {
    maps.of(2).set(5, 1);
    reconcile(maps, [grant(1, { volatileLost: true, intent: [range(5)] }), grant(2)], [1, 2]);
    expect([dirty(1), dirty(2)]).toEqual([[], [5]]);
  });

  test('I2: where all lost volatile state one of them wins, and every other member becomes dirty, also one out of the set', () => {
    // Member 3 left the set with its memory intact: what the others have lost it may still have.
    const lost = { volatileLost: true, intent: [range(5)] };
    reconcile(maps, [grant(1, lost), grant(2, lost)], [1, 2, 3]);
    expect([dirty(1), dirty(2), dirty(3)]).toEqual([[], [5], [5]]);
  });

  test('I2: members that lost different regions pull from one another', () => {
    const first = grant(1, { volatileLost: true, intent: [range(5), range(6)] });
    const second = grant(2, { volatileLost: true, intent: [range(6), range(7)] });
    reconcile(maps, [first, second], [1, 2]);
    expect([dirty(1), dirty(2)]).toEqual([[5], [6, 7]]);
  });

  test('ranges beyond the device, and into its last chunk that is short, are no trap', () => {
    maps = new PoolMaps(CHUNKS * CHUNK - 1000, CHUNK);
    const lastIo = [
      { offsetBytes: (CHUNKS - 1) * CHUNK, lengthBytes: 64 * CHUNK },
      { offsetBytes: CHUNKS * CHUNK - 1000, lengthBytes: 1 },
      { offsetBytes: Number.MAX_SAFE_INTEGER - 10, lengthBytes: 5 },
    ];
    reconcile(maps, [grant(1, { lastIo }), grant(2)], [1, 2]);
    expect([dirty(1), dirty(2)]).toEqual([[], [CHUNKS - 1]]);
  });
});

describe('markReturning: what a member that comes back may lack (L3)', () => {
  test('◆18: its lastIo chunks where an in-sync member is clean', () => {
    maps.of(1).set(4, 1);
    maps.of(2).set(4, 1);
    maps.of(1).set(5, 1);
    markReturning(maps, grant(3, { lastIo: [range(3), range(4), range(5)] }), [1, 2], [1, 2, 3], []);
    expect([dirty(1), dirty(2), dirty(3)]).toEqual([[4, 5], [4], [3, 5]]);
  });

  test('◆18, I8: that a member out of the set is clean does not count for lastIo', () => {
    maps.of(1).set(4, 1);
    markReturning(maps, grant(3, { lastIo: [range(4)] }), [1], [1, 2, 3], []);
    expect(dirty(3)).toEqual([]);
  });

  test('◆19: its write-intent regions where any other member is clean, if its volatile state was lost', () => {
    maps.of(1).set(4, 2);
    maps.of(2).set(5, 1);
    markReturning(maps, grant(3, { volatileLost: true, intent: [range(3, 3)] }), [1], [1, 2, 3], []);
    // Chunk 4: member 2, out of the set, has it; chunk 5: nobody but this member.
    expect(dirty(3)).toEqual([3, 4]);
  });

  test('◆19, I1: not on account of those that had left before it: what was flushed since, it has alone', () => {
    maps.of(1).set(4, 2);
    markReturning(maps, grant(3, { volatileLost: true, intent: [range(3, 3)] }), [1], [1, 2, 3], [2]);
    expect([dirty(1), dirty(2), dirty(3)]).toEqual([[4, 5], [4, 5], [3]]);
  });

  test('◆19: what it kept it need not pull', () => {
    markReturning(maps, grant(3, { intent: [range(3, 3)] }), [1], [1, 2, 3], []);
    expect(dirty(3)).toEqual([]);
  });

  test('what it missed stays dirty, and nobody else changes', () => {
    maps.of(3).set(9, 1);
    markReturning(maps, grant(3, { lastIo: [range(1)], volatileLost: true, intent: [range(2)] }), [1, 2], [1, 2, 3], []);
    expect([dirty(1), dirty(2), dirty(3)]).toEqual([[], [], [1, 2, 9]]);
  });

  test('a member of the in-sync set does not return', () => {
    expect(() => markReturning(maps, grant(1), [1, 2], [1, 2], [])).toThrow('L3');
  });
});

describe('assembly: random pools', () => {
  interface Pool {
    readonly memberIds: readonly number[];
    readonly grants: readonly Grant[];
    readonly before: ReadonlyMap<number, DirtyMap>;
    readonly suspectLastIo: (chunk: number) => boolean;
    readonly doubtful: (memberId: number, chunk: number) => boolean;
  }

  function randomRanges(random: SeededRandom): ByteRange[] {
    return Array.from({ length: randomBelow(random, 4) }, () => {
      const offsetBytes = randomBelow(random, CHUNKS * CHUNK);
      return { offsetBytes, lengthBytes: 1 + randomBelow(random, 3 * CHUNK) };
    });
  }

  const touches = (ranges: readonly ByteRange[], chunk: number): boolean =>
    ranges.some(({ offsetBytes, lengthBytes }) => offsetBytes < (chunk + 1) * CHUNK && chunk * CHUNK < offsetBytes + lengthBytes);

  /** Members 1 to 2..5, of which the first ones are in sync; no chunk is dirty for all of them. */
  function randomPool(random: SeededRandom): Pool {
    maps = new PoolMaps(CHUNKS * CHUNK, CHUNK);
    const memberIds = Array.from({ length: 2 + randomBelow(random, 4) }, (_, i) => i + 1);
    const inSync = memberIds.slice(0, 1 + randomBelow(random, memberIds.length));
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      const clean = memberIds[randomBelow(random, memberIds.length)];
      for (const memberId of memberIds) if (memberId !== clean && randomBelow(random, 3) === 0) maps.of(memberId).set(chunk, 1);
    }
    const grants = inSync.map((memberId) =>
      grant(memberId, { volatileLost: randomBelow(random, 2) === 0, lastIo: randomRanges(random), intent: randomRanges(random) }),
    );
    return {
      memberIds,
      grants,
      before: new Map(memberIds.map((memberId) => [memberId, maps.of(memberId).clone()])),
      suspectLastIo: (chunk) => grants.some(({ lastIo }) => touches(lastIo, chunk)),
      doubtful: (memberId, chunk) => grants.some((one) => one.memberId === memberId && one.volatileLost && touches(one.intent, chunk)),
    };
  }

  const cleanAmong = (memberIds: readonly number[], chunk: number): number[] => memberIds.filter((id) => !maps.of(id).test(chunk));
  const sameIds = (a: readonly number[], b: readonly number[]): boolean => a.join() === b.join();

  test('I2, I8: after reconciliation each suspect chunk has one source, no chunk is dirty for all, nothing has become clean', () => {
    const wrong: string[] = [];
    for (let seed = 1; seed <= 300; seed++) {
      const { memberIds, grants, before, suspectLastIo, doubtful } = randomPool(new SeededRandom(seed));
      const inSync = grants.map(({ memberId }) => memberId);
      reconcile(maps, grants, memberIds);
      for (let chunk = 0; chunk < CHUNKS; chunk++) {
        const note = (what: string): void => void wrong.push(`seed ${seed} chunk ${chunk}: ${what}`);
        const cleanBefore = memberIds.filter((id) => !before.get(id)?.test(chunk));
        const candidates = cleanBefore.filter((id) => inSync.includes(id));
        const survivors = candidates.filter((id) => !doubtful(id, chunk));
        const clean = cleanAmong(memberIds, chunk);
        if (clean.length === 0) note('dirty for all');
        if (!clean.every((id) => cleanBefore.includes(id))) note('a member became clean');
        const suspect = suspectLastIo(chunk) || inSync.some((id) => doubtful(id, chunk));
        if (!suspect || candidates.length === 0) {
          if (!sameIds(clean, cleanBefore)) note('changed, though not suspect or without a source in the set');
        } else if (suspectLastIo(chunk) || survivors.length === 0) {
          // Nobody is known to have what the others have: one of the set, a survivor if there is one, is right.
          if (clean.length !== 1) note('not exactly one source');
          if (!(survivors.length > 0 ? survivors : candidates).includes(clean[0] as number)) note('the wrong source');
        } else if (
          !sameIds(
            clean.filter((id) => inSync.includes(id)),
            survivors,
          )
        ) {
          // What the survivors have they have in common.
          note('the clean ones of the set are not the survivors');
        }
      }
      maps.verify();
    }
    expect(wrong).toEqual([]);
  });

  test('I8: reconciling once more, as after a crash in between, still leaves a clean copy of each chunk', () => {
    const wrong: string[] = [];
    for (let seed = 1; seed <= 100; seed++) {
      const random = new SeededRandom(seed);
      const { memberIds, grants } = randomPool(random);
      reconcile(maps, grants, memberIds);
      const cleanOnce = Array.from({ length: CHUNKS }, (_, chunk) => cleanAmong(memberIds, chunk));
      const others = grants.filter(() => randomBelow(random, 3) > 0);
      reconcile(maps, others.length > 0 ? others : grants, memberIds);
      for (let chunk = 0; chunk < CHUNKS; chunk++) {
        const clean = cleanAmong(memberIds, chunk);
        if (clean.length === 0 || !clean.every((id) => cleanOnce[chunk]?.includes(id))) wrong.push(`seed ${seed} chunk ${chunk}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('I8, ◆18, ◆19: marking a returning member never takes the last clean copy, and changes no more than it has to', () => {
    const wrong: string[] = [];
    for (let seed = 1; seed <= 300; seed++) {
      const random = new SeededRandom(seed);
      const { memberIds, grants, before } = randomPool(random);
      const returning = memberIds[memberIds.length - 1] as number;
      const others = memberIds.filter((id) => id !== returning);
      const inSync = grants.map(({ memberId }) => memberId).filter((id) => id !== returning);
      const volatileLost = randomBelow(random, 2) === 0;
      const grantOf = grant(returning, { volatileLost, lastIo: randomRanges(random), intent: randomRanges(random) });
      const leftBefore = others.filter((id) => !inSync.includes(id) && randomBelow(random, 2) === 0);
      markReturning(maps, grantOf, inSync, memberIds, leftBefore);
      for (let chunk = 0; chunk < CHUNKS; chunk++) {
        const note = (what: string): void => void wrong.push(`seed ${seed} chunk ${chunk}: ${what}`);
        if (cleanAmong(memberIds, chunk).length === 0) note('dirty for all');
        const doubtful = volatileLost && touches(grantOf.intent, chunk);
        const cleanBefore = (ids: readonly number[]): boolean => ids.some((id) => before.get(id)?.test(chunk) !== true);
        const written = touches(grantOf.lastIo, chunk) && cleanBefore(inSync);
        const lost = doubtful && cleanBefore(others.filter((id) => !leftBefore.includes(id)));
        const expected = before.get(returning)?.test(chunk) === true || written || lost;
        if (maps.of(returning).test(chunk) !== expected) note(expected ? 'not marked' : 'marked without need');
        for (const id of others) {
          const behind = before.get(id)?.test(chunk) === true || (doubtful && !expected && leftBefore.includes(id));
          if (maps.of(id).test(chunk) !== behind) note(`the column of member ${id} is wrong`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });
});

describe('what a disk can not read (I8)', () => {
  test('I1: all members read it before one of them copies it, after what was being written and before what may be lost', () => {
    const grants = [
      grant(1, { unreadable: [range(4, 2)], volatileLost: true, intent: [range(0, 8)] }),
      grant(2, { unreadable: [range(2)], lastIo: [range(5)] }),
    ];
    expect(suspectRanges(maps, grants)).toEqual([range(5), range(2), range(4), range(0, 2), range(3), range(6, 2)]);
  });

  test('is dirty for a member that returns, where one in sync has it; the last copy stays one', () => {
    maps.of(2).set(5, 1);
    const returning = grant(1, { unreadable: [range(4, 2)] });
    markReturning(maps, returning, [2], [1, 2, 3], []);
    expect(dirty(1)).toEqual([4]);
  });

  test('is dirty at assembly, where another one of the set has it for certain; reconciliation takes what can be read', () => {
    maps.of(2).set(5, 1);
    const grants = [
      grant(1, { unreadable: [range(4, 4)], lastIo: [range(4)] }),
      grant(2, { unreadable: [range(6)], volatileLost: true, intent: [range(7)] }),
    ];
    passOverUnreadable(maps, grants);
    expect([dirty(1), dirty(2)]).toEqual([[4], [5]]);
    reconcile(maps, grants, [1, 2]);
    // What can be read has at least what was flushed; the rest of the other copy is given up for that (I1).
    expect([dirty(1), dirty(2)]).toEqual([[4, 7], [5]]);
  });
});
