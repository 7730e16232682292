import { randomBelow, SeededRandom } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import type { ByteRange } from '../pool-store.ts';
import { identityOf, memberOf, storeOf } from '../testing/scripted-pool.ts';
import { ScriptedStore } from '../testing/scripted-store.ts';
import type { MapAdd } from '../wire/control-message.ts';
import { judgeAdds } from './map-adds.ts';

const CHUNK = 4096;
const CHUNKS = 16;
/** The last chunk is short. */
const SIZE = CHUNKS * CHUNK - 512;

const bytes = (offsetBytes: number, endBytes: number): ByteRange => ({ offsetBytes, lengthBytes: endBytes - offsetBytes });
const chunks = (first: number, count = 1): ByteRange => bytes(first * CHUNK, Math.min((first + count) * CHUNK, SIZE));

let store: ScriptedStore;

/** These chunks are dirty for the member. */
function dirty(memberId: number, ...list: number[]): void {
  for (const chunk of list) store.mapOf(memberId).set(chunk, 1);
}

/** Judges adds for members that are out of the set, which all others with data are in. */
function judge(adds: readonly MapAdd[]): ReturnType<typeof judgeAdds> {
  const { members } = store;
  const inSync = members.filter(({ memberId, role }) => role !== 'witness' && !adds.some(({ memberIds }) => memberIds.includes(memberId)));
  return judgeAdds(store, { members, inSync }, adds);
}

beforeEach(() => {
  store = new ScriptedStore(identityOf(1, CHUNKS, CHUNK, 512));
  store.members = [1, 2, 3].map((memberId) => memberOf(memberId));
});

