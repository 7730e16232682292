import { CHUNKS_PER_LEAF, DirtyMap } from '@rmr/dirty-map';
import type { RtrsServerRequest, RtrsServerSession } from '@rmr/rtrs';
import { SlabPool, Status } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { WAIT_BOUNCE_MS } from '../../constants.ts';
import type { VersionRecord } from '../../pool-store.ts';
import { CLIENT, identityOf, memberOf, POLICY, POOL, RIVAL, ScriptedSessions, storeOf, versionOf } from '../../testing/scripted-pool.ts';
import { ScriptedStore } from '../../testing/scripted-store.ts';
import type { ControlFailure, ControlRequest, MapReadResult } from '../../wire/control-message.ts';
import { decodeExtents } from '../../wire/extents.ts';
import { encodeIoMessage, IO_MESSAGE_BYTES, IoMessage, MessageType } from '../../wire/io-message.ts';
import { encodeLeaf, readLeaves } from '../map-leaves.ts';
import { PoolServer } from './pool-server.ts';
import { ReadArena } from './read-arena.ts';

const CHUNK = 4096;
const CHUNKS = 16;
/** The last chunk is short. */
const SIZE = CHUNKS * CHUNK - 512;

let world: VirtualWorld;
let store: ScriptedStore;
let sessions: ScriptedSessions;
let pool: PoolServer;
let answers: [name: string, status: number][];
let payloads: Map<string, Uint8Array>;
const client = { state: 'OPEN', peer: { hostName: 'client-1' } } as unknown as RtrsServerSession;
const rival = { state: 'OPEN', peer: { hostName: 'client-2' } } as unknown as RtrsServerSession;

const held = (): string[] => store.held.map(({ what }) => what);
const session = (memberId: number) => sessions.of({ memberId });

/** Ends the turn. */
function turn(): void {
  world.run(0);
  pool.verify();
}

interface Io extends Partial<Omit<IoMessage, 'missingMemberIds' | 'missingCount'>> {
  /** First chunk, and how many. */
  readonly chunk?: number;
  readonly chunks?: number;
  readonly missing?: readonly number[];
}

/** A request of the client, or of another storage node, comes in. */
function io(name: string, { chunk = 0, chunks = 1, missing = [], ...fields }: Io): void {
  const message = new IoMessage();
  const offsetBytes = chunk * CHUNK;
  const lengthBytes = Math.min(chunks * CHUNK, SIZE - offsetBytes);
  Object.assign(message, {
    type: MessageType.WRITE,
    epoch: 1,
    versionSeq: 1,
    offsetBytes,
    lengthBytes,
    missingCount: missing.length,
    ...fields,
  });
  message.missingMemberIds.set(missing);
  if (message.type === MessageType.FLUSH) message.lengthBytes = 0;
  const header = new Uint8Array(IO_MESSAGE_BYTES);
  encodeIoMessage(message, header, 0);
  const request = {
    session: client,
    header,
    headerOffset: 0,
    headerLength: IO_MESSAGE_BYTES,
    payload: message.type === MessageType.WRITE ? new Uint8Array(message.lengthBytes) : null,
    respond: (status: number, _headerLength: number, payload: Uint8Array | null) => {
      answers.push([name, status]);
      if (payload !== null) payloads.set(name, payload.slice());
    },
  };
  pool.onRequest(request as unknown as RtrsServerRequest, message);
  turn();
}
const write = (name: string, fields: Io = {}): void => io(name, { writeSeq: 1, ...fields });
const read = (name: string, fields: Io = {}): void => io(name, { type: MessageType.READ, ...fields });
const syncRead = (name: string, fields: Io = {}): void => io(name, { type: MessageType.SYNC_READ, ...fields });

interface Outcome {
  result: unknown;
  failure: ControlFailure | null;
  ended: boolean;
}

function control(request: ControlRequest, from: RtrsServerSession = client): Outcome {
  const outcome: Outcome = { result: null, failure: null, ended: false };
  pool.control(from, request, (result, failure) => Object.assign(outcome, { result, failure, ended: true }));
  return outcome;
}

const claim = (epoch: number, clientInstance = CLIENT): ControlRequest => ({
  op: 'claim',
  poolUuid: POOL,
  epoch,
  clientInstance,
  clientName: 'client-1',
  takeover: false,
});

type RecordRequest = ControlRequest & { op: 'record-version' };
function record(seq: number, memberIds: readonly number[], rest: Partial<RecordRequest> & { horizon?: number } = {}): RecordRequest {
  const { horizon = 0, ...fields } = rest;
  const version = versionOf(seq, memberIds, { horizon });
  const members = [1, 2, 3].map((memberId) => memberOf(memberId));
  const base = { op: 'record-version' as const, poolUuid: POOL, epoch: 1, version, members, policy: POLICY, newLineage: false };
  return { ...base, mapAdds: [], mapErase: [], maps: [], ...fields };
}

