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
