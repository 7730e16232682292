import { TICK_INTERVAL_MS, type TurnTask } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { VirtualWorld } from './virtual-world.ts';

function task(run: () => void): TurnTask {
  return { turnQueued: false, runAtTurnEnd: run };
}

describe('virtual world', () => {
  test('events run in order of time, then of making', () => {
    const world = new VirtualWorld();
    const seen: string[] = [];
    for (const [delay, name] of [
      [5, 'c'],
      [1, 'a'],
      [5, 'd'],
      [1, 'b'],
      [0, '0'],
    ] as const) {
      world.after(delay, () => seen.push(`${name}@${world.clock.nowMs()}`));
    }
    world.run(10);
    expect(seen).toEqual(['0@0', 'a@1', 'b@1', 'c@5', 'd@5']);
    expect(world.clock.nowMs()).toBe(10);
  });

  test('a cancelled event does not happen, also when it is the next', () => {
    const world = new VirtualWorld();
    const seen: number[] = [];
    world.after(1, () => seen.push(1)).cancel();
    const second = world.after(2, () => seen.push(2));
    world.after(1.5, () => second.cancel());
    world.after(3, () => seen.push(3));
    world.run(5);
    expect(seen).toEqual([3]);
  });

  test('a thousand events with random times come out sorted', () => {
    const world = new VirtualWorld(9);
    const seen: number[] = [];
    for (let i = 0; i < 1000; i++) world.after(world.random.u32() % 100, () => seen.push(world.clock.nowMs()));
    world.run(100);
    expect(seen).toHaveLength(1000);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  test('a turn end follows every event, first in first out, with the tasks that tasks queue', () => {
    const world = new VirtualWorld();
    const seen: string[] = [];
    const late = task(() => seen.push('late'));
    const first = task(() => {
      seen.push('first');
      world.turn.defer(late);
    });
    const second = task(() => seen.push('second'));
    world.after(1, () => {
      world.turn.defer(first);
      world.turn.defer(second);
      world.turn.defer(first);
      seen.push('event');
    });
    world.after(1, () => seen.push('next event'));
    world.run(1);
    expect(seen).toEqual(['event', 'first', 'second', 'late', 'next event']);
  });

  test('ticks come at their interval until nobody listens', () => {
    const world = new VirtualWorld();
    const seen: number[] = [];
    const target = { tick: (nowMs: number) => seen.push(nowMs) };
    world.ticker.subscribe(target);
    world.run(TICK_INTERVAL_MS * 3);
    expect(seen).toEqual([TICK_INTERVAL_MS, TICK_INTERVAL_MS * 2, TICK_INTERVAL_MS * 3]);
    world.ticker.unsubscribe(target);
    expect(world.scheduler.nextAtMs).toBeNull();
  });

  test('runUntil throws with the reason and the log when its bound passes or nothing can happen', () => {
    const world = new VirtualWorld(77);
    world.log.warn('something odd', { size: 3 });
    expect(() => world.runUntil(() => false, 1000, 'a miracle')).toThrow(
      /a miracle in vain: nothing more can happen \(seed 77\)[\s\S]*something odd/,
    );
    world.ticker.subscribe({ tick: () => {} });
    expect(() => world.runUntil(() => false, 1000)).toThrow('1000 ms of virtual time have passed');
  });

  test('events that make one another without time passing are a livelock', () => {
    const world = new VirtualWorld();
    const again = (): void => {
      world.after(0, again);
    };
    again();
    expect(() => world.run(1)).toThrow('without time passing');
  });

  test('a crashed host has no ticks and no deferred tasks; the others go on', () => {
    const world = new VirtualWorld();
    const [a, b] = [world.host('a'), world.host('b')];
    const seen: string[] = [];
    a.ticker.subscribe({ tick: () => seen.push('a') });
    b.ticker.subscribe({ tick: () => seen.push('b') });
    world.run(TICK_INTERVAL_MS);
    a.turn.defer(task(() => seen.push('deferred by a')));
    a.crash();
    a.turn.defer(task(() => seen.push('deferred by the dead')));
    a.ticker.subscribe({ tick: () => seen.push('tick of the dead') });
    world.run(TICK_INTERVAL_MS);
    expect(seen).toEqual(['a', 'b', 'b']);
  });

  test('a paused host has no ticks; a skewed clock shows more', () => {
    const world = new VirtualWorld();
    const host = world.host('a');
    const seen: number[] = [];
    host.ticker.subscribe({ tick: (nowMs) => seen.push(nowMs) });
    host.pause();
    world.run(TICK_INTERVAL_MS * 2);
    host.resume();
    host.skewClock(1000);
    world.run(TICK_INTERVAL_MS);
    expect(seen).toEqual([TICK_INTERVAL_MS * 3 + 1000]);
  });

  test('a host’s clocks and ticks run at its own rate, and its wall clock can be set', () => {
    const world = new VirtualWorld();
    const host = world.host('a');
    const seen: number[] = [];
    world.run(1000);
    host.setClockRate(1.25);
    host.ticker.subscribe({ tick: (nowMs) => seen.push(nowMs) });
    world.run(TICK_INTERVAL_MS);
    expect(host.clock.nowMs()).toBe(1000 + TICK_INTERVAL_MS * 1.25);
    expect(seen).toEqual([1000 + TICK_INTERVAL_MS]);
    host.setClockRate(1);
    world.run(1000);
    expect(host.clock.nowMs()).toBe(2000 + TICK_INTERVAL_MS * 1.25);
    const beforeMs = host.clock.wallMs();
    host.setWallClock(-3_600_000);
    expect(host.clock.wallMs()).toBe(beforeMs - 3_600_000);
    expect(host.clock.nowMs()).toBe(2000 + TICK_INTERVAL_MS * 1.25);
  });

  test('what is due at once runs before what is due later, and after what was due before', () => {
    const world = new VirtualWorld();
    const seen: string[] = [];
    world.after(1, () => {
      seen.push('a');
      world.after(0, () => seen.push('at once')).cancel();
      world.after(0, () => seen.push('c'));
    });
    world.after(1, () => seen.push('b'));
    world.after(1.5, () => seen.push('d'));
    world.run(2);
    expect(seen).toEqual(['a', 'b', 'c', 'd']);
  });

  test('log lines carry their host, time and fields', () => {
    const world = new VirtualWorld();
    world.after(2, () => world.host('a').log.child({ pool: 'p' }).info('it happened', { n: 1 }));
    world.run(2);
    expect(world.log.entries).toEqual([{ atMs: 2, level: 'info', event: 'it happened', fields: { host: 'a', pool: 'p', n: 1 } }]);
  });

  test('checks run after every event', () => {
    const world = new VirtualWorld();
    let count = 0;
    world.check(() => {
      if (count > 1) throw new Error('the invariant is broken');
    });
    world.after(1, () => count++);
    world.after(2, () => count++);
    world.run(1);
    expect(() => world.run(1)).toThrow('the invariant is broken');
  });

  test('the same seed gives the same randomness, another seed another', () => {
    const draw = (seed: number) => new VirtualWorld(seed).host('a').random.u32();
    expect(draw(5)).toBe(draw(5));
    expect(draw(5)).not.toBe(draw(6));
  });
});
