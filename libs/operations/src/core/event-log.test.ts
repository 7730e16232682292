import { OperationError } from '@rmr/runtime';
import { type VirtualHost, VirtualWorld } from '@rmr/testing';
import { describe, expect, test } from 'vitest';
import { DurableEvents, MemoryEventStorage } from '../testing/memory-event-storage.ts';
import { FIELD_CHARACTERS_MAX } from './event-kinds.ts';
import { BATCH_MAX, BUFFER_MAX, type EventGap, EventLog, FLUSH_MS, type NodeEvent, RESERVED_NUMBERS } from './event-log.ts';
import { QUIET_MS, SUM_MS, TOLD_AT_ONCE } from './summed-events.ts';

/** One process with an event log, and what it has told. */
class Process {
  readonly host: VirtualHost;
  readonly storage: MemoryEventStorage;
  readonly log: EventLog;
  readonly told: NodeEvent[] = [];
  readonly gaps: EventGap[] = [];
  dead = false;

  constructor(
    world: VirtualWorld,
    durable: DurableEvents,
    options: { crashAt?: number; eventsMax?: number; bytesMax?: number; after?: number } = {},
  ) {
    this.host = world.host('node');
    this.storage = new MemoryEventStorage(durable, (work) =>
      world.after(1, () => {
        if (!this.dead) work();
      }),
    );
    this.storage.crashAt = options.crashAt ?? Number.POSITIVE_INFINITY;
    this.storage.onCrash = () => this.crash();
    const { eventsMax = 10_000, bytesMax = 1 << 24 } = options;
    this.log = new EventLog({ world: this.host, storage: this.storage, eventsMax, bytesMax });
    this.log.subscribe(options.after ?? 0, {
      onEvents: (events, gap) => {
        this.told.push(...events);
        if (gap !== null) this.gaps.push(gap);
      },
    });
  }

  crash(): void {
    this.dead = true;
    this.host.crash();
  }

  waits(what: string): void {
    if (!this.dead) this.log.record('pool-waits', 'p', { pool: 'vm-1', what });
  }

  order(details: string): { ended: OperationError | null | undefined } {
    const order: { ended: OperationError | null | undefined } = { ended: undefined };
    if (this.dead) return order;
    this.log.record('order-given', 'p', { by: 'ann', role: 'admin', order: 'volume-delete', name: 'vm-1', details }, (error) => {
      order.ended = error;
    });
    return order;
  }
}

function started(options: ConstructorParameters<typeof Process>[2] = {}): {
  world: VirtualWorld;
  durable: DurableEvents;
  process: Process;
} {
  const world = new VirtualWorld();
  const durable = new DurableEvents();
  const process = new Process(world, durable, options);
  world.run(10);
  return { world, durable, process };
}

const whats = (events: readonly NodeEvent[]): unknown[] => events.map(({ fields }) => fields['what'] ?? fields['details']);
const FULL = new OperationError('NO_SPACE', 'no space left');

