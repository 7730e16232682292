import { CHUNKS_PER_LEAF } from '@rmr/dirty-map';
import { Status } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { MAP_CHECK_MS, READ_AGAIN_MS, READ_CHECK_MS, READ_CHECK_TRIES } from '../../constants.ts';
import type { VersionRecord } from '../../pool-store.ts';
import { CHUNK, claim, ENABLE, mapWith, PoolServerRig, type RigOutcome, record, stage } from '../../testing/pool-server-rig.ts';
import { POOL, versionOf } from '../../testing/scripted-pool.ts';
import type { ClaimResult, ControlRequest, MapReadResult } from '../../wire/control-message.ts';
import { encodeLeaf, readLeaves } from '../map-leaves.ts';

let rig: PoolServerRig;

beforeEach(() => {
  rig = new PoolServerRig();
});

describe('pool control: a flush failed before', () => {
  /** Up to the point where the member is enabled: by version 1.1 of member 1 alone, with the first 5 chunks in the write intent. */
  function enable(dirty: readonly number[] = []): RigOutcome {
    rig.store.cacheDoubtful = true;
    rig.store.intent = [{ offsetBytes: 0, lengthBytes: 5 * CHUNK }];
    rig.control(claim(1));
    rig.store.endAll();
    rig.control(record(1, [1]));
    rig.store.endAll();
    for (const chunk of dirty) rig.store.mapOf(1).set(chunk, 1);
    return rig.control(ENABLE);
  }

  test('L6, I1: what may be in the page cache alone is written again before a flush vouches for it, but for what will be pulled', () => {
    const enabled = enable([0, 2]);
    const steps = [
      `read ${CHUNK}+${CHUNK}`,
      `write ${CHUNK}+${CHUNK}`,
      `read ${3 * CHUNK}+${2 * CHUNK}`,
      `write ${3 * CHUNK}+${2 * CHUNK}`,
    ];
    expect(rig.store.endAll()).toEqual([...steps, 'flush', 'commit reconciled']);
    expect([enabled.failure, rig.pool.state]).toEqual([null, 'NORMAL']);
  });

  test('with everything to be pulled nothing is written', () => {
    enable([0, 1, 2, 3, 4]);
    expect(rig.store.endAll()).toEqual(['flush', 'commit reconciled']);
  });

  test('a member whose disk fails again does not come into service', () => {
    const enabled = enable();
    rig.store.end(`read 0+${5 * CHUNK}`);
    rig.store.end(`write 0+${5 * CHUNK}`, Status.EIO);
    expect([rig.held(), enabled.failure?.code, rig.pool.state]).toEqual([[], 'STORE_ERROR', 'CREATED']);
  });
});