const stage = (memberId: number, map: DirtyMap, reset = true): ControlRequest => ({
  op: 'map-stage',
  poolUuid: POOL,
  epoch: 1,
  memberId,
  reset,
  leaves: readLeaves(map, 0).leaves,
});
const freeze: ControlRequest = { op: 'freeze', poolUuid: POOL, epoch: 1 };
const enable: ControlRequest = { op: 'enable', poolUuid: POOL, epoch: 1, versionSeq: 1 };

function mapWith(...chunks: number[]): DirtyMap {
  const map = new DirtyMap(CHUNKS);
  for (const chunk of chunks) map.set(chunk, 1);
  return map;
}

/** NORMAL under epoch 1, version 1.1 of these members, with these chunks dirty. */
function serve(dirty: Record<number, readonly number[]> = {}, memberIds: readonly number[] = [1, 2, 3]): void {
  control(claim(1));
  store.end('commit promise 1');
  control(record(1, memberIds));
  store.end(`commit version 1.1{${memberIds.join(',')}}`);
  for (const [memberId, chunks] of Object.entries(dirty)) for (const chunk of chunks) store.mapOf(Number(memberId)).set(chunk, 1);
  control(enable);
  store.end('flush');
  store.end('commit reconciled');
  turn();
  store.calls.length = 0;
  expect([pool.state, held()]).toEqual(['NORMAL', []]);
}

/** The sync leg to a member is ready: pulls from it begin. */
function join(memberId = 2): void {
  world.run(50);
  session(memberId)
    .next('sync-join')
    .answer({ poolHandle: 42, memberId, storeUuid: storeOf(memberId) });
  turn();
}

/** The pull that is under way at a member ends well. */
function pull(memberId = 2): void {
  const next = session(memberId).ios.shift();
  if (next === undefined) throw new Error(`nothing is read from member ${memberId}`);
  next.answer(Status.OK, new Uint8Array(next.message.lengthBytes).fill(9));
  turn();
  for (const step of ['write', 'flush', 'commit clear 1:']) {
    store.endOne(step);
    turn();
  }
}

beforeEach(() => {
  world = new VirtualWorld();
  answers = [];
  payloads = new Map();
  sessions = new ScriptedSessions();
  store = new ScriptedStore(identityOf(1, CHUNKS, CHUNK, 512));
  pool = new PoolServer(world, 0, store, new ReadArena(new SlabPool()), sessions);
  world.check(() => pool.verify());
});

describe('pool server: reads of dirty chunks (I4)', () => {
  test('a read waits until its chunk has been pulled, and is then answered from here', () => {
    serve({ 1: [4] });
    read('r', { chunk: 4, offsetBytes: 4 * CHUNK + 512, lengthBytes: 1024 });
    join();
    expect([answers, session(2).ios.length, pool.counters.chunkWaits]).toEqual([[], 1, 1]);
    pull();
    store.end(`read ${4 * CHUNK + 512}+1024`);
    expect(answers).toEqual([['r', Status.OK]]);
  });

  test('a read that touches one dirty chunk of several waits as a whole', () => {
    serve({ 1: [5] });
    read('r', { chunk: 3, chunks: 4 });
    read('beside', { chunk: 6 });
    expect(held()).toEqual([`read ${6 * CHUNK}+${CHUNK}`]);
  });

  test('what waits, and for whom, is told', () => {
    serve({ 1: [4] });
    read('r', { chunk: 4 });
    write('w', { chunk: 4, lengthBytes: 512 });
    expect(pool.waits()).toMatchObject([{ chunk: 4, requests: 2, what: expect.stringContaining('member 2') }]);
    join();
    expect(pool.waits()).toMatchObject([{ chunk: 4, requests: 2, what: expect.stringContaining('under way') }]);
  });

  test('extents of a dirty chunk are data: what lies on this disk says nothing', () => {
    serve({ 1: [4] });
    io('e', { type: MessageType.EXTENTS, chunk: 3, chunks: 3 });
    expect(decodeExtents(payloads.get('e') as Uint8Array, 3 * CHUNK)).toEqual([{ lengthBytes: 3 * CHUNK, hole: false }]);
    io('clean', { type: MessageType.EXTENTS, chunk: 5 });
    store.endAll();
    expect(decodeExtents(payloads.get('clean') as Uint8Array, CHUNK)).toEqual([{ lengthBytes: CHUNK, hole: true }]);
  });
});

