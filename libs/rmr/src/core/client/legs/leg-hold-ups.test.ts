import { TICK_INTERVAL_MS } from '@rmr/runtime';
import { beforeEach, describe, expect, test } from 'vitest';
import { HELD_UP_MIN_PART, PROBATION_STALL_MS, STALL_MS } from '../../../constants.ts';
import { MessageType } from '../../../wire/io-message.ts';
import { IoRequest, type IoType, isLegWide } from '../io/io-request.ts';
import { IoUnits } from '../io/io-units.ts';
import { type Excuse, LegHoldUps } from './leg-hold-ups.ts';

const SLOW_FOR_MS = 30_000;
const DEPTH = 8;
const STEP_MS = 5;

/** How a leg answers: when it answers what it gets at `nowMs`, in clock milliseconds. */
type Behaviour = (nowMs: number) => number;

const takes =
  (ms: number): Behaviour =>
  (nowMs) =>
    nowMs + ms;

/** It answers after `ms`, but nothing in the first `stalledMs` of each period: all of that at its end. */
const stutters =
  (periodMs: number, stalledMs: number, ms = 1, phaseMs = 0): Behaviour =>
  (nowMs) => {
    const at = nowMs + ms;
    const within = (at + phaseMs) % periodMs;
    return within < stalledMs ? at + stalledMs - within : at;
  };

/** Of ten answers one comes late, and with it all that were sent meanwhile, as on a connection that has to send one again. */
function loses(everyTenthMs: number): Behaviour {
  let count = 0;
  let untilMs = 0;
  return (nowMs) => {
    if (++count % 10 === 0) untilMs = nowMs + everyTenthMs;
    return Math.max(nowMs + 1, untilMs);
  };
}

/** Requests in a closed loop against legs, and what is seen of the legs. */
class HoldUpsRig {
  holdUps = new LegHoldUps({ slowFactor: 20, slowForMs: SLOW_FOR_MS });
  units = new IoUnits(DEPTH);
  due: { readonly atMs: number; readonly leg: number; readonly tag: number }[] = [];
  nowMs = 1_000_000;
  tickMs = this.nowMs;
  route = 0;
  left: { readonly mask: number; readonly atMs: number } | null = null;
  type: IoType = MessageType.WRITE;
  depth = DEPTH;
  excuse: Excuse = () => false;
  reads = 0;
  /** Between the end of a request and the next. */
  idleMs = 0;

  /** Runs a closed loop of requests against legs that answer so, for so long, or until one has to leave. Returns which, and when. */
  run(legs: readonly Behaviour[], forMs: number): { readonly mask: number; readonly atMs: number } | null {
    this.route = (1 << legs.length) - 1;
    this.left = null;
    const beganMs = this.nowMs;
    let nextMs = this.nowMs;
    for (; this.nowMs < beganMs + forMs && this.left === null; this.nowMs += STEP_MS) {
      for (const answer of this.due.filter(({ atMs }) => atMs <= this.nowMs).sort((a, b) => a.atMs - b.atMs)) {
        this.due.splice(this.due.indexOf(answer), 1);
        this.holdUps.answers[answer.leg] = (this.holdUps.answers[answer.leg] as number) + 1;
        const unit = this.units.answered(answer.tag);
        if (unit < 0) continue;
        if (isLegWide(this.units.requests[unit] as IoRequest))
          this.units.peersMs[unit] = answer.atMs - (this.units.sentAtMs[unit] as number);
        if (this.units.pending[unit] !== 0) continue;
        this.units.release(unit);
        nextMs = this.nowMs + this.idleMs;
      }
      while (DEPTH - this.units.freeCount < this.depth && this.nowMs >= nextMs) this.#submit(legs);
      if (this.nowMs < this.tickMs) continue;
      this.tickMs = this.nowMs + TICK_INTERVAL_MS;
      const mask = this.holdUps.look(this.nowMs, this.units, this.route, this.excuse);
      if (mask !== 0) this.left = { mask, atMs: this.nowMs - beganMs };
    }
    return this.left;
  }

