import { Status } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { CLIENT_SILENT_CHECK_MS, CLIENT_SILENT_MS_MAX, CLIENT_TRUST_MS, IN_FLIGHT_REQUESTS_MAX } from '../constants.ts';
import type { DeviceRequest } from '../device-request.ts';
import { MemoryDevice } from '../testing/memory-device.ts';
import { concat, infoData, pattern, requestBytes, TestBed, type TestClient, u32 } from '../testing/test-client.ts';
import { type Setup, setup } from '../testing/transmission-setup.ts';
import { NbdCommand, Option } from '../wire/protocol.ts';

const BLOCK = 4096;

/** As many writes as a client may have in flight, at one place, and `extra` more elsewhere, all of them sent. The device holds them. */
function stalled(extra: number): Setup {
  const bed = setup();
  const { client, device } = bed;
  device.held = true;
  for (let i = 0; i < IN_FLIGHT_REQUESTS_MAX; i++) client.stream.feed(requestBytes(NbdCommand.WRITE, 0, i, 0, BLOCK, pattern(BLOCK)));
  for (let i = 0; i < extra; i++)
    client.stream.feed(requestBytes(NbdCommand.WRITE, 0, 1000 + i, 65_536 + (i % 40) * BLOCK, BLOCK, pattern(BLOCK, 1)));
  bed.bed.settle();
  expect(device.waiting).toHaveLength(IN_FLIGHT_REQUESTS_MAX);
  return bed;
}

/** The device does all that it was given, and what it is given because of that. */
function release({ bed, device }: Setup): void {
  while (device.waiting.length > 0) {
    device.release();
    bed.settle();
  }
}

const lateWrites = ({ device }: Setup): number => device.executed.filter(({ offsetBytes }) => offsetBytes >= 65_536).length;

