import { DeviceOperation, DeviceRequest, NO_OFFSET } from '@rmr/nbd';
import { IO_BYTES_MAX, type IoRequest, MessageType, type PoolClient, RANGE_BYTES_MAX } from '@rmr/rmr';
import { GIB, MIB, randomBelow, SeededRandom, Status } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { RANGES_IN_FLIGHT_MAX } from '../../constants.ts';
import { PoolDevice } from './pool-device.ts';

/** Submits one request to a device whose pool answers every IO as `statusOf` says; how the request ended. */
function outcome(operation: DeviceOperation, offsetBytes: number, lengthBytes: number, statusOf: (io: IoRequest) => number): number[] {
  const submitted: IoRequest[] = [];
  const geometry = { sizeBytes: 16 * MIB, chunkSizeBytes: 65_536, fastPunch: false, fastZero: false };
  const pool = { geometry, submit: (io: IoRequest) => submitted.push(io) } as unknown as PoolClient;
  const device = new PoolDevice(new VirtualWorld(1), pool, { name: 'device', description: '', readOnly: false });
  const ends: number[] = [];
  const request = new DeviceRequest({
    onPart: () => {},
    onExtents: () => {},
    onDone: (_request, status, errorOffsetBytes) => ends.push(status, errorOffsetBytes),
  });
  request.operation = operation;
  request.offsetBytes = offsetBytes;
  request.lengthBytes = lengthBytes;
  request.begin();
  device.submit(request);
  for (const io of submitted) device.onIoDone(io, statusOf(io), statusOf(io) === Status.OK ? new Uint8Array(io.lengthBytes) : null, null);
  return ends;
}

test('a flush that fails fails at no place', () => {
  expect(outcome(DeviceOperation.FLUSH, 0, 0, () => Status.EIO)).toEqual([Status.EIO, NO_OFFSET]);
  expect(outcome(DeviceOperation.FLUSH, 0, 0, () => Status.OK)).toEqual([Status.OK, NO_OFFSET]);
});

test('a read that fails says where its first part that failed is', () => {
  expect(outcome(DeviceOperation.READ, 4096, 4096, () => Status.EIO)).toEqual([Status.EIO, 4096]);
  const second = (io: IoRequest): number => (io.offsetBytes < IO_BYTES_MAX ? Status.OK : Status.EIO);
  expect(outcome(DeviceOperation.READ, 4096, 2 * IO_BYTES_MAX, second)).toEqual([Status.EIO, IO_BYTES_MAX]);
});

test('I12: of a flood of discards few are in flight, reads are sent at once, and each discard ends once, with its first error', () => {
  const submitted: IoRequest[] = [];
  const geometry = { sizeBytes: 64 * GIB, chunkSizeBytes: 65_536, fastPunch: true, fastZero: false };
  const pool = { geometry, submit: (io: IoRequest) => submitted.push(io) } as unknown as PoolClient;
  const world = new VirtualWorld(1);
  const device = new PoolDevice(world, pool, { name: 'device', description: '', readOnly: false });
  const ends: [number, number][] = [];
  const ask = (operation: DeviceOperation, offsetBytes: number, lengthBytes: number): void => {
    const request = new DeviceRequest({ onPart: () => {}, onExtents: () => {}, onDone: (_request, status, at) => ends.push([status, at]) });
    Object.assign(request, { operation, offsetBytes, lengthBytes });
    request.begin();
    device.submit(request);
  };
  for (let i = 0; i < 16; i++) ask(i % 2 === 0 ? DeviceOperation.TRIM : DeviceOperation.WRITE_ZEROES, i * 4 * GIB, 4 * GIB);
  expect(submitted.length).toBeLessThanOrEqual(RANGES_IN_FLIGHT_MAX);
  ask(DeviceOperation.READ, 0, 4096);
  expect(submitted.at(-1)?.type).toBe(MessageType.READ);
  const covered = new Map<number, number>();
  while (submitted.length > 0) {
    const io = submitted.shift() as IoRequest;
    expect(submitted.length).toBeLessThanOrEqual(RANGES_IN_FLIGHT_MAX + 1);
    expect(io.lengthBytes).toBeLessThanOrEqual(RANGE_BYTES_MAX);
    if (io.type !== MessageType.READ) {
      const request = Math.floor(io.offsetBytes / (4 * GIB));
      covered.set(request, (covered.get(request) ?? 0) + io.lengthBytes);
      expect(io.type).toBe(request % 2 === 0 ? MessageType.DISCARD : MessageType.WRITE_ZEROES);
    }
    const fails = io.offsetBytes >= 9 * GIB && io.offsetBytes < 10 * GIB;
    device.onIoDone(io, fails ? Status.EIO : Status.OK, io.type === MessageType.READ ? new Uint8Array(4096) : null, null);
  }
  expect([...covered.values()]).toEqual(Array.from({ length: 16 }, () => 4 * GIB));
  expect([ends.length, ends.filter(([status]) => status === Status.EIO)]).toEqual([17, [[Status.EIO, 9 * GIB]]]);
});