describe('pool server: reads of other storage nodes (R1)', () => {
  test('a clean chunk is served under the very version, and is no client’s IO', () => {
    serve({ 1: [4] });
    syncRead('s', { chunk: 5 });
    store.end(`read ${5 * CHUNK}+${CHUNK}`);
    expect(answers).toEqual([['s', Status.OK]]);
    expect(pool.counters).toMatchObject({ syncReads: 1, syncReadBytes: CHUNK, reads: 0 });
  });

  test('EDIRTY: a dirty chunk is not served, and never pulled for another', () => {
    serve({ 1: [4] });
    syncRead('s', { chunk: 3, chunks: 2 });
    expect([answers, held(), pool.counters.chunkWaits]).toEqual([[['s', Status.EDIRTY]], [], 0]);
  });

  test.each<[string, Io]>([
    ['an older version', { versionSeq: 1 }],
    ['a newer version', { versionSeq: 3 }],
    ['another epoch', { versionSeq: 2, epoch: 2 }],
    ['an older epoch', { versionSeq: 2, epoch: 0 }],
  ])('EVERSION: %s', (_name, fields) => {
    serve();
    control(record(2, [1, 2]));
    store.end('commit version 1.2{1,2}');
    syncRead('s', fields);
    expect([answers, held()]).toEqual([[['s', Status.EVERSION]], []]);
  });

  test('EVERSION: below the horizon is no excuse, as for client writes it is (W6)', () => {
    serve();
    control(record(2, [1, 2], { horizon: 99 }));
    store.end('commit version 1.2{1,2}');
    syncRead('s', { versionSeq: 1 });
    expect(answers).toEqual([['s', Status.EVERSION]]);
  });

  test('ENOTNORMAL: a member that serves nobody serves no other member either', () => {
    syncRead('before');
    serve();
    pool.onSessionClosed(client, 'cut');
    syncRead('after');
    expect(answers).toEqual([
      ['before', Status.ENOTNORMAL],
      ['after', Status.ENOTNORMAL],
    ]);
  });

  test('a storage node asks for the handle of the pool without being its client', () => {
    serve();
    expect(control({ op: 'sync-join', poolUuid: POOL }, rival).result).toEqual({ poolHandle: 0, memberId: 1, storeUuid: storeOf(1) });
  });
});

describe('pool server: partial writes of dirty chunks (W4)', () => {
  test('it waits until the chunk has been pulled; only then lastIo, the bits of members that miss it, and the data', () => {
    serve({ 1: [4] }, [1, 2]);
    write('w', { chunk: 4, lengthBytes: 512, missing: [3], memId: 5, writeSeq: 7 });
    expect([store.calls.filter((call) => call !== 'submit'), answers]).toEqual([[], []]);
    join();
    pull();
    expect([store.mapOf(1).test(4), store.calls.includes('lastIo 5 #7 16384+512'), held()]).toEqual([
      false,
      true,
      ['prepare 16384+512 add 3:4'],
    ]);
    store.end('prepare 16384+512 add 3:4');
    turn();
    store.end('write 16384+512');
    expect([answers, store.mapOf(3).test(4)]).toEqual([[['w', Status.OK]], true]);
  });

  test('a write whose end covers half of a dirty chunk waits as a whole', () => {
    serve({ 1: [4, 5] });
    write('w', { chunk: 4, lengthBytes: CHUNK + 512 });
    expect([held(), pool.executing]).toEqual([[], 1]);
  });

  test('requests that wait for one chunk go on in the order in which they came', () => {
    serve({ 1: [4] });
    read('first', { chunk: 4 });
    read('second', { chunk: 4, lengthBytes: 512 });
    join();
    pull();
    expect(held()).toEqual([`read ${4 * CHUNK}+${CHUNK}`, `read ${4 * CHUNK}+512`]);
  });

  test('a version in between does not send it away: it goes on under the new one', () => {
    serve({ 1: [4] });
    write('w', { chunk: 4, lengthBytes: 512 });
    control(record(2, [1, 2], { horizon: 1, mapAdds: [{ memberIds: [3], ranges: [{ offsetBytes: 4 * CHUNK, lengthBytes: 512 }] }] }));
    store.end('commit version 1.2{1,2} add 3:4');
    turn();
    expect(answers).toEqual([]);
    join();
    expect(session(2).ios[0]?.message.versionSeq).toBe(2);
    pull();
    expect(held()).toEqual(['write 16384+512']);
  });

  test('what has waited for long is given back: the client may know a better member by now', () => {
    serve({ 1: [4] });
    write('w', { chunk: 4, lengthBytes: 512 });
    world.run(WAIT_BOUNCE_MS - 100);
    read('r', { chunk: 4 });
    expect(answers).toEqual([]);
    world.run(200);
    expect([answers, pool.counters.bounces]).toEqual([[['w', Status.EBOUNCED]], 1]);
    world.run(WAIT_BOUNCE_MS);
    expect(answers[1]).toEqual(['r', Status.EBOUNCED]);
  });
});

