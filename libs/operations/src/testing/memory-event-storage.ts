import type { OperationError } from '@rmr/runtime';
import type { EventStorage, FoundEvents, NodeEvent } from '../core/event-log.ts';

/** For tests: a storage of events in memory, of one process. It can die with any call, and fail. */
export class MemoryEventStorage implements EventStorage {
  readonly durable: DurableEvents;
  readonly #later: (work: () => void) => void;
  /** The process dies with the call of this number, from 1: before it has an effect; at a half, after it and before anybody is told. */
  crashAt = Number.POSITIVE_INFINITY;
  onCrash: () => void = () => {};
  calls = 0;
  appends = 0;
  failure: OperationError | null = null;
  /** Calls stay unanswered while this is true. */
  hangs = false;

  constructor(durable: DurableEvents, later: (work: () => void) => void) {
    this.durable = durable;
    this.#later = later;
  }

  load(): FoundEvents {
    const events = [...this.durable.lines.values()].map((line) => JSON.parse(line) as NodeEvent).sort((a, b) => a.number - b.number);
    return { events, reservedUpTo: this.durable.reservedUpTo, damaged: [] };
  }

  reserve(upTo: number, done: (error: OperationError | null) => void): void {
    this.#call(done, () => {
      this.durable.reservedUpTo = upTo;
    });
  }

  append(events: readonly { readonly number: number; readonly line: string }[], done: (error: OperationError | null) => void): void {
    this.appends++;
    this.#call(done, () => {
      for (const { number, line } of events) this.durable.lines.set(number, line);
    });
  }

  forget(below: number, done: (error: OperationError | null) => void): void {
    this.#call(done, () => {
      for (const number of this.durable.lines.keys()) if (number < below) this.durable.lines.delete(number);
    });
  }

  #call(done: (error: OperationError | null) => void, effect: () => void): void {
    const call = ++this.calls;
    this.#later(() => {
      if (this.hangs) return;
      if (call >= this.crashAt) {
        this.onCrash();
        return;
      }
      if (this.failure === null) effect();
      if (call + 0.5 >= this.crashAt) this.onCrash();
      else done(this.failure);
    });
  }
}

/** What survives a crash. */
export class DurableEvents {
  readonly lines = new Map<number, string>();
  reservedUpTo: number | null = null;
}