test('of a request that nobody wants any more, what has not begun never does, and the rest ends as if nothing had happened', () => {
  const submitted: IoRequest[] = [];
  const waits = new Set<IoRequest>();
  const pool = {
    geometry: { sizeBytes: 16 * MIB, chunkSizeBytes: 65_536, fastPunch: false, fastZero: false },
    submit: (io: IoRequest) => submitted.push(io),
    cancel: (io: IoRequest) => waits.delete(io),
  } as unknown as PoolClient;
  const world = new VirtualWorld(1);
  const device = new PoolDevice(world, pool, { name: 'device', description: '', readOnly: false });
  const ends: string[] = [];
  const request = (name: string, lengthBytes: number): DeviceRequest => {
    const asked = new DeviceRequest({ onPart: () => {}, onExtents: () => {}, onDone: () => ends.push(name) });
    asked.operation = DeviceOperation.READ;
    asked.lengthBytes = lengthBytes;
    asked.begin();
    device.submit(asked);
    return asked;
  };
  const answer = (io: IoRequest): void => device.onIoDone(io, Status.OK, new Uint8Array(io.lengthBytes), null);

  const waiting = request('waiting', 2 * IO_BYTES_MAX);
  const [first, second] = submitted.splice(0) as [IoRequest, IoRequest];
  const partly = request('partly', 2 * IO_BYTES_MAX);
  const [begun, third] = submitted.splice(0) as [IoRequest, IoRequest];
  for (const io of [first, second, third]) waits.add(io);
  device.cancel(waiting);
  device.cancel(partly);
  // Never from within.
  expect([waits.size, ends]).toEqual([0, []]);
  world.run(1);
  expect(ends).toEqual(['waiting']);
  device.cancel(waiting);
  answer(begun);
  expect(ends).toEqual(['waiting', 'partly']);

  // What was given back is used again, each for one request.
  const again = request('again', 4 * IO_BYTES_MAX);
  expect(new Set(submitted).size).toBe(4);
  for (const io of submitted.splice(0).reverse()) answer(io);
  expect([ends.at(-1), again.underWay]).toEqual(['again', false]);
});

test('W9: of the discards of a client that is gone no piece begins that had not begun, also not in the room that they make for each other', () => {
  const submitted: IoRequest[] = [];
  const waits = new Set<IoRequest>();
  const pool = {
    geometry: { sizeBytes: 64 * GIB, chunkSizeBytes: 65_536, fastPunch: true, fastZero: false },
    submit: (io: IoRequest) => submitted.push(io),
    cancel: (io: IoRequest) => waits.delete(io),
  } as unknown as PoolClient;
  const world = new VirtualWorld(1);
  const device = new PoolDevice(world, pool, { name: 'device', description: '', readOnly: false });
  const ends: [string, number][] = [];
  const ask = (name: string, index: number, lengthBytes = 4 * GIB): DeviceRequest => {
    const request = new DeviceRequest({
      onPart: () => {},
      onExtents: () => {},
      onDone: (_request, status) => ends.push([name, status]),
    });
    Object.assign(request, { operation: DeviceOperation.TRIM, offsetBytes: index * 4 * GIB, lengthBytes });
    request.begin();
    device.submit(request);
    return request;
  };
  const indexOf = (io: IoRequest): number => Math.floor(io.offsetBytes / (4 * GIB));
  const answer = (io: IoRequest): void => device.onIoDone(io, Status.OK, null, null);

  const gone = [ask('begun', 0), ask('waits', 1), ask('queued', 2), ask('short', 3, 4096)];
  const other = ask('other', 4);
  const pieces = submitted.splice(0);
  expect(new Set(pieces.map(indexOf))).toEqual(new Set([0]));
  // Half of them wait in the pool, half are with the members.
  const begun = pieces.filter((_, i) => i % 2 === 0);
  for (const io of pieces) if (!begun.includes(io)) waits.add(io);
  for (const request of gone) device.cancel(request);
  expect([submitted, ends]).toEqual([[], []]);
  world.run(1);
  expect(ends).toEqual(['waits', 'queued', 'short'].map((name) => [name, Status.EIO]));
  expect(new Set(submitted.map(indexOf))).toEqual(new Set([4]));
  // What had begun ends, once, after the last of its pieces.
  for (const io of begun) answer(io);
  expect(ends.slice(3)).toEqual([['begun', Status.EIO]]);
  expect([...gone.map((request) => request.deviceContext), other.underWay]).toEqual([null, null, null, null, true]);
  let covered = 0;
  while (submitted.length > 0) {
    const io = submitted.shift() as IoRequest;
    expect(indexOf(io)).toBe(4);
    covered += io.lengthBytes;
    answer(io);
  }
  expect(covered).toBe(4 * GIB);
  expect(ends.slice(4)).toEqual([['other', Status.OK]]);

  // A cancelled discard of which all that had begun has ended leaves no trace in the next one.
  const again = ask('again', 5, 4096);
  for (const io of submitted.splice(0)) answer(io);
  expect([ends.at(-1), again.underWay]).toEqual([['again', Status.OK], false]);
});

