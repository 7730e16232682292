import { DeviceOperation, DeviceRequest, NO_OFFSET } from '@rmr/nbd';
import { IO_BYTES_MAX, type IoRequest, MessageType, type PoolClient, RANGE_BYTES_MAX } from '@rmr/rmr';
import { GIB, MIB, Status } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { expect, test } from 'vitest';
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
