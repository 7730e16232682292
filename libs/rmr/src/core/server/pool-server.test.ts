import type { RtrsServerRequest, RtrsServerSession } from '@rmr/rtrs';
import { type DiskSink, SILENT_LOGGER, SlabPool, Status, type TurnTask, type World } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import type { MetadataChange, PoolStore } from '../../pool-store.ts';
import type { ControlFailure, ControlRequest } from '../../wire/control-message.ts';
import { encodeIoMessage, IO_MESSAGE_BYTES, IoFlag, IoMessage, MessageType } from '../../wire/io-message.ts';
import { PoolServer } from './pool-server.ts';
import { ReadArena } from './requests/read-arena.ts';

const POOL = '00000000-0000-4000-8000-000000000001';
const STORE = '00000000-0000-4000-8000-000000000002';
const OTHER = '00000000-0000-4000-8000-000000000003';
const LINEAGE = '00000000-0000-4000-8000-000000000004';
const LIFE = '00000000-0000-4000-8000-000000000005';
const CLIENT = '00000000-0000-4000-8000-00000000000a';
const RIVAL = '00000000-0000-4000-8000-00000000000b';

/** A store whose requests end when the test says so, in the order it says; it notes what it is asked. */
class ScriptedStore {
  readonly calls: string[] = [];
  readonly held: { readonly what: string; readonly end: (status: number) => void }[] = [];
  prepared = true;
  scarce = false;
  space: PoolStore['space'] = null;
  readonly identity = {
    storeUuid: STORE,
    poolUuid: POOL,
    poolName: 'p',
    memberId: 1,
    sizeBytes: 1 << 20,
    chunkSizeBytes: 131072,
    queueDepth: 16,
    createdZeroed: true,
  };
  readonly features = { fastPunch: true, fastZero: true, holeBytes: 4096, extents: true, survivesProcessCrash: true };
  promise: PoolStore['promise'] = null;
  version: PoolStore['version'] = null;
  members: PoolStore['members'] = [];
  policy: PoolStore['policy'] = { quorum: 'none', highestMemberId: 0, formerLineages: [] };
  age = 1;
  lives: PoolStore['lives'] = [{ lifeUuid: LIFE, firstAge: 1, lastAge: null, openedAtMs: 0 }];
  released = false;
  changedSinceAged = false;
  dataAge = 0;
  flushedSinceAged = false;
  volatileLost = false;
  onDoubt = (): void => {};
  failed = false;

  #hold(what: string, end: (status: number) => void): void {
    this.calls.push(what);
    this.held.push({ what, end });
  }
  read(offset: number, target: Uint8Array, tag: number, sink: DiskSink): void {
    target.fill(7);
    this.#hold(`read ${offset}`, (status) => sink.onDiskDone(tag, status));
  }
  write(offset: number, _source: Uint8Array, tag: number, sink: DiskSink): void {
    this.#hold(`write ${offset}`, (status) => sink.onDiskDone(tag, status));
  }
  punch(offset: number, _length: number, tag: number, sink: DiskSink): void {
    this.#hold(`punch ${offset}`, (status) => sink.onDiskDone(tag, status));
  }
  zero(offset: number, _length: number, tag: number, sink: DiskSink): void {
    this.#hold(`zero ${offset}`, (status) => sink.onDiskDone(tag, status));
  }
  reserve(offset: number, length: number, tag: number, sink: DiskSink): boolean {
    if (!this.scarce) return true;
    this.#hold(`reserve ${offset}+${length}`, (status) => sink.onDiskDone(tag, status));
    return false;
  }
  flush(tag: number, sink: DiskSink): void {
    this.#hold('flush', (status) => sink.onDiskDone(tag, status));
  }
  submit(): void {
    this.calls.push('submit');
  }
  extents(): void {}
  recordLastIo(ioUnit: number, writeSeq: number): void {
    this.calls.push(`lastIo ${ioUnit} ${writeSeq}`);
  }
  lastIo() {
    return [];
  }
  prepareWrite(offset: number, _l: number, _s: number, missing: Uint8Array, count: number, tag: number, sink: DiskSink): boolean {
    if (this.prepared) return true;
    this.#hold(`prepare ${offset} missing ${Array.from(missing.subarray(0, count)).join()}`, (status) => sink.onDiskDone(tag, status));
    return false;
  }
  setCompletedThrough(): void {}
  intentRanges() {
    return [];
  }
  dirtyBytes(): number {
    return 0;
  }
  dirtyMap(): null {
    return null;
  }
  mappedMemberIds(): readonly number[] {
    return [];
  }
  commit(change: MetadataChange, done: (status: number) => void): void {
    this.#hold(`commit ${Object.keys(change).sort().join()}`, (status) => {
      if (status === Status.OK) {
        if (change.promise) this.promise = change.promise;
        if (change.version) this.version = change.version;
        if (change.members) this.members = change.members;
        if (change.volatileLost) this.volatileLost = true;
      }
      done(status);
    });
  }
  close(): void {}
  /** Ends the oldest request that waits; it must be `what`. */
  end(what: string, status: number = Status.OK): void {
    const next = this.held.shift();
    expect(next?.what).toBe(what);
    next?.end(status);
  }
}

