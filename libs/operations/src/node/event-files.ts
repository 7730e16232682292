/**
 * The events of a node on disk, in `events/` below `stateDir`: segments, files of JSON lines that are only written at their ends, and
 * `numbers.json`, which says up to which number events may have been given. A segment begins with a line that says its format. Old events
 * go segment by segment.
 *
 * What a crash leaves at the end of a segment that is no whole line was never promised: it is passed over, and the next events get a segment of
 * their own. So do the next ones after a write that failed, as nobody knows how much of it is there; what was written twice is read once.
 * A line that is damaged elsewhere costs the events in it, which is said: a node does not refuse its service because of its history.
 */
import { mkdirSync, readdirSync, readFileSync, unlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { assert, errorMessage, OperationError } from '@rmr/runtime';
import { z } from 'zod';
import { EVENT_SEVERITIES } from '../core/event-kinds.ts';
import type { EventStorage, FoundEvents, NodeEvent } from '../core/event-log.ts';
import { type FileCalls, SYSTEM_CALLS } from './record-directory.ts';

export class EventFiles implements EventStorage {
  readonly #path: string;
  readonly #calls: EventFileCalls;
  readonly #segmentEventsMax: number;
  /** Oldest first. */
  readonly #segments: Segment[] = [];
  /** The segment that gets the next events. Null: they get a new one. */
  #current: Segment | null = null;

  constructor(stateDir: string, options: { readonly calls?: EventFileCalls; readonly segmentEventsMax?: number } = {}) {
    this.#path = join(stateDir, 'events');
    this.#calls = options.calls ?? EVENT_SYSTEM_CALLS;
    this.#segmentEventsMax = options.segmentEventsMax ?? SEGMENT_EVENTS_MAX;
  }

  /** Reads what is in `stateDir`. Throws INVALID_CONFIG for a directory that can't be read, and for files of another version. */
  load(): FoundEvents {
    try {
      return this.#read();
    } catch (error) {
      if (error instanceof OperationError) throw error;
      throw new OperationError('INVALID_CONFIG', `stateDir: the events in ${this.#path} can't be read: ${errorMessage(error)}`, {
        cause: error,
      });
    }
  }

  reserve(upTo: number, done: Done): void {
    const path = join(this.#path, NUMBERS);
    this.#do(done, async () => {
      await this.#calls.write(`${path}${TEMPORARY}`, `${JSON.stringify({ version: VERSION, reservedUpTo: upTo })}\n`);
      await this.#calls.rename(`${path}${TEMPORARY}`, path);
      await this.#calls.flushDirectory(this.#path);
    });
  }

  append(events: readonly { readonly number: number; readonly line: string }[], done: Done): void {
    const [first] = events;
    const last = events.at(-1);
    assert(first !== undefined && last !== undefined, 'event files: there is something to append');
    const lines = `${events.map(({ line }) => line).join('\n')}\n`;
    const current = this.#current;
    // If the write fails, nobody knows how much of it is there.
    this.#current = null;
    this.#do(done, async () => {
      const segment = current ?? this.#begin(first.number);
      segment.last = last.number;
      segment.events += events.length;
      segment.bytes += Buffer.byteLength(lines);
      if (current !== null) await this.#calls.append(segment.path, lines);
      else {
        await this.#calls.write(segment.path, HEADER + lines);
        await this.#calls.flushDirectory(this.#path);
      }
      this.#current = this.#hasRoom(segment) ? segment : null;
    });
  }

  #begin(first: number): Segment {
    const path = this.#segmentPath(first);
    // One of this name has the same events, from a write that failed. It is written anew.
    if (this.#segments.at(-1)?.path === path) this.#segments.pop();
    const segment = { path, last: 0, events: 0, bytes: HEADER.length };
    this.#segments.push(segment);
    return segment;
  }

  #hasRoom({ events, bytes }: Segment): boolean {
    return events < this.#segmentEventsMax && bytes < SEGMENT_BYTES_MAX;
  }

  forget(below: number, done: Done): void {
    this.#do(done, async () => {
      for (let oldest = this.#segments[0]; oldest !== undefined; oldest = this.#segments[0]) {
        // The newest segment is being written.
        if (oldest.last >= below || this.#segments.length === 1) return;
        await this.#calls.unlink(oldest.path).catch((error: unknown) => {
          if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        });
        this.#segments.shift();
      }
    });
  }

  #do(done: Done, work: () => Promise<void>): void {
    work().then(
      () => done(null),
      (error: unknown) => done(this.#failed(error)),
    );
  }

  #failed(error: unknown): OperationError {
    const { code } = error as NodeJS.ErrnoException;
    return new OperationError(
      code === 'ENOSPC' || code === 'EDQUOT' ? 'NO_SPACE' : 'IO_ERROR',
      `the events of this node can't be written in ${this.#path}: ${errorMessage(error)}; check the space and the disk of stateDir`,
      { cause: error },
    );
  }

  #segmentPath(first: number): string {
    return join(this.#path, `events-${String(first).padStart(16, '0')}.jsonl`);
  }

  #read(): FoundEvents {
    mkdirSync(this.#path, { recursive: true, mode: 0o700 });
    const events: NodeEvent[] = [];
    const damaged: { file: string; count: number }[] = [];
    let reservedUpTo: number | null = null;
    for (const name of readdirSync(this.#path).sort()) {
      const path = join(this.#path, name);
      if (name.endsWith(TEMPORARY)) unlinkSync(path);
      else if (name === NUMBERS) {
        reservedUpTo = this.#readNumbers(path);
        if (reservedUpTo === null) damaged.push({ file: name, count: 1 });
      } else if (SEGMENT.test(name)) {
        const count = this.#readSegment(path, events);
        if (count > 0) damaged.push({ file: name, count });
      }
    }
    return { events, reservedUpTo, damaged };
  }

  /** Null: it is damaged. */
  #readNumbers(path: string): number | null {
    const numbers = numbersSchema.safeParse(jsonOf(readFileSync(path, 'utf8')));
    if (!numbers.success) return null;
    if (numbers.data.version !== VERSION) throw foreign(path, numbers.data.version);
    return numbers.data.reservedUpTo ?? null;
  }

  /** Adds the events of a segment to those that were read before. Returns how many lines are damaged. */
  #readSegment(path: string, events: NodeEvent[]): number {
    const text = readFileSync(path, 'utf8');
    const lines = text.split('\n');
    // What comes behind the last end of a line: nothing, or what a crash has cut.
    const isTorn = lines.pop() !== '';
    const header = headerSchema.safeParse(jsonOf(lines.shift() ?? ''));
    if (header.success && header.data.version !== VERSION) throw foreign(path, header.data.version);
    let last = events.at(-1)?.number ?? 0;
    let count = 0;
    let wrong = header.success || lines.length === 0 ? 0 : 1;
    for (const line of lines) {
      const event = eventSchema.safeParse(jsonOf(line));
      if (!event.success) {
        wrong++;
        continue;
      }
      count++;
      if (event.data.number <= last) continue;
      last = event.data.number;
      events.push(event.data);
    }
    if (count === 0 && wrong === 0) {
      // The crash came before its first event was there.
      unlinkSync(path);
      return 0;
    }
    const segment = { path, last, events: lines.length, bytes: Buffer.byteLength(text) };
    this.#segments.push(segment);
    this.#current = !isTorn && wrong === 0 && this.#hasRoom(segment) ? segment : null;
    return wrong;
  }
}

