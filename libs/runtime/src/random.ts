/** Randomness, injected. Jitter, identifiers and generations come from here. */
export interface Random {
  /** A uniform unsigned 32-bit integer. */
  u32(): number;
}

/** A uniform integer in [0, bound). `bound` is in [1, 2^32]. The bias is below 2^-20 for the bounds in use. */
export function randomBelow(random: Random, bound: number): number {
  return Math.floor((random.u32() / 0x1_0000_0000) * bound);
}

/** A random (version 4, variant 1; RFC 9562 section 5.4) UUID in lower-case text form. */
export function randomUuid(random: Random): string {
  const words = [random.u32(), random.u32(), random.u32(), random.u32()];
  words[1] = ((words[1] as number) & 0xffff0fff) | 0x4000;
  words[2] = ((words[2] as number) & 0x3fffffff) | 0x80000000;
  const hex = words.map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** A deterministic generator (sfc32, by Chris Doty-Humphrey, public domain): the same seed gives the same sequence. */
export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = Math.floor(seed / 0x1_0000_0000) | 0;
    this.#c = 0x9e3779b9 | 0;
    for (let i = 0; i < 16; i++) this.u32();
  }

  u32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }
}
