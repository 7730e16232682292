import { type Random, randomBelow, SeededRandom } from '@rmr/runtime';

/** Runs `body` once per seed; a failure names its seed, with which `FUZZ_SEED=n npx vitest run` repeats it alone. */
export function forSeeds(count: number, only: string | undefined, body: (random: Random) => void): void {
  const first = only === undefined ? 1 : Number(only);
  const last = only === undefined ? count : first;
  for (let seed = first; seed <= last; seed++) {
    try {
      body(new SeededRandom(seed));
    } catch (error) {
      throw new Error(`FUZZ_SEED=${seed}: ${error instanceof Error ? error.stack : String(error)}`, { cause: error });
    }
  }
}

export function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[randomBelow(random, choices.length)] as T;
}

export function chance(random: Random, percent: number): boolean {
  return randomBelow(random, 100) < percent;
}

export function randomBytes(random: Random, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = random.u32();
  return bytes;
}

/** Interesting 32-bit numbers, and random ones. */
export function randomU32(random: Random): number {
  return chance(random, 60) ? pick(random, [0, 1, 2, 511, 512, 4095, 4096, 65_535, 65_536, 2 ** 25, 2 ** 31, 2 ** 32 - 1]) : random.u32();
}

/** `bytes` with a few bits, bytes or stretches changed. */
export function mutated(random: Random, bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  for (let i = randomBelow(random, 4); i >= 0 && copy.length > 0; i--) {
    const at = randomBelow(random, copy.length);
    if (chance(random, 50)) (copy[at] as number) ^= 1 << randomBelow(random, 8);
    else copy.fill(random.u32(), at, at + randomBelow(random, 9));
  }
  return chance(random, 20) ? copy.subarray(0, randomBelow(random, copy.length + 1)) : copy;
}

/** Cuts `bytes` into pieces of random lengths. */
export function pieces(random: Random, bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Math.min(bytes.length - at, 1 + randomBelow(random, pick(random, [1, 8, 64, 5000, 300_000])));
    parts.push(bytes.subarray(at, at + length));
    at += length;
  }
  return parts;
}
