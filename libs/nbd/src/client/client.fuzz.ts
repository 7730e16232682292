import { randomBelow, Status } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { ClientBed } from '../testing/client-bed.ts';
import { chance, forSeeds, mutated, pick, pieces, randomBytes } from '../testing/fuzz.ts';
import { MemoryDevice } from '../testing/memory-device.ts';

const DEVICE_BYTES = 3 * 1024 * 1024;
/** Its buffers, those of the server beside it, and one payload in each direction and connection. */
const HELD_BYTES_MAX = 96 * 1024 * 1024;

/** Damages what the server of this library says to the client, from some byte on. */
function damage(bed: ClientBed, random: Parameters<typeof chance>[0]): void {
  for (const { client } of bed.ends) {
    const feed = client.feed.bind(client);
    client.feed = (bytes) => {
      const said = chance(random, 4) ? (chance(random, 80) ? mutated(random, bytes) : randomBytes(random, 200)) : bytes;
      for (const piece of chance(random, 20) ? pieces(random, said) : [said]) feed(piece);
    };
  }
}

test('client: whatever a server says, every request ends once, and nothing is left behind', () => {
  let lost = 0;
  let survived = 0;
  forSeeds(200, process.env['FUZZ_SEED'], (random) => {
    let device: MemoryDevice | null = null;
    const bed = new ClientBed(
      (server, world) => {
        device = new MemoryDevice(world, DEVICE_BYTES, {
          blockSizeMinBytes: pick(random, [1, 1, 512]),
          readPartBytes: pick(random, [4096, 131_072, Number.POSITIVE_INFINITY]),
          sparse: chance(random, 70),
        });
        if (chance(random, 20)) device.fault = () => (chance(random, 20) ? pick(random, [Status.EIO, Status.ENOSPC]) : Status.OK);
        server.addExport(device);
      },
      '',
      pick(random, [1, 2, 4]),
    );
    damage(bed, random);
    const count = 1 + randomBelow(random, 40);
    let extents = 0;
    let asked = 0;
    for (let tag = 0; tag < count; tag++) {
      const length = 512 * (1 + randomBelow(random, pick(random, [8, 64, 3000])));
      const offset = 512 * randomBelow(random, DEVICE_BYTES / 512);
      const kind = randomBelow(random, 6);
      if (kind === 0) bed.client.read(offset, new Uint8Array(length), tag, bed.sink);
      else if (kind === 1) bed.client.write(offset, new Uint8Array(length).fill(tag), chance(random, 20), tag, bed.sink);
      else if (kind === 2) bed.client.flush(tag, bed.sink);
      else if (kind === 3) bed.client.writeZeroes(offset, length, 0, tag, bed.sink);
      else if (kind === 4) bed.client.trim(offset, length, false, tag, bed.sink);
      else {
        bed.sink.onDiskDone(tag, Status.OK);
        asked++;
        bed.client.extents(offset, length, () => extents++);
      }
      if (chance(random, 30)) {
        bed.client.submit();
        if (chance(random, 50)) bed.settle();
      }
      expect(bed.slabs.heldBytes).toBeLessThan(HELD_BYTES_MAX);
    }
    bed.client.submit();
    bed.settle();
    // What was damaged may have been a length: more is waited for, which is what a disk that hangs does.
    if (bed.client.inFlight > 0) bed.client.giveUp('it does not answer');
    bed.settle();
    expect(bed.done.size).toBe(count);
    expect(extents).toBe(asked);
    if (bed.lost === null) survived++;
    else {
      lost++;
      expect(bed.lost.reason).toBeTruthy();
    }
    let closed = -1;
    bed.client.close((status) => {
      closed = status;
    });
    bed.settle();
    expect(closed).toBe(bed.lost === null ? Status.OK : Status.EIO);
    for (const { server } of bed.ends) server?.reset();
    bed.settle();
    expect(bed.slabs.heldBytes).toBe(0);
    expect(bed.world.ticked.has(bed.client)).toBe(false);
  });
  if (process.env['FUZZ_SEED'] === undefined) {
    expect(lost).toBeGreaterThan(20);
    expect(survived).toBeGreaterThan(20);
  }
});

test('client: whatever comes in the handshake, it ends with a reason, or waits', () => {
  forSeeds(300, process.env['FUZZ_SEED'], (random) => {
    const bed = new ClientBed(null);
    const greeting = Uint8Array.from([
      0x4e, 0x42, 0x44, 0x4d, 0x41, 0x47, 0x49, 0x43, 0x49, 0x48, 0x41, 0x56, 0x45, 0x4f, 0x50, 0x54, 0, 3,
    ]);
    const reply = Uint8Array.from([0, 3, 0xe8, 0x89, 4, 0x55, 0x65, 0xa9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0]);
    for (const part of [greeting, reply, reply, randomBytes(random, 5000)]) {
      for (const piece of pieces(random, chance(random, 50) ? mutated(random, part) : part)) bed.say(piece);
      expect(bed.slabs.heldBytes).toBeLessThan(2 * 1024 * 1024);
    }
    bed.world.advance(60_000);
    bed.settle();
    expect(bed.lost?.reason).toBeTruthy();
    expect(bed.slabs.heldBytes).toBe(0);
  });
});
