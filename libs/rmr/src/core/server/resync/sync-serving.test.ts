import type { RtrsServerRequest } from '@rmr/rtrs';
import { KIB, MIB } from '@rmr/runtime';
import { VirtualWorld } from '@rmr/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { feltOf } from '../../../wire/felt.ts';
import { IoFlag, IoMessage, MessageType } from '../../../wire/io-message.ts';
import { ResyncBudget } from './resync-budget.ts';
import { SyncServing } from './sync-serving.ts';

let world: VirtualWorld;
let budget: ResyncBudget;
let serving: SyncServing;
/** Bytes that have begun, and when each request that was held back has. */
let begun: number;
const lengths = new Map<RtrsServerRequest, number>();

beforeEach(() => {
  world = new VirtualWorld(1);
  budget = new ResyncBudget({ rateBytes: 8 * MIB, loadedRateBytes: null });
  begun = 0;
  serving = new SyncServing(world, budget, (request) => {
    begun += lengths.get(request) as number;
  });
  // It has stood still for long.
  world.run(10_000);
});

function ask(lengthBytes: number, flags = 0, type: MessageType = MessageType.SYNC_READ): boolean {
  const message = Object.assign(new IoMessage(), { type, flags, lengthBytes });
  const request = {} as RtrsServerRequest;
  lengths.set(request, lengthBytes);
  const begins = serving.mayBegin(request, message);
  if (begins) begun += lengthBytes;
  return begins;
}

describe('reads of other storage nodes', () => {
  test('no more begin than the rate allows, in order, and all of them in the end', () => {
    for (let i = 0; i < 64; i++) ask(MIB);
    expect(serving.held).toBeGreaterThan(50);
    world.run(4000);
    expect(begun).toBeLessThanOrEqual((4 * 8 + 2) * MIB);
    expect(begun).toBeGreaterThan(30 * MIB);
    world.run(6000);
    expect([begun, serving.held]).toEqual([64 * MIB, 0]);
  });

  test('I11: what IO waits for is never held back, and clients are not', () => {
    for (let i = 0; i < 64; i++) ask(MIB);
    expect(ask(MIB, IoFlag.SPARSE | IoFlag.URGENT)).toBe(true);
    expect(ask(MIB, 0, MessageType.READ)).toBe(true);
    expect(ask(MIB, 0, MessageType.WRITE)).toBe(true);
    expect(ask(4096)).toBe(false);
  });

  test('holes cost little: a long range is asked for where they are expected', () => {
    for (let i = 0; i < 64; i++) ask(64 * MIB, IoFlag.SPARSE);
    world.run(1000);
    expect(serving.held).toBe(0);
  });

  test('without a rate nothing is held back', () => {
    budget.configure({ rateBytes: null });
    for (let i = 0; i < 1000; i++) expect(ask(MIB)).toBe(true);
  });

  test('beside clients it goes on with their requests, and not in bursts with the tick', () => {
    for (let i = 0; i < 64; i++) ask(128 * KIB);
    world.run(1000);
    for (let i = 0; i < 64; i++) ask(128 * KIB);
    let most = 0;
    const before = begun;
    for (let ms = 0; ms < 1000; ms++) {
      const atMs = begun;
      budget.noteClientIo(world.clock.nowMs(), feltOf(1));
      ask(4096, 0, MessageType.READ);
      begun -= 4096;
      world.run(1);
      most = Math.max(most, begun - atMs);
    }
    expect(most).toBe(128 * KIB);
    // All of them but what rests take.
    expect(begun - before).toBeGreaterThan(5 * MIB);
  });

  test('while clients are listened to it rests, and goes on', () => {
    budget.configure({ rateBytes: null });
    let held = 0;
    for (let i = 0; i < 400; i++) {
      for (let j = 0; j < 20; j++) budget.noteClientIo(world.clock.nowMs(), feltOf(1));
      budget.tick(world.clock.nowMs());
      if (!ask(4096)) held++;
      if (budget.listens) expect(serving.held).toBeGreaterThan(0);
      world.run(50);
    }
    expect(held).toBeGreaterThan(0);
    expect(held).toBeLessThan(100);
    world.run(2000);
    expect(serving.held).toBe(0);
  });
});