  #submit(legs: readonly Behaviour[]): void {
    const request = new IoRequest({ onIoDone: () => {} });
    request.type = this.type;
    request.offsetBytes = this.nowMs % 4096;
    request.lengthBytes = 4096;
    const unit = this.units.take(request, this.nowMs);
    const targets = isLegWide(request) ? legs.map((_leg, leg) => leg) : [this.reads++ % legs.length];
    if (isLegWide(request)) this.units.sentToAll(unit, this.route);
    else this.units.sentToOne(unit, 1 << (targets[0] as number));
    for (const leg of targets) this.due.push({ atMs: (legs[leg] as Behaviour)(this.nowMs), leg, tag: this.units.tag(unit, leg) });
  }
}

let rig: HoldUpsRig;

beforeEach(() => {
  rig = new HoldUpsRig();
});

describe('L7: a leg that holds up what others have answered leaves within the while that counts', () => {
  test.each<[string, readonly Behaviour[], number]>([
    ['stops for 4.5 s of every 5 s', [takes(1), stutters(5_000, 4_500)], 0b10],
    ['stops for 4.5 s of every 5 s, beside peers that take 300 ms', [takes(300), stutters(5_000, 4_500, 300)], 0b10],
    ['has a disk that stalls for 3 s of every 8 s', [stutters(8_000, 3_000), takes(1), takes(2)], 0b001],
    ['takes 300 ms for every answer beside peers with 1 ms', [takes(1), takes(300), takes(1)], 0b010],
    ['has a path that loses every tenth message, which is sent again after 250 ms', [takes(1), loses(250)], 0b10],
    ['stops now and then beside another that stops for less', [takes(1), stutters(5_000, 4_500), stutters(10_000, 2_000)], 0b010],
  ])('that %s', (_what, legs, mask) => {
    const gone = rig.run(legs, SLOW_FOR_MS);
    expect(gone?.mask).toBe(mask);
    expect(gone?.atMs).toBeGreaterThan(SLOW_FOR_MS / HELD_UP_MIN_PART);
  });

  test('at any depth, and where IO is rare', () => {
    rig.depth = 1;
    expect(rig.run([takes(1), stutters(5_000, 4_500)], SLOW_FOR_MS)?.mask).toBe(0b10);
    beforeNext();
    rig.idleMs = 1_500;
    expect(rig.run([takes(1), takes(400)], 2 * SLOW_FOR_MS)?.mask).toBe(0b10);
  });

  test('also where it holds up reads alone', () => {
    rig.type = MessageType.READ;
    expect(rig.run([takes(1), stutters(5_000, 4_500)], SLOW_FOR_MS)?.mask).toBe(0b10);
  });

  test('the others one after the other, where several stop together; and never the last', () => {
    const legs = [takes(1), stutters(5_000, 4_500), stutters(5_000, 4_500)];
    const first = rig.run(legs, SLOW_FOR_MS)?.mask ?? 0;
    expect([0b010, 0b100]).toContain(first);
    expect(rig.holdUps.look(rig.nowMs, rig.units, 0b001, rig.excuse)).toBe(0);
  });
});

/** Another pool. */
function beforeNext(): void {
  rig.holdUps = new LegHoldUps({ slowFactor: 20, slowForMs: SLOW_FOR_MS });
  rig.units = new IoUnits(DEPTH);
  rig.due = [];
}

