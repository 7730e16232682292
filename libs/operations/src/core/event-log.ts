/**
 * The events of a node: numbered, kept within bounds, told to whoever asks, and never in the way of the daemon.
 *
 * - **Numbers never repeat.** A block of them is reserved durably before the first is given, so also the loss of all that was not written
 *   yet leaves no number to be given twice. The last one of a block is not given: so after an end that was not in order the numbers on disk
 *   end before the block does, and an event of its own says what may be lost. An end in order gives the rest of the block back.
 * - **Nobody waits for an event**, but for an order of an operator: it is begun once its event is durable. Other events are written
 *   together, at most {@link FLUSH_MS} after the first of them.
 * - While the disk does not take them, events are kept in memory, {@link BUFFER_MAX} at most. What is dropped beyond is counted, and said.
 */
import { OperationError, Repeats, type Ticked, type TurnTask, type World } from '@rmr/runtime';
import {
  type DurableFirstKind,
  EVENT_KINDS,
  EVENT_SEVERITIES,
  type EventFields,
  type EventKind,
  type EventKindSpec,
  type EventSeverity,
  eventSentence,
  eventSeverity,
  keptText,
} from './event-kinds.ts';
import { SummedEvents } from './summed-events.ts';

export class EventLog implements Ticked, TurnTask {
  turnQueued = false;
  readonly #world: World;
  readonly #storage: EventStorage;
  readonly #eventsMax: number;
  readonly #bytesMax: number;
  /** The events that are kept, and the bytes of each. */
  readonly #kept: { readonly event: NodeEvent; readonly bytes: number }[] = [];
  #keptBytes = 0;
  /** What waits for a number, as none is reserved. */
  #unnumbered: Draft[] = [];
  /** What waits to be written, and what is being written: no event is in both. */
  #unwritten: Unwritten[] = [];
  #writing: readonly Unwritten[] = [];
  #nextNumber: number;
  #reservedUpTo: number;
  #reserving = false;
  #isWriting = false;
  #forgetting = false;
  /** Since when events wait to be written, on the monotonic clock. */
  #unwrittenSinceMs = 0;
  /** Somebody waits for events to be durable. */
  #urgent = false;
  #retryAtMs = 0;
  /** Why events were not written last. Null: they are. */
  #lastError: OperationError | null = null;
  /** Events without a number that were dropped. */
  #dropped = 0;
  /** Numbered events that were given up, as the disk did not take them for too long. */
  #givenUp: { first: number; last: number } | null = null;
  /** Events with lower numbers were asked to be forgotten. */
  #forgottenBelow = 0;
  readonly #failures: Repeats;
  readonly #summed: SummedEvents;
  readonly #subscriptions = new Set<Subscription>();
  #stopped = false;
  #stopping: Done | null = null;

  /** Throws INVALID_CONFIG, as {@link EventStorage.load}. */
  constructor({ world, storage, eventsMax = EVENTS_MAX, bytesMax = EVENTS_BYTES_MAX }: EventLogOptions) {
    this.#world = world;
    this.#storage = storage;
    this.#eventsMax = eventsMax;
    this.#bytesMax = bytesMax;
    this.#failures = new Repeats(world.clock);
    this.#summed = new SummedEvents((kind, target, fields) => this.#add(kind, target, fields, null));
    const { events, reservedUpTo, damaged } = storage.load();
    for (const event of events) this.#keep(event, JSON.stringify(event).length);
    const last = events.at(-1)?.number ?? 0;
    // Nobody knows how far numbers were given: not further ahead of what is written than this, unless the disk took no events for long.
    const given = Math.max(last, reservedUpTo ?? (last === 0 ? 0 : last + RESERVED_NUMBERS + BUFFER_MAX));
    this.#nextNumber = given + 1;
    this.#reservedUpTo = given;
    if (given > last) {
      const why = 'the node has not ended in order, and what it had not written by then is gone';
      this.record('events-lost', '', { firstNumber: last + 1, lastNumber: given, why });
    }
    for (const { file, count } of damaged) this.record('events-damaged', '', { file, count });
    world.ticker.subscribe(this);
    this.#reserve();
  }

