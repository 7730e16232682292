// Events: what happened and may be asked about later. Each daemon keeps its own, numbered without a repeat.
import { z } from 'zod';

export const EVENT_SEVERITIES = ['info', 'notice', 'warning', 'critical'] as const;

export const eventViewSchema = z.object({
  /** The number of the event on its node. It only grows, also across restarts. */
  number: z.number().int().min(1),
  at: z.string(),
  kind: z.string(),
  severity: z.enum(EVENT_SEVERITIES),
  /** What it is about: the UUID of a volume, a store, a disk's name. Empty: the node itself. */
  target: z.string(),
  sentence: z.string(),
  fields: z.record(z.string(), z.unknown()),
});
export type EventView = z.infer<typeof eventViewSchema>;

/** The input of `event.page`. With `after` the oldest events that are newer come first; else the newest that are older than `before`. */
export const eventPageInputSchema = z.strictObject({
  after: z.int().min(0).nullable().default(null),
  before: z.int().min(1).nullable().default(null),
  severity: z.enum(EVENT_SEVERITIES).nullable().default(null),
  target: z.string().min(1).max(64).nullable().default(null),
  limit: z.int().min(1).max(500).default(100),
});
export type EventPageInput = z.infer<typeof eventPageInputSchema>;

export const eventPageSchema = z.object({
  events: z.array(eventViewSchema),
  /** The numbers of the oldest event that is still kept, and of the newest; 0: there are none. */
  oldest: z.number().int().min(0),
  newest: z.number().int().min(0),
  /** Whether events that were asked for are not kept any more. */
  gap: z.boolean(),
});
export type EventPage = z.infer<typeof eventPageSchema>;

/** The events of a daemon. */
export interface Events {
  page(input: EventPageInput): EventPage | Promise<EventPage>;
}