describe('a client that is gone', () => {
  test('while it is not read from: found at the next tick, and nothing that waits is ever begun', () => {
    const bed = stalled(400);
    expect(bed.bed.server.connections()[0]).toMatchObject({ readingPaused: true });
    bed.client.stream.hangUp();
    bed.bed.settle();
    expect(bed.bed.server.connections()).toHaveLength(1);
    bed.bed.world.advance(50);
    bed.bed.settle();
    expect(bed.bed.server.connections()).toHaveLength(0);
    release(bed);
    expect(lateWrites(bed)).toBe(0);
    expect(bed.bed.heldBytes()).toBe(0);
  });

  test('while it is not read from, and the device goes on before anybody has looked: nothing that waits is begun', () => {
    const bed = stalled(400);
    bed.client.stream.hangUp();
    release(bed);
    expect(lateWrites(bed)).toBe(0);
    expect(bed.bed.server.connections()).toHaveLength(0);
    expect(bed.bed.world.lines).toContainEqual(
      expect.objectContaining({ event: 'nbd client detached', fields: expect.objectContaining({ reason: 'closed by peer' }) }),
    );
  });

  test('with less than what is read ahead waiting: nothing of it is begun', () => {
    const bed = stalled(10);
    expect(bed.bed.server.connections()[0]).toMatchObject({ readingPaused: false });
    bed.client.stream.hangUp();
    (bed.device.waiting.pop() as DeviceRequest).done(Status.OK);
    bed.bed.settle();
    release(bed);
    expect(lateWrites(bed)).toBe(0);
  });

  test('room that is made in the turn in which more arrives is given to nobody before the client is known to be there', () => {
    const bed = stalled(10);
    (bed.device.waiting.pop() as DeviceRequest).done(Status.OK);
    bed.client.stream.feed(requestBytes(NbdCommand.WRITE, 0, 5000, 65_536, BLOCK, pattern(BLOCK, 2)));
    bed.client.stream.hangUp();
    bed.client.stream.step();
    bed.bed.settle();
    release(bed);
    expect(lateWrites(bed)).toBe(0);
  });

  test('reset, as unread data makes a kernel do: the same', () => {
    const bed = stalled(400);
    bed.client.stream.reset();
    bed.bed.settle();
    release(bed);
    expect(lateWrites(bed)).toBe(0);
  });

  test('whose end is held up behind what it sent: nothing is begun before its host has acknowledged a reply', () => {
    const bed = stalled(400);
    const { stream } = bed.client;
    stream.hidesEnd = true;
    stream.confirmed = stream.takenBytes;
    stream.hangUp();
    bed.bed.world.advance(CLIENT_TRUST_MS);
    release(bed);
    expect(lateWrites(bed)).toBe(0);
    bed.bed.world.advance(10_000);
    bed.bed.settle();
    expect(lateWrites(bed)).toBe(0);
    // The host of a client that is gone answers a reply with a reset.
    stream.reset();
    bed.bed.settle();
    expect(bed.bed.server.connections()).toHaveLength(0);
    expect(lateWrites(bed)).toBe(0);
    expect(bed.bed.heldBytes()).toBe(0);
  });

  test('after a long time in which this process did not run: what it had sent is not begun', () => {
    const bed = setup();
    bed.bed.world.advance(60_000);
    bed.client.stream.feed(requestBytes(NbdCommand.WRITE, 0, 1, 65_536, BLOCK, pattern(BLOCK)));
    bed.client.stream.hangUp();
    bed.bed.settle();
    expect(lateWrites(bed)).toBe(0);
    expect(bed.bed.server.connections()).toHaveLength(0);
  });

  test('in order: with DISC as its last word it has disconnected, and its end is no news', () => {
    const bed = setup();
    bed.bed.world.advance(60_000);
    bed.client.stream.feed(requestBytes(NbdCommand.DISC, 0, 1, 0, 0));
    bed.client.stream.hangUp();
    bed.bed.settle();
    const detached = bed.bed.world.lines.find(({ event }) => event === 'nbd client detached');
    expect(detached?.fields['reason']).toBe('the client disconnected');
  });

  test('the device is told of all that it has of the client, once', () => {
    const bed = setup();
    const other = bed.bed.attach(bed.device);
    bed.device.held = true;
    bed.client.request(NbdCommand.WRITE, 0, 1, 0, BLOCK, pattern(BLOCK));
    bed.client.request(NbdCommand.WRITE, 0, 2, 0, 3 << 20, pattern(3 << 20));
    bed.client.request(NbdCommand.FLUSH, 0, 3, 0, 0);
    other.request(NbdCommand.WRITE, 0, 4, 0, BLOCK, pattern(BLOCK));
    const own = bed.device.waiting.slice(0, 5);
    bed.client.stream.hangUp();
    bed.bed.settle();
    expect(new Set(bed.device.cancelled)).toEqual(new Set(own));
    expect(bed.device.cancelled).toHaveLength(5);
    release(bed);
    expect(bed.bed.server.orphanedRequests).toBe(0);
    expect(other.replies()).toMatchObject([{ cookie: 4, error: 0 }]);
  });

  test('in order, and does not wait for its answers: what it had asked for before DISC is finished all the same', () => {
    const bed = setup();
    bed.device.held = true;
    bed.client.request(NbdCommand.WRITE, 0, 1, 65_536, BLOCK, pattern(BLOCK));
    bed.client.request(NbdCommand.DISC, 0, 2, 0, 0);
    bed.client.stream.hangUp();
    bed.bed.settle();
    expect([bed.bed.server.connections(), bed.device.cancelled]).toEqual([[], []]);
    release(bed);
    expect([lateWrites(bed), bed.bed.server.orphanedRequests]).toEqual([1, 0]);
  });

  test('with its whole host: not heard of for long, its place is free', () => {
    const { bed, client } = setup();
    client.stream.silence = CLIENT_SILENT_MS_MAX - 1;
    bed.world.advance(CLIENT_SILENT_CHECK_MS);
    bed.settle();
    expect(bed.server.connections()).toHaveLength(1);
    client.stream.silence = CLIENT_SILENT_MS_MAX;
    bed.world.advance(CLIENT_SILENT_CHECK_MS);
    bed.settle();
    // Its host may have been asked a moment ago.
    expect(bed.server.connections()).toHaveLength(1);
    bed.world.advance(CLIENT_SILENT_CHECK_MS);
    bed.settle();
    expect(bed.server.connections()).toHaveLength(0);
    expect(CLIENT_SILENT_MS_MAX + 2 * CLIENT_SILENT_CHECK_MS).toBeLessThan(120_000);
  });
});