let store: ScriptedStore;
let pool: PoolServer;
let turn: TurnTask[];
let answers: [string, number][];
const session = { state: 'OPEN', peer: { hostName: 'client-1' } } as unknown as RtrsServerSession;
const rival = { state: 'OPEN', peer: { hostName: 'client-2' } } as unknown as RtrsServerSession;

function endTurn(): void {
  for (const task of turn.splice(0)) {
    task.turnQueued = false;
    task.runAtTurnEnd();
  }
}

function io(name: string, fields: Partial<IoMessage>): void {
  const message: IoMessage = new IoMessage();
  Object.assign(message, { type: MessageType.WRITE, epoch: 1, versionSeq: 1, offsetBytes: 0, lengthBytes: 4096 }, fields);
  if (message.type === MessageType.FLUSH) message.lengthBytes = 0;
  const payload = message.type === MessageType.WRITE ? new Uint8Array(message.lengthBytes) : null;
  const header = new Uint8Array(IO_MESSAGE_BYTES);
  encodeIoMessage(message, header, 0);
  const request = { session, payload, header, headerOffset: 0, respond: (status: number) => answers.push([name, status]) };
  pool.onRequest(request as unknown as RtrsServerRequest, message);
}

function control(
  request: ControlRequest,
  from: RtrsServerSession = session,
): { result: unknown; failure: ControlFailure | null; ended: boolean } {
  const outcome = { result: null as unknown, failure: null as ControlFailure | null, ended: false };
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
const record = (epoch: number, seq: number, horizon = 0, inSync = [STORE, OTHER]): ControlRequest => ({
  op: 'record-version',
  poolUuid: POOL,
  epoch,
  version: {
    lineageUuid: LINEAGE,
    epoch,
    seq,
    horizon,
    inSync: inSync.map((storeUuid) => ({ memberId: storeUuid === STORE ? 1 : 2, storeUuid })),
  },
  members: inSync.map((storeUuid) => ({ memberId: storeUuid === STORE ? 1 : 2, storeUuid, name: 'n', addresses: ['memory:n'] })),
  policy: { quorum: 'none', highestMemberId: 2, formerLineages: [] },
  newLineage: false,
  mapAdds: [],
  mapKnown: [],
  mapErase: [],
  maps: [],
});

/** Brings the pool to NORMAL under epoch 1, version 1.1. */
function serve(): void {
  control(claim(1));
  store.end('commit promise');
  control(record(1, 1));
  store.end('commit dirtyAdd,dirtyClear,dirtyErase,dirtyReplace,members,policy,version');
  const enabled = control({ op: 'enable', poolUuid: POOL, epoch: 1, versionSeq: 1 });
  store.end('flush');
  store.end('commit reconciled');
  expect(enabled).toMatchObject({ failure: null, ended: true });
  expect(pool.state).toBe('NORMAL');
  store.calls.length = 0;
}

beforeEach(() => {
  turn = [];
  answers = [];
  store = new ScriptedStore();
  const world: World = {
    clock: { nowMs: () => 0, wallMs: () => 0 },
    ticker: { subscribe() {}, unsubscribe() {} },
    turn: {
      defer(task) {
        if (!task.turnQueued) turn.push(task);
        task.turnQueued = true;
      },
    },
    random: { u32: () => 4 },
    log: SILENT_LOGGER,
  };
  pool = new PoolServer(world, 0, store as unknown as PoolStore, new ReadArena(new SlabPool()), {
    to: () => {
      throw new Error('no session is opened in these tests');
    },
  });
});

describe('pool server: writes', () => {
  test('W3: lastIo, then intent and dirty bits durable, and only then the data', () => {
    serve();
    store.prepared = false;
    io('w', { writeSeq: 1, ioUnit: 3, missingCount: 1, missingMemberIds: Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0) as never });
    endTurn();
    expect(store.calls).toEqual(['lastIo 3 1', 'prepare 0 missing 2', 'submit']);
    store.end('prepare 0 missing 2');
    endTurn();
    expect(store.calls.slice(3)).toEqual(['write 0', 'submit']);
    expect(answers).toEqual([]);
    store.end('write 0');
    expect(answers).toEqual([['w', Status.OK]]);
    pool.verify();
  });

  test('a write whose intent or dirty bits cannot be made durable fails without touching the data', () => {
    serve();
    store.prepared = false;
    io('w', { writeSeq: 1 });
    store.end('prepare 0 missing ', Status.EIO);
    expect(answers).toEqual([['w', Status.EIO]]);
    expect(store.calls.some((call) => call.startsWith('write'))).toBe(false);
  });

  test('FUA is answered after a flush that began behind the data', () => {
    serve();
    io('w', { writeSeq: 1, flags: IoFlag.FUA });
    store.end('write 0');
    expect(answers).toEqual([]);
    store.end('flush');
    expect(answers).toEqual([['w', Status.OK]]);
  });

  test('a failed flush is recorded durably before anyone hears of it', () => {
    serve();
    io('f', { type: MessageType.FLUSH });
    store.end('flush', Status.EIO);
    expect(answers).toEqual([]);
    store.end('commit volatileLost');
    expect(answers).toEqual([['f', Status.EIO]]);
    expect(store.volatileLost).toBe(true);
  });

  test('I1: when a flush that nobody here asked for fails, the pool leaves IO, and no later flush vouches for what it lost', () => {
    serve();
    io('f', { type: MessageType.FLUSH });
    store.volatileLost = true;
    store.onDoubt();
    expect(pool.state).toBe('NO_IO');
    store.end('flush');
    io('w', { writeSeq: 1 });
    expect(answers).toEqual([
      ['f', Status.EIO],
      ['w', Status.ENOTNORMAL],
    ]);
  });

  test.each([
    ['beyond the device', { offsetBytes: 1 << 20 }, Status.EINVAL],
    ['a unit beyond the queue depth', { ioUnit: 16 }, Status.EPROTO],
    ['a version of the future', { versionSeq: 2 }, Status.EVERSION],
    ['an epoch of the future', { epoch: 2 }, Status.ESTALE],
  ])('refuses %s', (_name, fields, status) => {
    serve();
    io('w', { writeSeq: 1, ...fields });
    expect(answers).toEqual([['w', status]]);
    expect(store.calls).toEqual([]);
  });

  test('W6: after a shrink an older write is accepted up to the horizon and refused beyond it', () => {
    serve();
    control(record(1, 2, 10, [STORE]));
    store.end('commit dirtyAdd,dirtyClear,dirtyErase,dirtyReplace,members,policy,version');
    io('in', { writeSeq: 10 });
    io('out', { writeSeq: 11, offsetBytes: 8192 });
    io('new', { writeSeq: 11, versionSeq: 2, offsetBytes: 16384 });
    expect(answers).toEqual([['out', Status.EVERSION]]);
    store.end('write 0');
    store.end('write 16384');
    expect(answers.slice(1)).toEqual([
      ['in', Status.OK],
      ['new', Status.OK],
    ]);
  });

  test('discards punch, write-zeroes punch unless the range has to stay allocated', () => {
    serve();
    io('d', { type: MessageType.DISCARD, writeSeq: 1 });
    io('z', { type: MessageType.WRITE_ZEROES, writeSeq: 2, offsetBytes: 4096 });
    io('n', { type: MessageType.WRITE_ZEROES, writeSeq: 3, offsetBytes: 8192, flags: IoFlag.NO_HOLE });
    for (const what of ['punch 0', 'punch 4096', 'zero 8192']) store.end(what);
    expect(answers).toEqual([
      ['d', Status.OK],
      ['z', Status.OK],
      ['n', Status.OK],
    ]);
  });
});