describe('pool server: writes that replace dirty chunks whole (W4)', () => {
  test('◆5: lastIo, intent, data, durable, and only then clean here', () => {
    serve({ 1: [4] });
    store.prepared = false;
    write('w', { chunk: 4, memId: 5, writeSeq: 7 });
    expect(store.calls.filter((call) => call !== 'submit')).toEqual(['lastIo 5 #7 16384+4096', 'prepare 16384+4096']);
    for (const [step, next] of [
      ['prepare 16384+4096', 'write 16384+4096'],
      ['write 16384+4096', 'flush'],
      ['flush', 'commit clear 1:4'],
    ] as const) {
      store.end(step);
      turn();
      expect([held(), answers, store.mapOf(1).test(4)]).toEqual([[next], [], true]);
    }
    store.end('commit clear 1:4');
    expect([answers, store.mapOf(1).test(4), pool.resync.locked]).toEqual([[['w', Status.OK]], false, 0]);
  });

  test('I8: clean here and dirty for the others become durable in one commit, behind the data', () => {
    serve({ 1: [4], 2: [4], 3: [4] }, [1, 2]);
    write('w', { chunk: 4, missing: [3] });
    expect(held()).toEqual(['write 16384+4096']);
    store.end('write 16384+4096');
    turn();
    store.end('flush');
    turn();
    expect(held()).toEqual(['commit clear 1:4 add 3:4']);
    store.end('commit clear 1:4 add 3:4');
    expect(answers).toEqual([['w', Status.OK]]);
  });

  test('I6: chunks of it that are clean here are durably dirty for the others before the data', () => {
    serve({ 1: [4, 6] }, [1, 2]);
    write('w', { chunk: 3, chunks: 4, missing: [3] });
    expect(held()).toEqual(['commit add 3:3,5']);
    store.end('commit add 3:3,5');
    turn();
    expect(held()).toEqual([`write ${3 * CHUNK}+${4 * CHUNK}`]);
    store.endOne('write');
    turn();
    store.end('flush');
    turn();
    expect(held()).toEqual(['commit clear 1:4,6 add 3:4,6']);
    store.endAll();
    expect([answers, store.mapOf(3).runs(9)]).toEqual([[['w', Status.OK]], [{ first: 3, count: 4 }]]);
  });

  test('the last chunk is replaced whole by a write up to the end of the device', () => {
    serve({ 1: [CHUNKS - 1] });
    write('w', { chunk: CHUNKS - 1 });
    expect(store.endAll()).toEqual([`write ${(CHUNKS - 1) * CHUNK}+${CHUNK - 512}`, 'flush', `commit clear 1:${CHUNKS - 1}`]);
    expect(answers).toEqual([['w', Status.OK]]);
  });

  test('discards and write-zeroes replace chunks as well', () => {
    serve({ 1: [4, 5] });
    io('d', { type: MessageType.DISCARD, writeSeq: 1, chunk: 4, chunks: 2 });
    expect(held()).toEqual([`punch ${4 * CHUNK}+${2 * CHUNK}`]);
  });

  test('R1: the chunk is locked meanwhile: it is not pulled, and other IO on it waits', () => {
    serve({ 1: [4] });
    write('w', { chunk: 4 });
    join();
    read('r', { chunk: 4 });
    write('again', { chunk: 4 });
    expect([pool.resync.isLocked(4, 1), session(2).ios, held()]).toEqual([true, [], ['write 16384+4096']]);
    store.end('write 16384+4096');
    turn();
    store.end('flush');
    turn();
    store.end('commit clear 1:4');
    turn();
    expect(held()).toEqual(['read 16384+4096', 'write 16384+4096']);
  });

  test('R1: it waits while the chunk is being pulled', () => {
    serve({ 1: [4] });
    join();
    expect(session(2).ios.length).toBe(1);
    write('w', { chunk: 4 });
    expect(held()).toEqual([]);
    pull();
    expect(held()).toEqual(['write 16384+4096']);
    store.endAll();
    expect([answers, held()]).toEqual([[['w', Status.OK]], []]);
  });

  test.each(['prepare', 'commit add', 'write', 'flush', 'commit clear'])(
    'when it fails at %s the chunk stays dirty, and is free again',
    (step) => {
      serve({ 1: [4] }, [1, 2]);
      store.prepared = false;
      write('w', { chunk: 3, chunks: 2, missing: [3] });
      while (!held()[0]?.startsWith(step)) {
        store.endOne('');
        turn();
      }
      store.endOne(step, Status.EIO);
      turn();
      expect([answers, store.mapOf(1).test(4), pool.resync.locked, held()]).toEqual([[['w', Status.EIO]], true, 0, []]);
    },
  );

  test.each(['prepare', 'commit add', 'write', 'flush'])(
    'I7: a newer epoch is granted while it is at %s: it goes no further, the grant waits for it',
    (step) => {
      serve({ 1: [4] }, [1, 2]);
      store.prepared = false;
      write('w', { chunk: 3, chunks: 2, missing: [3] });
      while (!held()[0]?.startsWith(step)) {
        store.endOne('');
        turn();
      }
      const granted = control(claim(2));
      expect([granted.ended, held().length]).toEqual([false, 1]);
      store.endOne(step);
      turn();
      expect([answers, store.mapOf(1).test(4)]).toEqual([[['w', Status.ESTALE]], true]);
      expect(held()).toEqual(['commit promise 2']);
      store.end('commit promise 2');
      expect(granted.failure).toBeNull();
    },
  );
});

