/** What an accepted request waits for. */
export const Phase = {
  /** A dirty or locked chunk (W4, R1). */
  CHUNK: 0,
  /** The write intent and the dirty bits to become durable (W3). */
  PREPARE: 1,
  /** The data. */
  DATA: 2,
  /** The flush behind a FUA write. */
  FUA: 3,
  /** A flush. */
  FLUSH: 4,
  /** A write that replaces dirty chunks whole: its write intent to become durable. */
  REPLACE_PREPARE: 5,
  /** Its dirty bits, for the chunks that are clean here, to become durable. */
  REPLACE_MARK: 6,
  /** Its data. */
  REPLACE_DATA: 7,
  /** The flush of its data (◆5). */
  REPLACE_FLUSH: 8,
  /** The chunks to become clean here, and dirty for the members that miss it, durably. */
  REPLACE_CLEAR: 9,
  /** The parts that a write which passes chunks by (W10) can be carried out in. */
  PASS_DATA: 10,
  /** The flush behind such a write that is FUA. */
  PASS_FUA: 11,
  /** Space for its data (W8). */
  SPACE: 12,
} as const;
