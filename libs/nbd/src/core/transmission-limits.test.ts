import { Status } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { IN_FLIGHT_BYTES_MAX, IN_FLIGHT_REQUESTS_MAX, PAYLOAD_BYTES_MAX } from '../constants.ts';
import type { DeviceRequest } from '../device-request.ts';
import { DeviceOperation } from '../device-request.ts';
import { MemoryDevice } from '../testing/memory-device.ts';
import { concat, pattern, requestBytes, TestBed, type TestClient } from '../testing/test-client.ts';
import { assembled, MIB, setup } from '../testing/transmission-setup.ts';
import { CommandFlag, NbdCommand } from '../wire/protocol.ts';

describe('limits', () => {
  test('more requests than allowed wait, unread, until others end', () => {
    const { client, device, bed } = setup();
    device.held = true;
    const extra = 4000;
    for (let cookie = 0; cookie < IN_FLIGHT_REQUESTS_MAX + extra; cookie++) {
      client.stream.feed(requestBytes(NbdCommand.FLUSH, 0, cookie, 0, 0));
    }
    bed.settle();
    expect(device.waiting).toHaveLength(IN_FLIGHT_REQUESTS_MAX);
    expect(bed.server.connections()[0]).toMatchObject({ requestsInFlight: IN_FLIGHT_REQUESTS_MAX, readingPaused: true });
    expect(client.stream.unreadBytes).toBeGreaterThan(0);
    (device.waiting.pop() as DeviceRequest).done(Status.OK);
    bed.settle();
    expect(device.waiting).toHaveLength(IN_FLIGHT_REQUESTS_MAX);
    device.held = false;
    device.release();
    bed.settle();
    expect(client.replies()).toHaveLength(IN_FLIGHT_REQUESTS_MAX + extra);
    expect(bed.server.connections()[0]).toMatchObject({ requestsInFlight: 0, readingPaused: false });
  });

  test('more bytes than allowed wait: reads', () => {
    const { client, device, bed } = setup({}, true, 64 * MIB);
    device.held = true;
    for (let cookie = 0; cookie < 40; cookie++) client.request(NbdCommand.READ, 0, cookie, cookie * MIB, MIB);
    expect(bed.server.connections()[0]?.bytesInFlight).toBe(IN_FLIGHT_BYTES_MAX);
    expect(device.waiting).toHaveLength(IN_FLIGHT_BYTES_MAX / MIB);
    device.held = false;
    device.release();
    bed.settle();
    expect(client.replies().filter((reply) => reply.done)).toHaveLength(40);
    expect(bed.server.connections()[0]).toMatchObject({ bytesInFlight: 0, pendingReplyBytes: 0 });
  });

  test('more bytes than allowed wait: writes, which are not read any further', () => {
    const { client, device, bed } = setup({}, true, 128 * MIB);
    device.held = true;
    for (let cookie = 0; cookie < 12; cookie++) {
      client.stream.feed(requestBytes(NbdCommand.WRITE, 0, cookie, cookie * 8 * MIB, 8 * MIB, new Uint8Array(8 * MIB)));
    }
    bed.settle();
    expect(bed.server.connections()[0]?.bytesInFlight).toBe(IN_FLIGHT_BYTES_MAX);
    expect(client.stream.unreadBytes).toBeGreaterThan(50 * MIB);
    expect(bed.slabs.heldBytes).toBeLessThan(2 * IN_FLIGHT_BYTES_MAX);
    device.held = false;
    device.release();
    bed.settle();
    expect(client.replies()).toHaveLength(12);
    expect(bed.heldBytes()).toBe(0);
  });

  test('a client that does not read its replies is not read from', () => {
    const { client, device, bed } = setup({ sparse: false }, true, 64 * MIB);
    client.stream.blocked = true;
    for (let cookie = 0; cookie < 400; cookie++) client.stream.feed(requestBytes(NbdCommand.READ, 0, cookie, 0, 128 * 1024));
    for (let cookie = 0; cookie < 3000; cookie++) client.stream.feed(requestBytes(NbdCommand.FLUSH, 0, cookie, 0, 0));
    bed.settle();
    const info = bed.server.connections()[0];
    expect(info?.pendingReplyBytes).toBeLessThanOrEqual(IN_FLIGHT_BYTES_MAX + MIB);
    expect(info?.readingPaused).toBe(true);
    expect(client.stream.unreadBytes).toBeGreaterThan(0);
    // Replies of 128 KiB out of no slab fill half of a slab each.
    expect(bed.slabs.heldBytes).toBeLessThan(2 * IN_FLIGHT_BYTES_MAX + 2 * MIB);
    const executed = device.executed.length;
    client.stream.blocked = false;
    bed.settle();
    expect(device.executed.length).toBe(3400);
    expect(executed).toBeLessThan(400);
    expect(bed.heldBytes()).toBe(0);
  });

  test('each gets less when there are many, and one request always passes', () => {
    const bed = new TestBed();
    const device = new MemoryDevice(bed.world, 64 * MIB, {});
    bed.server.addExport(device);
    device.held = true;
    const clients = Array.from({ length: 64 }, () => bed.attach(device));
    const client = clients[0] as TestClient;
    for (let cookie = 0; cookie < 8; cookie++) client.request(NbdCommand.READ, 0, cookie, 0, MIB);
    expect(device.waiting).toHaveLength(2);
    const other = clients[1] as TestClient;
    other.request(NbdCommand.READ, 0, 1, 0, PAYLOAD_BYTES_MAX);
    expect(device.waiting).toHaveLength(3);
  });
});