  /**
   * Something has happened. Returns at once. Kinds that are durable before what they tell of is begun take `done`: it is called once the
   * event is durable, and what it tells of may begin; or with the error because of which it may not.
   */
  record<Kind extends EventKind>(
    kind: Kind,
    target: string,
    fields: EventFields<Kind>,
    ...[done]: Kind extends DurableFirstKind ? [done: Done] : []
  ): void {
    if (this.#stopped) {
      this.#world.log.info('an event came after the event log was closed', { kind, target });
      done?.(new OperationError('UNAVAILABLE', 'this node stops: try again once it has started'));
      return;
    }
    const values: Readonly<Record<string, string | number>> = { ...fields };
    const { summed }: EventKindSpec = EVENT_KINDS[kind];
    if (summed === true) this.#summed.happened(kind, target, values, this.#world.clock.nowMs());
    else this.#add(kind, target, values, done ?? null);
  }

  /** A page of the events that are kept, those included that are not written yet. */
  page({ after = null, before = null, limit, severity = null, kind = null, target = null }: EventPageRequest): EventPage {
    const worse = severity === null ? EVENT_SEVERITIES : EVENT_SEVERITIES.slice(EVENT_SEVERITIES.indexOf(severity));
    const isWanted = (event: NodeEvent): boolean =>
      worse.includes(event.severity) && (kind === null || event.kind === kind) && (target === null || event.target === target);
    const gap = after === null ? null : this.#gapAfter(after);
    const from = after === null ? 0 : this.#indexAfter(gap?.reason === 'UNKNOWN' ? 0 : after);
    const to = before === null ? this.#kept.length : this.#indexAfter(before - 1);
    const events: NodeEvent[] = [];
    let more = false;
    for (let i = 0; i < to - from; i++) {
      const event = this.#kept[after === null ? to - 1 - i : from + i]?.event as NodeEvent;
      if (!isWanted(event)) continue;
      more = events.length === limit;
      if (more) break;
      events.push(event);
    }
    const { oldest, newest } = this;
    const isForgotten = after === null && !more && oldest > 1 && (before ?? Number.POSITIVE_INFINITY) > 1;
    const lastForgotten = Math.min(oldest, before ?? oldest) - 1;
    return {
      events,
      more,
      oldest,
      newest,
      gap: isForgotten ? { reason: 'FORGOTTEN', firstNumber: 1, lastNumber: lastForgotten } : gap,
    };
  }

  /** Tells the listener all events after this number, then each one that happens. The first ones are told at the end of this turn. */
  subscribe(after: number, listener: EventListener): EventSubscription {
    const subscription = new Subscription(after, listener, {
      next: (number) => this.#batchAfter(number),
      wake: () => this.#world.turn.defer(this),
      end: (ended) => this.#subscriptions.delete(ended),
    });
    this.#subscriptions.add(subscription);
    this.#world.turn.defer(this);
    return subscription;
  }

  /** The number of the oldest event that is kept; 0: there is none. */
  get oldest(): number {
    return this.#kept[0]?.event.number ?? 0;
  }

  /** The number of the newest event; 0: there is none. */
  get newest(): number {
    return this.#kept.at(-1)?.event.number ?? 0;
  }

