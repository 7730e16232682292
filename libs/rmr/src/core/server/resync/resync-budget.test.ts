import { MIB } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import {
  FEEL_CALM_LOOKS,
  FEEL_LISTEN_EVERY,
  FEEL_LISTEN_MS,
  FEEL_LOAD_PER_SECOND,
  FEEL_RATE_MAX,
  FEEL_RATE_MIN,
  FEEL_RATE_START,
  FEEL_RATE_STEP,
  FEEL_RUN_MS,
  FEEL_SETTLE_MS,
  RESYNC_LOAD_MS,
  RESYNC_LOADED_BYTES_MIN,
  RESYNC_LOADED_READ_BYTES_MIN,
  RESYNC_POOLS_MAX,
  RESYNC_SAVED_GAPS,
  RESYNC_SAVED_MS_MIN,
  RESYNC_TURN_MS,
} from '../../../constants.ts';
import { feltOf } from '../../../wire/felt.ts';
import { ClientFeel } from '../requests/client-feel.ts';
import { ResyncBudget, type ResyncShare } from './resync-budget.ts';
import type { ResyncOptions } from './resync-types.ts';

function shareOf(options: ResyncOptions): ResyncShare {
  return new ResyncBudget(options).join(() => {});
}

const RATE = 1_000_000;

/** How many bytes may be begun now, in steps of 100: each is begun when it is counted. No more than {@link RATE}. */
function budgetOf(pace: ResyncShare): number {
  let bytes = 0;
  for (; bytes < RATE && pace.mayStart(); bytes += 100) pace.spend(100);
  return bytes;
}

/** A pace whose budget has been full at clock millisecond 10,000, and is used up to the last byte. */
function usedUp(options = { rateBytes: RATE, loadedRateBytes: RATE / 10 }): ResyncShare {
  const pace = shareOf(options);
  pace.refill(10_000);
  pace.spend(options.rateBytes / 4);
  return pace;
}

describe('resync budget: the rate', () => {
  test('the budget grows by the rate, and is used by what is begun', () => {
    const pace = usedUp();
    expect(pace.mayStart()).toBe(false);
    pace.refill(10_100);
    expect(budgetOf(pace)).toBe(RATE / 10);
    pace.refill(10_100);
    expect(budgetOf(pace)).toBe(0);
  });

  test('no more than a quarter of a second is saved up, at the start and after a rest', () => {
    const pace = shareOf({ rateBytes: RATE, loadedRateBytes: null });
    pace.refill(5_000_000);
    expect(budgetOf(pace)).toBe(RATE / 4);
    pace.refill(5_000_249);
    expect(budgetOf(pace)).toBe(249_000);
    pace.refill(9_000_000);
    expect(budgetOf(pace)).toBe(RATE / 4);
  });

  test('one byte of budget is enough to begin; what is begun beyond it is paid back first', () => {
    const pace = usedUp();
    pace.refill(10_001);
    expect(pace.mayStart()).toBe(true);
    pace.spend(101_000);
    pace.refill(10_101);
    expect(pace.mayStart()).toBe(false);
    pace.refill(10_102);
    expect(budgetOf(pace)).toBe(1000);
  });

  test('the rate under load holds for so long after client IO, and not longer', () => {
    const pace = usedUp();
    pace.budget.noteClientIo(10_000, 0);
    pace.refill(10_100);
    expect(budgetOf(pace)).toBe(RATE / 100);
    pace.refill(10_000 + RESYNC_LOAD_MS - 1);
    expect(budgetOf(pace)).toBe(RATE / 40);
    pace.refill(10_000 + RESYNC_LOAD_MS);
    expect(budgetOf(pace)).toBe(1000);
    pace.refill(10_000 + RESYNC_LOAD_MS + 100);
    expect(budgetOf(pace)).toBe(RATE / 10);
  });

  test('it is due when what was begun beyond the budget is paid back, and not before it was looked at', () => {
    const pace = usedUp();
    expect(pace.isDue(10_000)).toBe(false);
    pace.spend(100_000);
    expect([pace.isDue(10_100), pace.isDue(10_101)]).toEqual([false, true]);
    pace.refill(10_101);
    expect(pace.isDue(10_200)).toBe(false);
    pace.budget.noteClientIo(10_200, 0);
    pace.budget.configure({ loadedRateBytes: null, rateBytes: null });
    expect(pace.isDue(10_200)).toBe(false);
  });

  test('without a rate under load, the rate holds; without a rate, only the one under load', () => {
    const plain = shareOf({ rateBytes: RATE, loadedRateBytes: null });
    plain.budget.noteClientIo(10_000, 0);
    plain.refill(10_000);
    expect(budgetOf(plain)).toBe(RATE / 4);
    const loaded = shareOf({ rateBytes: null, loadedRateBytes: RATE });
    loaded.budget.noteClientIo(10_000, 0);
    loaded.refill(10_000);
    expect(budgetOf(loaded)).toBe(RATE / 4);
  });

  test('without a rate there is no end; with one again, nothing of that is left', () => {
    const pace = shareOf({ rateBytes: null, loadedRateBytes: null });
    pace.refill(10_000);
    pace.spend(Number.MAX_SAFE_INTEGER);
    expect(pace.mayStart()).toBe(true);
    pace.budget.configure({ rateBytes: RATE });
    pace.refill(10_010);
    expect(budgetOf(pace)).toBe(RATE / 100);
  });

  test('a rate that is lowered counts at once, also for what was saved up', () => {
    const pace = shareOf({ rateBytes: RATE, loadedRateBytes: null });
    pace.refill(10_000);
    pace.budget.configure({ rateBytes: RATE / 10 });
    pace.refill(10_000);
    expect(budgetOf(pace)).toBe(RATE / 40);
  });
});