describe('events', () => {
  test('an event has its number, time, severity, sentence and fields, and is told at once', () => {
    const { world, process } = started();
    process.log.record('leg-state', 'p', { pool: 'vm-1', memberId: 2, node: 's2', from: 'NORMAL', to: 'FAILED', why: 'too slow' });
    world.run(0);
    const event = {
      ...{ number: 1, kind: 'leg-state', severity: 'warning', target: 'p' },
      sentence: 'the leg to member 2 (s2) of vm-1 is FAILED, and was NORMAL: too slow',
      fields: { pool: 'vm-1', memberId: 2, node: 's2', from: 'NORMAL', to: 'FAILED', why: 'too slow' },
    };
    expect(process.told).toEqual([{ ...event, atMs: expect.any(Number) }]);
    expect(process.log.page({ limit: 10 })).toEqual({ events: process.told, more: false, oldest: 1, newest: 1, gap: null });
  });

  test('texts of others are cut, and move no cursor', () => {
    const { process } = started();
    process.waits(`\u001b[2Jgone\n${'x'.repeat(2000)}`);
    const [event] = process.log.page({ limit: 1 }).events;
    expect(event?.fields['what']).toMatch(/^ \[2Jgone x+…$/);
    expect(String(event?.fields['what'])).toHaveLength(FIELD_CHARACTERS_MAX);
  });

  test('pages go forward from a number, or back from the newest, and are filtered', () => {
    const { process } = started();
    for (const what of ['a', 'b', 'c', 'd']) process.waits(what);
    process.log.record('node-stopping', '', { name: 'n', why: 'e' });
    const { log } = process;
    expect(whats(log.page({ after: 1, limit: 2 }).events)).toEqual(['b', 'c']);
    expect(log.page({ after: 1, limit: 2 })).toMatchObject({ more: true, gap: null });
    expect(whats(log.page({ after: 3, limit: 1, target: 'p' }).events)).toEqual(['d']);
    expect(log.page({ after: 3, limit: 1, target: 'p' }).more).toBe(false);
    expect(whats(log.page({ before: 4, limit: 2 }).events)).toEqual(['c', 'b']);
    expect(whats(log.page({ after: 1, before: 3, limit: 9 }).events)).toEqual(['b']);
    expect(log.page({ limit: 9, severity: 'notice' }).events).toHaveLength(5);
    expect(whats(log.page({ limit: 9, severity: 'warning' }).events)).toEqual(['d', 'c', 'b', 'a']);
    expect(log.page({ limit: 9, severity: 'critical' }).events).toEqual([]);
    expect(log.page({ limit: 9, kind: 'node-stopping' }).events.map(({ number }) => number)).toEqual([5]);
    expect(log.page({ limit: 9, target: 'q' }).events).toEqual([]);
  });

  test('a subscriber gets all after its number in batches, then live; while it pauses nothing is kept for it', () => {
    const { world, process } = started();
    for (let i = 1; i <= BATCH_MAX + 10; i++) process.waits(`${i}`);
    const batches: number[][] = [];
    const subscription = process.log.subscribe(5, { onEvents: (events) => batches.push(events.map(({ number }) => number)) });
    expect(batches).toEqual([]);
    world.run(0);
    expect(batches.map((batch) => [batch[0], batch.length])).toEqual([
      [6, BATCH_MAX],
      [BATCH_MAX + 6, 5],
    ]);
    subscription.pause();
    process.waits('paused');
    world.run(0);
    expect(batches).toHaveLength(2);
    subscription.resume();
    world.run(0);
    expect(batches[2]).toEqual([BATCH_MAX + 11]);
    subscription.end();
    process.waits('ended');
    world.run(0);
    expect(batches).toHaveLength(3);
  });

  test('the oldest events go, by count and by bytes, and whoever asks for them is told of the gap', () => {
    const { world, durable, process } = started({ eventsMax: 5 });
    for (let i = 1; i <= 8; i++) process.waits(`${i}`);
    expect(whats(process.log.page({ after: 0, limit: 9 }).events)).toEqual(['4', '5', '6', '7', '8']);
    const gap = { reason: 'FORGOTTEN', firstNumber: 2, lastNumber: 3 };
    expect(process.log.page({ after: 1, limit: 9 }).gap).toEqual(gap);
    expect(process.log.page({ after: 3, limit: 9 }).gap).toBeNull();
    expect(process.log.page({ limit: 9 }).gap).toEqual({ ...gap, firstNumber: 1 });
    expect(process.log.page({ limit: 2 }).gap).toBeNull();
    const gaps: (EventGap | null)[] = [];
    process.log.subscribe(1, { onEvents: (_events, each) => gaps.push(each) });
    world.run(1000);
    expect(gaps).toEqual([gap]);
    expect([...durable.lines.keys()]).toEqual([4, 5, 6, 7, 8]);

    const small = started({ bytesMax: 1000 });
    for (let i = 1; i <= 100; i++) small.process.waits('y'.repeat(100));
    const bytes = small.process.log.page({ limit: 100 }).events.reduce((sum, event) => sum + JSON.stringify(event).length, 0);
    expect([bytes <= 1000, bytes > 500]).toEqual([true, true]);
  });

  test('a number that was never given here is a gap, and all that is kept is told', () => {
    const { world, process } = started();
    process.waits('a');
    const told: unknown[] = [];
    process.log.subscribe(77, { onEvents: (events, gap) => told.push([whats(events), gap]) });
    world.run(0);
    const gap = { reason: 'UNKNOWN', firstNumber: 2, lastNumber: 77 };
    expect(told).toEqual([[['a'], gap]]);
    expect(process.log.page({ after: 77, limit: 9 })).toMatchObject({ gap, events: [{ number: 1 }] });
  });
});

describe('events on disk', () => {
  test('are written together soon after they happen; an order waits for its event, and takes the others with it', () => {
    const { world, durable, process } = started();
    process.waits('a');
    process.waits('b');
    world.run(FLUSH_MS / 2);
    expect(process.storage.appends).toBe(0);
    world.run(FLUSH_MS);
    expect([process.storage.appends, durable.lines.size]).toEqual([1, 2]);
    process.waits('c');
    const order = process.order('d');
    expect(order.ended).toBeUndefined();
    world.run(0);
    expect([order.ended, process.storage.appends, durable.lines.size]).toEqual([undefined, 2, 2]);
    world.run(2);
    expect([order.ended, durable.lines.size]).toEqual([null, 4]);
  });

  test('a disk that fails holds nothing up but orders, which are told; nothing is lost, and the log goes on by itself', () => {
    const { world, durable, process } = started();
    process.storage.failure = FULL;
    process.waits('a');
    const order = process.order('b');
    world.run(10_000);
    expect(order.ended).toBe(FULL);
    expect(whats(process.told)).toEqual(['a', 'b']);
    expect(process.storage.appends).toBeLessThan(12);
    process.storage.failure = null;
    world.run(2_000);
    expect([...durable.lines.keys()]).toEqual([1, 2]);
    expect(process.host.log.entries.filter(({ event }) => /events/.test(event)).map(({ event }) => event)).toEqual([
      'events can not be written',
      'events are written again',
    ]);
  });

  test('what is dropped while the disk fails is counted and said', () => {
    const { world, durable, process } = started();
    process.storage.failure = FULL;
    const orders = [process.order('o')];
    for (let i = 0; i < RESERVED_NUMBERS + BUFFER_MAX + 10; i++) process.waits('x');
    orders.push(process.order('p'));
    world.run(2_000);
    expect(orders.map(({ ended }) => ended instanceof OperationError)).toEqual([true, true]);
    process.storage.failure = null;
    world.run(5_000);
    const written = [...durable.lines.values()].map((line) => JSON.parse(line) as NodeEvent);
    const of = (kind: string): NodeEvent[] => written.filter((event) => event.kind === kind);
    // Those with a number are lost by number, the others by count.
    const [lost] = of('events-lost');
    const [dropped] = of('events-dropped');
    expect(lost?.fields).toMatchObject({ firstNumber: 1, why: 'no space left' });
    const missing = Number(lost?.fields['lastNumber']) + Number(dropped?.fields['count'] ?? 0);
    expect(written.length - 1 - (dropped === undefined ? 0 : 1) + missing).toBe(RESERVED_NUMBERS + BUFFER_MAX + 12);
    expect(written.length).toBeLessThanOrEqual(BUFFER_MAX + 2);
  });

  test('a number is given once one more is reserved, however much happens at once', () => {
    const { world, durable, process } = started();
    for (let i = 0; i < RESERVED_NUMBERS + 10; i++) {
      process.waits('x');
      expect(process.log.newest).toBeLessThan(durable.reservedUpTo ?? 0);
    }
    world.run(1000);
    expect(process.told.map(({ number }) => number)).toEqual(Array.from({ length: RESERVED_NUMBERS + 10 }, (_, i) => i + 1));
  });

  test.each([
    ['in order, once the disk takes events', null],
    ['in order, while the disk fails', FULL],
    ['by a crash, while the disk fails', 'CRASH' as const],
  ])('what waited, and what did not fit, is there or said to be lost, after an end %s', (_how, end) => {
    const { world, durable, process } = started();
    process.storage.failure = FULL;
    for (let i = 0; i < BUFFER_MAX + 5; i++) process.waits('x');
    world.run(3000);
    if (end !== 'CRASH') {
      process.storage.failure = end;
      const ended: unknown[] = [];
      process.log.stop((error) => ended.push(error));
      world.run(50);
      expect(ended).toEqual([end]);
    }
    process.crash();
    const next = new Process(world, durable);
    world.run(10);
    const lost = next.told.filter(({ kind }) => kind === 'events-lost').map(({ fields }) => [fields['firstNumber'], fields['lastNumber']]);
    expect(lost).toEqual([end === null ? [1, 5] : [1, RESERVED_NUMBERS]]);
    expect(next.told.filter(({ kind }) => kind === 'pool-waits')).toHaveLength(end === null ? BUFFER_MAX : 0);
  });

  test('a disk that hangs holds nothing up', () => {
    const { world, process } = started();
    process.storage.hangs = true;
    for (let i = 0; i < 3 * BUFFER_MAX; i++) {
      process.waits('x');
      if (i % 100 === 0) world.run(100);
    }
    expect(process.order('o').ended).toBeUndefined();
  });

  test('after a stop in order the numbers go on without a gap', () => {
    const { world, durable, process } = started();
    process.waits('a');
    const ended: unknown[] = [];
    process.log.stop((error) => ended.push(error));
    world.run(10);
    expect(ended).toEqual([null]);
    const next = new Process(world, durable, { after: 1 });
    next.waits('b');
    world.run(10);
    expect(next.told).toMatchObject([{ number: 2, kind: 'pool-waits' }]);
    expect(next.gaps).toEqual([]);
  });

  test('a stop is not held up by a disk that fails, and says so; what comes later is refused', () => {
    const { world, process } = started();
    process.waits('a');
    process.storage.failure = FULL;
    const ended: unknown[] = [];
    process.log.stop((error) => ended.push(error));
    world.run(10);
    expect(ended).toEqual([FULL]);
    expect(process.order('late').ended).toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('without its reservation, numbers go on where none was given', () => {
    const { world, durable, process } = started();
    for (let i = 0; i < 20; i++) process.waits('x');
    world.run(1000);
    process.crash();
    for (const number of [18, 19, 20]) durable.lines.delete(number);
    durable.reservedUpTo = null;
    const next = new Process(world, durable);
    world.run(10);
    const lost = next.told.find(({ kind }) => kind === 'events-lost');
    expect(lost?.fields).toMatchObject({ firstNumber: 18 });
    expect(lost?.number).toBeGreaterThan(20);
  });
});

describe('a process that dies', () => {
  /** What happens in each life, a moment apart. */
  function live(world: VirtualWorld, process: Process, life: string): { readonly acknowledged: string[] } {
    const acknowledged: string[] = [];
    world.run(3);
    for (let i = 0; i < 6 && !process.dead; i++) {
      process.waits(`${life}${i}`);
      if (i % 2 === 1) {
        const details = `${life}order${i}`;
        const order = process.order(details);
        world.run(3);
        if (order.ended === null) acknowledged.push(details);
      }
      world.run(i === 3 ? FLUSH_MS + 100 : 1);
    }
    return { acknowledged };
  }

  const points = Array.from({ length: 16 }, (_, i) => 1 + i / 2);
  test.each(points)(
    'at call %d of its storage: no number is given twice, orders that were begun are there, and what may be lost is said',
    (crashAt) => {
      for (const second of points) {
        const world = new VirtualWorld();
        const durable = new DurableEvents();
        const byNumber = new Map<number, string>();
        const acknowledged: string[] = [];
        let seen = 0;
        for (const [life, at] of [
          ['a', crashAt],
          ['b', second],
          ['c', Number.POSITIVE_INFINITY],
        ] as const) {
          const process = new Process(world, durable, { crashAt: at, eventsMax: 12, after: seen });
          acknowledged.push(...live(world, process, life).acknowledged);
          for (const event of process.told) {
            const text = JSON.stringify(event);
            expect(byNumber.get(event.number) ?? text).toBe(text);
            byNumber.set(event.number, text);
          }
          seen = Math.max(seen, ...byNumber.keys());
          process.crash();
        }
        const last = new Process(world, durable, { eventsMax: 12 });
        world.run(1000);
        const kept = new Map(last.told.map((event) => [event.number, event]));
        const oldest = last.log.oldest;
        const lost = last.told.filter(({ kind }) => kind === 'events-lost');
        for (const [number, text] of byNumber) {
          if (number < oldest) continue;
          const isSaid = lost.some(({ fields }) => Number(fields['firstNumber']) <= number && number <= Number(fields['lastNumber']));
          expect(kept.has(number) ? JSON.stringify(kept.get(number)) === text : isSaid).toBe(true);
        }
        const there = new Set(whats([...kept.values()]));
        const forgotten = new Set(
          [...byNumber].filter(([number]) => number < oldest).flatMap(([, text]) => whats([JSON.parse(text) as NodeEvent])),
        );
        for (const details of acknowledged) expect(there.has(details) || forgotten.has(details)).toBe(true);
        expect(acknowledged).toContain('corder5');
      }
    },
  );
});

describe('refused requests', () => {
  const refuse = (process: Process, by: string, times: number): void => {
    for (let i = 0; i < times; i++) process.log.record('request-refused', `t${i}`, { by, role: 'viewer', request: 'volume.delete' });
  };
  const times = (process: Process, by: string): unknown[] =>
    process.told.filter(({ fields }) => fields['by'] === by).map(({ fields }) => fields['times']);

  test('are told at once, and when they repeat, summed up; nothing is left out of the count', () => {
    const { world, process } = started();
    refuse(process, 'bob', TOLD_AT_ONCE + 3);
    refuse(process, 'eve', 1);
    world.run(0);
    expect([times(process, 'bob'), times(process, 'eve')]).toEqual([[1, 1, 1, 1], [1]]);
    world.run(SUM_MS + 100);
    expect(times(process, 'bob')).toEqual([1, 1, 1, 1, 3]);
    refuse(process, 'bob', 2);
    process.log.stop(() => {});
    world.run(10);
    expect(process.log.page({ limit: 1 }).events[0]?.fields).toMatchObject({ by: 'bob', times: 2 });
  });

  test('without end, from many, leave room for other events: some hundred a day', () => {
    const { world, process } = started();
    for (let minute = 0; minute < 24 * 60; minute += 5) {
      for (let i = 0; i < 50; i++) refuse(process, `name-${i}`, 10);
      for (let i = 0; i < 50; i++) process.log.record('caller-unknown', '', { address: `10.0.0.${i}` });
      world.run(5 * 60_000);
    }
    const total = process.told.reduce((sum, { fields }) => sum + Number(fields['times'] ?? 0), 0);
    expect(process.told.length).toBeLessThan(1500);
    expect(total).toBeGreaterThan(100_000);
    world.run(QUIET_MS);
    const summed = process.told.reduce((sum, { fields }) => sum + Number(fields['times'] ?? 0), 0);
    expect(summed).toBe(288 * 550);
  });
});
