import { type DiskExtent, KIB, MIB, Status } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { CLIENT_HANDSHAKE_MS_MAX, CLIENT_SILENT_CHECK_MS, CLIENT_SILENT_MS_MAX } from '../constants.ts';
import { DeviceFlag, DeviceOperation } from '../device-request.ts';
import { ClientBed } from '../testing/client-bed.ts';
import { MemoryDevice, type MemoryDeviceOptions } from '../testing/memory-device.ts';
import { CommandFlag } from '../wire/protocol.ts';

const SIZE = 8 * MIB;

interface Loop {
  readonly bed: ClientBed;
  readonly device: MemoryDevice;
}

function loop(options: MemoryDeviceOptions & { sizeBytes?: number } = {}, connectionsMax?: number): Loop {
  let device: MemoryDevice | null = null;
  const bed = new ClientBed(
    (server, world) => {
      device = new MemoryDevice(world, options.sizeBytes ?? SIZE, { name: 'vol', ...options });
      device.recording = true;
      server.addExport(device);
    },
    'vol',
    connectionsMax,
  );
  return { bed, device: device as unknown as MemoryDevice };
}

const PATTERN = new Uint8Array(SIZE);
for (let i = 0; i < SIZE; i++) PATTERN[i] = i * 7 + (i >> 8);

function pattern(length: number): Uint8Array {
  return PATTERN.subarray(0, length);
}

function extentsOf({ bed }: Loop, offset: number, length: number): { status: number; extents: readonly DiskExtent[] } {
  const found: { status: number; extents: readonly DiskExtent[] }[] = [];
  bed.client.extents(offset, length, (status, extents) => found.push({ status, extents }));
  bed.settle();
  expect(found.length).toBe(1);
  return found[0] as { status: number; extents: readonly DiskExtent[] };
}

test('the handshake tells size, flags, block sizes and whether holes are told of', () => {
  const { bed } = loop({ blockSizeMinBytes: 512 });
  expect(bed.ready).toMatchObject({
    sizeBytes: SIZE,
    structured: true,
    blockSizes: { minBytes: 512, preferredBytes: 4096, maxBytes: 32 * MIB },
  });
  expect(bed.ready?.allocationContextId).not.toBeNull();
  // The server says that several connections are as good as one.
  expect(bed.client.connections).toBe(4);
});

test.each([1, 4])('what is written is read, split and over %d connections', (connections) => {
  const { bed, device } = loop({ readPartBytes: 64 * KIB }, connections);
  const source = pattern(5 * MIB + 77);
  bed.client.write(1000, source, false, 1, bed.sink);
  bed.client.submit();
  bed.settle();
  expect(bed.done.get(1)).toBe(Status.OK);
  const target = new Uint8Array(source.length + 2).fill(0xee);
  bed.client.read(1000, target.subarray(1, source.length + 1), 2, bed.sink);
  bed.client.submit();
  bed.settle();
  expect(bed.done.get(2)).toBe(Status.OK);
  expect(Buffer.compare(target.subarray(1, source.length + 1), source)).toBe(0);
  expect([target[0], target.at(-1)]).toEqual([0xee, 0xee]);
  expect(Buffer.compare(device.bytes.subarray(1000, 1000 + source.length), source)).toBe(0);
  expect(bed.client.inFlight).toBe(0);
});

test('holes read as zeroes', () => {
  const { bed } = loop();
  const target = new Uint8Array(MIB).fill(0xee);
  bed.client.read(0, target, 1, bed.sink);
  bed.client.submit();
  bed.settle();
  expect(target.every((byte) => byte === 0)).toBe(true);
});

test('flags arrive: FUA with writes, trims and zeroes, NO_HOLE and FAST_ZERO with zeroes', () => {
  const { bed, device } = loop({ fastZero: true, fastZeroNoHole: false });
  bed.client.write(0, pattern(10), true, 1, bed.sink);
  bed.client.trim(4096, 4096, true, 2, bed.sink);
  bed.client.writeZeroes(8192, 4096, CommandFlag.NO_HOLE | CommandFlag.FUA, 3, bed.sink);
  bed.client.writeZeroes(16_384, 4096, CommandFlag.FAST_ZERO, 4, bed.sink);
  bed.client.writeZeroes(20_480, 4096, CommandFlag.FAST_ZERO | CommandFlag.NO_HOLE, 5, bed.sink);
  bed.client.flush(6, bed.sink);
  bed.client.submit();
  bed.settle();
  expect([...bed.done].sort((a, b) => a[0] - b[0])).toEqual([
    [1, Status.OK],
    [2, Status.OK],
    [3, Status.OK],
    [4, Status.OK],
    [5, Status.ENOTSUP],
    [6, Status.OK],
  ]);
  const flags = new Map(device.executed.map((each) => [`${each.operation} ${each.offsetBytes}`, each.flags]));
  expect(flags.get(`${DeviceOperation.WRITE} 0`)).toBe(DeviceFlag.FUA);
  expect(flags.get(`${DeviceOperation.TRIM} 4096`)).toBe(DeviceFlag.FUA);
  expect(flags.get(`${DeviceOperation.WRITE_ZEROES} 8192`)).toBe(DeviceFlag.NO_HOLE | DeviceFlag.FUA);
  expect(flags.get(`${DeviceOperation.WRITE_ZEROES} 16384`)).toBe(DeviceFlag.FAST_ZERO);
});