describe('map adds (V5)', () => {
  test('a member that is clean itself makes every add', () => {
    const adds = [{ memberIds: [2, 3], ranges: [chunks(0, CHUNKS)] }];
    expect(judge(adds)).toEqual({ make: adds, owed: [] });
  });

  test('◆12, ◆13: a chunk for which only the leaver is clean is owed, and not marked', () => {
    dirty(1, 4);
    dirty(2, 4);
    expect(judge([{ memberIds: [3], ranges: [chunks(4)] }])).toEqual({ make: [], owed: [chunks(4)] });
  });

  test('◆12: it is judged by the maps of all holders: another member that is clean suffices', () => {
    dirty(1, 4);
    const adds = [{ memberIds: [3], ranges: [chunks(4)] }];
    expect(judge(adds)).toEqual({ make: adds, owed: [] });
  });

  test('◆12, I1: a member that is out of the set is no copy, however clean it is: it may lose what it has never flushed', () => {
    dirty(1, 4);
    const { members } = store;
    const adds = [{ memberIds: [3], ranges: [chunks(3, 3)] }];
    expect(judgeAdds(store, { members, inSync: [memberOf(1)] }, adds)).toEqual({
      make: [{ memberIds: [3], ranges: [chunks(3), chunks(5)] }],
      owed: [chunks(4)],
    });
  });

  test('L8: a member that is accepted anew keeps no copy, also where a holder knows of no other', () => {
    for (const memberId of [1, 2]) dirty(memberId, 4);
    const members = [memberOf(1), memberOf(2), { ...memberOf(3), anew: { epoch: 2, seq: 7 } }];
    const adds = [{ memberIds: [3], ranges: [chunks(0, CHUNKS)] }];
    expect(judgeAdds(store, { members, inSync: members.slice(0, 2) }, adds)).toEqual({ make: adds, owed: [] });
    // With the versions that follow it is a member like any other.
    store.members = members;
    expect(judgeAdds(store, { members, inSync: members.slice(0, 2) }, adds).owed).toEqual([chunks(4)]);
  });

  test('◆12: members that leave together are no copy for one another', () => {
    dirty(1, 4);
    expect(judge([{ memberIds: [2, 3], ranges: [chunks(4)] }])).toEqual({ make: [], owed: [chunks(4)] });
  });

  test('◆12: a witness has no data, and so no clean copy', () => {
    store.members = [...store.members, memberOf(4, 'witness')];
    dirty(1, 4);
    dirty(2, 4);
    expect(judge([{ memberIds: [3], ranges: [chunks(4)] }])).toEqual({ make: [], owed: [chunks(4)] });
  });

  test('a chunk that is dirty for the leaver already is no copy to be kept: nothing is owed for it', () => {
    for (const memberId of [1, 2, 3]) dirty(memberId, 4);
    const adds = [{ memberIds: [3], ranges: [chunks(4)] }];
    expect(judge(adds)).toEqual({ make: adds, owed: [] });
  });

  test('I8: what a new member, or a new store, does not have is marked also where nobody else has it', () => {
    for (const memberId of [1, 2, 3]) dirty(memberId, 4);
    const whole = [chunks(0, CHUNKS)];
    const joining = [...store.members, memberOf(4)];
    expect(judgeAdds(store, { members: joining, inSync: joining.slice(0, 2) }, [{ memberIds: [4], ranges: whole }])).toEqual({
      make: [{ memberIds: [4], ranges: whole }],
      owed: [],
    });
    store.mapOf(3).clear(4, 1);
    const replaced = [memberOf(1), memberOf(2), { ...memberOf(3), storeUuid: storeOf(5) }];
    expect(judgeAdds(store, { members: replaced, inSync: replaced.slice(0, 2) }, [{ memberIds: [3], ranges: whole }])).toEqual({
      make: [{ memberIds: [3], ranges: whole }],
      owed: [],
    });
  });

  test('a range is cut at the chunks that are owed, to the byte', () => {
    dirty(1, 3, 6, 7);
    dirty(2, 3, 6, 7);
    const range = bytes(2 * CHUNK + 100, 7 * CHUNK + 50);
    expect(judge([{ memberIds: [3], ranges: [range] }])).toEqual({
      make: [{ memberIds: [3], ranges: [bytes(2 * CHUNK + 100, 3 * CHUNK), bytes(4 * CHUNK, 6 * CHUNK)] }],
      owed: [chunks(3), bytes(6 * CHUNK, 7 * CHUNK + 50)],
    });
  });

  test('I12: chunks side by side are owed as one range', () => {
    dirty(1, ...Array(CHUNKS).keys());
    dirty(2, ...Array(CHUNKS).keys());
    const ranges = [chunks(0, 8), chunks(8, 8)];
    expect(judge([{ memberIds: [3], ranges }])).toEqual({ make: [], owed: [bytes(0, SIZE)] });
  });

  test('the short last chunk, and ranges beyond the device, are no trap', () => {
    dirty(1, CHUNKS - 1);
    dirty(2, CHUNKS - 1);
    const ranges = [
      bytes((CHUNKS - 1) * CHUNK, CHUNKS * CHUNK),
      bytes(SIZE, 2 * SIZE),
      bytes(Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER),
    ];
    expect(judge([{ memberIds: [3], ranges }])).toEqual({ make: [], owed: [chunks(CHUNKS - 1)] });
  });

  test('each add is judged for its own members', () => {
    dirty(1, 4);
    dirty(2, 4);
    const adds = [
      { memberIds: [2], ranges: [chunks(4)] },
      { memberIds: [3], ranges: [chunks(4)] },
    ];
    expect(judge(adds)).toEqual({ make: [adds[0]], owed: [chunks(4)] });
  });

  test('random maps: what is made and what is owed is all that was asked, and no chunk loses its last clean copy', () => {
    const wrong: string[] = [];
    for (let seed = 1; seed <= 100; seed++) {
      const random = new SeededRandom(seed);
      for (const memberId of [1, 2, 3]) {
        store.mapOf(memberId).reset();
        for (let chunk = 0; chunk < CHUNKS; chunk++) if (randomBelow(random, 2) === 0) dirty(memberId, chunk);
      }
      const memberIds = randomBelow(random, 2) === 0 ? [3] : [2, 3];
      const ranges = Array.from({ length: 1 + randomBelow(random, 3) }, () => {
        const offset = randomBelow(random, SIZE);
        return bytes(offset, offset + 1 + randomBelow(random, SIZE - offset));
      });
      const { make, owed } = judge([{ memberIds, ranges }]);
      const touched = (list: readonly ByteRange[], chunk: number): boolean =>
        list.some(({ offsetBytes, lengthBytes }) => offsetBytes < (chunk + 1) * CHUNK && chunk * CHUNK < offsetBytes + lengthBytes);
      for (let chunk = 0; chunk < CHUNKS; chunk++) {
        const where = `seed ${seed} chunk ${chunk}`;
        const isDirty = (memberId: number): boolean => store.mapOf(memberId).test(chunk);
        const lastClean = [1, 2, 3].filter((id) => !memberIds.includes(id)).every(isDirty) && !memberIds.every(isDirty);
        const made = make.some((add) => touched(add.ranges, chunk));
        if (made !== (touched(ranges, chunk) && !lastClean)) wrong.push(`${where}: made ${made}`);
        if (touched(owed, chunk) !== (touched(ranges, chunk) && lastClean)) wrong.push(`${where}: owed ${touched(owed, chunk)}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});