  tick(nowMs: number): void {
    this.#summed.tick(nowMs);
    this.#reserve();
    if (this.#unwritten.length > 0 && nowMs - this.#unwrittenSinceMs >= FLUSH_MS) this.#write();
  }

  runAtTurnEnd(): void {
    if (this.#urgent) this.#write();
    for (const subscription of this.#subscriptions) subscription.tell();
  }

  /**
   * Writes what is not written, and gives back the numbers that were reserved. One attempt is made. After it nothing is recorded any more.
   * `done` gets the error of a disk that has not taken everything.
   */
  stop(done: Done): void {
    this.#summed.flush(this.#world.clock.nowMs());
    this.#stopped = true;
    this.#world.ticker.unsubscribe(this);
    this.#stopping = done;
    this.#goOnStopping();
  }

  #goOnStopping(): void {
    if (this.#stopping === null || this.#isWriting || this.#reserving) return;
    this.#retryAtMs = 0;
    if (this.#unwritten.length > 0) this.#write();
    else if (this.#unnumbered.length > 0) this.#reserve();
    else {
      const done = this.#stopping;
      this.#stopping = null;
      this.#storage.reserve(this.#nextNumber - 1, done);
    }
  }

  /** The one attempt has failed: the numbers that are reserved tell the next start that events are lost. */
  #stopFailed(error: OperationError): void {
    const done = this.#stopping;
    this.#stopping = null;
    done?.(error);
  }

  #add(kind: EventKind, target: string, given: Readonly<Record<string, string | number>>, done: Done | null): void {
    const fields: Record<string, string | number> = {};
    for (const [name, value] of Object.entries(given)) fields[name] = typeof value === 'string' ? keptText(value) : value;
    const draft: Draft = {
      atMs: this.#world.clock.wallMs(),
      kind,
      severity: eventSeverity(kind, fields),
      target: keptText(target),
      sentence: eventSentence(kind, fields),
      fields,
      done,
    };
    if (this.#nextNumber < this.#reservedUpTo && this.#unnumbered.length === 0) this.#number(draft);
    else this.#unnumbered.push(draft);
    this.#drop();
    if (done !== null) {
      this.#urgent = true;
      this.#retryAtMs = 0;
      this.#world.turn.defer(this);
    }
    this.#reserve();
  }

  #number({ done, ...rest }: Draft): void {
    const event: NodeEvent = { number: this.#nextNumber++, ...rest };
    const line = JSON.stringify(event);
    if (this.#unwritten.length === 0) this.#unwrittenSinceMs = this.#world.clock.nowMs();
    this.#unwritten.push({ number: event.number, line, done });
    this.#keep(event, line.length);
    if (this.#subscriptions.size > 0) this.#world.turn.defer(this);
  }

  #keep(event: NodeEvent, bytes: number): void {
    this.#kept.push({ event, bytes });
    this.#keptBytes += bytes;
    while (this.#kept.length > this.#eventsMax || this.#keptBytes > this.#bytesMax) this.#keptBytes -= this.#kept.shift()?.bytes ?? 0;
  }

  /** The oldest events that wait make room. */
  #drop(): void {
    while (this.#unnumbered.length + this.#unwritten.length > BUFFER_MAX) {
      const numbered = this.#unwritten.shift();
      if (numbered === undefined) this.#dropped++;
      else {
        const { first, last } = this.#givenUp ?? { first: numbered.number, last: numbered.number };
        this.#givenUp = { first: Math.min(first, numbered.number), last: Math.max(last, numbered.number) };
      }
      const { done } = numbered ?? (this.#unnumbered.shift() as Draft);
      done?.(this.#lastError ?? new OperationError('UNAVAILABLE', TOO_MANY));
    }
  }

  /** Reserves further numbers when few are left. */
  #reserve(): void {
    if (this.#reserving || this.#world.clock.nowMs() < this.#retryAtMs) return;
    const areEnough = this.#stopped ? this.#unnumbered.length === 0 : this.#reservedUpTo - this.#nextNumber >= RESERVED_NUMBERS / 2;
    if (areEnough) return;
    this.#reserving = true;
    const upTo = this.#nextNumber - 1 + RESERVED_NUMBERS;
    this.#storage.reserve(upTo, (error) => {
      this.#reserving = false;
      if (error === null) {
        this.#reservedUpTo = upTo;
        this.#numberAll();
        if (this.#urgent) this.#write();
      } else {
        this.#failed(error);
        for (const [index, draft] of this.#unnumbered.entries()) {
          draft.done?.(error);
          this.#unnumbered[index] = { ...draft, done: null };
        }
        this.#stopFailed(error);
      }
      this.#goOnStopping();
    });
  }

  #numberAll(): void {
    const count = Math.min(this.#unnumbered.length, this.#reservedUpTo - this.#nextNumber);
    for (const draft of this.#unnumbered.splice(0, count)) this.#number(draft);
  }

  #write(): void {
    if (this.#isWriting || this.#unwritten.length === 0 || this.#world.clock.nowMs() < this.#retryAtMs) return;
    this.#isWriting = true;
    this.#urgent = false;
    this.#writing = this.#unwritten;
    this.#unwritten = [];
    this.#storage.append(this.#writing, (error) => {
      const written = this.#writing;
      this.#isWriting = false;
      this.#writing = [];
      if (error === null) this.#written();
      else {
        this.#unwritten = [...written, ...this.#unwritten];
        this.#failed(error);
        this.#drop();
      }
      for (const each of written) {
        each.done?.(error);
        each.done = null;
      }
      if (error !== null) this.#stopFailed(error);
      else if (this.#urgent) this.#write();
      this.#goOnStopping();
    });
  }

  /** The disk takes events. What it has not taken before is said, and what is not kept any more is removed. */
  #written(): void {
    if (this.#failures.times > 0) this.#world.log.info('events are written again', { seconds: this.#failures.seconds });
    this.#failures.end();
    const why = this.#lastError?.message ?? TOO_MANY;
    this.#lastError = null;
    if (this.#givenUp !== null) {
      const { first, last } = this.#givenUp;
      this.#givenUp = null;
      this.#add('events-lost', '', { firstNumber: first, lastNumber: last, why }, null);
    }
    if (this.#dropped > 0) {
      const count = this.#dropped;
      this.#dropped = 0;
      this.#add('events-dropped', '', { count, why }, null);
    }
    const below = this.oldest;
    if (below <= this.#forgottenBelow || this.#forgetting) return;
    this.#forgetting = true;
    this.#storage.forget(below, (error) => {
      this.#forgetting = false;
      if (error === null) this.#forgottenBelow = below;
      else if (this.#failures.felt(error.message)) this.#world.log.warn('old events could not be removed', { why: error.message });
    });
  }

  #failed(error: OperationError): void {
    this.#lastError = error;
    this.#retryAtMs = this.#world.clock.nowMs() + STORAGE_RETRY_MS;
    const waiting = this.#unwritten.length + this.#unnumbered.length;
    if (this.#failures.felt(error.message)) this.#world.log.error('events can not be written', { why: error.message, waiting });
  }

  /** The position of the first event that is kept with a higher number. */
  #indexAfter(number: number): number {
    let low = 0;
    let high = this.#kept.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#kept[middle]?.event.number ?? 0) > number) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #gapAfter(after: number): EventGap | null {
    if (after >= this.#nextNumber) return { reason: 'UNKNOWN', firstNumber: this.#nextNumber, lastNumber: after };
    const { oldest } = this;
    return after + 1 < oldest ? { reason: 'FORGOTTEN', firstNumber: after + 1, lastNumber: oldest - 1 } : null;
  }

  #batchAfter(after: number): { readonly events: readonly NodeEvent[]; readonly gap: EventGap | null } {
    const gap = this.#gapAfter(after);
    const from = this.#indexAfter(gap?.reason === 'UNKNOWN' ? 0 : after);
    return { events: this.#kept.slice(from, from + BATCH_MAX).map(({ event }) => event), gap };
  }
}

/** Events that are kept, and the bytes that they take as lines of JSON. The oldest go first. */
export const EVENTS_MAX = 10_000;
export const EVENTS_BYTES_MAX = 16 * 1024 * 1024;
/** Numbers that are reserved at a time. */
export const RESERVED_NUMBERS = 1_000;
/** An event is written so long, in milliseconds, after it happened at most, if the disk takes it. */
export const FLUSH_MS = 500;
/** Events that wait to be written, at most. */
export const BUFFER_MAX = 2_000;
/** After so long, in milliseconds, the disk is tried again. */
export const STORAGE_RETRY_MS = 1_000;
/** Events that a subscriber gets at a time, at most. */
export const BATCH_MAX = 500;

/** An event as it is told, and kept: it does not change when a later version has another sentence. */
export interface NodeEvent {
  /** From 1 on, rising. */
  readonly number: number;
  /** Wall clock. */
  readonly atMs: number;
  readonly kind: string;
  readonly severity: EventSeverity;
  /** What it is about; see {@link EventKindSpec.about}. */
  readonly target: string;
  readonly sentence: string;
  readonly fields: Readonly<Record<string, string | number>>;
}

/** What a storage had when it was opened. */
export interface FoundEvents {
  /** In the order of their numbers. */
  readonly events: readonly NodeEvent[];
  /** Up to here numbers may have been given. Null: that is not known. */
  readonly reservedUpTo: number | null;
  /** Lines that could not be read. */
  readonly damaged: readonly { readonly file: string; readonly count: number }[];
}

type Done = (error: OperationError | null) => void;

const TOO_MANY = 'more happened at once than can wait to be written';

/** Where events survive the process. Calls of one method do not overlap; they end later, and not from within the call. */
export interface EventStorage {
  /** What is there. Called once, before everything else. Throws INVALID_CONFIG for what can't be understood, with what to do. */
  load(): FoundEvents;
  /** Numbers up to this one count as given from now on. `done(null)`: that is durable. */
  reserve(upTo: number, done: Done): void;
  /** Writes events behind those that are there. After an error the same ones are given again, with others behind them. */
  append(events: readonly { readonly number: number; readonly line: string }[], done: Done): void;
  /** Events with lower numbers are not needed any more. */
  forget(below: number, done: Done): void;
}

/** What somebody asked for and does not get: events with these numbers. */
export interface EventGap {
  /** `FORGOTTEN`: they were too old to be kept. `UNKNOWN`: such numbers were never given here, so that all that is kept is told. */
  readonly reason: 'FORGOTTEN' | 'UNKNOWN';
  readonly firstNumber: number;
  readonly lastNumber: number;
}

export interface EventPageRequest {
  /** The oldest events after this number, oldest first. Null: the newest ones, newest first. */
  readonly after?: number | null;
  /** Only events with lower numbers. */
  readonly before?: number | null;
  readonly limit: number;
  /** Events of this severity and worse. */
  readonly severity?: EventSeverity | null;
  readonly kind?: string | null;
  readonly target?: string | null;
}

export interface EventPage {
  readonly events: readonly NodeEvent[];
  /** Whether more events are kept that the request is for. */
  readonly more: boolean;
  /** The numbers of the oldest and the newest event that are kept; 0: there are none. */
  readonly oldest: number;
  readonly newest: number;
  /** Events that were asked for and are not kept any more. Null: none are known to be missing. */
  readonly gap: EventGap | null;
}

export interface EventListener {
  /** Gets events in order, at most {@link BATCH_MAX} at a time. `gap`: what is missing before them. */
  onEvents(events: readonly NodeEvent[], gap: EventGap | null): void;
}

export interface EventSubscription {
  /** Tells nothing more, until `resume`: for a listener that can't keep up. Nothing is kept for it; what is forgotten meanwhile is a gap. */
  pause(): void;
  resume(): void;
  end(): void;
}

export interface EventLogOptions {
  readonly world: World;
  readonly storage: EventStorage;
  readonly eventsMax?: number;
  readonly bytesMax?: number;
}

/** An event without its number. */
type Draft = Omit<NodeEvent, 'number'> & { readonly done: Done | null };

interface Unwritten {
  readonly number: number;
  readonly line: string;
  done: Done | null;
}

/** What a subscription needs of the log. */
interface SubscriptionHost {
  next(after: number): { readonly events: readonly NodeEvent[]; readonly gap: EventGap | null };
  wake(): void;
  end(subscription: Subscription): void;
}

class Subscription implements EventSubscription {
  #after: number;
  readonly #listener: EventListener;
  readonly #host: SubscriptionHost;
  #state: 'LIVE' | 'PAUSED' | 'ENDED' = 'LIVE';

  constructor(after: number, listener: EventListener, host: SubscriptionHost) {
    this.#after = after;
    this.#listener = listener;
    this.#host = host;
  }

  /** Tells all that has happened by now, unless the listener pauses. */
  tell(): void {
    while (this.#state === 'LIVE') {
      const { events, gap } = this.#host.next(this.#after);
      if (events.length === 0 && gap === null) return;
      this.#after = events.at(-1)?.number ?? 0;
      this.#listener.onEvents(events, gap);
    }
  }

  pause(): void {
    if (this.#state === 'LIVE') this.#state = 'PAUSED';
  }

  resume(): void {
    if (this.#state !== 'PAUSED') return;
    this.#state = 'LIVE';
    this.#host.wake();
  }

  end(): void {
    this.#state = 'ENDED';
    this.#host.end(this);
  }
}