describe('a client that waited for an export', () => {
  const WAIT_MS = 60_000;

  /** It has asked for an export that comes only now, and has sent a write behind that. Its host answers what it is sent, or does not. */
  function waited(): { bed: TestBed; client: TestClient; device: MemoryDevice } {
    const bed = new TestBed({ exportWaitMs: 2 * WAIT_MS });
    bed.server.announceExport({ name: 'coming', description: '', why: () => 'it waits' });
    const client = bed.connect();
    client.take();
    client.stream.confirmed = client.stream.takenBytes;
    client.send(u32(3));
    client.option(Option.GO, infoData('coming', []));
    client.send(requestBytes(NbdCommand.WRITE, 0, 1, 0, BLOCK, pattern(BLOCK)));
    bed.settle();
    bed.world.advance(WAIT_MS);
    bed.settle();
    const device = new MemoryDevice(bed.world, 1 << 20, { name: 'coming' });
    device.recording = true;
    bed.server.addExport(device);
    bed.settle();
    return { bed, client, device };
  }

  test('gets it; what it has sent behind that begins when its host has acknowledged the answer', () => {
    const { bed, client, device } = waited();
    expect(client.stream.takenBytes).toBeGreaterThan(client.stream.confirmed as number);
    bed.world.advance(1_000);
    bed.settle();
    expect([device.executed.length, client.stream.closed]).toEqual([0, false]);
    client.stream.confirmed = client.stream.takenBytes;
    bed.world.advance(50);
    bed.settle();
    expect(device.executed).toHaveLength(1);
    bed.server.verify();
  });

  test('and is gone: nothing that it has sent begins', () => {
    const { bed, client, device } = waited();
    client.stream.hangUp();
    bed.world.advance(1_000);
    bed.settle();
    expect([device.executed.length, client.stream.closed, bed.server.connections()]).toEqual([0, true, []]);
  });
});

describe('a client that is there', () => {
  test('goes on at once after a short stall', () => {
    const bed = stalled(400);
    bed.client.stream.confirmed = bed.client.stream.takenBytes;
    bed.bed.world.advance(CLIENT_TRUST_MS - 1);
    release(bed);
    expect(lateWrites(bed)).toBe(400);
    expect(bed.client.replies()).toHaveLength(IN_FLIGHT_REQUESTS_MAX + 400);
  });

  test('goes on after a long stall when its host has acknowledged a reply, without another event', () => {
    const bed = stalled(400);
    const { stream } = bed.client;
    stream.confirmed = stream.takenBytes;
    bed.bed.world.advance(10_000);
    bed.device.release();
    bed.bed.settle();
    expect(bed.device.waiting).toHaveLength(0);
    stream.confirmed = stream.takenBytes;
    bed.bed.world.advance(50);
    bed.bed.settle();
    expect(bed.device.waiting).toHaveLength(IN_FLIGHT_REQUESTS_MAX);
    release(bed);
    expect(lateWrites(bed)).toBe(400);
  });

  test('goes on after a long stall on a connection that can hide nothing', () => {
    const bed = stalled(400);
    bed.bed.world.advance(10_000);
    release(bed);
    expect(lateWrites(bed)).toBe(400);
  });

  test('goes on after it has not taken its replies for long', () => {
    const bed = setup({ sparse: false }, true, 64 << 20);
    const { stream } = bed.client;
    stream.confirmed = stream.takenBytes;
    stream.blocked = true;
    const reads = Array.from({ length: 400 }, (_, cookie) => requestBytes(NbdCommand.READ, 0, cookie, 0, 128 * 1024));
    stream.feed(concat(reads));
    bed.bed.settle();
    expect(bed.device.executed.length).toBeLessThan(400);
    bed.bed.world.advance(60_000);
    stream.blocked = false;
    for (let i = 0; i < 100 && bed.device.executed.length < 400; i++) {
      bed.bed.settle();
      stream.confirmed = stream.takenBytes;
      bed.bed.world.advance(50);
    }
    expect(bed.device.executed).toHaveLength(400);
  });
});
