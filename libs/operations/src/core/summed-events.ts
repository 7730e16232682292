// Events that anybody can cause who reaches the node, summed up: they must not push out the others.
import type { EventKind } from './event-kinds.ts';

export class SummedEvents {
  readonly #tell: (kind: EventKind, target: string, fields: Fields) => void;
  readonly #causes = new Map<string, Cause>();

  constructor(tell: (kind: EventKind, target: string, fields: Fields) => void) {
    this.#tell = tell;
  }

  /** Causes are told apart by `by` alone: other fields, as an address with its port, may have another value each time. */
  happened(kind: EventKind, target: string, fields: Fields, nowMs: number): void {
    const key = `${kind} ${fields['by'] ?? ''}`;
    const cause = this.#causes.get(key) ?? this.#causes.get(kind) ?? this.#begin(this.#causes.size < CAUSES_MAX ? key : kind, kind, nowMs);
    cause.target = target;
    cause.fields = fields;
    cause.lastMs = nowMs;
    if (cause.told < TOLD_AT_ONCE) {
      cause.told++;
      this.#tell(kind, target, { ...fields, times: 1 });
    } else cause.counted++;
  }

  tick(nowMs: number): void {
    for (const [key, cause] of this.#causes) {
      const isQuiet = nowMs - cause.lastMs >= QUIET_MS;
      if (nowMs >= cause.dueMs || isQuiet) this.#sum(cause, nowMs);
      if (isQuiet) this.#causes.delete(key);
    }
  }

  /** Tells all that was counted. */
  flush(nowMs: number): void {
    for (const cause of this.#causes.values()) this.#sum(cause, nowMs);
  }

  #begin(key: string, kind: EventKind, nowMs: number): Cause {
    const cause = { kind, target: '', fields: {}, told: 0, counted: 0, lastMs: nowMs, intervalMs: SUM_MS, dueMs: nowMs + SUM_MS };
    this.#causes.set(key, cause);
    return cause;
  }

  #sum(cause: Cause, nowMs: number): void {
    const { kind, target, fields, counted } = cause;
    if (counted === 0) return;
    cause.counted = 0;
    cause.intervalMs = Math.min(SUM_MS_MAX, 2 * cause.intervalMs);
    cause.dueMs = nowMs + cause.intervalMs;
    this.#tell(kind, target, { ...fields, times: counted });
  }
}

/** So many events of one cause are told as they come. Later ones are counted, and told together. */
export const TOLD_AT_ONCE = 4;
/** What was counted is told after so long, in milliseconds, and then after pauses that double up to the second figure. */
export const SUM_MS = 60_000;
export const SUM_MS_MAX = 3_600_000;
/** A cause that was quiet for so long, in milliseconds, is news again. */
export const QUIET_MS = 600_000;
/** Causes that are told apart at a time. Beyond, all that is of one kind counts as one. */
export const CAUSES_MAX = 32;

type Fields = Readonly<Record<string, string | number>>;

/** One kind of event, and who has caused it. */
interface Cause {
  readonly kind: EventKind;
  target: string;
  fields: Fields;
  told: number;
  counted: number;
  lastMs: number;
  intervalMs: number;
  dueMs: number;
}
