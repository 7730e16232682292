import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OperationError } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EventLog, type NodeEvent } from '../core/event-log.ts';
import { EVENT_SYSTEM_CALLS, type EventFileCalls, EventFiles } from './event-files.ts';

let stateDir = '';
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'events-'));
});
afterEach(() => rmSync(stateDir, { recursive: true }));

const names = (): string[] => readdirSync(join(stateDir, 'events')).filter((name) => name !== 'numbers.json');
const pathOf = (name: string): string => join(stateDir, 'events', name);

const DONE = Promise.resolve();

/** Calls that take effect at once, and end with everything at the given one: before it, with half of its content written, or after it. */
class Calls implements EventFileCalls {
  count = 0;
  readonly log: string[] = [];
  readonly #crashAt: number;
  readonly #torn: boolean;
  failure: Error | null = null;
  /** A call that fails leaves half of what it had to write. */
  failsTorn = false;

  constructor(crashAt = Number.POSITIVE_INFINITY, torn = false) {
    this.#crashAt = crashAt;
    this.#torn = torn;
  }

  get dead(): boolean {
    return this.count >= this.#crashAt - 0.5;
  }

  write(path: string, content: string): Promise<void> {
    return this.#call('write', (share) => writeFileSync(path, content.slice(0, Math.floor(content.length * share))));
  }

  append(path: string, content: string): Promise<void> {
    return this.#call('append', (share) => appendFileSync(path, content.slice(0, Math.floor(content.length * share))));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#call('rename', (share) => share === 1 && renameSync(from, to));
  }

  unlink(path: string): Promise<void> {
    return this.#call('unlink', (share) => share === 1 && unlinkSync(path));
  }

  flushDirectory(): Promise<void> {
    return this.#call('flush', () => {});
  }

  #call(name: string, effect: (share: number) => void): Promise<void> {
    if (this.dead) return new Promise(() => {});
    this.count++;
    this.log.push(name);
    if (this.failure !== null) {
      if (this.failsTorn) effect(0.5);
      return Promise.reject(this.failure);
    }
    if (this.count >= this.#crashAt) {
      if (this.#torn) effect(0.5);
      return new Promise(() => {});
    }
    effect(1);
    return this.dead ? new Promise(() => {}) : DONE;
  }
}

/** One process with its event log on files. */
class Process {
  readonly world = new VirtualWorld();
  readonly calls: Calls;
  readonly log: EventLog;
  readonly acknowledged: string[] = [];
  /** All that was told, with what is forgotten by now. */
  readonly told: NodeEvent[] = [];

  constructor(calls = new Calls(), eventsMax = 1000) {
    this.calls = calls;
    this.log = new EventLog({ world: this.world, storage: new EventFiles(stateDir, { calls, segmentEventsMax: 4 }), eventsMax });
    this.log.subscribe(0, { onEvents: (events) => this.told.push(...events) });
  }