describe('pool control: versions and their maps', () => {
  test('V2: the map adds are durable with the version, in one commit', () => {
    rig.serve();
    const recorded = rig.control(record(2, [1, 2], { mapAdds: [{ memberIds: [3], ranges: [{ offsetBytes: 100, lengthBytes: CHUNK }] }] }));
    expect([rig.held(), recorded.ended]).toEqual([['commit version 1.2{1,2} add 3:0-1'], false]);
    rig.store.endAll();
    expect(recorded.result).toMatchObject({ owed: [] });
  });

  test('V2: what has become clean for members outside of the set, and was not heard of here, becomes clean with the version, before its adds', () => {
    rig.serve({ 3: [0, 1, 2, 5, 9, 15] });
    const chunks = (first: number, count: number) => ({ offsetBytes: first * CHUNK, lengthBytes: count * CHUNK });
    const mapKnown = [{ memberId: 3, dirty: [chunks(9, 1), { offsetBytes: CHUNK + 100, lengthBytes: 1 }] }];
    const mapAdds = [{ memberIds: [3], ranges: [chunks(5, 1)] }];
    const recorded = rig.control(record(2, [1, 2], { mapKnown, mapAdds }));
    rig.store.endAll();
    expect(recorded.failure).toBeNull();
    expect(rig.store.mapOf(3).runs(9)).toEqual([1, 5, 9].map((first) => ({ first, count: 1 })));
  });

  test('I8: so does what a member that stays in the set has clean: it may be away at the next assembly; nobody says it of this member', () => {
    rig.serve({ 1: [3], 2: [4, 5] });
    const mapKnown = [1, 2].map((memberId) => ({ memberId, dirty: [{ offsetBytes: 5 * CHUNK, lengthBytes: 1 }] }));
    const recorded = rig.control(record(2, [1, 2], { mapKnown }));
    rig.store.endAll();
    expect(recorded.failure).toBeNull();
    expect([1, 2].map((memberId) => rig.store.mapOf(memberId).runs(9))).toEqual([[{ first: 3, count: 1 }], [{ first: 5, count: 1 }]]);
  });

  test('I12: however scattered what is held, the record has a range for each gap in what is known, and none for a column', () => {
    const scattered = Array.from({ length: 7 }, (_, index) => 2 * index);
    rig.serve({ 2: scattered, 3: scattered }, [1, 2]);
    rig.control(stage(2, mapWith(4)));
    rig.control(record(2, [1, 2], { mapKnown: [{ memberId: 3, dirty: [] }], maps: [{ memberId: 2, digest: mapWith(4).digest() }] }));
    const [held] = rig.held();
    expect(held).toContain('replace 2:4');
    expect(held).toContain('clear ');
    rig.store.endAll();
    expect(rig.store.mapOf(2).runs(9)).toEqual([{ first: 4, count: 1 }]);
  });

  test('I9: a column that is handed over of a member that stays in the set makes nothing dirty', () => {
    rig.serve({ 2: [4, 5] });
    rig.control(stage(2, mapWith(5, 6)));
    const recorded = rig.control(record(2, [1, 2, 3], { maps: [{ memberId: 2, digest: mapWith(5, 6).digest() }] }));
    rig.store.endAll();
    expect(recorded.failure).toBeNull();
    expect(rig.store.mapOf(2).runs(9)).toEqual([{ first: 5, count: 1 }]);
  });

  test('◆22: a clear of the former version does not undo the map adds of the one that is being recorded', () => {
    rig.serve({ 3: [4] });
    rig.join(3);
    rig.world.runUntil(() => rig.session(3).ops.includes('map-check'), 10 * MAP_CHECK_MS, 'a map check of member 3');
    const recorded = rig.control(
      record(2, [1, 2], { mapAdds: [{ memberIds: [3], ranges: [{ offsetBytes: 4 * CHUNK, lengthBytes: CHUNK }] }] }),
    );
    rig
      .session(3)
      .next('map-check')
      .answer({ stamp: { epoch: 1, seq: 1 }, ...readLeaves(mapWith(), 0) });
    expect(rig.held()).toEqual(['commit version 1.2{1,2} add 3:4']);
    rig.store.endAll();
    expect([recorded.failure, rig.store.mapOf(3).test(4)]).toEqual([null, true]);
  });

  test('◆13: adds that would leave no clean copy are owed: not made, and told', () => {
    rig.serve({ 1: [4], 2: [4] });
    const range = { offsetBytes: 4 * CHUNK, lengthBytes: CHUNK };
    const recorded = rig.control(record(2, [1, 2], { mapAdds: [{ memberIds: [3], ranges: [range] }] }));
    rig.store.end('commit version 1.2{1,2}');
    expect(recorded.result).toMatchObject({ owed: [range] });
    const add: ControlRequest = { op: 'map-add', poolUuid: POOL, epoch: 1, versionSeq: 2, add: { memberIds: [3], ranges: [range] } };
    const asked = rig.control(add);
    rig.store.end('commit ');
    expect(asked.result).toEqual({ owed: [range] });
    // An in-sync member has it clean by now: the add is made.
    rig.store.mapOf(2).clear(4, 1);
    const again = rig.control(add);
    rig.store.end('commit add 3:4');
    expect(again.result).toEqual({ owed: [] });
  });

  test('V3: staged columns come into use with the version, when they are the ones that it names', () => {
    rig.serve({ 3: [1, 2] }, [1, 2]);
    expect(rig.control(stage(3, mapWith(1, 7))).failure).toBeNull();
    const recorded = rig.control(record(2, [1, 2, 3], { maps: [{ memberId: 3, digest: mapWith(1, 7).digest() }] }));
    rig.store.end('commit version 1.2{1,2,3} replace 3:1,7');
    expect([
      recorded.failure,
      rig.store
        .mapOf(3)
        .runs(9)
        .map(({ first }) => first),
    ]).toEqual([null, [1, 7]]);
  });

  test('V3: a column that stands here as it is named need not be staged; one that is clean neither', () => {
    rig.serve({ 3: [1, 2] });
    const maps = [
      { memberId: 2, digest: mapWith().digest() },
      { memberId: 3, digest: mapWith(1, 2).digest() },
    ];
    expect(rig.control(record(2, [1, 2, 3], { maps })).failure).toBeNull();
    rig.store.end('commit version 1.2{1,2,3}');
  });

  test.each([1, 2])('L3, ◆15: a member that comes back, or is assembled, takes columns over as they are (epoch %s)', (epoch) => {
    rig.serve({ 2: [4] });
    rig.control(claim(epoch));
    rig.store.endAll();
    rig.control({ ...stage(2, mapWith(5)), epoch } as ControlRequest);
    const version = versionOf(2, [1, 2, 3], { epoch });
    const recorded = rig.control({
      ...record(2, [1, 2, 3], { maps: [{ memberId: 2, digest: mapWith(5).digest() }] }),
      epoch,
      version,
    } as ControlRequest);
    rig.store.endAll();
    expect([recorded.failure, rig.store.mapOf(2).runs(9)]).toEqual([null, [{ first: 5, count: 1 }]]);
  });

  test('V3: leaves handed over later replace those of before; a reset begins anew', () => {
    rig.serve({}, [1, 2]);
    rig.control(stage(3, mapWith(1)));
    rig.control({ ...stage(3, mapWith(), false), leaves: [encodeLeaf(mapWith(3), 0)] } as ControlRequest);
    rig.control(record(2, [1, 2, 3], { maps: [{ memberId: 3, digest: mapWith(3).digest() }] }));
    rig.store.end('commit version 1.2{1,2,3} replace 3:3');
    rig.control({ ...stage(3, mapWith(), true), leaves: [] } as ControlRequest);
    rig.control(record(3, [1, 2], { maps: [{ memberId: 3, digest: mapWith().digest() }] }));
    rig.store.end('commit version 1.3{1,2} replace 3:none');
  });

  test.each<[string, () => void, readonly number[]]>([
    ['nothing was staged', () => {}, [5]],
    ['another map was staged', () => void rig.control(stage(2, mapWith(5, 6))), [5]],
    [
      'the staged map was used up by a version before',
      () => {
        rig.control(stage(2, mapWith(5)));
        rig.control(record(2, [1, 2, 3]));
        rig.store.end('commit version 1.2{1,2,3}');
      },
      [5],
    ],
    [
      'the member had left IO meanwhile',
      () => {
        rig.control(stage(2, mapWith(5)));
        rig.control(claim(1));
        rig.store.end('commit promise 1');
      },
      [5],
    ],
  ])('BAD_MAP: a version is refused, and nothing recorded, when %s', (_name, prepare, chunks) => {
    rig.serve();
    prepare();
    const recorded = rig.control(record(3, [1, 2, 3], { maps: [{ memberId: 2, digest: mapWith(...chunks).digest() }] }));
    expect([recorded.failure?.code, rig.held()]).toEqual(['BAD_MAP', []]);
  });

  test('BAD_MAP: leaves without a beginning, and malformed ones, are refused', () => {
    rig.serve();
    expect(rig.control(stage(2, mapWith(5), false)).failure?.code).toBe('BAD_MAP');
    expect(rig.control({ ...stage(2, mapWith()), leaves: [[0, 'nonsense']] } as ControlRequest).failure?.message).toContain('malformed');
    expect(rig.control({ ...stage(2, mapWith()), leaves: [[1, 'full']] } as ControlRequest).failure?.message).toContain('beyond the map');
  });

  test('the same version once more, as after a path failed over, is recorded without its maps', () => {
    rig.serve({}, [1, 2]);
    rig.control(stage(3, mapWith(5)));
    const request = record(2, [1, 2, 3], { maps: [{ memberId: 3, digest: mapWith(5).digest() }] });
    rig.control(request);
    rig.store.end('commit version 1.2{1,2,3} replace 3:5');
    const again = rig.control(request);
    rig.store.end('commit version 1.2{1,2,3}');
    expect([again.failure, rig.store.mapOf(3).dirtyCount]).toEqual([null, 1]);
  });

  test('I9: no member of the in-sync set is marked dirty, by a version or by an add', () => {
    rig.serve();
    const add = { memberIds: [3, 2], ranges: [{ offsetBytes: 0, lengthBytes: 1 }] };
    expect(rig.control(record(2, [1, 2], { mapAdds: [add] })).failure).toMatchObject({
      code: 'BAD_VERSION',
      message: expect.stringContaining('I9'),
    });
    expect(rig.control({ op: 'map-add', poolUuid: POOL, epoch: 1, versionSeq: 1, add }).failure).toMatchObject({
      code: 'BAD_VERSION',
      message: expect.stringContaining('I9'),
    });
    expect(rig.held()).toEqual([]);
  });

  test('an add under another version is refused', () => {
    rig.serve({}, [1, 2]);
    const add = { memberIds: [3], ranges: [{ offsetBytes: 0, lengthBytes: 1 }] };
    expect(rig.control({ op: 'map-add', poolUuid: POOL, epoch: 1, versionSeq: 2, add }).failure?.code).toBe('BAD_VERSION');
  });

  test('an add that cannot be made durable is no success', () => {
    rig.serve({}, [1, 2]);
    const add = { memberIds: [3], ranges: [{ offsetBytes: 0, lengthBytes: 1 }] };
    const asked = rig.control({ op: 'map-add', poolUuid: POOL, epoch: 1, versionSeq: 1, add });
    rig.store.end('commit add 3:0', Status.EIO);
    expect(asked.failure?.code).toBe('STORE_ERROR');
  });

  test('◆21: a new version ends the pulls of the one before', () => {
    rig.serve({ 1: [4] });
    rig.join();
    expect(rig.session(2).ios.map(({ message }) => message.versionSeq)).toEqual([1]);
    rig.control(record(2, [1, 2]));
    rig.store.end('commit version 1.2{1,2}');
    rig.turn();
    expect(rig.session(2).ios.map(({ message }) => message.versionSeq)).toEqual([1, 2]);
    rig.session(2).ios.shift()?.answer(Status.OK, new Uint8Array(CHUNK).fill(9));
    rig.turn();
    expect(rig.held()).toEqual([]);
  });

  test('the maps that a member holds are read page by page by its client, and by no one else', () => {
    rig.serve({ 2: [3, 4] });
    const mapRead: ControlRequest = { op: 'map-read', poolUuid: POOL, epoch: 1, memberId: 2, fromLeaf: 0 };
    expect(rig.control(mapRead).result).toEqual({ stamp: null, ...readLeaves(mapWith(3, 4), 0) });
    expect(rig.control({ ...mapRead, memberId: 3 }).result).toEqual({ stamp: null, leaves: [], nextLeaf: null });
    expect(rig.control(mapRead, rig.rival).failure?.code).toBe('BAD_STATE');
  });
});