describe('pool server: requests that end as the pool leaves IO', () => {
  const leave: Record<string, () => void> = {
    'a newer client claims the pool': () => {
      pool.onSessionClosed(client, 'cut');
      control(claim(2, RIVAL), rival);
    },
    'the client takes the member out': () => void control({ op: 'disable', poolUuid: POOL, epoch: 1 }),
    'its store fails': () => pool.storeFailed('it hangs'),
    'its store is taken away': () => pool.close(() => {}),
  };

  test.each([
    ['a newer client claims the pool', Status.ENOTNORMAL],
    ['the client takes the member out', Status.ENOTNORMAL],
    ['its store fails', Status.EIO],
    ['its store is taken away', Status.ENOTNORMAL],
  ])('what waits for a chunk is discarded when %s', (how, status) => {
    serve({ 1: [4] });
    read('r', { chunk: 4 });
    write('w', { chunk: 4, lengthBytes: 512 });
    leave[how]?.();
    expect(answers).toEqual([
      ['r', status],
      ['w', status],
    ]);
  });

  // ESTALE would stop the client for good (C3): only a newer client is a reason for it.
  test.each([
    ['a newer client claims the pool', Status.ESTALE],
    ['the client takes the member out', Status.ENOTNORMAL],
    ['its store fails', Status.EIO],
    ['its store is taken away', Status.ENOTNORMAL],
  ])('C3: a write that waits for its intent is not executed when %s, and hears of that', (how, status) => {
    serve({ 1: [4] });
    store.prepared = false;
    write('w', { chunk: 8 });
    write('whole', { chunk: 4 });
    leave[how]?.();
    store.endOne(`prepare ${8 * CHUNK}`);
    store.endOne(`prepare ${4 * CHUNK}`);
    turn();
    expect(answers).toEqual([
      ['w', status],
      ['whole', status],
    ]);
    expect(held().filter((what) => what.startsWith('write'))).toEqual([]);
  });

  test('I7, I10: a claim waits for pulls that the disk works for, and what they bring is not cleared', () => {
    serve({ 1: [4, 8] });
    join();
    for (const next of session(2).ios.splice(0, 1)) next.answer(Status.OK, new Uint8Array(CHUNK).fill(9));
    turn();
    const granted = control(claim(2));
    expect([granted.ended, held()]).toEqual([false, [`write ${4 * CHUNK}+${CHUNK}`]]);
    store.endOne('write');
    turn();
    expect([granted.ended, held()]).toEqual([false, ['flush']]);
    store.end('flush');
    turn();
    expect(held()).toEqual(['commit promise 2']);
    store.end('commit promise 2');
    expect(granted.result).toMatchObject({ columns: [{ memberId: 1, dirtyChunks: 2, digest: mapWith(4, 8).digest() }] });
    // The read that was under way changes nothing any more.
    for (const next of session(2).ios.splice(0)) next.answer(Status.OK, new Uint8Array(CHUNK).fill(9));
    world.run(1000);
    expect([held(), store.mapOf(1).dirtyCount, session(2).ios]).toEqual([[], 2, []]);
  });

  test('a grant says what the member may lack', () => {
    serve();
    store.lastIoRanges = [{ memId: 1, writeSeq: 5, offsetBytes: 0, lengthBytes: 512 }];
    store.intent = [{ offsetBytes: 0, lengthBytes: 1 << 14 }];
    store.volatileLost = true;
    const granted = control(claim(2));
    store.end('commit promise 2');
    expect(granted.result).toMatchObject({ lastIo: [{ offsetBytes: 0, lengthBytes: 512 }], intent: store.intent, volatileLost: true });
  });
});

describe('pool server: chunks without a clean copy (I8)', () => {
  /** The peers answer map checks with what is known of them here, again and again. */
  function confirm(durationMs: number): void {
    for (let ms = 0; ms < durationMs; ms += 50) {
      world.run(50);
      for (const memberId of [2, 3]) {
        for (const call of session(memberId).calls.splice(0)) {
          if (call.request.op === 'sync-join') call.answer({ poolHandle: 42, memberId, storeUuid: storeOf(memberId) });
          else if (call.request.op === 'map-check')
            call.answer({ stamp: { epoch: 1, seq: 1 }, ...readLeaves(store.mapOf(memberId), call.request.fromLeaf) });
        }
      }
    }
  }

  test('ELOST: reads and partial writes end when all have confirmed it; a whole-chunk write heals it', () => {
    serve({ 1: [4], 2: [4], 3: [4] });
    read('r', { chunk: 4 });
    write('w', { chunk: 4, lengthBytes: 512 });
    expect(answers).toEqual([]);
    confirm(1000);
    expect(answers).toEqual([
      ['r', Status.ELOST],
      ['w', Status.ELOST],
    ]);
    write('whole', { chunk: 4 });
    store.endOne('write');
    turn();
    store.end('flush');
    turn();
    store.end('commit clear 1:4');
    expect(answers[2]).toEqual(['whole', Status.OK]);
    read('healed', { chunk: 4 });
    store.endOne('read');
    expect(answers[3]).toEqual(['healed', Status.OK]);
  });

  test('nothing is silently healed: a read across a lost chunk is lost as a whole', () => {
    serve({ 1: [4], 2: [4], 3: [4] });
    read('r', { chunk: 3, chunks: 3 });
    confirm(1000);
    expect([answers, held()]).toEqual([[['r', Status.ELOST]], []]);
  });

  test('what one member is found to have clean is pulled and served', () => {
    serve({ 1: [4], 2: [4], 3: [4] });
    read('r', { chunk: 4 });
    world.run(50);
    const cleared = (): boolean => held().includes('commit clear 2:4');
    for (let ms = 0; ms < 5000 && !cleared(); ms += 50) {
      for (const call of session(2).calls.splice(0)) {
        if (call.request.op === 'map-check') call.answer({ stamp: { epoch: 1, seq: 1 }, leaves: [], nextLeaf: null });
        else call.answer({ poolHandle: 42, memberId: 2, storeUuid: storeOf(2) });
      }
      world.run(50);
    }
    store.end('commit clear 2:4');
    turn();
    pull();
    store.endOne('read');
    expect(answers).toEqual([['r', Status.OK]]);
  });
});

