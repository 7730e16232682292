import { type Random, randomBelow, Status } from '@rmr/runtime';
import { expect, test } from 'vitest';
import type { DeviceRequest } from '../device-request.ts';
import { chance, forSeeds, mutated, pick, pieces, randomBytes, randomU32 } from '../testing/fuzz.ts';
import { MemoryDevice } from '../testing/memory-device.ts';
import { concat, requestBytes, TestBed } from '../testing/test-client.ts';
import { NbdCommand } from '../wire/protocol.ts';

const DEVICE_BYTES = 3 * 1024 * 1024;
const HELD_BYTES_MAX = 80 * 1024 * 1024;

interface Sent {
  readonly bytes: Uint8Array;
  readonly readLength: number;
}

/** A well-formed request; what it asks may be nonsense. */
function randomRequest(random: Random, cookie: number): Sent {
  const command = pick(random, [0, 0, 0, 1, 1, 1, 3, 4, 5, 6, 7, 8, randomBelow(random, 65_536)]);
  if (command === NbdCommand.DISC) return randomRequest(random, cookie);
  const flags = chance(random, 70) ? 0 : randomBelow(random, chance(random, 80) ? 32 : 65_536);
  const sane = chance(random, 80);
  const length =
    command === NbdCommand.FLUSH && sane
      ? 0
      : sane
        ? 1 + randomBelow(random, pick(random, [16, 5000, 5000, 70_000, 70_000, 2_500_000]))
        : randomU32(random);
  const offset =
    command === NbdCommand.FLUSH && sane ? 0 : sane ? randomBelow(random, DEVICE_BYTES) : randomU32(random) * pick(random, [1, 4096]);
  if (command !== NbdCommand.WRITE)
    return { bytes: requestBytes(command, flags, cookie, offset, length), readLength: command === NbdCommand.READ ? length : 0 };
  const payload = new Uint8Array(Math.min(length, 3_000_000)).fill(cookie);
  return { bytes: requestBytes(command, flags, cookie, offset, payload.length, payload), readLength: 0 };
}

function shuffle(random: Random, requests: DeviceRequest[]): DeviceRequest[] {
  for (let i = requests.length - 1; i > 0; i--) {
    const j = randomBelow(random, i + 1);
    [requests[i], requests[j]] = [requests[j] as DeviceRequest, requests[i] as DeviceRequest];
  }
  return requests;
}

function randomDevice(random: Random, bed: TestBed): MemoryDevice {
  const device = new MemoryDevice(bed.world, DEVICE_BYTES, {
    readOnly: chance(random, 10),
    blockSizeMinBytes: pick(random, [1, 1, 1, 512]),
    fastZero: chance(random, 50),
    readPartBytes: pick(random, [4096, 131_072, Number.POSITIVE_INFINITY]),
    sparse: chance(random, 50),
  });
  if (chance(random, 30)) {
    device.fault = () => (chance(random, 20) ? pick(random, [Status.EIO, Status.ENOSPC, Status.ETIMEDOUT, Status.ENOTSUP]) : Status.OK);
  }
  bed.server.addExport(device);
  return device;
}

test('transmission: every well-formed request is answered exactly once, in whatever order the device is done', () => {
  forSeeds(100, process.env['FUZZ_SEED'], (random) => {
    const bed = new TestBed();
    const device = randomDevice(random, bed);
    const client = bed.attach(device, chance(random, 50), chance(random, 50));
    const readLengths: Record<number, number> = {};
    const sent: Uint8Array[] = [];
    const count = 1 + randomBelow(random, 60);
    for (let cookie = 1; cookie <= count; cookie++) {
      const request = randomRequest(random, cookie);
      sent.push(request.bytes);
      readLengths[cookie] = request.readLength;
    }
    const finals = new Map<number, number>();
    device.held = true;
    for (const piece of pieces(random, concat(sent))) {
      client.send(piece);
      if (chance(random, 10)) client.stream.blocked = !client.stream.blocked;
      if (chance(random, 30)) device.release((requests) => shuffle(random, requests));
      expect(bed.slabs.heldBytes).toBeLessThan(HELD_BYTES_MAX);
    }
    client.stream.blocked = false;
    device.held = false;
    device.release((requests) => shuffle(random, requests));
    bed.settle();
    expect(client.stream.closed).toBe(false);
    for (const reply of client.replies(readLengths)) {
      if (reply.done) finals.set(reply.cookie, (finals.get(reply.cookie) ?? 0) + 1);
    }
    expect(Array.from(finals.values()).every((times) => times === 1)).toBe(true);
    expect(finals.size).toBe(count);
    expect(bed.server.connections()[0]).toMatchObject({ requestsInFlight: 0, bytesInFlight: 0, pendingReplyBytes: 0 });
    expect(bed.heldBytes()).toBe(0);
  });
});

test('transmission: whatever a client sends, only its own connection suffers, and nothing is left behind', () => {
  let violations = 0;
  forSeeds(200, process.env['FUZZ_SEED'], (random) => {
    const bed = new TestBed();
    const device = randomDevice(random, bed);
    const neighbour = bed.attach(device, true);
    const client = bed.attach(device, chance(random, 50));
    const requests = Array.from({ length: 1 + randomBelow(random, 30) }, (_, cookie) => {
      const { bytes } = randomRequest(random, cookie);
      return chance(random, 15) ? mutated(random, bytes) : bytes;
    });
    if (chance(random, 10)) requests.push(randomBytes(random, 100));
    if (chance(random, 20)) requests.push(requestBytes(NbdCommand.DISC, 0, 0, 0, 0), randomBytes(random, 50));
    device.held = chance(random, 70);
    for (const piece of pieces(random, concat(requests))) {
      client.send(piece);
      if (chance(random, 10)) client.stream.blocked = !client.stream.blocked;
      if (chance(random, 20)) device.release((waiting) => shuffle(random, waiting));
      expect(bed.slabs.heldBytes).toBeLessThan(HELD_BYTES_MAX);
      if (client.stream.closed) break;
    }
    const refusal = bed.world.lines.find((line) => line.level === 'warn');
    if (refusal !== undefined) {
      violations++;
      expect(refusal.fields['reason']).toBeTruthy();
    }
    if (chance(random, 50)) client.stream.hangUp();
    bed.settle();
    device.fault = null;
    device.held = false;
    device.release((waiting) => shuffle(random, waiting));
    neighbour.request(NbdCommand.READ, 0, 1, 0, 512);
    expect(neighbour.replies()).toMatchObject([{ cookie: 1, done: true }]);
    expect(bed.heldBytes()).toBe(0);
    expect(bed.server.orphanedRequests).toBe(0);
  });
  if (process.env['FUZZ_SEED'] === undefined) expect(violations).toBeGreaterThan(20);
});