test('block status tells holes from data, over as many answers as it takes', () => {
  const setup = loop({ sizeBytes: 64 * MIB });
  const { bed } = setup;
  // More runs than the server tells of in one answer.
  for (let i = 0; i < 5000; i += 2) bed.client.write(i * 4096, pattern(4096), false, i, bed.sink);
  bed.client.submit();
  bed.settle();
  const { status, extents } = extentsOf(setup, 0, 20 * MIB);
  expect(status).toBe(Status.OK);
  // Enough, and in order.
  expect(extents.length).toBeGreaterThanOrEqual(4096);
  for (let i = 0; i < 4096; i++) expect(extents[i]).toEqual({ lengthBytes: 4096, hole: i % 2 === 1 });
  expect(extentsOf(setup, 40 * MIB, MIB).extents).toEqual([{ lengthBytes: MIB, hole: true }]);
  expect(extentsOf(setup, 100, 50).extents).toEqual([{ lengthBytes: 50, hole: false }]);
});

test('what is out of range, unaligned or not offered ends at once and is never sent', () => {
  const { bed, device } = loop({ blockSizeMinBytes: 512 });
  const bytes = new Uint8Array(512);
  bed.client.read(SIZE, bytes, 1, bed.sink);
  bed.client.read(-512, bytes, 2, bed.sink);
  bed.client.read(100, bytes, 3, bed.sink);
  bed.client.write(0, bytes.subarray(1), false, 4, bed.sink);
  bed.client.read(0, new Uint8Array(0), 5, bed.sink);
  expect(bed.done.size).toBe(0);
  bed.client.submit();
  expect([...bed.done.values()]).toEqual([Status.EINVAL, Status.EINVAL, Status.EINVAL, Status.EINVAL, Status.OK]);
  const readOnly = loop({ readOnly: true });
  readOnly.bed.client.write(0, bytes, false, 1, readOnly.bed.sink);
  readOnly.bed.client.submit();
  expect(readOnly.bed.done.get(1)).toBe(Status.EPERM);
  bed.settle();
  expect(device.executed).toEqual([]);
});

test('errors of the device are told, and the first error of a split request ends it', () => {
  const { bed, device } = loop({}, 1);
  device.fault = ({ offsetBytes }) => (offsetBytes >= MIB && offsetBytes < 2 * MIB ? Status.ENOSPC : Status.OK);
  bed.client.write(0, pattern(4 * MIB), false, 1, bed.sink);
  bed.client.submit();
  bed.settle();
  expect(bed.done.get(1)).toBe(Status.ENOSPC);
  device.fault = () => Status.EIO;
  bed.client.read(0, new Uint8Array(10), 2, bed.sink);
  bed.client.flush(3, bed.sink);
  bed.client.submit();
  bed.settle();
  expect([bed.done.get(2), bed.done.get(3)]).toEqual([Status.EIO, Status.EIO]);
  expect(bed.lost).toBeNull();
});

test('what is in flight is bounded, and all of it is carried out', () => {
  const { bed, device } = loop();
  device.held = true;
  for (let i = 0; i < 1000; i++) bed.client.write((i % 8) * MIB, pattern(MIB), false, i, bed.sink);
  bed.client.submit();
  bed.settle();
  // Four connections, 8 MiB each.
  expect(device.waiting.length).toBe(32);
  device.held = false;
  device.release((requests) => requests);
  bed.settle();
  expect(bed.done.size).toBe(1000);
});

test('a lost connection ends everything at once: in flight, waiting, and whatever comes later', () => {
  const { bed, device } = loop();
  device.held = true;
  for (let i = 0; i < 100; i++) bed.client.write((i % 8) * MIB, pattern(MIB), false, i, bed.sink);
  bed.client.read(0, new Uint8Array(10), 100, bed.sink);
  bed.client.submit();
  bed.settle();
  (bed.ends[2] as (typeof bed.ends)[number]).client.reset();
  bed.settle();
  expect(bed.done.size).toBe(101);
  expect(new Set(bed.done.values())).toEqual(new Set([Status.EIO]));
  expect(bed.lost?.reason).toContain('has ended');
  expect(bed.client.lostChanges).toBe(true);
  expect(bed.ends.every(({ client }) => client.closed)).toBe(true);
  bed.client.flush(200, bed.sink);
  bed.client.submit();
  expect(bed.done.get(200)).toBe(Status.EIO);
  let closed = -1;
  bed.client.close((status) => {
    closed = status;
  });
  expect(closed).toBe(Status.EIO);
});