describe('pool server: a map update is ahead (L4, ◆20)', () => {
  test('what waits for chunks is given back, and so is what would wait, until the next version', () => {
    serve({ 1: [4] });
    read('r', { chunk: 4 });
    write('w', { chunk: 4, lengthBytes: 512 });
    expect(control(freeze)).toMatchObject({ ended: true, failure: null });
    expect(answers).toEqual([
      ['r', Status.EBOUNCED],
      ['w', Status.EBOUNCED],
    ]);
    read('r2', { chunk: 4 });
    expect(answers[2]).toEqual(['r2', Status.EBOUNCED]);
    expect(store.calls.filter((call) => call !== 'submit')).toEqual([]);
    control(record(2, [1, 2, 3]));
    store.end('commit version 1.2{1,2,3}');
    turn();
    read('r3', { chunk: 4, versionSeq: 2 });
    expect(answers.length).toBe(3);
  });

  test('what needs no dirty chunk goes on', () => {
    serve({ 1: [4] });
    control(freeze);
    read('clean', { chunk: 5 });
    write('w', { chunk: 6 });
    write('whole', { chunk: 4 });
    expect(held()).toEqual([`read ${5 * CHUNK}+${CHUNK}`, `write ${6 * CHUNK}+${CHUNK}`, `write ${4 * CHUNK}+${CHUNK}`]);
  });

  test('what waits for a chunk that is being replaced is given back when it would wait on', () => {
    serve({ 1: [4] });
    write('whole', { chunk: 4 });
    control(freeze);
    read('r', { chunk: 4 });
    expect(answers).toEqual([['r', Status.EBOUNCED]]);
    for (let i = 0; i < 3; i++) {
      store.endAll();
      turn();
    }
    expect(answers[1]).toEqual(['whole', Status.OK]);
  });

  test('pulls go on meanwhile', () => {
    serve({ 1: [4] });
    control(freeze);
    join();
    pull();
    expect(store.mapOf(1).dirtyCount).toBe(0);
  });

  test('a member that left IO does not freeze its next client', () => {
    serve({ 1: [4] });
    control(freeze);
    control(claim(2));
    store.end('commit promise 2');
    control({ ...record(1, [1, 2, 3]), epoch: 2, version: versionOf(1, [1, 2, 3], { epoch: 2 }) });
    store.endAll();
    control({ ...enable, epoch: 2 } as ControlRequest);
    store.endAll();
    turn();
    read('r', { chunk: 4, epoch: 2 });
    expect([pool.state, answers]).toEqual(['NORMAL', []]);
  });
});

