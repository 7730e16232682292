import type { Clock, LogFields, Logger } from '@rmr/runtime';

/** Keeps log lines in memory. Children share the entries of their parent. */
export class MemoryLog implements Logger {
  readonly entries: LogEntry[];
  readonly #clock: Clock;
  readonly #fields: LogFields;

  constructor(clock: Clock, entries: LogEntry[] = [], fields: LogFields = {}) {
    this.#clock = clock;
    this.entries = entries;
    this.#fields = fields;
  }

  debug(event: string, fields?: LogFields): void {
    this.#add('debug', event, fields);
  }

  info(event: string, fields?: LogFields): void {
    this.#add('info', event, fields);
  }

  warn(event: string, fields?: LogFields): void {
    this.#add('warn', event, fields);
  }

  error(event: string, fields?: LogFields): void {
    this.#add('error', event, fields);
  }

  child(fields: LogFields): MemoryLog {
    return new MemoryLog(this.#clock, this.entries, { ...this.#fields, ...fields });
  }

  /** All lines as text, one per line: for the message of a failed test. */
  text(): string {
    return this.entries.map((entry) => `${entry.atMs.toFixed(3)} ${entry.level} ${entry.event} ${JSON.stringify(entry.fields)}`).join('\n');
  }

  #add(level: LogEntry['level'], event: string, fields: LogFields = {}): void {
    if (this.entries.length >= ENTRIES_MAX) this.entries.splice(0, ENTRIES_MAX / 2);
    this.entries.push({ atMs: this.#clock.nowMs(), level, event, fields: { ...this.#fields, ...fields } });
  }
}

/** One captured line. */
export interface LogEntry {
  readonly atMs: number;
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly event: string;
  readonly fields: LogFields;
}

/** Lines kept; the oldest go first. Long simulations would otherwise hold everything. */
const ENTRIES_MAX = 20_000;