describe('resync budget: pools of one storage node', () => {
  /** Which of the pools may begin a pull of 100 bytes, in turns, until none may; how much each has begun. */
  function use(shares: readonly ResyncShare[], nowMs: number): number[] {
    for (const share of shares) share.refill(nowMs);
    return shares.map((share) => {
      let bytes = 0;
      for (; bytes < RATE && share.mayStart(); bytes += 100) share.spend(100);
      return bytes;
    });
  }

  test.each([1, 2, 4])('%i pools that pull have the rate together, in equal parts', (count) => {
    const budget = new ResyncBudget({ rateBytes: RATE, loadedRateBytes: null });
    const shares = Array.from({ length: count }, () => budget.join(() => {}));
    let nowMs = 10_000;
    use(shares, nowMs);
    use(shares, nowMs);
    const begun = new Array<number>(count).fill(0);
    for (let i = 0; i < 100; i++) {
      nowMs += 50;
      for (const [index, bytes] of use(shares, nowMs).entries()) begun[index] = (begun[index] as number) + bytes;
      budget.verify();
    }
    const all = begun.reduce((sum, bytes) => sum + bytes, 0);
    expect(all).toBeLessThanOrEqual(5 * RATE * 1.05);
    expect(all).toBeGreaterThan(5 * RATE * 0.9);
    expect(Math.max(...begun) - Math.min(...begun)).toBeLessThan((RATE / count) * 0.1 + 1);
  });

  test('what one does not want the others have', () => {
    const budget = new ResyncBudget({ rateBytes: RATE, loadedRateBytes: null });
    const [one, other] = [budget.join(() => {}), budget.join(() => {})];
    use([one, other], 10_000);
    other.leave();
    use([one], 10_500);
    expect(use([one], 10_600)[0]).toBeGreaterThanOrEqual(RATE / 10 - 100);
  });

  test('I12: so many pull at a time; the next has a place when one has ended', () => {
    const budget = new ResyncBudget({});
    const places: number[] = [];
    const shares = Array.from({ length: 100 }, (_, index) => budget.join(() => places.push(index)));
    for (const share of shares) share.refill(1000);
    budget.verify();
    expect([budget.pulling, places.length, shares.filter((share) => share.mayStart()).length]).toEqual([
      RESYNC_POOLS_MAX,
      RESYNC_POOLS_MAX,
      RESYNC_POOLS_MAX,
    ]);
    shares[1]?.leave();
    expect([budget.pulling, places.at(-1)]).toEqual([RESYNC_POOLS_MAX, RESYNC_POOLS_MAX]);
    // One that waits may go, too.
    shares[RESYNC_POOLS_MAX + 1]?.leave();
    shares[0]?.leave();
    expect(places.at(-1)).toBe(RESYNC_POOLS_MAX + 2);
    budget.verify();
  });

  test('I11: each has its turn, however long the others take', () => {
    const budget = new ResyncBudget({});
    const shares = Array.from({ length: 3 * RESYNC_POOLS_MAX }, () => budget.join(() => {}));
    const had = new Set<ResyncShare>();
    for (let nowMs = 0; nowMs < 10 * RESYNC_TURN_MS; nowMs += 50) {
      for (const share of shares) {
        share.refill(nowMs);
        if (share.mayStart()) had.add(share);
      }
      budget.tick(nowMs);
      budget.verify();
    }
    expect(had.size).toBe(shares.length);
  });
});

