/** What the commit engine is doing. */
export const Phase = {
  IDLE: 'IDLE',
  /** Maps of a large change are written to their spare sides. */
  STAGING: 'STAGING',
  /** A record is on its way to the disk. */
  WRITING: 'WRITING',
  /** It waits for a disk flush. */
  FLUSHING: 'FLUSHING',
  /** The flush failed: the record is written again, saying so. */
  REWRITING: 'REWRITING',
  REFLUSHING: 'REFLUSHING',
  /** The journal can't be written any more. Terminal. */
  FAILED: 'FAILED',
} as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

/** The legal transitions, with their reasons. */
export const TRANSITIONS: Readonly<Record<Phase, readonly Phase[]>> = {
  // A record is begun; a large change is begun.
  IDLE: [Phase.WRITING, Phase.STAGING, Phase.FAILED],
  // The maps are durable and the record follows; they could not be written and the change was refused.
  STAGING: [Phase.WRITING, Phase.IDLE],
  // The record is in the kernel's hands; the write failed.
  WRITING: [Phase.FLUSHING, Phase.FAILED],
  // The record is durable; the flush failed.
  FLUSHING: [Phase.IDLE, Phase.REWRITING],
  // The second attempt, with the loss recorded, is in the kernel's hands; that write failed too.
  REWRITING: [Phase.REFLUSHING, Phase.FAILED],
  // Durable at last; failed again.
  REFLUSHING: [Phase.IDLE, Phase.FAILED],
  FAILED: [],
};