describe('a dying connection', () => {
  test('drops what it has in flight; what the device still says about it is ignored, and nothing is lost', () => {
    const { client, device, bed } = setup({}, true, 64 * MIB);
    const other = bed.attach(device);
    device.held = true;
    client.request(NbdCommand.WRITE, 0, 1, 0, 4096, pattern(4096));
    client.request(NbdCommand.WRITE, 0, 2, 0, 3 * MIB, pattern(3 * MIB));
    client.request(NbdCommand.READ, 0, 3, 0, 8192);
    client.request(NbdCommand.READ, CommandFlag.DF, 4, 0, 8192);
    client.request(NbdCommand.BLOCK_STATUS, 0, 5, 0, 8192);
    client.request(NbdCommand.FLUSH, 0, 6, 0, 0);
    client.send(requestBytes(NbdCommand.WRITE, 0, 7, 0, 4096, pattern(100)));
    other.request(NbdCommand.READ, 0, 8, 0, 4096);
    const reads = device.waiting.filter((request) => request.operation === DeviceOperation.READ);
    (reads[0] as DeviceRequest).part(0, new Uint8Array(4096), 4096, null);
    (reads[1] as DeviceRequest).part(0, new Uint8Array(4096), 4096, null);
    client.stream.hangUp();
    bed.settle();
    expect(bed.server.connections()).toHaveLength(1);
    expect(bed.server.orphanedRequests).toBe(6);
    const [one, two] = reads as [DeviceRequest, DeviceRequest];
    one.part(4096, null, 4096, null);
    one.done(Status.OK);
    two.done(Status.EIO);
    device.waiting.splice(device.waiting.indexOf(one), 1);
    device.waiting.splice(device.waiting.indexOf(two), 1);
    device.release((requests) => requests.reverse());
    bed.settle();
    expect(bed.server.orphanedRequests).toBe(0);
    expect(assembled(other.replies(), 0, 4096)).toHaveLength(4096);
    expect(bed.heldBytes()).toBe(0);
  });

  test('cut off anywhere within its requests, it leaves nothing behind', () => {
    const conversation = concat([
      requestBytes(NbdCommand.WRITE, 0, 1, 100, 600, pattern(600)),
      requestBytes(NbdCommand.READ, 0, 2, 0, 700),
      requestBytes(NbdCommand.BLOCK_STATUS, 0, 3, 0, 700),
      requestBytes(NbdCommand.DISC, 0, 4, 0, 0),
    ]);
    for (let length = 0; length <= conversation.length; length++) {
      const { client, bed } = setup({}, true, 65_536);
      client.send(conversation.subarray(0, length));
      expect(bed.heldBytes()).toBe(0);
      expect(bed.server.orphanedRequests).toBe(0);
    }
  });

  test('byte by byte a conversation is understood as well', () => {
    const { client, device } = setup({}, true, 65_536);
    const bytes = concat([requestBytes(NbdCommand.WRITE, 0, 1, 100, 600, pattern(600)), requestBytes(NbdCommand.READ, 0, 2, 100, 600)]);
    for (const byte of bytes) client.send(Uint8Array.of(byte));
    const [written, ...read] = client.replies();
    expect(written).toMatchObject({ cookie: 1, error: 0 });
    expect(assembled(read, 100, 600)).toEqual(device.bytes.subarray(100, 700));
  });
});