describe('what clients feel', () => {
  /** How long an answer takes while resync goes on at that rate, null: it rests. `request`: how many there were before. */
  type TookMs = (rate: number | null, request: number) => number;

  /** A node that pulls as fast as `feel` lets it, of which clients ask `perSecond` times a second for so long. The rate after every 10 ms. */
  function run(feel: ClientFeel, perSecond: number, forMs: number, tookMs: TookMs, fromMs = 0, usedPart = 1): number[] {
    const rates: number[] = [];
    let owed = 0;
    let request = 0;
    for (let nowMs = fromMs; nowMs < fromMs + forMs; nowMs += 10) {
      for (owed += perSecond / 100; owed >= 1; owed--)
        feel.note(feltOf(tookMs(feel.listens ? null : (feel.rateBytes ?? FEEL_RATE_MAX), request++)), nowMs);
      if (!feel.listens) feel.noteMoved(((feel.rateBytes ?? FEEL_RATE_MAX) / 100) * usedPart);
      feel.update(nowMs, true);
      rates.push(feel.rateBytes ?? Number.POSITIVE_INFINITY);
    }
    return rates;
  }

  function average(rates: readonly number[]): number {
    return rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  }

  test('a trickle holds nothing up, however slow it is', () => {
    const rates = run(new ClientFeel(), 1, 20_000, (rate) => (rate === null ? 1 : 100));
    expect(Math.min(...rates)).toBe(Number.POSITIVE_INFINITY);
    expect(run(new ClientFeel(), FEEL_LOAD_PER_SECOND * 0.9, 20_000, () => 100).at(-1)).toBe(Number.POSITIVE_INFINITY);
  });

  test('load that feels nothing leaves nearly everything, soon', () => {
    const rates = run(new ClientFeel(), 1000, 20_000, () => 1);
    expect(rates.at(-1)).toBe(FEEL_RATE_MAX);
    expect(Math.min(...rates)).toBe(FEEL_RATE_START);
  });

  test('beside load that feels it, resync finds the rate at which answers stay below twice as slow', () => {
    // Twice as slow at 100 MB/s.
    const rates = run(new ClientFeel(), 1000, 120_000, (rate) => (rate === null ? 5 : 5 + (5 * rate) / 100e6));
    const settled = rates.slice(-6000);
    const above = settled.filter((rate) => rate > 100e6).length;
    expect(above).toBe(0);
    expect(average(settled)).toBeGreaterThan(30e6);
  });

  test('the tail counts, not the middle: of a hundred answers no more than one takes twice as long', () => {
    // The faster resync is, the more answers meet a pull: one of a hundred at 100 MB/s, and these take four times as long.
    let requests = 0;
    let slow = 0;
    const rates = run(new ClientFeel(), 2000, 120_000, (rate, request) => {
      // Evenly spread, but at no fixed distance.
      const isSlow = rate !== null && ((request * 0.618034) % 1) * 100 < rate / 100e6;
      requests++;
      if (isSlow) slow++;
      return isSlow ? 4 : 1;
    });
    expect(slow / requests).toBeLessThan(0.01);
    expect(average(rates.slice(-6000))).toBeGreaterThan(50e6);
    // None of the answers in the middle has ever shown anything.
    expect(slow / requests).toBeGreaterThan(0.004);
  });

  test('what clients feel is answered at once, and the rate comes back in steps; in one leap only after a long calm', () => {
    const feel = new ClientFeel();
    run(feel, 1000, 4000, () => 1);
    const felt = run(feel, 1000, 1000, (rate) => (rate === null ? 1 : 10), 4000);
    const lowest = felt.at(-1) as number;
    expect(lowest).toBeLessThan((felt[0] as number) / 2);
    const calmMs = FEEL_CALM_LOOKS * FEEL_RUN_MS;
    const rates = [lowest, ...run(feel, 1000, calmMs, () => 1, 5000)];
    const steps = rates.map((rate, index) => rate - (rates[index - 1] ?? rate));
    expect(Math.max(...steps)).toBe(FEEL_RATE_STEP);
    expect(run(feel, 1000, 2 * calmMs, () => 1, 5000 + calmMs).at(-1)).toBeGreaterThan(4 * lowest);
  });

  test('a rate that resync does not use does not grow: that clients feel nothing of it says nothing', () => {
    const rates = run(new ClientFeel(), 1000, 20_000, () => 1, 0, 0.1);
    expect(Math.max(...rates.slice(100))).toBe(FEEL_RATE_START);
  });

  test('I11: it never comes to a stand, however slow answers are', () => {
    const rates = run(new ClientFeel(), 1000, 60_000, (rate) => (rate === null ? 1 : 1000));
    expect([Math.min(...rates), rates.at(-1)]).toEqual([FEEL_RATE_MIN, FEEL_RATE_MIN]);
  });

  test('a load that is slow by itself is no reason: the quiet state is listened to anew', () => {
    const feel = new ClientFeel();
    run(feel, 1000, 20_000, () => 1);
    const rates = run(feel, 1000, 60_000, () => 40, 20_000);
    expect(rates.at(-1)).toBe(FEEL_RATE_MAX);
  });

  test('what was heard of few requests does not hold for many: resync rests anew before it judges by that', () => {
    const feel = new ClientFeel();
    // A few slow ones, as when a load begins: nothing would be too slow against them.
    run(feel, 100, 5000, () => 50);
    const before = feel.rateBytes as number;
    const rates = run(feel, 10_000, 3000, (rate) => (rate === null ? 1 : 20), 5000);
    expect(Math.max(...rates)).toBeLessThanOrEqual(before * 1.4);
    expect(rates.at(-1)).toBeLessThan(before / 4);
  });

  test('it rests for a small part of the time only, and not at all when nothing is pulled', () => {
    const feel = new ClientFeel();
    let rested = 0;
    for (let nowMs = 0; nowMs < 60_000; nowMs += 10) {
      for (let i = 0; i < 10; i++) feel.note(feltOf(1), nowMs);
      feel.update(nowMs, true);
      if (feel.listens) rested += 10;
    }
    const share = (FEEL_LISTEN_MS + FEEL_SETTLE_MS) / (FEEL_LISTEN_EVERY * FEEL_RUN_MS);
    expect(rested / 60_000).toBeLessThan(share * 1.2);
    expect(rested).toBeGreaterThan(0);
    for (let nowMs = 60_000; nowMs < 70_000; nowMs += 10) {
      for (let i = 0; i < 10; i++) feel.note(feltOf(1), nowMs);
      feel.update(nowMs, false);
    }
    expect([feel.listens, feel.rateBytes]).toEqual([false, null]);
  });

  test('a rest ends with a request of a client, and does not last until the next tick', () => {
    const budget = new ResyncBudget({});
    const share = budget.join(() => {});
    let longestMs = 0;
    let sinceMs: number | null = null;
    for (let nowMs = 0; nowMs < 20_000; nowMs++) {
      budget.noteClientIo(nowMs, feltOf(1));
      share.refill(nowMs);
      // A tick every second: far too seldom.
      if (nowMs % 1000 === 0) budget.tick(nowMs);
      sinceMs = budget.listens ? (sinceMs ?? nowMs) : null;
      if (sinceMs !== null) longestMs = Math.max(longestMs, nowMs - sinceMs);
    }
    expect(longestMs).toBeGreaterThan(0);
    expect(longestMs).toBeLessThan(FEEL_LISTEN_MS + FEEL_SETTLE_MS);
  });

  test.each([20_000, 1000, 100])('%i requests a second: pulls are spread evenly, and take all that the rate allows', (perSecond) => {
    const budget = new ResyncBudget({ rateBytes: 100 * MIB, loadedRateBytes: null });
    const share = budget.join(() => {});
    const gapMs = 1000 / perSecond;
    let begun = 0;
    let ran = 0;
    let most = 0;
    for (let i = 0; i * gapMs < 20_000; i++) {
      const nowMs = i * gapMs;
      budget.noteClientIo(nowMs, feltOf(1));
      if (i % Math.ceil(perSecond / 20) === 0) budget.tick(nowMs);
      if (nowMs < 10_000) share.refill(nowMs);
      else {
        if (!budget.listens) ran += gapMs;
        let atOnce = 0;
        if (share.isDue(nowMs) || i % Math.ceil(perSecond / 20) === 0) {
          share.refill(nowMs);
          for (; share.mayStart(); atOnce += share.readBytesMax) share.spend(share.readBytesMax);
        }
        begun += atOnce;
        most = Math.max(most, atOnce);
      }
    }
    const full = (budget.rateBytes as number) * (ran / 1000);
    expect(begun).toBeGreaterThan(full * 0.9);
    expect(begun).toBeLessThan(full * 1.1);
    // What one request can meet: a read or two where there are many, what comes in between two requests where there are few.
    const saved = (RESYNC_SAVED_GAPS * (budget.rateBytes as number)) / perSecond;
    expect(most).toBeLessThanOrEqual(Math.max(saved, (budget.rateBytes as number) * (RESYNC_SAVED_MS_MIN / 1000)) + share.readBytesMax);
    expect(share.readBytesMax).toBe(RESYNC_LOADED_READ_BYTES_MIN);
  });

  test('where clients feel nothing reads are as large as they can be', () => {
    const budget = new ResyncBudget({});
    const share = budget.join(() => {});
    expect(share.readBytesMax).toBe(Number.POSITIVE_INFINITY);
    for (let nowMs = 0; nowMs < 20_000; nowMs++) {
      budget.noteClientIo(nowMs, feltOf(1));
      share.refill(nowMs);
      budget.noteMoved((budget.rateBytes ?? 0) / 1000);
    }
    expect(share.readBytesMax).toBeGreaterThan(1 * MIB);
  });

  test('the configured rates stay limits', () => {
    const budget = new ResyncBudget({ rateBytes: null, loadedRateBytes: RATE });
    const share = budget.join(() => {});
    for (let nowMs = 0; nowMs < 20_000; nowMs += 10) {
      for (let i = 0; i < 10; i++) {
        budget.noteClientIo(nowMs, feltOf(1));
      }
      share.refill(nowMs);
      budget.tick(nowMs);
      expect(budget.rateBytes).toBeLessThanOrEqual(RATE);
    }
    expect(share.inFlightBytesMax).toBe(RESYNC_LOADED_BYTES_MIN);
    expect(budget.join(() => {}).inFlightBytesMax).toBe(RESYNC_LOADED_BYTES_MIN);
  });
});