test('a request that is made while others end with the connection ends, too, and only once', () => {
  const { bed, device } = loop({}, 1);
  device.held = true;
  let again = 1000;
  const sink = {
    onDiskDone: (tag: number, status: number) => {
      bed.sink.onDiskDone(tag, status);
      if (again >= 1200) return;
      bed.client.write(0, pattern(MIB), false, again++, sink);
      bed.client.submit();
    },
  };
  for (let i = 0; i < 50; i++) bed.client.write(0, pattern(MIB), false, i, sink);
  bed.client.submit();
  bed.settle();
  bed.stream.reset();
  bed.settle();
  expect(bed.done.size).toBe(250);
  expect(bed.client.inFlight).toBe(0);
});

test('a loss without changes in flight says so: nothing can be carried out late', () => {
  const { bed, device } = loop();
  device.held = true;
  bed.client.read(0, new Uint8Array(10), 1, bed.sink);
  bed.client.submit();
  bed.settle();
  bed.stream.reset();
  bed.settle();
  expect(bed.done.get(1)).toBe(Status.EIO);
  expect(bed.client.lostChanges).toBe(false);
});

test('closing waits for what is in flight, and takes leave', () => {
  const { bed, device } = loop();
  device.held = true;
  bed.client.write(0, pattern(4096), false, 1, bed.sink);
  let closed = -1;
  bed.client.close((status) => {
    closed = status;
  });
  bed.settle();
  expect([bed.done.size, closed]).toEqual([0, -1]);
  device.held = false;
  device.release((requests) => requests);
  bed.settle();
  expect([bed.done.get(1), closed]).toEqual([Status.OK, Status.OK]);
  expect(bed.ends.every(({ client }) => client.closed)).toBe(true);
  expect(bed.world.ticked.has(bed.client)).toBe(false);
  expect(bed.lost).toBeNull();
});

test('an export that is not there, and a server that is not there, are told apart', () => {
  const bed = new ClientBed((server, world) => server.addExport(new MemoryDevice(world, SIZE, { name: 'a' })), 'b');
  expect(bed.lost).toMatchObject({ code: 'NOT_FOUND' });
  expect(bed.lost?.reason).toContain('the server has not got the export "b"');
  const silent = new ClientBed(null);
  silent.world.advance(CLIENT_HANDSHAKE_MS_MAX + 1);
  silent.settle();
  expect(silent.lost).toMatchObject({ code: 'TIMEOUT' });
  expect(silent.stream.closed).toBe(true);
});

test('further connections that can not be made are done without; a first one that can not be made is the end', () => {
  const prepare: ConstructorParameters<typeof ClientBed>[0] = (server, world) => server.addExport(new MemoryDevice(world, SIZE));
  const bed = new ClientBed(prepare, '', 4, 2);
  expect([bed.client.connections, bed.lost]).toEqual([2, null]);
  expect(bed.world.lines.filter(({ event }) => event.startsWith('a further connection')).length).toBe(2);
  bed.client.write(0, pattern(4 * MIB), false, 1, bed.sink);
  bed.client.submit();
  bed.settle();
  expect(bed.done.get(1)).toBe(Status.OK);
  expect(new ClientBed(prepare, '', 4, 0).lost).toEqual({ code: 'UNAVAILABLE', reason: 'no connection to tcp://host:1 (ECONNREFUSED)' });
});

test('a host that is silent for too long, at two looks in a row, is gone', () => {
  const { bed, device } = loop();
  device.held = true;
  bed.client.write(0, pattern(4096), false, 1, bed.sink);
  bed.client.submit();
  bed.settle();
  bed.stream.silence = CLIENT_SILENT_MS_MAX + 1;
  bed.world.advance(CLIENT_SILENT_CHECK_MS + 1);
  bed.stream.silence = 0;
  bed.world.advance(CLIENT_SILENT_CHECK_MS + 1);
  expect(bed.lost).toBeNull();
  bed.stream.silence = CLIENT_SILENT_MS_MAX + 1;
  bed.world.advance(CLIENT_SILENT_CHECK_MS + 1);
  bed.world.advance(CLIENT_SILENT_CHECK_MS + 1);
  expect(bed.lost).toMatchObject({ code: 'TIMEOUT' });
  expect(bed.done.get(1)).toBe(Status.EIO);
});