describe('W9: pieces of a discard that wait for their turn come before what was asked for later', () => {
  let world: VirtualWorld;
  let device: PoolDevice;
  /** IOs that the pool was given and has not ended. */
  let submitted: IoRequest[];
  let ends: string[];

  beforeEach(() => {
    world = new VirtualWorld(1);
    submitted = [];
    ends = [];
    const pool = {
      geometry: { sizeBytes: 64 * GIB, chunkSizeBytes: 65_536, fastPunch: true, fastZero: false },
      submit: (io: IoRequest) => submitted.push(io),
      cancel: () => false,
    } as unknown as PoolClient;
    device = new PoolDevice(world, pool, { name: 'device', description: '', readOnly: false });
  });

  function ask(name: string, operation: DeviceOperation, offsetBytes: number, lengthBytes: number): DeviceRequest {
    const request = new DeviceRequest({
      onPart: () => {},
      onExtents: () => {},
      onDone: (_request, status) => ends.push(status === Status.OK ? name : `${name} fails`),
    });
    Object.assign(request, { operation, offsetBytes, lengthBytes });
    if (operation === DeviceOperation.WRITE) request.payload = new Uint8Array(lengthBytes);
    request.begin();
    device.submit(request);
    return request;
  }

  function answer(io: IoRequest): void {
    submitted.splice(submitted.indexOf(io), 1);
    device.onIoDone(io, Status.OK, io.type === MessageType.READ ? new Uint8Array(io.lengthBytes) : null, null);
    world.run(1);
  }

  const types = (): number[] => submitted.map((io) => io.type).filter((type) => type !== MessageType.DISCARD);
  const LAST = 4 * GIB - 4096;

  test.each([
    ['a write', DeviceOperation.WRITE, MessageType.WRITE],
    ['a read', DeviceOperation.READ, MessageType.READ],
  ])('%s waits for them, and is sent behind the last of them that it overlaps', (_what, operation, type) => {
    ask('discard', DeviceOperation.TRIM, 0, 4 * GIB);
    ask('later', operation, 2 * GIB, 4096);
    world.run(1);
    expect(types()).toEqual([]);
    let piece = 0;
    while (types().length === 0) {
      const io = submitted[0] as IoRequest;
      piece = io.offsetBytes;
      answer(io);
    }
    expect(types()).toEqual([type]);
    // The piece that it overlaps is in front of it, and RMR keeps that order. It has not waited for the others.
    expect(piece).toBeLessThan(2 * GIB + MIB);
    const own = submitted.findIndex((io) => io.type === type);
    const overlapped = submitted.findIndex((io) => io.offsetBytes <= 2 * GIB && io.offsetBytes + io.lengthBytes > 2 * GIB);
    expect(overlapped).toBeLessThan(own);
    while (submitted.length > 0) answer(submitted[0] as IoRequest);
    expect(ends.toSorted()).toEqual(['discard', 'later']);
  });

  test('nothing else waits: other places, places whose pieces have begun, flushes', () => {
    ask('discard', DeviceOperation.TRIM, 0, 4 * GIB);
    ask('begun', DeviceOperation.WRITE, 0, 4096);
    ask('elsewhere', DeviceOperation.WRITE, 4 * GIB, 4096);
    ask('flush', DeviceOperation.FLUSH, 0, 0);
    ask('extents', DeviceOperation.BLOCK_STATUS, LAST, 4096);
    expect(types()).toEqual([MessageType.WRITE, MessageType.WRITE, MessageType.FLUSH, MessageType.EXTENTS]);
  });

  test('when the discard is cancelled none of them begins, and what has waited does, in order', () => {
    const discard = ask('discard', DeviceOperation.TRIM, 0, 4 * GIB);
    ask('first', DeviceOperation.WRITE, LAST, 4096);
    ask('second', DeviceOperation.WRITE, LAST, 4096);
    const begun = submitted.length;
    device.cancel(discard);
    world.run(1);
    expect(types()).toEqual([MessageType.WRITE, MessageType.WRITE]);
    expect(submitted).toHaveLength(begun + 2);
    while (submitted.length > 0) answer(submitted[0] as IoRequest);
    expect(ends).toEqual(['discard fails', 'first', 'second']);
  });

  test('what waits may be cancelled itself: it never begins, and what waited for it alone does not wait any more', () => {
    ask('discard', DeviceOperation.TRIM, 0, 4 * GIB);
    const write = ask('write', DeviceOperation.WRITE, LAST - MIB, MIB + 4096);
    const behind = ask('behind', DeviceOperation.WRITE_ZEROES, LAST - 4096, 4096);
    device.cancel(write);
    device.cancel(behind);
    // Its place is used again at once, for what comes after.
    ask('again', DeviceOperation.WRITE, LAST, 4096);
    ask('read', DeviceOperation.READ, LAST, 4096);
    while (submitted.length > 0) {
      expect(submitted.filter((io) => io.type === MessageType.WRITE && io.offsetBytes < LAST)).toEqual([]);
      answer(submitted[0] as IoRequest);
    }
    expect(ends.toSorted()).toEqual(['again', 'behind fails', 'discard', 'read', 'write fails']);
  });

  test('what was cancelled holds nobody up, also when its place is used at once for what comes last', () => {
    ask('discard', DeviceOperation.TRIM, 0, 4 * GIB);
    const cancelled = ask('cancelled', DeviceOperation.TRIM, LAST, 8192);
    ask('first', DeviceOperation.WRITE, 4 * GIB, 4096);
    device.cancel(cancelled);
    ask('second', DeviceOperation.WRITE, 4 * GIB, 4096);
    world.run(1);
    expect(types()).toEqual([MessageType.WRITE, MessageType.WRITE]);
    for (const io of submitted.filter(({ type }) => type === MessageType.WRITE)) answer(io);
    expect(ends).toEqual(['cancelled fails', 'first', 'second']);
  });

  test('of whatever overlaps, one by one, what came first begins first, and all of it ends', () => {
    const STEP = 64 * MIB;
    const places = 48;
    /** By place: the requests that have begun where it begins. */
    const begun: { index: number; changes: boolean }[][] = Array.from({ length: places }, () => []);
    const requests: DeviceRequest[] = [];
    const cancelled = new Set<number>();
    const random = new SeededRandom(7);
    const seen = new Set<IoRequest>();
    const note = (): void => {
      for (const io of submitted) {
        if (seen.has(io)) continue;
        seen.add(io);
        const index = requests.findIndex((request) => request.deviceContext !== null && request.deviceContext === io.context);
        expect(cancelled.has(index), 'a cancelled request begins').toBe(false);
        for (let place = Math.ceil(io.offsetBytes / STEP); place * STEP < io.offsetBytes + io.lengthBytes; place++)
          (begun[place] as { index: number; changes: boolean }[]).push({ index, changes: io.type !== MessageType.READ });
      }
    };
    const operations = [
      DeviceOperation.TRIM,
      DeviceOperation.TRIM,
      DeviceOperation.WRITE_ZEROES,
      DeviceOperation.WRITE,
      DeviceOperation.READ,
    ];
    for (let step = 0; step < 4000; step++) {
      const draw = randomBelow(random, 10);
      if (draw < 3 && requests.length < 400) {
        const operation = operations[randomBelow(random, operations.length)] as DeviceOperation;
        const isRange = operation === DeviceOperation.TRIM || operation === DeviceOperation.WRITE_ZEROES;
        const place = randomBelow(random, places);
        const length = isRange ? (1 + randomBelow(random, places - place)) * STEP : 4096;
        requests.push(ask(`${requests.length}`, operation, place * STEP, length));
      } else if (draw === 3 && requests.length > 0) {
        const index = randomBelow(random, requests.length);
        const request = requests[index] as DeviceRequest;
        note();
        if (request.underWay) {
          cancelled.add(index);
          device.cancel(request);
        }
      } else if (submitted.length > 0) {
        note();
        const io = submitted[randomBelow(random, submitted.length)] as IoRequest;
        seen.delete(io);
        answer(io);
      }
      if (draw > 4) world.run(1);
      note();
    }
    world.run(1);
    while (submitted.length > 0) {
      note();
      seen.delete(submitted[0] as IoRequest);
      answer(submitted[0] as IoRequest);
    }
    expect([requests.length, ends.length]).toEqual([400, 400]);
    for (const place of begun) {
      for (const [at, later] of place.entries())
        for (const earlier of place.slice(0, at))
          if (earlier.index > later.index)
            expect([earlier.changes, later.changes], `${earlier.index} before ${later.index}`).toEqual([false, false]);
    }
  });
});
