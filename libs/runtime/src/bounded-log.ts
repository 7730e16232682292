import type { LogFields, Logger } from './logger.ts';
import { SUMMARY_MS_MAX, SUMMARY_MS_MIN } from './repeats.ts';
import type { Clock } from './world.ts';

/** Lines of one kind that are written as they come: enough for what a start or a failover says of one subject. */
export const LINES_AT_ONCE = 4;
/** A kind of line that has been quiet for so long is written at once again. */
export const QUIET_MS = 600_000;
/** Kinds of lines that are counted at a time; the one that was quiet for longest makes way. */
export const KINDS_MAX = 1024;

/** Fields that say whom or what a line is about: lines that differ in one of them are of different kinds. */
const SUBJECTS = ['pool', 'member', 'node', 'store', 'export', 'client', 'path', 'address', 'peer', 'from', 'to', 'order', 'code', 'kind'];
/** As above, for sentences: figures and what is quoted in them vary while they say the same. */
const SENTENCES = ['waitingFor', 'what', 'reason'];

type Level = 'debug' | 'info' | 'warn' | 'error';

/** What has been written of one kind of line, and what has not. */
interface Kind {
  readonly log: Logger;
  readonly level: Level;
  readonly event: string;
  lines: number;
  /** Lines since the last that was written. */
  held: number;
  heldFields: LogFields | undefined;
  lastMs: number;
  intervalMs: number;
  summaryMs: number;
}

/**
 * A log that does not grow for ever, whatever repeats. The first {@link LINES_AT_ONCE} lines of a kind are written as they come. Later ones are
 * counted, and the newest of them is written with their number (`repeated`) at intervals that double from a minute up to an hour. A
 * kind that is quiet for {@link QUIET_MS} starts anew. Lines of level `debug` are not bounded: they
 * are written for somebody who looks for something.
 */
export class BoundedLog {
  readonly #clock: Clock;
  /** In the order of their last line. */
  readonly #kinds = new Map<string, Kind>();
  /** The log itself. */
  readonly log: Logger;

  constructor(log: Logger, clock: Clock) {
    this.#clock = clock;
    this.log = this.#bound(log, '');
  }

  #bound(log: Logger, prefix: string): Logger {
    return {
      debug: (event, fields) => log.debug(event, fields),
      info: (event, fields) => this.#line(log, prefix, 'info', event, fields),
      warn: (event, fields) => this.#line(log, prefix, 'warn', event, fields),
      error: (event, fields) => this.#line(log, prefix, 'error', event, fields),
      child: (fields) => this.#bound(log.child(fields), `${prefix}${subjectOf(fields)}`),
    };
  }

  #line(log: Logger, prefix: string, level: Level, event: string, fields: LogFields | undefined): void {
    const nowMs = this.#clock.nowMs();
    const key = `${level} ${event}${prefix}${fields === undefined ? '' : subjectOf(fields)}`;
    let kind = this.#kinds.get(key);
    // The order of the map is that of their last lines.
    this.#kinds.delete(key);
    if (kind === undefined || nowMs - kind.lastMs > QUIET_MS) {
      if (kind !== undefined) this.#sayHeld(kind);
      kind = { log, level, event, lines: 0, held: 0, heldFields: undefined, lastMs: nowMs, intervalMs: SUMMARY_MS_MIN, summaryMs: 0 };
    }
    this.#kinds.set(key, kind);
    if (this.#kinds.size > KINDS_MAX) this.#forgetOldest();
    kind.lastMs = nowMs;
    if (kind.lines < LINES_AT_ONCE) {
      kind.lines++;
      kind.summaryMs = nowMs + kind.intervalMs;
      log[level](event, fields);
      return;
    }
    kind.held++;
    kind.heldFields = fields;
  }

  /** Writes the summaries that are due. To be called every few seconds. */
  tick(): void {
    const nowMs = this.#clock.nowMs();
    for (const [key, kind] of this.#kinds) {
      const quiet = nowMs - kind.lastMs > QUIET_MS;
      if (kind.held > 0 && (quiet || nowMs >= kind.summaryMs)) {
        this.#sayHeld(kind);
        kind.intervalMs = Math.min(SUMMARY_MS_MAX, 2 * kind.intervalMs);
        kind.summaryMs = nowMs + kind.intervalMs;
      }
      if (quiet) this.#kinds.delete(key);
    }
  }

  /** Writes every summary, due or not: the process ends. */
  flush(): void {
    for (const kind of this.#kinds.values()) this.#sayHeld(kind);
  }

  #sayHeld(kind: Kind): void {
    if (kind.held === 0) return;
    kind.log[kind.level](kind.event, { ...kind.heldFields, repeated: kind.held });
    kind.held = 0;
    kind.heldFields = undefined;
  }

  #forgetOldest(): void {
    for (const [key, kind] of this.#kinds) {
      this.#sayHeld(kind);
      this.#kinds.delete(key);
      return;
    }
  }
}

function subjectOf(fields: LogFields): string {
  let subject = '';
  for (const name of SUBJECTS) {
    const value = fields[name];
    // A client has another port each time that it connects.
    if (value !== undefined) subject += ` ${name}=${name === 'peer' ? String(value).replace(/:\d+$/, '') : String(value)}`;
  }
  for (const name of SENTENCES) {
    const value = fields[name];
    if (value !== undefined)
      subject += ` ${name}=${String(value)
        .replaceAll(/"[^"]*"/g, '""')
        .replaceAll(/0x[0-9a-f]+|\d+/gi, '#')}`;
  }
  return subject;
}