describe('pool control: map checks (R3)', () => {
  const check = (): MapReadResult => rig.control({ op: 'map-check', poolUuid: POOL, fromLeaf: 0 }, rig.rival).result as MapReadResult;

  test('the member’s own map, stamped with the version that is served; anybody may ask', () => {
    rig.serve({ 1: [3], 2: [4] });
    expect(check()).toEqual({ stamp: { epoch: 1, seq: 1 }, ...readLeaves(mapWith(3), 0) });
    rig.control(record(2, [1, 2]));
    expect(check().stamp).toEqual({ epoch: 1, seq: 1 });
    rig.store.end('commit version 1.2{1,2}');
    expect(check().stamp).toEqual({ epoch: 1, seq: 2 });
  });

  test('◆22: no stamp while the member is not NORMAL', () => {
    expect(check()).toEqual({ stamp: null, leaves: [], nextLeaf: null });
    rig.serve({ 1: [3] });
    rig.pool.onSessionClosed(rig.client, 'cut');
    expect(check().stamp).toBeNull();
  });

  test('the maps of a large device are answered page by page', () => {
    rig = new PoolServerRig(200 * CHUNKS_PER_LEAF);
    rig.store.mapOf(1).set(0, rig.store.chunkCount);
    const { leaves, nextLeaf } = check();
    expect([leaves.length, nextLeaf]).toEqual([64, 64]);
  });
});