describe('pool server: versions and their maps', () => {
  test('V2: the map adds are durable with the version, in one commit', () => {
    serve();
    const recorded = control(record(2, [1, 2], { mapAdds: [{ memberIds: [3], ranges: [{ offsetBytes: 100, lengthBytes: CHUNK }] }] }));
    expect([held(), recorded.ended]).toEqual([['commit version 1.2{1,2} add 3:0-1'], false]);
    store.endAll();
    expect(recorded.result).toEqual({ owed: [] });
  });

  test('◆13: adds that would leave no clean copy are owed: not made, and told', () => {
    serve({ 1: [4], 2: [4] });
    const range = { offsetBytes: 4 * CHUNK, lengthBytes: CHUNK };
    const recorded = control(record(2, [1, 2], { mapAdds: [{ memberIds: [3], ranges: [range] }] }));
    store.end('commit version 1.2{1,2}');
    expect(recorded.result).toEqual({ owed: [range] });
    const add: ControlRequest = { op: 'map-add', poolUuid: POOL, epoch: 1, versionSeq: 2, add: { memberIds: [3], ranges: [range] } };
    const asked = control(add);
    store.end('commit ');
    expect(asked.result).toEqual({ owed: [range] });
    // An in-sync member has it clean by now: the add is made.
    store.mapOf(2).clear(4, 1);
    const again = control(add);
    store.end('commit add 3:4');
    expect(again.result).toEqual({ owed: [] });
  });

  test('V3: staged columns come into use with the version, when they are the ones that it names', () => {
    serve({ 3: [1, 2] });
    expect(control(stage(2, mapWith(7, 9))).failure).toBeNull();
    expect(control(stage(3, mapWith(1))).failure).toBeNull();
    const maps = [
      { memberId: 2, digest: mapWith(7, 9).digest() },
      { memberId: 3, digest: mapWith(1).digest() },
    ];
    const recorded = control(record(2, [1, 2, 3], { maps }));
    store.end('commit version 1.2{1,2,3} replace 2:7,9 replace 3:1');
    expect([recorded.failure, store.mapOf(2).dirtyCount, store.mapOf(3).dirtyCount]).toEqual([null, 2, 1]);
  });

  test('V3: a column that stands here as it is named need not be staged; one that is clean neither', () => {
    serve({ 3: [1, 2] });
    const maps = [
      { memberId: 2, digest: mapWith().digest() },
      { memberId: 3, digest: mapWith(1, 2).digest() },
    ];
    expect(control(record(2, [1, 2, 3], { maps })).failure).toBeNull();
    store.end('commit version 1.2{1,2,3}');
  });

  test('V3: leaves handed over later replace those of before; a reset begins anew', () => {
    serve();
    control(stage(2, mapWith(1)));
    control({ ...stage(2, mapWith(), false), leaves: [encodeLeaf(mapWith(3), 0)] } as ControlRequest);
    control(record(2, [1, 2, 3], { maps: [{ memberId: 2, digest: mapWith(3).digest() }] }));
    store.end('commit version 1.2{1,2,3} replace 2:3');
    control({ ...stage(2, mapWith(), true), leaves: [] } as ControlRequest);
    control(record(3, [1, 2, 3], { maps: [{ memberId: 2, digest: mapWith().digest() }] }));
    store.end('commit version 1.3{1,2,3} replace 2:none');
  });

  test.each<[string, () => void, readonly number[]]>([
    ['nothing was staged', () => {}, [5]],
    ['another map was staged', () => void control(stage(2, mapWith(5, 6))), [5]],
    [
      'the staged map was used up by a version before',
      () => {
        control(stage(2, mapWith(5)));
        control(record(2, [1, 2, 3]));
        store.end('commit version 1.2{1,2,3}');
      },
      [5],
    ],
    [
      'the member had left IO meanwhile',
      () => {
        control(stage(2, mapWith(5)));
        control(claim(1));
        store.end('commit promise 1');
      },
      [5],
    ],
  ])('BAD_MAP: a version is refused, and nothing recorded, when %s', (_name, prepare, chunks) => {
    serve();
    prepare();
    const recorded = control(record(3, [1, 2, 3], { maps: [{ memberId: 2, digest: mapWith(...chunks).digest() }] }));
    expect([recorded.failure?.code, held()]).toEqual(['BAD_MAP', []]);
  });

  test('BAD_MAP: leaves without a beginning, and malformed ones, are refused', () => {
    serve();
    expect(control(stage(2, mapWith(5), false)).failure?.code).toBe('BAD_MAP');
    expect(control({ ...stage(2, mapWith()), leaves: [[0, 'nonsense']] } as ControlRequest).failure?.message).toContain('malformed');
    expect(control({ ...stage(2, mapWith()), leaves: [[1, 'full']] } as ControlRequest).failure?.message).toContain('beyond the map');
  });

  test('the same version once more, as after a path failed over, is recorded without its maps', () => {
    serve();
    control(stage(2, mapWith(5)));
    const request = record(2, [1, 2, 3], { maps: [{ memberId: 2, digest: mapWith(5).digest() }] });
    control(request);
    store.end('commit version 1.2{1,2,3} replace 2:5');
    const again = control(request);
    store.end('commit version 1.2{1,2,3}');
    expect([again.failure, store.mapOf(2).dirtyCount]).toEqual([null, 1]);
  });

  test('I9: no member of the in-sync set is marked dirty, by a version or by an add', () => {
    serve();
    const add = { memberIds: [3, 2], ranges: [{ offsetBytes: 0, lengthBytes: 1 }] };
    expect(control(record(2, [1, 2], { mapAdds: [add] })).failure).toMatchObject({
      code: 'BAD_VERSION',
      message: expect.stringContaining('I9'),
    });
    expect(control({ op: 'map-add', poolUuid: POOL, epoch: 1, versionSeq: 1, add }).failure).toMatchObject({
      code: 'BAD_VERSION',
      message: expect.stringContaining('I9'),
    });
    expect(held()).toEqual([]);
  });

  test('an add under another version is refused', () => {
    serve({}, [1, 2]);
    const add = { memberIds: [3], ranges: [{ offsetBytes: 0, lengthBytes: 1 }] };
    expect(control({ op: 'map-add', poolUuid: POOL, epoch: 1, versionSeq: 2, add }).failure?.code).toBe('BAD_VERSION');
  });

  test('an add that cannot be made durable is no success', () => {
    serve({}, [1, 2]);
    const add = { memberIds: [3], ranges: [{ offsetBytes: 0, lengthBytes: 1 }] };
    const asked = control({ op: 'map-add', poolUuid: POOL, epoch: 1, versionSeq: 1, add });
    store.end('commit add 3:0', Status.EIO);
    expect(asked.failure?.code).toBe('STORE_ERROR');
  });

  test('◆21: a new version ends the pulls of the one before', () => {
    serve({ 1: [4] });
    join();
    expect(session(2).ios.map(({ message }) => message.versionSeq)).toEqual([1]);
    control(record(2, [1, 2]));
    store.end('commit version 1.2{1,2}');
    turn();
    expect(session(2).ios.map(({ message }) => message.versionSeq)).toEqual([1, 2]);
    session(2).ios.shift()?.answer(Status.OK, new Uint8Array(CHUNK).fill(9));
    turn();
    expect(held()).toEqual([]);
  });

  test('the maps that a member holds are read page by page by its client, and by no one else', () => {
    serve({ 2: [3, 4] });
    const mapRead: ControlRequest = { op: 'map-read', poolUuid: POOL, epoch: 1, memberId: 2, fromLeaf: 0 };
    expect(control(mapRead).result).toEqual({ stamp: null, ...readLeaves(mapWith(3, 4), 0) });
    expect(control({ ...mapRead, memberId: 3 }).result).toEqual({ stamp: null, leaves: [], nextLeaf: null });
    expect(control(mapRead, rival).failure?.code).toBe('BAD_STATE');
  });
});

