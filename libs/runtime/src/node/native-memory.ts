import koffi from 'koffi';

/** An array of `struct iovec`, in memory that native calls can read. */
export class IoVector {
  readonly #words: Uint32Array;
  readonly #address: number;

  constructor(length: number) {
    this.#words = new Uint32Array(length * VECTOR_WORDS);
    this.#address = addressOf(new Uint8Array(this.#words.buffer));
  }

  /** Address of the array. */
  get address(): number {
    return this.#address;
  }

  /** Makes entry `index` refer to `length` bytes at `address`. */
  set(index: number, address: number, length: number): void {
    const words = this.#words;
    const at = index * VECTOR_WORDS;
    words[at] = address % 0x1_0000_0000;
    words[at + 1] = address / 0x1_0000_0000;
    words[at + 2] = length;
    words[at + 3] = 0;
  }
}

/** 32-bit words of a `struct iovec`: base and length, 64 bits each. */
const VECTOR_WORDS = 4;

const baseAddresses = new WeakMap<ArrayBufferLike, number>();

/**
 * The address of the first byte, as a number: addresses are below 2^47 on every Linux that Node runs on. An array buffer does not
 * move, so the address stays valid as long as the buffer lives. The caller keeps the buffer alive while the address is in use.
 */
export function addressOf(bytes: Uint8Array): number {
  const { buffer } = bytes;
  let base = baseAddresses.get(buffer);
  if (base === undefined) {
    base = Number(koffi.address(new Uint8Array(buffer)));
    baseAddresses.set(buffer, base);
  }
  return base + bytes.byteOffset;
}
