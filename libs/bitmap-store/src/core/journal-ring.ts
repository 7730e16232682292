import { assert } from '@rmr/runtime';

/**
 * The circular journal: which bytes hold records that are still needed, and where the next one goes. Offsets are
 * relative to the journal. A record never wraps; sequence numbers rise by one.
 */
export class JournalRing {
  readonly journalBytes: number;
  #offsets: number[] = [];
  #sizes: number[] = [];
  #firstSequence: number;
  #liveBytes = 0;
  #head = 0;

  constructor(journalBytes: number, nextSequence: number) {
    this.journalBytes = journalBytes;
    this.#firstSequence = nextSequence;
  }

  /** Sequence number of the next record. */
  get nextSequence(): number {
    return this.#firstSequence + this.#offsets.length;
  }

  /** Sequence number of the oldest record that is still needed, or of the next one. */
  get tailSequence(): number {
    return this.#firstSequence;
  }

  /** Bytes of records that are still needed. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Where a record of that size can go, or -1. */
  placeFor(size: number): number {
    assert(size > 0 && size <= this.journalBytes, 'journal: a record fits the journal');
    if (this.#offsets.length === 0) return this.#head + size <= this.journalBytes ? this.#head : 0;
    const oldest = this.#offsets[0] as number;
    if (this.#head > oldest) {
      if (this.#head + size <= this.journalBytes) return this.#head;
      return size <= oldest ? 0 : -1;
    }
    return this.#head + size <= oldest ? this.#head : -1;
  }

  /** A record was written there. */
  append(offset: number, size: number): void {
    this.#offsets.push(offset);
    this.#sizes.push(size);
    this.#liveBytes += size;
    this.#head = offset + size;
  }

  /** Records below that sequence are no longer needed. */
  releaseBelow(sequence: number): void {
    assert(sequence >= this.#firstSequence && sequence <= this.nextSequence, 'journal: released up to the next record');
    const count = sequence - this.#firstSequence;
    for (let i = 0; i < count; i++) this.#liveBytes -= this.#sizes[i] as number;
    this.#offsets = this.#offsets.slice(count);
    this.#sizes = this.#sizes.slice(count);
    this.#firstSequence = sequence;
  }

  /** Rechecks the invariants: live records lie in the journal and don't overlap. */
  verify(): void {
    let total = 0;
    const order = this.#offsets.map((_, i) => i).sort((a, b) => (this.#offsets[a] as number) - (this.#offsets[b] as number));
    let end = 0;
    for (const i of order) {
      assert((this.#offsets[i] as number) >= end, 'journal: records do not overlap');
      end = (this.#offsets[i] as number) + (this.#sizes[i] as number);
      total += this.#sizes[i] as number;
    }
    assert(end <= this.journalBytes, 'journal: records lie in the journal');
    assert(total === this.#liveBytes, 'journal: live bytes are counted');
  }
}
