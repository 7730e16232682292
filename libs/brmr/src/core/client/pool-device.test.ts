import { DeviceOperation, DeviceRequest, NO_OFFSET } from '@rmr/nbd';
import { IO_BYTES_MAX, type IoRequest, type PoolClient } from '@rmr/rmr';
import { MIB, Status } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { expect, test } from 'vitest';
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