/** A segment that has so many events or bytes gets no more. */
export const SEGMENT_EVENTS_MAX = 1_000;
export const SEGMENT_BYTES_MAX = 1024 * 1024;
const VERSION = 1;
const HEADER = `${JSON.stringify({ format: 'rmr-events', version: VERSION })}\n`;
const SEGMENT = /^events-\d{16}\.jsonl$/;
const NUMBERS = 'numbers.json';
const TEMPORARY = '.new';

const headerSchema = z.object({ format: z.literal('rmr-events'), version: z.int() });
const numbersSchema = z.object({ version: z.int(), reservedUpTo: z.int().min(0).optional() });
const eventSchema: z.ZodType<NodeEvent> = z.strictObject({
  number: z.int().min(1),
  atMs: z.number(),
  kind: z.string(),
  severity: z.enum(EVENT_SEVERITIES),
  target: z.string(),
  sentence: z.string(),
  fields: z.record(z.string(), z.union([z.string(), z.number()])),
});

/** The calls to the file system. Tests put others in their place. */
export interface EventFileCalls extends FileCalls {
  /** Writes at the end of a file, and flushes it. */
  append(path: string, content: string): Promise<void>;
}

export const EVENT_SYSTEM_CALLS: EventFileCalls = {
  ...SYSTEM_CALLS,
  async append(path, content) {
    const file = await open(path, 'a');
    try {
      await file.writeFile(content);
      await file.datasync();
    } finally {
      await file.close();
    }
  },
};

interface Segment {
  readonly path: string;
  /** The number of its newest event. */
  last: number;
  events: number;
  bytes: number;
}

type Done = (error: OperationError | null) => void;

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // It is no JSON, and so matches no schema.
    return undefined;
  }
}

function foreign(path: string, version: number): OperationError {
  return new OperationError(
    'INVALID_CONFIG',
    `stateDir: ${path} is of version ${version} of the events, and this program knows version ${VERSION}: start the version of the daemon that wrote it`,
  );
}
