import { DirtyMap } from '@rmr/dirty-map';
import { expect, test } from 'vitest';
import type { StoreIdentity, VersionRecord } from '../../../pool-store.ts';
import { onlyCopyBytes } from './only-copy.ts';

const CHUNK = 4096;
/** The last of its chunks is a short one of 1000 bytes. */
const SIZE = 9 * CHUNK + 1000;

interface Scene {
  readonly dirty?: Readonly<Record<number, readonly number[]>>;
  readonly inSync?: readonly number[];
  readonly members?: readonly number[];
  readonly witnesses?: readonly number[];
}

/** What the store of member 1 knows. */
function bytes({ dirty = {}, inSync = [1], members = [1, 2], witnesses = [] }: Scene): number {
  const map = (memberId: number): DirtyMap | null => {
    const chunks = dirty[memberId];
    if (chunks === undefined) return null;
    const marked = new DirtyMap(10);
    for (const chunk of chunks) marked.set(chunk, 1);
    return marked;
  };
  return onlyCopyBytes({
    identity: { memberId: 1, chunkSizeBytes: CHUNK, sizeBytes: SIZE } as StoreIdentity,
    version: { inSync: inSync.map((memberId) => ({ memberId })) } as unknown as VersionRecord,
    members: members.map((memberId) => ({
      ...{ memberId, storeUuid: '', name: `s${memberId}`, addresses: [] },
      role: witnesses.includes(memberId) ? ('witness' as const) : ('data' as const),
    })),
    dirtyMap: map,
  });
}

test.each<[string, Scene, number]>([
  ['nothing, where nobody has missed anything', {}, 0],
  ['what the only other member has missed, in sync or not', { dirty: { 2: [1, 5] } }, 2 * CHUNK],
  ['the same while the other pulls', { dirty: { 2: [1, 5] }, inSync: [1, 2] }, 2 * CHUNK],
  ['the short chunk at the end as long as it is', { dirty: { 2: [0, 9] } }, CHUNK + 1000],
  ['not what it has missed itself', { dirty: { 1: [1, 9], 2: [1, 5, 9] } }, CHUNK],
  ['only what all others have missed', { members: [1, 2, 3], dirty: { 2: [1, 5, 7], 3: [5, 7, 9] } }, 2 * CHUNK],
  ['nothing, where one of the others has missed nothing', { members: [1, 2, 3], dirty: { 2: [1, 5] } }, 0],
  ['as if there were no witness, which has no data', { members: [1, 2, 3], witnesses: [3], dirty: { 2: [1, 5] } }, 2 * CHUNK],
  ['nothing that it knows of, where it is out of the in-sync set itself', { inSync: [2], dirty: { 2: [1] } }, 0],
  ['nothing in a pool of one: there never is another copy', { members: [1] }, 0],
])('only copies: %s', (_what, scene, expected) => {
  expect(bytes(scene)).toBe(expected);
});

test('a store that was never in service holds no copy of anything', () => {
  const identity = { memberId: 1, chunkSizeBytes: CHUNK, sizeBytes: SIZE } as StoreIdentity;
  expect(onlyCopyBytes({ identity, version: null, members: [], dirtyMap: () => null })).toBe(0);
});