describe('L7: nobody leaves', () => {
  const quick = [takes(1), takes(2), takes(1)];

  test.each<[string, readonly Behaviour[]]>([
    ['where all are slow', [takes(400), takes(500)]],
    ['where all stop together, as the network of this client does', [stutters(5_000, 4_500), stutters(5_000, 4_500)]],
    ['where all stop, one after the other', [stutters(5_000, 2_000), stutters(5_000, 2_000, 1, 2_500)]],
    ['that is alone', [stutters(5_000, 4_500)]],
    ['that is slow by a factor and fast nevertheless', [takes(1), takes(45)]],
    ['that is slower by less than the factor', [takes(30), takes(400)]],
    ['where two of three are slow: nobody holds up all others', [takes(1), takes(300), takes(300)]],
    ['that has stopped once: that is for legTimeout to judge', [takes(1), stutters(1_000_000, 25_000)]],
    ['that stops seldom', [takes(1), stutters(60_000, 5_000)]],
  ])('%s', (_what, legs) => {
    expect(rig.run(legs, 2 * SLOW_FOR_MS)).toBeNull();
  });

  test('for flushes that take their disk a little longer', () => {
    rig.type = MessageType.FLUSH;
    rig.depth = 1;
    expect(rig.run([takes(500), takes(4_000)], 3 * SLOW_FOR_MS)).toBeNull();
  });

  test('as long as what it holds up has to be pulled first', () => {
    const stutter = [takes(1), stutters(5_000, 4_500)];
    rig.excuse = (legIndex) => legIndex === 1;
    expect(rig.run(stutter, 2 * SLOW_FOR_MS)).toBeNull();
    rig.excuse = () => false;
    expect(rig.run(stutter, SLOW_FOR_MS)?.mask).toBe(0b10);
  });

  test('where this process did not run: what lies unread is no leg’s fault', () => {
    rig.holdUps.probation = 0b11;
    for (let pause = 0; pause < 20; pause++) {
      rig.run(quick, 500);
      // The first leg's answers were read before the pause, the other one's after it.
      for (const answer of [...rig.due]) if (answer.leg === 0) rig.due.splice(rig.due.indexOf(answer), 1, { ...answer, atMs: rig.nowMs });
      rig.nowMs += 4_500;
      expect(rig.run(quick, 500)).toBeNull();
    }
  });

  test('where nobody asked for a limit', () => {
    rig.holdUps = new LegHoldUps({ slowFactor: null, slowForMs: SLOW_FOR_MS });
    expect(rig.run([takes(1), stutters(5_000, 4_500)], 2 * SLOW_FOR_MS)).toBeNull();
  });
});

describe('L7: what was held up', () => {
  test('is told in milliseconds of the while that counts, and forgotten after it', () => {
    rig.run([takes(1), stutters(1_000_000, 4_000)], 4_000);
    expect(rig.holdUps.heldUpMs(1)).toBeGreaterThan(3_500);
    expect(rig.holdUps.heldUpMs(1)).toBeLessThanOrEqual(4_000);
    expect(rig.holdUps.heldUpMs(0)).toBe(0);
    rig.run([takes(1), takes(1)], 2 * SLOW_FOR_MS);
    expect(rig.holdUps.heldUpMs(1)).toBe(0);
  });

  test('is past when the leg has left and come back', () => {
    rig.run([takes(1), stutters(5_000, 4_500)], 9_000);
    expect(rig.holdUps.heldUpMs(1)).toBeGreaterThan(3_000);
    rig.holdUps.look(rig.nowMs, rig.units, 0b01, rig.excuse);
    rig.holdUps.look(rig.nowMs, rig.units, 0b11, rig.excuse);
    expect(rig.holdUps.heldUpMs(1)).toBe(0);
  });
});

test('L7: a leg on probation leaves at its first stall, within a second', () => {
  rig.run([takes(1), takes(1)], 1_000);
  rig.holdUps.probation = 0b10;
  expect(rig.run([takes(1), takes(PROBATION_STALL_MS - 3 * TICK_INTERVAL_MS)], 10_000)).toBeNull();
  const gone = rig.run([takes(1), () => Number.POSITIVE_INFINITY], SLOW_FOR_MS);
  expect(gone?.mask).toBe(0b10);
  expect(gone?.atMs).toBeLessThan(PROBATION_STALL_MS + 4 * TICK_INTERVAL_MS);
  expect(PROBATION_STALL_MS + 4 * TICK_INTERVAL_MS).toBeLessThan(STALL_MS);
});