describe('pool server: map checks (R3)', () => {
  const check = (): MapReadResult => control({ op: 'map-check', poolUuid: POOL, fromLeaf: 0 }, rival).result as MapReadResult;

  test('the member’s own map, stamped with the version that is served; anybody may ask', () => {
    serve({ 1: [3], 2: [4] });
    expect(check()).toEqual({ stamp: { epoch: 1, seq: 1 }, ...readLeaves(mapWith(3), 0) });
    control(record(2, [1, 2]));
    expect(check().stamp).toEqual({ epoch: 1, seq: 1 });
    store.end('commit version 1.2{1,2}');
    expect(check().stamp).toEqual({ epoch: 1, seq: 2 });
  });

  test('◆22: no stamp while the member is not NORMAL', () => {
    expect(check()).toEqual({ stamp: null, leaves: [], nextLeaf: null });
    serve({ 1: [3] });
    pool.onSessionClosed(client, 'cut');
    expect(check().stamp).toBeNull();
  });

  test('the maps of a large device are answered page by page', () => {
    const large = new ScriptedStore(identityOf(1, 200 * CHUNKS_PER_LEAF, CHUNK));
    large.mapOf(1).set(0, large.chunkCount);
    pool = new PoolServer(world, 0, large, new ReadArena(new SlabPool()), sessions);
    const { leaves, nextLeaf } = check();
    expect([leaves.length, nextLeaf]).toEqual([64, 64]);
  });
});

describe('pool server: enabling (L3)', () => {
  function recorded(version: VersionRecord = versionOf(1, [1, 2, 3])): void {
    control(claim(1));
    store.end('commit promise 1');
    control(record(version.seq, [1, 2, 3]));
    store.endAll();
  }

  test('everything is durable before lastIo and the write intent are forgotten, and only then it serves', () => {
    recorded();
    const enabled = control(enable);
    expect([held(), pool.state, enabled.ended]).toEqual([['flush'], 'CREATED', false]);
    store.end('flush');
    expect([held(), pool.state, enabled.ended]).toEqual([['commit reconciled'], 'CREATED', false]);
    store.end('commit reconciled');
    expect([pool.state, enabled.failure]).toEqual(['NORMAL', null]);
  });

  test('a flush that fails is recorded, and the member does not serve', () => {
    recorded();
    const enabled = control(enable);
    store.end('flush', Status.EIO);
    expect([held(), enabled.ended]).toEqual([['commit volatileLost'], false]);
    store.end('commit volatileLost');
    expect([pool.state, enabled.failure?.code, store.volatileLost]).toEqual(['CREATED', 'STORE_ERROR', true]);
  });

  test('a client that is gone when it would be enabled is not served', () => {
    recorded();
    const enabled = control(enable);
    pool.onSessionClosed(client, 'cut');
    store.end('flush');
    store.end('commit reconciled');
    expect([enabled.failure?.code, pool.state]).toEqual(['BAD_STATE', 'REGISTERED']);
  });

  test('resync begins with the version that was enabled', () => {
    serve({ 1: [4] });
    join();
    expect(session(2).ios[0]?.message).toMatchObject({ epoch: 1, versionSeq: 1, offsetBytes: 4 * CHUNK });
  });

  test('enabled once more, as after a path failed over, nothing is done again', () => {
    serve();
    expect(control(enable)).toMatchObject({ ended: true, failure: null });
    expect(held()).toEqual([]);
  });
});