  /** Lets time pass, with all that the calls lead to. */
  async run(forMs: number): Promise<void> {
    for (let ms = 0; ms <= forMs; ms += 50) {
      this.world.run(50);
      for (let i = 0; i < 8; i++) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  waits(what: string): void {
    this.log.record('pool-waits', 'p', { pool: 'vm-1', what });
  }

  order(details: string): void {
    this.log.record('order-given', 'p', { by: 'ann', role: 'admin', order: 'x', name: 'vm-1', details }, (error) => {
      if (error === null) this.acknowledged.push(details);
    });
  }

  get events(): readonly NodeEvent[] {
    return this.log.page({ after: 0, limit: 1000 }).events;
  }

  /** Some events and orders, with all that is called for them: new segments, old ones that go, reservations. */
  async live(name: string): Promise<void> {
    await this.run(0);
    for (let i = 0; i < 10; i++) {
      this.waits(`${name}-${i}`);
      if (i % 3 === 2) this.order(`${name}-order-${i}`);
      await this.run(i === 4 ? 600 : 0);
    }
  }
}

const numberedTexts = (events: readonly NodeEvent[]): [number, string][] => events.map((event) => [event.number, JSON.stringify(event)]);
const detailsOf = (events: readonly NodeEvent[]): unknown[] =>
  events.map(({ fields }) => fields['details']).filter((each) => each !== undefined);

describe('events in files', () => {
  test('are there for the next process, with numbers that go on', async () => {
    const first = new Process();
    await first.live('a');
    let ended: unknown;
    first.log.stop((error) => {
      ended = error;
    });
    await first.run(0);
    expect(ended).toBeNull();
    const next = new Process();
    expect(next.events).toEqual(first.events);
    next.waits('b');
    await next.run(600);
    expect(next.events.at(-1)?.number).toBe((first.events.at(-1)?.number ?? 0) + 1);
    const last = new Process();
    await last.run(0);
    expect(last.events.slice(0, -1)).toEqual(next.events);
    expect(last.events.at(-1)?.kind).toBe('events-lost');
  });

  test('are lines of JSON that a person can read, in files that begin with their format', async () => {
    const process = new Process();
    process.waits('a');
    await process.run(600);
    const [name] = names();
    expect(name).toBe('events-0000000000000001.jsonl');
    const [header, line] = readFileSync(pathOf(String(name)), 'utf8').split('\n');
    expect(header).toBe('{"format":"rmr-events","version":1}');
    expect(JSON.parse(String(line))).toMatchObject({ number: 1, sentence: 'IO of vm-1 waits for a' });
  });

  test('names are durable before anybody is told, and numbers before they are given', async () => {
    const process = new Process();
    process.order('a');
    await process.run(0);
    const reserved = ['write', 'rename', 'flush'];
    expect([process.calls.log, process.acknowledged]).toEqual([[...reserved, 'write', 'flush'], ['a']]);
    process.order('b');
    await process.run(0);
    expect([process.calls.log.slice(5), process.acknowledged]).toEqual([['append'], ['a', 'b']]);
  });

  test('old segments go as a whole, and the newest stays', async () => {
    const process = new Process(new Calls(), 5);
    for (let i = 0; i < 40; i++) {
      process.waits(`${i}`);
      await process.run(600);
    }
    expect(process.events).toHaveLength(5);
    expect(names().length).toBeLessThanOrEqual(3);
    expect(new Process().log.oldest).toBeLessThanOrEqual(process.log.oldest);
  });

  const points = Array.from({ length: 60 }, (_, i) => 1 + i / 2);
  test.each(points.flatMap((at) => (Number.isInteger(at) ? [[at, false] as const, [at, true] as const] : [[at, false] as const])))(
    'a crash at call %d (torn: %s): what was acknowledged is there, no number is given twice, the next process reads everything',
    async (at, torn) => {
      const first = new Process(new Calls(at, torn), 5);
      await first.live('a');
      const second = new Process(new Calls(), 5);
      const kept = second.events;
      await second.live('b');
      const third = new Process(new Calls(), 5);
      const texts = new Map(numberedTexts(first.told));
      for (const [number, text] of [...numberedTexts(kept), ...numberedTexts(second.told), ...numberedTexts(third.events)]) {
        expect(texts.get(number) ?? text).toBe(text);
        texts.set(number, text);
      }
      const oldest = kept.find(({ kind }) => kind !== 'events-lost')?.number ?? 0;
      const forgotten = first.told.filter(({ number }) => number < oldest);
      for (const details of first.acknowledged) expect([...detailsOf(kept), ...detailsOf(forgotten)]).toContain(details);
      expect(second.acknowledged).toEqual(['b-order-2', 'b-order-5', 'b-order-8']);
      expect(third.events.filter(({ kind }) => kind === 'events-damaged')).toEqual([]);
      // Whoever was told a number of the first process learns what became of it.
      const last = Math.max(0, ...first.events.map(({ number }) => number));
      const there = new Set(kept.map(({ number }) => number));
      const lost = second.log.page({ limit: 1000, kind: 'events-lost' }).events[0]?.fields;
      if (last > 0 && !there.has(last) && second.log.oldest <= last) expect(Number(lost?.['lastNumber'])).toBeGreaterThanOrEqual(last);
    },
  );

  test('the crash points of that test are all that there are', async () => {
    const process = new Process(new Calls(), 5);
    await process.live('a');
    expect(process.calls.count).toBeLessThan(Number(points.at(-1)));
    expect(new Set(process.calls.log)).toEqual(new Set(['write', 'rename', 'flush', 'append', 'unlink']));
  });

  test('after a write that failed half way, everything is written anew, and read once', async () => {
    const process = new Process();
    process.waits('a');
    await process.run(600);
    process.calls.failsTorn = true;
    process.calls.failure = Object.assign(new Error('input/output error'), { code: 'EIO' });
    process.waits('b');
    process.waits('c');
    process.order('d');
    await process.run(3000);
    expect(process.acknowledged).toEqual([]);
    process.calls.failure = null;
    await process.run(3000);
    process.order('e');
    await process.run(0);
    expect(process.acknowledged).toEqual(['e']);
    const { events, damaged } = new EventFiles(stateDir).load();
    expect([events, damaged]).toEqual([process.events, []]);
    expect(names().length).toBeGreaterThan(1);
  });

  test.each([
    ['ENOSPC', 'NO_SPACE'],
    ['EIO', 'IO_ERROR'],
  ])('an order whose event meets %s is told %s, and what to do', async (code, expected) => {
    const process = new Process();
    await process.run(0);
    process.calls.failure = Object.assign(new Error('no'), { code });
    let answer: OperationError | null = null;
    process.log.record('order-given', 'p', { by: 'ann', role: 'admin', order: 'x', name: 'v', details: '' }, (error) => {
      answer = error;
    });
    await process.run(0);
    expect(answer).toBeInstanceOf(OperationError);
    expect(answer).toMatchObject({ code: expected, message: expect.stringMatching(/check the space and the disk of stateDir/) });
  });

  test('with the calls of the system, too', async () => {
    const world = new VirtualWorld();
    const log = new EventLog({ world, storage: new EventFiles(stateDir) });
    const ended: unknown[] = [];
    await new Promise<void>((resolve) => {
      log.record('order-given', 'p', { by: 'ann', role: 'admin', order: 'x', name: 'v', details: 'one' }, () => resolve());
      world.run(0);
    });
    await new Promise<void>((resolve) => {
      log.record('order-given', 'p', { by: 'ann', role: 'admin', order: 'x', name: 'v', details: 'two' }, () => resolve());
      world.run(0);
    });
    await new Promise<void>((resolve) =>
      log.stop((error) => {
        ended.push(error);
        resolve();
      }),
    );
    expect([ended, detailsOf(new EventFiles(stateDir, { calls: EVENT_SYSTEM_CALLS }).load().events)]).toEqual([[null], ['one', 'two']]);
    expect(new EventFiles(stateDir).load().reservedUpTo).toBe(2);
  });
});

describe('files that are not as they were written', () => {
  async function written(): Promise<string> {
    const process = new Process();
    for (const what of ['a', 'b', 'c']) process.waits(what);
    await process.run(600);
    return pathOf(String(names()[0]));
  }

  test('a torn end is cut: at each of its bytes the whole lines before it are there, and nothing is called damaged', async () => {
    const path = await written();
    const content = readFileSync(path);
    for (let length = content.length; length > 0; length -= 7) {
      truncateSync(path, length);
      const whole = content.subarray(0, length).toString().split('\n').length - 2;
      const found = new EventFiles(stateDir).load();
      expect([found.events.length, found.damaged]).toEqual([Math.max(0, whole), []]);
      // A segment without an event is removed.
      expect(existsSync(path)).toBe(whole > 0);
      writeFileSync(path, content);
    }
  });

  test('after a torn end the next events get a segment of their own', async () => {
    const path = await written();
    truncateSync(path, readFileSync(path).length - 5);
    const process = new Process();
    process.order('d');
    await process.run(0);
    expect(process.acknowledged).toEqual(['d']);
    expect(names()).toHaveLength(2);
    const { events, damaged } = new EventFiles(stateDir).load();
    expect([events.map(({ kind }) => kind), damaged]).toEqual([['pool-waits', 'pool-waits', 'events-lost', 'order-given'], []]);
  });

  test.each([
    ['garbage', '\u0000\u0000garbage'],
    ['another schema', '{"number":2}'],
    ['a number that is none', '{"number":-1,"atMs":1,"kind":"x","severity":"info","target":"","sentence":"","fields":{}}'],
  ])('a line in the middle that is %s costs its event, which is said', async (_what, line) => {
    const path = await written();
    const lines = readFileSync(path, 'utf8').split('\n');
    lines[2] = line;
    writeFileSync(path, lines.join('\n'));
    const process = new Process();
    await process.run(0);
    expect(process.events.map(({ fields }) => fields['what'] ?? fields['count'])).toEqual(['a', 'c', undefined, 1]);
    expect(process.events.at(-1)).toMatchObject({ kind: 'events-damaged', severity: 'warning' });
  });

  test('numbers that can not be read are said, and numbers go on beyond all that may have been given', async () => {
    await written();
    writeFileSync(pathOf('numbers.json'), 'x');
    const process = new Process();
    await process.run(0);
    expect(process.events.at(-1)).toMatchObject({ kind: 'events-damaged', fields: { file: 'numbers.json' } });
    expect(process.events.at(-1)?.number).toBeGreaterThan(1003);
  });

  test.each([
    ['numbers.json', '{"version":2,"upTo":9}'],
    ['events-0000000000000001.jsonl', '{"format":"rmr-events","version":2}\nwhatever\n'],
  ])('%s of another version is refused with what to do, and left as it is', async (name, content) => {
    await written();
    writeFileSync(pathOf(name), content);
    expect(() => new Process()).toThrow(/is of version 2 of the events, and this program knows version 1: start the version/);
    expect(readFileSync(pathOf(name), 'utf8')).toBe(content);
  });

  test('a directory that can not be read is refused', () => {
    writeFileSync(join(stateDir, 'events'), 'a file');
    expect(() => new Process()).toThrow(/stateDir: the events in .* can't be read/);
  });
});
