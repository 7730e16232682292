import { ENTRY_HEADER_BYTES, entryPayloadBytes, type RecordWriter } from './record.ts';

/**
 * The kinds of entries that records are made of. An entry says what is so from then on, never what changed, so that applying a run of
 * them to any later state ends in the same state (redo). {@link Entry} describes one kind; entries.ts has them all.
 */
export const EntryType = {
  PROMISE: 1,
  VERSION: 2,
  MEMBERS: 3,
  USAGE: 4,
  SLOTS: 5,
  SIDES: 6,
  DIRTY_SET: 7,
  DIRTY_CLEAR: 8,
  MAP_SWITCH: 9,
  INTENT_ENTER: 10,
  INTENT_LEAVE: 11,
  INTENT_OVERFLOW: 12,
  POLICY: 13,
  LIVES: 14,
} as const;

/** One kind of entry: how its value stands in the payload, which begins at `at`, and has `size` bytes. */
export interface Entry<T> {
  readonly type: number;
  /** The payload bytes that the value takes. */
  readonly size: (value: T) => number;
  /** Writes the value into a payload of zeroes. */
  readonly write: (bytes: Uint8Array, at: number, value: T) => void;
  /** The value of a payload that `invalid` finds nothing wrong with. */
  readonly read: (bytes: Uint8Array, at: number, size: number) => T;
  /** Why the payload makes no sense for this store, or null. */
  readonly invalid: (bytes: Uint8Array, at: number, size: number, limits: EntryLimits) => string | null;
}

/** What the numbers in entries must stay below. */
export interface EntryLimits {
  readonly grid: { readonly chunkCount: number };
  readonly regionCount: number;
}

/** Adds an entry with this value to the record. */
export function addEntry<T>(writer: RecordWriter, { type, size, write }: Entry<T>, value: T): void {
  const at = writer.add(type, size(value));
  write(writer.bytes, at, value);
}

/** The value of the entry at `offset` of a valid record. */
export function readEntry<T>(bytes: Uint8Array, offset: number, entry: Entry<T>): T {
  return entry.read(bytes, offset + ENTRY_HEADER_BYTES, entryPayloadBytes(bytes, offset));
}
