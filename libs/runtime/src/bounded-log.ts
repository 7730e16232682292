import type { LogFields, Logger } from './logger.ts';
import { SUMMARY_MS_MAX, SUMMARY_MS_MIN } from './repeats.ts';
import type { Clock } from './world.ts';

/**
 * Limits the lines that a log gets, however often something repeats. The first {@link LINES_AT_ONCE} lines of a kind are written as they
 * come. Later lines are counted. The newest of them is written with their number (`repeated`), at intervals that double from a minute up
 * to an hour. A kind that has been quiet for {@link QUIET_MS} starts anew. Lines of level `debug` are not limited: a person asked for
 * them, and is looking for something.
 */
export class BoundedLog {
  readonly #clock: Clock;
  /** The kinds of lines, in the order of their last line: the quietest first. */
  readonly #kinds = new Map<string, Kind>();
  /** The log to write to. Its lines are limited. */
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
    // Deleting the kind and setting it again moves it to the end of the map.
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

  /** Writes the summaries that are due. Call it every few seconds. */
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

  /** Writes every summary, due or not. Call it when the process ends. */
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

/** How many lines of one kind are written as they come. A start or a failover writes fewer lines on one subject. */
export const LINES_AT_ONCE = 4;
/** After so long without a line of a kind, the next one counts as news: it is written at once again. */
export const QUIET_MS = 600_000;
/** How many kinds of lines are counted at a time. When there are more, the kind that was quiet for longest is forgotten. */
export const KINDS_MAX = 1024;

/** Fields that name the subject of a line. Lines that differ in one of them are of different kinds. */
const SUBJECTS = ['pool', 'member', 'node', 'store', 'export', 'client', 'path', 'address', 'peer', 'from', 'to', 'order', 'code', 'kind'];
/** Fields with sentences, which also tell kinds apart. Figures and quoted parts of a sentence are ignored: they vary while it says the same. */
const SENTENCES = ['waitingFor', 'what', 'reason'];

type Level = 'debug' | 'info' | 'warn' | 'error';

/** The state of one kind of line: when it was last written, and how many lines were held back since. */
interface Kind {
  readonly log: Logger;
  readonly level: Level;
  readonly event: string;
  lines: number;
  /** Lines that were held back since the last one that was written. */
  held: number;
  heldFields: LogFields | undefined;
  lastMs: number;
  intervalMs: number;
  summaryMs: number;
}

function subjectOf(fields: LogFields): string {
  let subject = '';
  for (const name of SUBJECTS) {
    const value = fields[name];
    // The port of a peer is left out: a client has another one each time that it connects.
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
