import { GIB, randomBelow, SeededRandom } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { choosePlacement, type PlacementDisk, type PlacementNode } from './placement.ts';

function disk(name: string, roomGib: number, more: Partial<PlacementDisk> = {}): PlacementDisk {
  return { name, roomBytes: roomGib * GIB, problem: null, spare: false, ...more };
}

function node(name: string, disks: readonly PlacementDisk[], more: Partial<PlacementNode> = {}): PlacementNode {
  return { name, hostUuid: `host of ${name}`, problem: null, disks, ...more };
}

const NODES = [node('s1', [disk('a', 10), disk('b', 30)]), node('s2', [disk('a', 20), disk('b', 20)]), node('s3', [disk('a', 40)])];

test('each copy is on another host, there where most room is', () => {
  expect(choosePlacement(NODES, 2, GIB)).toEqual([
    { node: 's3', disk: 'a' },
    { node: 's1', disk: 'b' },
  ]);
  expect(choosePlacement(NODES, 3, GIB)).toEqual([
    { node: 's3', disk: 'a' },
    { node: 's1', disk: 'b' },
    { node: 's2', disk: 'a' },
  ]);
});

test('the order of nodes and disks does not matter, between equals names decide', () => {
  const random = new SeededRandom(1);
  const nodes = ['s1', 's2', 's3', 's4', 's5'].map((name) =>
    node(
      name,
      ['c', 'a', 'b'].map((each) => disk(each, 10)),
    ),
  );
  const expected = choosePlacement(nodes, 3, GIB);
  expect(expected).toEqual(['s1', 's2', 's3'].map((name) => ({ node: name, disk: 'a' })));
  for (let round = 0; round < 20; round++) {
    const shuffled = [...nodes].sort(() => randomBelow(random, 3) - 1).map((each) => ({ ...each, disks: [...each.disks].reverse() }));
    expect(choosePlacement(shuffled, 3, GIB)).toEqual(expected);
  }
});

test('two nodes on one host count as one', () => {
  const nodes = [node('s1', [disk('a', 10)], { hostUuid: 'x' }), node('s2', [disk('a', 20)], { hostUuid: 'x' })];
  expect(choosePlacement(nodes, 1, GIB)).toEqual([{ node: 's2', disk: 'a' }]);
  expect(choosePlacement(nodes, 2, GIB)).toMatchObject({ code: 'UNAVAILABLE', sentence: expect.stringContaining('1 of 1 host can take') });
});

test.each<[string, readonly PlacementNode[], number, number, string, RegExp]>([
  ['no nodes', [], 1, GIB, 'UNAVAILABLE', /0 of 0 hosts/],
  ['fewer hosts than replicas', NODES, 4, GIB, 'UNAVAILABLE', /4 copies need 4 hosts, and 3 of 3 hosts can take/],
  ['too little room', NODES, 3, 25 * GIB, 'NO_SPACE', /s2\/a: it has room for 20 GiB; s2\/b: it has room for 20 GiB/],
  [
    'a node that does not answer',
    [node('s1', [disk('a', 9)], { problem: 'it does not answer' })],
    1,
    GIB,
    'UNAVAILABLE',
    /s1: it does not answer/,
  ],
  ['a disk with a problem', [node('s1', [disk('a', 9, { problem: 'it is mounted' })])], 1, GIB, 'UNAVAILABLE', /s1\/a: it is mounted/],
  ['spares only', [node('s1', [disk('a', 9, { spare: true })])], 1, GIB, 'UNAVAILABLE', /s1\/a: it is a spare/],
  ['a node without disks', [node('s1', [])], 1, GIB, 'UNAVAILABLE', /s1: it has no disks/],
  ['no replicas', NODES, 0, GIB, 'INVALID_ARGUMENT', /0 replicas/],
  ['half a replica', NODES, 1.5, GIB, 'INVALID_ARGUMENT', /1\.5 replicas/],
  ['no size', NODES, 1, 0, 'INVALID_ARGUMENT', /0 bytes/],
])('%s: a refusal with the reasons', (_what, nodes, replicas, sizeBytes, code, reason) => {
  expect(choosePlacement(nodes, replicas, sizeBytes)).toMatchObject({ code, sentence: expect.stringMatching(reason) });
});

test('a disk is full to the last byte', () => {
  expect(choosePlacement([node('s1', [disk('a', 1)])], 1, GIB)).toHaveLength(1);
  expect(choosePlacement([node('s1', [disk('a', 1)])], 1, GIB + 1)).toMatchObject({ code: 'NO_SPACE' });
});