describe("resync budget: a pool's own limit", () => {
  test('it holds without a rate of the storage node, and what was begun beyond it is owed', () => {
    const share = shareOf({});
    share.limitBytes = RATE / 10;
    share.refill(10_000);
    expect(budgetOf(share)).toBe(RATE / 40);
    share.refill(10_100);
    expect(budgetOf(share)).toBe(RATE / 100);
    share.refill(10_200);
    share.spend(RATE / 10);
    share.refill(10_900);
    expect({ mayStart: share.mayStart(), isDue: [share.isDue(11_100), share.isDue(11_300)] }).toEqual({
      mayStart: false,
      isDue: [false, true],
    });
  });

  test('within the rate of the storage node: the lesser of both counts', () => {
    const slower = usedUp({ rateBytes: RATE, loadedRateBytes: RATE });
    slower.limitBytes = RATE / 100;
    slower.refill(10_100);
    expect(budgetOf(slower)).toBeLessThanOrEqual(RATE / 400);
    const faster = usedUp({ rateBytes: RATE, loadedRateBytes: RATE });
    faster.limitBytes = RATE * 100;
    faster.refill(10_100);
    expect(budgetOf(faster)).toBe(RATE / 10);
  });

  test('other pools are not held up by it, and without it there is none', () => {
    const budget = new ResyncBudget({});
    const limited = budget.join(() => {});
    const free = budget.join(() => {});
    limited.limitBytes = 4096;
    for (const share of [limited, free]) share.refill(10_000);
    limited.spend(RATE);
    expect({ limited: limited.mayStart(), free: free.mayStart() }).toEqual({ limited: false, free: true });
    limited.limitBytes = null;
    expect(limited.mayStart()).toBe(true);
  });
});