describe('pool server: space (W8)', () => {
  beforeEach(() => {
    serve();
    store.scarce = true;
  });

  test('a write gets its space before it leaves any trace, and without it ends with ENOSPC and leaves none', () => {
    store.prepared = false;
    io('w', { writeSeq: 1, ioUnit: 3, missingCount: 1, missingMemberIds: Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0) as never });
    endTurn();
    expect(store.calls).toEqual(['reserve 0+4096', 'submit']);
    store.end('reserve 0+4096', Status.ENOSPC);
    expect(answers).toEqual([['w', Status.ENOSPC]]);
    expect(store.calls).toEqual(['reserve 0+4096', 'submit']);
    pool.verify();
  });

  test('what is asked for space is asked in the order in which it came, whatever it waits for afterwards', () => {
    store.prepared = false;
    io('a', { writeSeq: 1 });
    io('z', { type: MessageType.WRITE_ZEROES, flags: IoFlag.NO_HOLE, writeSeq: 2, offsetBytes: 8192 });
    io('b', { writeSeq: 3, offsetBytes: 16384 });
    expect(store.calls).toEqual(['reserve 0+4096', 'reserve 8192+4096', 'reserve 16384+4096']);
  });

  test('holes need no space', () => {
    io('d', { type: MessageType.DISCARD, writeSeq: 1 });
    io('h', { type: MessageType.WRITE_ZEROES, writeSeq: 2, offsetBytes: 4096 });
    store.end('punch 0');
    store.end('punch 4096');
    expect(answers).toEqual([
      ['d', Status.OK],
      ['h', Status.OK],
    ]);
  });

  test('with its space a write goes on as any other, and I7: not when its client is not served any more', () => {
    io('w', { writeSeq: 1 });
    store.end('reserve 0+4096');
    endTurn();
    store.end('write 0');
    expect(answers).toEqual([['w', Status.OK]]);
    io('late', { writeSeq: 2, offsetBytes: 4096 });
    const grant = control(claim(2, RIVAL), rival);
    expect(grant.failure?.code).toBe('HELD');
    pool.onSessionClosed(session, 'lost');
    store.end('reserve 4096+4096');
    expect(answers.slice(1)).toEqual([['late', Status.ENOTNORMAL]]);
    expect(store.calls.filter((call) => call.startsWith('write'))).toEqual(['write 0']);
  });

  test.each(['prepare 0 missing ', 'flush'])('ENOSPC of something else than the data says that something may have changed: %s', (what) => {
    store.scarce = false;
    store.prepared = what === 'flush';
    io('w', { writeSeq: 1, flags: IoFlag.FUA });
    if (store.prepared) store.end('write 0');
    store.end(what, Status.ENOSPC);
    if (store.prepared) store.end('commit volatileLost');
    expect(answers).toEqual([['w', Status.EIO]]);
  });

  test('since when the store is full is told until its file system has space again', () => {
    io('w', { writeSeq: 1 });
    store.space = { freeBytes: 0, totalBytes: 64 << 20, wantedBytes: 1 << 20 };
    expect(pool.fullSinceMs).toBeNull();
    store.end('reserve 0+4096', Status.ENOSPC);
    expect(pool.fullSinceMs).toBe(0);
    pool.tick(1);
    expect(pool.fullSinceMs).toBe(0);
    store.space = { freeBytes: 1 << 20, totalBytes: 64 << 20, wantedBytes: 1 << 20 };
    pool.tick(2);
    expect(pool.fullSinceMs).toBeNull();
  });
});

