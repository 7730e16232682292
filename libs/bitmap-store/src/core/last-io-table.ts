import { assert } from '@rmr/runtime';
import {
  encodeLastIo,
  invalidLastIo,
  LAST_IO_ENTRY_BYTES,
  lastIoEmpty,
  lastIoLengthBytes,
  lastIoOffsetBytes,
  lastIoWriteSeq,
} from '../format/last-io-entry.ts';
import type { Layout } from '../format/layout.ts';
import type { LastIo } from '../types.ts';

/** The last_io array in memory, with the range that has yet to reach the kernel. */
export class LastIoTable {
  readonly bytes: Uint8Array;
  readonly #seed: number;
  readonly #queueDepth: number;
  readonly #sizeBytes: number;
  /** Generation in which each entry was recorded. */
  readonly #recordedIn: Uint32Array;
  #generation = 1;
  #changedFrom = -1;
  #changedTo = -1;

  constructor(layout: Layout, seed: number) {
    this.bytes = new Uint8Array(layout.lastIoBytes);
    this.#seed = seed;
    this.#queueDepth = layout.queueDepth;
    this.#sizeBytes = layout.sizeBytes;
    this.#recordedIn = new Uint32Array(layout.queueDepth);
  }

  /** Takes over what is on the disk; entries that make no sense are dropped. Returns how many those were. */
  load(bytes: Uint8Array): number {
    assert(bytes.length === this.bytes.length, 'last_io: the whole area');
    this.bytes.set(bytes);
    let bad = 0;
    for (let index = 0; index < this.#queueDepth; index++) {
      const at = index * LAST_IO_ENTRY_BYTES;
      if (lastIoEmpty(this.bytes, at) || invalidLastIo(this.bytes, at, index, this.#seed, this.#sizeBytes) === null) continue;
      this.#erase(index);
      bad++;
    }
    this.bytes.fill(0, this.#queueDepth * LAST_IO_ENTRY_BYTES);
    return bad;
  }

  /** Records the newest write of an IO unit. */
  record(ioUnit: number, writeSeq: number, offsetBytes: number, lengthBytes: number): void {
    assert(ioUnit >= 0 && ioUnit < this.#queueDepth, 'last_io: the IO unit is one of the pool');
    assert(writeSeq > 0, 'last_io: write sequence numbers start at 1');
    assert(
      offsetBytes >= 0 && lengthBytes > 0 && offsetBytes + lengthBytes <= this.#sizeBytes,
      'last_io: the range lies within the device',
    );
    const at = ioUnit * LAST_IO_ENTRY_BYTES;
    encodeLastIo(this.bytes, at, ioUnit, this.#seed, writeSeq, offsetBytes, lengthBytes);
    this.#recordedIn[ioUnit] = this.#generation;
    this.#change(at);
  }

  /** Starts a generation; returns the one that ends with it, for {@link eraseUpTo}. */
  nextGeneration(): number {
    return this.#generation++;
  }

  /** Erases the entries that were recorded in that generation or earlier. */
  eraseUpTo(generation: number): void {
    for (let index = 0; index < this.#queueDepth; index++) {
      if ((this.#recordedIn[index] as number) > generation || lastIoEmpty(this.bytes, index * LAST_IO_ENTRY_BYTES)) continue;
      this.#erase(index);
    }
  }

  /** Whether entries have changed since {@link takeChanged}. */
  get changed(): boolean {
    return this.#changedFrom >= 0;
  }

  /** First byte of what has changed. */
  get changedFrom(): number {
    return this.#changedFrom;
  }

  /** End of what has changed. */
  get changedTo(): number {
    return this.#changedTo;
  }

  /** What has changed is on its way to the disk. */
  takeChanged(): void {
    this.#changedFrom = -1;
    this.#changedTo = -1;
  }

  /** What was on its way did not get there. */
  giveBackChanged(from: number, to: number): void {
    if (this.#changedFrom < 0 || from < this.#changedFrom) this.#changedFrom = from;
    if (to > this.#changedTo) this.#changedTo = to;
  }

  entries(): readonly LastIo[] {
    const entries: LastIo[] = [];
    for (let ioUnit = 0; ioUnit < this.#queueDepth; ioUnit++) {
      const at = ioUnit * LAST_IO_ENTRY_BYTES;
      if (lastIoEmpty(this.bytes, at)) continue;
      entries.push({
        ioUnit,
        writeSeq: lastIoWriteSeq(this.bytes, at),
        offsetBytes: lastIoOffsetBytes(this.bytes, at),
        lengthBytes: lastIoLengthBytes(this.bytes, at),
      });
    }
    return entries;
  }

  /** The entries of writes after `afterSeq` that touch the range. Allocates nothing where there is none. */
  within(offsetBytes: number, lengthBytes: number, afterSeq: number): readonly LastIo[] {
    let found: LastIo[] | null = null;
    for (let ioUnit = 0; ioUnit < this.#queueDepth; ioUnit++) {
      const at = ioUnit * LAST_IO_ENTRY_BYTES;
      if (lastIoEmpty(this.bytes, at)) continue;
      const from = lastIoOffsetBytes(this.bytes, at);
      const length = lastIoLengthBytes(this.bytes, at);
      const writeSeq = lastIoWriteSeq(this.bytes, at);
      if (writeSeq <= afterSeq || from >= offsetBytes + lengthBytes || from + length <= offsetBytes) continue;
      found ??= [];
      found.push({ ioUnit, writeSeq, offsetBytes: from, lengthBytes: length });
    }
    return found ?? NONE;
  }

  verify(): void {
    assert(this.#changedFrom < this.#changedTo || this.#changedFrom === -1, 'last_io: the changed range is a range');
    for (let index = 0; index < this.#queueDepth; index++) {
      const at = index * LAST_IO_ENTRY_BYTES;
      if (lastIoEmpty(this.bytes, at)) continue;
      assert(invalidLastIo(this.bytes, at, index, this.#seed, this.#sizeBytes) === null, 'last_io: every entry is valid');
    }
  }

  #erase(index: number): void {
    const at = index * LAST_IO_ENTRY_BYTES;
    this.bytes.fill(0, at, at + LAST_IO_ENTRY_BYTES);
    this.#change(at);
  }

  #change(at: number): void {
    this.giveBackChanged(at, at + LAST_IO_ENTRY_BYTES);
  }
}

const NONE: readonly LastIo[] = [];