describe('pool control: enabling (L3)', () => {
  function recorded(version: VersionRecord = versionOf(1, [1, 2, 3])): void {
    rig.control(claim(1));
    rig.store.end('commit promise 1');
    rig.control(record(version.seq, [1, 2, 3]));
    rig.store.endAll();
  }

  test('everything is durable before lastIo and the write intent are forgotten, and only then it serves', () => {
    recorded();
    const enabled = rig.control(ENABLE);
    expect([rig.held(), rig.pool.state, enabled.ended]).toEqual([['flush'], 'CREATED', false]);
    rig.store.end('flush');
    expect([rig.held(), rig.pool.state, enabled.ended]).toEqual([['commit reconciled'], 'CREATED', false]);
    rig.store.end('commit reconciled');
    expect([rig.pool.state, enabled.failure]).toEqual(['NORMAL', null]);
  });

  test('a flush that fails is recorded, and the member does not serve', () => {
    recorded();
    const enabled = rig.control(ENABLE);
    rig.store.end('flush', Status.EIO);
    expect([rig.held(), enabled.ended]).toEqual([['commit volatileLost'], false]);
    rig.store.end('commit volatileLost');
    expect([rig.pool.state, enabled.failure?.code, rig.store.volatileLost]).toEqual(['CREATED', 'STORE_ERROR', true]);
  });

  test('a client that is gone when it would be enabled is not served', () => {
    recorded();
    const enabled = rig.control(ENABLE);
    rig.pool.onSessionClosed(rig.client, 'cut');
    rig.store.end('flush');
    rig.store.end('commit reconciled');
    expect([enabled.failure?.code, rig.pool.state]).toEqual(['BAD_STATE', 'REGISTERED']);
  });

  test('resync begins with the version that was enabled', () => {
    rig.serve({ 1: [4] });
    rig.join();
    expect(rig.session(2).ios[0]?.message).toMatchObject({ epoch: 1, versionSeq: 1, offsetBytes: 4 * CHUNK });
  });

  test('enabled once more, as after a path failed over, nothing is done again', () => {
    rig.serve();
    expect(rig.control(ENABLE)).toMatchObject({ ended: true, failure: null });
    expect(rig.held()).toEqual([]);
  });
});

