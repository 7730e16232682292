import type { Random } from '@rmr/runtime';
import { randomBelow } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { OPTION_BYTES_MAX } from '../constants.ts';
import { chance, forSeeds, mutated, pick, pieces, randomBytes, randomU32 } from '../testing/fuzz.ts';
import { MemoryDevice } from '../testing/memory-device.ts';
import { concat, infoData, metaData, optionBytes, TestBed, u32 } from '../testing/test-client.ts';
import { encodeText } from '../wire/bytes.ts';
import { Option } from '../wire/protocol.ts';

/** Everything that one client can make the server keep: its two buffers, and an option or listing that is too large for them. */
const HELD_BYTES_MAX = 2 * 256 * 1024 + 8 * OPTION_BYTES_MAX + 2 * 1024 * 1024;

function randomName(random: Random): string {
  return pick(random, ['', 'a', 'b', 'nosuch', 'ä'.repeat(1 + randomBelow(random, 3000))]);
}

function randomOption(random: Random): Uint8Array {
  const option = chance(random, 90) ? randomBelow(random, 14) : random.u32();
  const numbers = Array.from({ length: randomBelow(random, 6) }, () => randomBelow(random, 5));
  const queries = Array.from({ length: randomBelow(random, 4) }, () => pick(random, ['base:', 'base:allocation', 'base', 'x-y:z', '']));
  const data = pick(random, [
    () => new Uint8Array(0),
    () => infoData(randomName(random), numbers),
    () => metaData(randomName(random), queries),
    () => encodeText(randomName(random)),
    () => randomBytes(random, randomBelow(random, 200)),
    () => mutated(random, infoData(randomName(random), numbers)),
    () => mutated(random, metaData(randomName(random), queries)),
    () => new Uint8Array(randomBelow(random, OPTION_BYTES_MAX + 2)),
  ])();
  const bytes = optionBytes(option, data);
  if (chance(random, 3)) return concat([bytes.subarray(0, 12), u32(randomU32(random)), data]);
  return chance(random, 5) ? mutated(random, bytes) : bytes;
}

test('handshake: whatever a client sends, the server neither throws nor hangs nor grows', () => {
  let transmissions = 0;
  let violations = 0;
  forSeeds(600, process.env['FUZZ_SEED'], (random) => {
    const bed = new TestBed();
    for (const name of ['a', 'b']) bed.server.addExport(new MemoryDevice(bed.world, 1 << 16, { name, description: name }));
    const options = Array.from({ length: randomBelow(random, 12) }, () => randomOption(random));
    const end = chance(random, 50)
      ? optionBytes(pick(random, [Option.GO, Option.ABORT, Option.EXPORT_NAME]), infoData('a', []))
      : new Uint8Array(0);
    const flags = chance(random, 90) ? 3 : randomU32(random);
    const input = chance(random, 5) ? randomBytes(random, randomBelow(random, 100_000)) : concat([u32(flags), ...options, end]);
    const client = bed.connect();
    for (const piece of pieces(random, input)) {
      if (chance(random, 5)) client.stream.blocked = !client.stream.blocked;
      client.send(piece);
      expect(bed.slabs.heldBytes).toBeLessThan(HELD_BYTES_MAX);
      if (client.stream.closed) break;
    }
    client.stream.blocked = false;
    bed.settle();
    if (!client.stream.closed && bed.server.connections()[0]?.state === 'TRANSMISSION') transmissions++;
    bed.world.advance(60_000);
    bed.settle();
    const refusal = bed.world.lines.find((line) => line.level === 'warn');
    if (refusal !== undefined) {
      violations++;
      expect(refusal.fields['reason']).toBeTruthy();
    }
    expect(bed.heldBytes()).toBe(0);
    expect(bed.server.connections()).toEqual([]);
    expect(bed.world.ticked.size).toBe(0);
  });
  // The generator has to reach both outcomes to be worth something.
  if (process.env['FUZZ_SEED'] === undefined) {
    expect(transmissions).toBeGreaterThan(20);
    expect(violations).toBeGreaterThan(20);
  }
});
