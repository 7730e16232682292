import { assert } from '@rmr/runtime';

/**
 * Virtual time: events in order of their time, and of their making at the same time. A binary heap, and a queue beside
 * it for what is due at once, which is most.
 */
export class Scheduler {
  readonly #heap: Event[] = [];
  /** Events that were made for the present moment, from `#immediateFrom` on. */
  readonly #immediate: Event[] = [];
  #immediateFrom = 0;
  #nowMs = 0;
  #seq = 0;
  #atThisInstant = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events made so far: two runs of one seed make the same number. */
  get eventCount(): number {
    return this.#seq;
  }

  /** Events that wait for their time, cancelled ones among them. */
  get pendingCount(): number {
    return this.#heap.length + this.#immediate.length - this.#immediateFrom;
  }

  /** When the next event is due, or null when there is none. */
  get nextAtMs(): number | null {
    for (; this.#immediateFrom < this.#immediate.length; this.#immediateFrom++) {
      if ((this.#immediate[this.#immediateFrom] as Event).action !== null) return this.#nowMs;
    }
    while (this.#heap.length > 0 && (this.#heap[0] as Event).action === null) this.#pop();
    return this.#heap[0]?.atMs ?? null;
  }

  /** Runs `action` in `delayMs` (at least 0) of virtual time. */
  after(delayMs: number, action: () => void): ScheduledEvent {
    assert(delayMs >= 0, 'scheduler: an event lies in the past');
    const event = new Event(this.#nowMs + delayMs, this.#seq++, action);
    if (delayMs === 0) this.#immediate.push(event);
    else this.#push(event);
    return event;
  }

  /** Runs the next event. False when there is none. */
  step(): boolean {
    for (;;) {
      const event = this.#take();
      if (event === null) return false;
      if (event.action === null) continue;
      if (event.atMs > this.#nowMs) {
        this.#nowMs = event.atMs;
        this.#atThisInstant = 0;
      }
      assert(++this.#atThisInstant <= EVENTS_PER_INSTANT_MAX, 'scheduler: events keep making one another without time passing');
      const action = event.action;
      event.action = null;
      action();
      return true;
    }
  }

  /** Moves time forward to `atMs`; no event may be due before. */
  advanceTo(atMs: number): void {
    const next = this.nextAtMs;
    assert(next === null || next >= atMs, 'scheduler: time would pass over an event');
    if (atMs > this.#nowMs) {
      this.#nowMs = atMs;
      this.#atThisInstant = 0;
    }
  }

  /** The next event, cancelled or not. */
  #take(): Event | null {
    if (this.#immediateFrom === this.#immediate.length) return this.#pop();
    const event = this.#immediate[this.#immediateFrom] as Event;
    const timed = this.#heap[0];
    if (timed !== undefined && before(timed, event)) return this.#pop();
    if (++this.#immediateFrom === this.#immediate.length) {
      this.#immediate.length = 0;
      this.#immediateFrom = 0;
    }
    return event;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent] as Event)) break;
      heap[at] = heap[parent] as Event;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): Event | null {
    const heap = this.#heap;
    const first = heap[0];
    if (first === undefined) return null;
    const last = heap.pop() as Event;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!before(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

/** Events at one instant after which the run is taken for a livelock. */
const EVENTS_PER_INSTANT_MAX = 1_000_000;

/** Something that will happen. */
export interface ScheduledEvent {
  /** It does not happen. Harmless when it has happened already. */
  cancel(): void;
}

class Event implements ScheduledEvent {
  readonly atMs: number;
  readonly seq: number;
  action: (() => void) | null;

  constructor(atMs: number, seq: number, action: () => void) {
    this.atMs = atMs;
    this.seq = seq;
    this.action = action;
  }

  cancel(): void {
    this.action = null;
  }
}

function before(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.seq < b.seq);
}