describe('pool control: what others may have to copy', () => {
  const chunk = (index: number, count = 1) => ({ offsetBytes: index * CHUNK, lengthBytes: count * CHUNK });
  const check = (...ranges: { readonly offsetBytes: number; readonly lengthBytes: number }[]): RigOutcome =>
    rig.control({ op: 'read-check', poolUuid: POOL, epoch: 1, ranges });

  /** The disk can't read the chunk, and nothing but the chunk was asked for. */
  const failAlone = (index: number): void => {
    check(chunk(index));
    for (let tries = 0; tries < READ_CHECK_TRIES; tries++) rig.store.end(`read ${index * CHUNK}+${CHUNK}`, Status.EIO);
  };

  beforeEach(() => {
    rig.control(claim(1));
    rig.store.endAll();
  });

  test('I1: it is read chunk by chunk, but for what is dirty here, and what can not be read is named', () => {
    rig.store.mapOf(1).set(3, 1);
    const checked = check(chunk(2, 3), chunk(9));
    rig.store.end(`read ${2 * CHUNK}+${CHUNK}`);
    for (let tries = 0; tries < READ_CHECK_TRIES; tries++) rig.store.end(`read ${4 * CHUNK}+${CHUNK}`, Status.EIO);
    expect(checked.ended).toBe(false);
    rig.store.end(`read ${9 * CHUNK}+${CHUNK}`);
    expect([checked.failure, checked.result]).toEqual([null, { unreadable: [chunk(4)] }]);
  });

  test('a read that fails is tried again: an error that goes away is no reason to pass the member over', () => {
    const checked = check(chunk(2));
    for (let tries = 1; tries < READ_CHECK_TRIES; tries++) rig.store.end(`read ${2 * CHUNK}+${CHUNK}`, Status.EIO);
    rig.store.end(`read ${2 * CHUNK}+${CHUNK}`);
    expect(checked.result).toEqual({ unreadable: [] });
  });

  test('I11: a disk that takes long does not hold up the pool for ever: the rest counts as readable', () => {
    const checked = check(chunk(2), chunk(5), chunk(6));
    rig.world.run(READ_CHECK_MS);
    rig.store.end(`read ${2 * CHUNK}+${CHUNK}`, Status.EIO);
    expect(checked.result).toEqual({ unreadable: [chunk(2)] });
  });

  test('I1: what was known to be unreadable stays so where the time did not suffice to read it again', () => {
    const first = check(chunk(5), chunk(6));
    for (const index of [5, 6])
      for (let tries = 0; tries < READ_CHECK_TRIES; tries++) rig.store.end(`read ${index * CHUNK}+${CHUNK}`, Status.EIO);
    expect(first.result).toEqual({ unreadable: [chunk(5, 2)] });
    const again = check(chunk(5), chunk(2), chunk(6), chunk(7));
    rig.store.end(`read ${5 * CHUNK}+${CHUNK}`);
    rig.world.run(READ_CHECK_MS);
    rig.store.end(`read ${2 * CHUNK}+${CHUNK}`);
    expect(again.result).toEqual({ unreadable: [chunk(6)] });
  });

  test('I8: a claim is answered when it is known which chunks of a read that failed are bad: the others may be the last good copies', () => {
    rig.control(record(1, [1]));
    rig.store.endAll();
    rig.control(ENABLE);
    rig.store.endAll();
    rig.read('r', { chunk: 4, chunks: 2 });
    rig.store.end(`read ${4 * CHUNK}+${2 * CHUNK}`, Status.EIO);
    const claimed = rig.control(claim(2));
    rig.store.end('commit promise 2');
    for (let tries = 0; tries < READ_CHECK_TRIES; tries++) rig.store.end(`read ${4 * CHUNK}+${CHUNK}`, Status.EIO);
    expect(claimed.ended).toBe(false);
    rig.store.end(`read ${5 * CHUNK}+${CHUNK}`);
    expect((claimed.result as ClaimResult).unreadable).toEqual([chunk(4)]);
    // What is known is read again, as often as anything else.
    const again = rig.control(claim(3));
    rig.store.end('commit promise 3');
    for (let tries = 0; tries < READ_CHECK_TRIES; tries++) rig.store.end(`read ${4 * CHUNK}+${CHUNK}`, Status.EIO);
    expect((again.result as ClaimResult).unreadable).toEqual([chunk(4)]);
  });

  test('I1: an error that went away by the time of the claim is not told: this copy may be the last that can be read', () => {
    failAlone(4);
    const claimed = rig.control(claim(2));
    rig.store.end('commit promise 2');
    for (let tries = 1; tries < READ_CHECK_TRIES; tries++) rig.store.end(`read ${4 * CHUNK}+${CHUNK}`, Status.EIO);
    expect(claimed.ended).toBe(false);
    rig.store.end(`read ${4 * CHUNK}+${CHUNK}`);
    expect((claimed.result as ClaimResult).unreadable).toEqual([]);
  });

  test('I1: where a disk takes long to give a sector up, the others stay as they are known', () => {
    failAlone(4);
    failAlone(6);
    const claimed = rig.control(claim(2));
    rig.store.end('commit promise 2');
    rig.world.run(READ_AGAIN_MS);
    rig.store.end(`read ${4 * CHUNK}+${CHUNK}`);
    expect((claimed.result as ClaimResult).unreadable).toEqual([chunk(6)]);
  });

  test('ranges beyond the device, and with nothing to be read, are no trap', () => {
    expect(check(chunk(1_000)).result).toEqual({ unreadable: [] });
    expect(check().result).toEqual({ unreadable: [] });
  });
});