describe('pool server: claims', () => {
  test('C1: a probe changes nothing', () => {
    serve();
    expect(control({ op: 'probe', poolUuid: POOL }, rival).ended).toBe(true);
    expect(store.held).toEqual([]);
    expect(pool.state).toBe('NORMAL');
  });

  test('C2: a grant waits until everything older has been drained, and is durable before it is answered', () => {
    serve();
    io('w', { writeSeq: 1 });
    const outcome = control(claim(2));
    expect(pool.state).toBe('NO_IO');
    expect(store.calls).not.toContain('commit promise');
    store.end('write 0');
    expect(answers).toEqual([['w', Status.OK]]);
    expect(outcome.ended).toBe(false);
    store.end('commit promise');
    expect(outcome.result).toMatchObject({ version: { epoch: 1, seq: 1 } });
  });

  test('I7: a write that waited for its intent when a new epoch was granted is never executed', () => {
    serve();
    store.prepared = false;
    io('w', { writeSeq: 1 });
    control(claim(2));
    store.end('prepare 0 missing ');
    expect(answers).toEqual([['w', Status.ESTALE]]);
    expect(store.calls.some((call) => call.startsWith('write'))).toBe(false);
    store.end('commit promise');
    io('late', { writeSeq: 2 });
    expect(answers[1]).toEqual(['late', Status.ESTALE]);
  });

  test('a lower or equal epoch of another client is stale, the same grant asked again is granted', () => {
    serve();
    expect(control(claim(1, RIVAL), rival).failure?.code).toBe('STALE_EPOCH');
    const again = control(claim(1));
    store.end('commit promise');
    expect(again.failure).toBeNull();
  });

  test('C4: a client that is alive is not robbed; one whose session is gone is replaced', () => {
    serve();
    expect(control(claim(2, RIVAL), rival).failure).toMatchObject({ code: 'HELD', promise: { clientInstance: CLIENT } });
    expect(pool.state).toBe('NORMAL');
    pool.onSessionClosed(session, 'cut');
    expect(pool.state).toBe('NO_IO');
    const granted = control(claim(2, RIVAL), rival);
    store.end('commit promise');
    expect(granted.failure).toBeNull();
    // What the old client still sends is of an older epoch.
    io('old', { writeSeq: 5 });
    expect(answers).toEqual([['old', Status.ESTALE]]);
    expect(control(record(1, 9)).failure?.code).toBe('STALE_EPOCH');
  });

  test('a promise that cannot be recorded is not granted', () => {
    const outcome = control(claim(1));
    store.end('commit promise', Status.EIO);
    expect(outcome.failure?.code).toBe('STORE_ERROR');
    expect(store.promise).toBeNull();
  });

  test('V1: a version never falls, and its number is never used for another set', () => {
    serve();
    control(record(1, 3, 0, [STORE]));
    store.end('commit dirtyAdd,dirtyClear,dirtyErase,dirtyReplace,members,policy,version');
    expect(control(record(1, 2)).failure?.code).toBe('BAD_VERSION');
    expect(control(record(1, 3, 0, [STORE, OTHER])).failure?.message).toContain('used for another set');
    expect(control(record(1, 4, 0, [OTHER])).failure?.message).toContain('not in its in-sync set');
    expect(control(record(2, 4)).failure?.code).toBe('BAD_STATE');
  });

  test('enabling needs the very version that was recorded', () => {
    control(claim(1));
    store.end('commit promise');
    expect(control({ op: 'enable', poolUuid: POOL, epoch: 1, versionSeq: 1 }).failure?.code).toBe('BAD_VERSION');
    io('w', { writeSeq: 1 });
    expect(answers).toEqual([['w', Status.ENOTNORMAL]]);
  });

  test('a release flushes before it forgets what could differ', () => {
    serve();
    const outcome = control({ op: 'release', poolUuid: POOL, epoch: 1, marks: [] });
    store.end('flush');
    store.end('commit changeMembers,reconciled,released');
    expect(outcome.failure).toBeNull();
    expect(pool.state).toBe('REGISTERED');
  });

  test('a member that was taken out executes nothing more', () => {
    serve();
    expect(control({ op: 'disable', poolUuid: POOL, epoch: 1 }).failure).toBeNull();
    expect(pool.state).toBe('NO_IO');
    io('w', { writeSeq: 1 });
    expect(answers).toEqual([['w', Status.ENOTNORMAL]]);
  });

  test('L3, W6: a write from before the member was away is not executed after its return, however long its path held it up', () => {
    serve();
    control({ op: 'disable', poolUuid: POOL, epoch: 1 });
    control(claim(1));
    store.end('commit promise');
    control(record(1, 2, 7));
    store.end('commit dirtyAdd,dirtyClear,dirtyErase,dirtyReplace,members,policy,version');
    control({ op: 'enable', poolUuid: POOL, epoch: 1, versionSeq: 2 });
    store.end('flush');
    store.end('commit reconciled');
    expect(pool.state).toBe('NORMAL');
    io('straggler', { writeSeq: 5, versionSeq: 1 });
    io('new', { writeSeq: 8, versionSeq: 2 });
    store.end('write 0');
    expect(answers).toEqual([
      ['straggler', Status.EVERSION],
      ['new', Status.OK],
    ]);
  });

  test('a store that is taken away while a claim waits for what executes: both get their turn, and nothing is recorded afterwards', () => {
    serve();
    io('w', { writeSeq: 1 });
    pool.onSessionClosed(session, 'cut');
    const claimed = control(claim(2, RIVAL), rival);
    const late = control(claim(3, CLIENT));
    let closed = false;
    pool.storeFailed('its disk hangs');
    pool.close(() => {
      closed = true;
    });
    expect([claimed.ended, closed]).toEqual([false, false]);
    store.end('write 0');
    store.end('commit promise');
    expect([claimed.failure, late.failure?.code, closed]).toEqual([null, 'UNKNOWN_POOL', true]);
    pool.verify();
  });

  test('a store that is taken away waits for what executes, and for what a request has to record', () => {
    serve();
    io('w', { writeSeq: 1 });
    const released = control({ op: 'release', poolUuid: POOL, epoch: 1, marks: [] });
    let closed = false;
    pool.close(() => {
      closed = true;
    });
    store.end('write 0');
    store.end('flush');
    expect(closed).toBe(false);
    store.end('commit changeMembers,reconciled,released');
    expect([released.failure, closed]).toEqual([null, true]);
  });
});
