import { beforeEach, describe, expect, test } from 'vitest';
import {
  FEEL_LISTEN_MS,
  FEEL_RUN_MS,
  FEEL_SETTLE_MS,
  IO_BYTES_MAX,
  RESYNC_BYTES_MAX,
  RESYNC_BYTES_MIN,
  RESYNC_DEPTH_DEFAULT,
  RESYNC_LOAD_MS,
  RESYNC_READ_MS,
  RESYNC_RETRY_MS,
  RESYNC_RETRY_MS_MAX,
  RESYNC_WANTED_DEPTH,
} from '../../../constants.ts';
import { ResyncRig } from '../../../testing/resync-rig.ts';
import { storeOf } from '../../../testing/scripted-pool.ts';
import { ResyncPace } from './resync-pace.ts';

describe('ResyncPace: depth and window (I12)', () => {
  function unlimited(depth?: number): ResyncPace {
    return new ResyncPace(depth === undefined ? {} : { depth });
  }

  /** The bytes in flight below which one more may begin. */
  function windowOf(pace: ResyncPace): number {
    let bytes = 0;
    while (bytes < 2 * RESYNC_BYTES_MAX && pace.mayStart(0, bytes)) bytes += 1024;
    return bytes;
  }

  test('as many as the depth; for what IO waits for, so many more, whatever bytes say', () => {
    const pace = unlimited(3);
    expect([pace.mayStart(2, 0), pace.mayStart(3, 0)]).toEqual([true, false]);
    expect([pace.mayStartWanted(2 + RESYNC_WANTED_DEPTH), pace.mayStartWanted(3 + RESYNC_WANTED_DEPTH)]).toEqual([true, false]);
    expect(unlimited().mayStart(RESYNC_DEPTH_DEFAULT - 1, 0)).toBe(true);
    expect(unlimited().mayStart(RESYNC_DEPTH_DEFAULT, 0)).toBe(false);
  });

  test('an option that is not given stays as it is', () => {
    const pace = unlimited(3);
    pace.configure({ loadedRateBytes: 1 });
    expect([pace.mayStart(2, 0), pace.mayStart(3, 0)]).toEqual([true, false]);
  });

  test('the window begins at its least, and grows by what is answered quickly, up to its most', () => {
    const pace = unlimited();
    expect(windowOf(pace)).toBe(RESYNC_BYTES_MIN);
    pace.noteRead(RESYNC_READ_MS, 131072);
    expect(windowOf(pace)).toBe(RESYNC_BYTES_MIN + 131072);
    for (let i = 0; i < 100; i++) pace.noteRead(0, IO_BYTES_MAX);
    expect(windowOf(pace)).toBe(RESYNC_BYTES_MAX);
  });

  test('beside client load fewer bytes are in flight', () => {
    const pace = unlimited();
    for (let i = 0; i < 100; i++) pace.noteRead(0, IO_BYTES_MAX);
    expect([pace.mayStart(0, RESYNC_BYTES_MIN, RESYNC_BYTES_MIN), pace.mayStart(0, RESYNC_BYTES_MIN)]).toEqual([false, true]);
    expect(pace.mayStart(0, RESYNC_BYTES_MIN - 1, RESYNC_BYTES_MIN)).toBe(true);
    expect([pace.readBytes(RESYNC_BYTES_MIN), pace.askBytes(RESYNC_BYTES_MIN)]).toEqual([RESYNC_BYTES_MIN / 4, RESYNC_BYTES_MIN / 4]);
  });

  test('a read that took long halves the window, down to its least', () => {
    const pace = unlimited();
    for (let i = 0; i < 100; i++) pace.noteRead(0, IO_BYTES_MAX);
    pace.noteRead(RESYNC_READ_MS + 1, IO_BYTES_MAX);
    expect(windowOf(pace)).toBe(RESYNC_BYTES_MAX / 2);
    for (let i = 0; i < 100; i++) pace.noteRead(RESYNC_READ_MS + 1, 1);
    expect(windowOf(pace)).toBe(RESYNC_BYTES_MIN);
  });

  test('one read is a quarter of the window, and as large as a message at most', () => {
    const pace = unlimited();
    expect(pace.readBytes()).toBe(RESYNC_BYTES_MIN / 4);
    for (let i = 0; i < 100; i++) pace.noteRead(0, IO_BYTES_MAX);
    expect(pace.readBytes()).toBe(Math.min(IO_BYTES_MAX, RESYNC_BYTES_MAX / 4));
  });
});

describe('ResyncPace: after a failure', () => {
  /** For how long it rests after a failure at clock millisecond 10,000. */
  function restMs(pace: ResyncPace): number {
    pace.noteFailure(10_000);
    let ms = 0;
    while (ms < 2 * RESYNC_RETRY_MS_MAX && pace.isResting(10_000 + ms)) ms++;
    return ms;
  }

  test('it rests twice as long after each failure, with an upper bound', () => {
    const pace = new ResyncPace({});
    expect(pace.isResting(0)).toBe(false);
    const rests = Array.from({ length: 10 }, () => restMs(pace));
    expect(rests.slice(0, 3)).toEqual([RESYNC_RETRY_MS, 2 * RESYNC_RETRY_MS, 4 * RESYNC_RETRY_MS]);
    expect(rests.slice(-2)).toEqual([RESYNC_RETRY_MS_MAX, RESYNC_RETRY_MS_MAX]);
  });

  test('a pull that ends well makes the next rest short, but does not end the present one', () => {
    const pace = new ResyncPace({});
    restMs(pace);
    pace.noteFailure(10_000);
    pace.notePulled(4096);
    expect(pace.isResting(10_000 + 2 * RESYNC_RETRY_MS - 1)).toBe(true);
    expect(restMs(pace)).toBe(RESYNC_RETRY_MS);
  });

  test('failures that are forgotten end the rest, and make the next one short', () => {
    const pace = new ResyncPace({});
    restMs(pace);
    pace.noteFailure(10_000);
    pace.forgetFailures();
    expect(pace.isResting(10_000)).toBe(false);
    expect(restMs(pace)).toBe(RESYNC_RETRY_MS);
  });
});

describe('ResyncPace: how fast it is', () => {
  test('bytes per second since the last measurement, smoothed; not measured twice within a second', () => {
    const pace = new ResyncPace({});
    pace.measure(10_000);
    expect(pace.bytesPerSecond).toBe(0);
    pace.notePulled(3000);
    pace.measure(10_999);
    expect(pace.bytesPerSecond).toBe(0);
    pace.measure(13_000);
    expect(pace.bytesPerSecond).toBeCloseTo(0.4 * 1000);
    pace.notePulled(2000);
    pace.measure(14_000);
    expect(pace.bytesPerSecond).toBeCloseTo(0.6 * 400 + 0.4 * 2000);
    pace.measure(15_000);
    expect(pace.bytesPerSecond).toBeCloseTo(0.6 * 1040);
    expect(pace.pulledBytes).toBe(5000);
  });

  test('the first measurement is taken as it is: there is nothing to smooth it with', () => {
    const pace = new ResyncPace({});
    pace.notePulled(8000);
    pace.measure(2000);
    expect(pace.bytesPerSecond).toBe(4000);
  });
});

let rig: ResyncRig;

beforeEach(() => {
  rig = new ResyncRig();
});

describe('resync: bounds (I12)', () => {
  test('no more pulls than the depth; more only for chunks that IO waits for, and not without end', () => {
    rig = new ResyncRig({ chunks: 4096 });
    for (let chunk = 0; chunk < 4096; chunk += 2) rig.store.mapOf(1).set(chunk, 1);
    rig.start([2], rig.version(5, [1, 2]));
    expect(rig.reads(2).length).toBe(RESYNC_DEPTH_DEFAULT);
    rig.answer(2);
    // The place of a pull is free when it has ended, not when it was answered.
    expect(rig.reads(2).length).toBe(RESYNC_DEPTH_DEFAULT - 1);
    rig.store.endAll();
    rig.turn();
    expect(rig.reads(2).length).toBe(RESYNC_DEPTH_DEFAULT);
    rig.session(2).permits = 1000;
    rig.resync.want(2000, 200);
    rig.turn();
    expect(rig.reads(2).length).toBe(RESYNC_DEPTH_DEFAULT + RESYNC_WANTED_DEPTH);
  });

  test('as many bytes as the way carries without a queue, between two bounds, in requests as large as a message at most', () => {
    rig = new ResyncRig({ chunks: 4096, chunkSizeBytes: 131072 });
    rig.store.mapOf(1).set(0, 4096);
    rig.start([2], rig.version(5, [1, 2]));
    const inFlight = (): number => rig.session(2).ios.reduce((sum, { message }) => sum + message.lengthBytes, 0);
    expect(inFlight()).toBe(RESYNC_BYTES_MIN);
    const seen: number[] = [];
    for (let i = 0; i < 100; i++) {
      rig.answer(2);
      rig.store.endAll();
      rig.turn();
      seen.push(inFlight());
    }
    expect([Math.max(...seen), seen.at(-1)]).toEqual([RESYNC_BYTES_MAX, RESYNC_BYTES_MAX]);
    expect(Math.max(...rig.session(2).ios.map(({ message }) => message.lengthBytes))).toBe(IO_BYTES_MAX);
    for (let i = 0; i < 30; i++) {
      rig.world.run(RESYNC_READ_MS + 50);
      rig.answer(2);
      rig.store.endAll();
      rig.turn();
    }
    expect(inFlight()).toBeLessThanOrEqual(RESYNC_BYTES_MIN);
    expect(inFlight()).toBeGreaterThan(0);
  });

  test('the depth can be changed while it runs', () => {
    rig = new ResyncRig({ options: { depth: 2 } });
    for (let chunk = 0; chunk < 64; chunk += 2) rig.store.mapOf(1).set(chunk, 1);
    rig.start([2], rig.version(5, [1, 2]));
    expect(rig.reads(2).length).toBe(2);
    rig.resync.options = { depth: 5 };
    rig.turn();
    expect(rig.reads(2).length).toBe(5);
  });

  test('a depth that is lowered while pulls are under way counts for the next ones', () => {
    rig = new ResyncRig({ options: { depth: 4 } });
    for (let chunk = 0; chunk < 64; chunk += 2) rig.store.mapOf(1).set(chunk, 1);
    rig.start([2], rig.version(5, [1, 2]));
    rig.resync.options = { depth: 1 };
    rig.turn();
    for (let left = 3; left >= 0; left--) {
      rig.answer(2);
      rig.store.endAll();
      rig.turn();
      expect(rig.reads(2).length).toBe(Math.max(left, 1));
    }
  });

  test('chunks larger than a message are read in pieces', () => {
    rig = new ResyncRig({ chunks: 4, chunkSizeBytes: 4 * IO_BYTES_MAX, short: 1000 });
    rig.store.mapOf(1).set(2, 2);
    rig.start([2], rig.version(5, [1, 2]));
    for (const { message } of rig.session(2).ios) expect(message.lengthBytes).toBeLessThanOrEqual(4 * IO_BYTES_MAX);
    rig.pullAll();
    expect([rig.store.mapOf(1).dirtyCount, rig.resync.status().pulledBytes]).toEqual([0, 8 * IO_BYTES_MAX - 1000]);
  });

  test('an all-dirty device without anybody to read from costs no step per chunk', () => {
    rig = new ResyncRig({ chunks: 2 ** 28, chunkSizeBytes: 4096 });
    rig.store.mapOf(1).set(0, 2 ** 28);
    let looked = 0;
    const { dirtyMap } = rig.store;
    rig.store.dirtyMap = (memberId) => {
      looked++;
      if (looked > 10_000) throw new Error('the maps are looked at once per chunk');
      return dirtyMap.call(rig.store, memberId);
    };
    rig.start([], rig.version(5, [1, 2]));
    rig.world.run(1000);
    expect(rig.resync.status().reason).toContain('wait for member 2');
    rig.store.mapOf(2).set(0, 2 ** 28 - 5);
    rig
      .session(2)
      .next('sync-join')
      .answer({ poolHandle: 42, memberId: 2, storeUuid: storeOf(2) });
    rig.turn();
    expect(rig.reads(2)).toEqual([`${2 ** 28 - 5}+5`]);
  });

  test('an all-dirty device whose only source has no permit costs no step per chunk', () => {
    rig = new ResyncRig({ chunks: 2 ** 28, chunkSizeBytes: 4096 });
    rig.store.mapOf(1).set(0, 2 ** 28);
    rig.start([], rig.version(5, [1, 2]));
    let tried = 0;
    rig.session(2).permits = 0;
    const { rtrs } = rig.session(2);
    rtrs.allocate = () => {
      tried++;
      if (tried > 1000) throw new Error('a permit is asked for once per chunk');
      return -1;
    };
    rig
      .session(2)
      .next('sync-join')
      .answer({ poolHandle: 42, memberId: 2, storeUuid: storeOf(2) });
    rig.turn();
    expect(tried).toBeGreaterThan(0);
  });
});

describe('resync: rate', () => {
  /** Pulls for so many milliseconds, each read answered at once; returns the bytes. */
  function pullFor(durationMs: number, each: () => void = () => {}): number {
    const before = rig.resync.status().pulledBytes;
    const untilMs = rig.world.clock.nowMs() + durationMs;
    while (rig.world.clock.nowMs() < untilMs) {
      each();
      rig.pullAll();
      rig.world.run(50);
    }
    return rig.resync.status().pulledBytes - before;
  }

  beforeEach(() => {
    rig = new ResyncRig({ chunks: 1024, chunkSizeBytes: 131072, options: { rateBytes: 4 * 1048576, loadedRateBytes: 1048576 } });
    rig.store.mapOf(1).set(0, 1024);
  });

  test('no faster than the rate, and not much slower', () => {
    rig.start([2], rig.version(5, [1, 2]));
    pullFor(1000);
    const bytes = pullFor(4000);
    expect(bytes).toBeGreaterThan(0.9 * 16 * 1048576);
    expect(bytes).toBeLessThan(1.1 * 16 * 1048576 + IO_BYTES_MAX);
    expect(rig.resync.status().bytesPerSecond).toBeGreaterThan(3 * 1048576);
    expect(rig.resync.status().bytesPerSecond).toBeLessThan(5 * 1048576);
    const { bytesLeft, bytesPerSecond, etaSeconds } = rig.resync.status();
    expect(etaSeconds).toBe(Math.ceil(bytesLeft / bytesPerSecond));
  });

  test('slower while clients do IO, and at full rate some time after', () => {
    rig.start([2], rig.version(5, [1, 2]));
    pullFor(1000);
    const loaded = pullFor(4000, () => rig.resync.noteClientIo(rig.world.clock.nowMs(), 1));
    expect(loaded).toBeLessThan(1.1 * 4 * 1048576 + IO_BYTES_MAX);
    expect(loaded).toBeGreaterThan(0.5 * 4 * 1048576);
    pullFor(RESYNC_LOAD_MS);
    expect(pullFor(2000)).toBeGreaterThan(0.8 * 8 * 1048576);
  });

  test('beside client IO it goes on as soon as the rate allows, and not in bursts with the tick', () => {
    rig.resync.options = { rateBytes: null, loadedRateBytes: 16 * 1048576 };
    rig.resync.noteClientIo(rig.world.clock.nowMs(), 1);
    rig.start([2], rig.version(5, [1, 2]));
    const begunIn = (ms: number): number[] =>
      Array.from({ length: ms }, () => {
        rig.world.run(1);
        rig.resync.noteClientIo(rig.world.clock.nowMs(), 1);
        rig.turn();
        const { length } = rig.session(2).ios;
        rig.pullAll();
        return length;
      });
    begunIn(500);
    const begun = begunIn(4000);
    expect(Math.max(...begun)).toBe(1);
    const count = begun.filter((pulls) => pulls > 0).length;
    const perSecond = (16 * 1048576) / 131072;
    expect(count).toBeLessThanOrEqual(4 * perSecond);
    // Now and then resync rests, to hear what clients feel without it.
    const rests = (FEEL_LISTEN_MS + FEEL_SETTLE_MS) / FEEL_RUN_MS;
    expect(count).toBeGreaterThan((4 * perSecond) / (1 + rests));
  });

  test('an idle time is not saved up for a burst', () => {
    rig.start([2], rig.version(5, [1, 2]));
    rig.resync.order = { paused: true, rateBytes: null };
    rig.world.run(60_000);
    rig.resync.order = { paused: false, rateBytes: null };
    rig.turn();
    let bytes = 0;
    for (const { message } of rig.session(2).ios) bytes += message.lengthBytes;
    expect(bytes).toBeLessThanOrEqual(1048576 + IO_BYTES_MAX);
  });

  test('the rate can be lifted while it runs', () => {
    rig.start([2], rig.version(5, [1, 2]));
    pullFor(500);
    rig.resync.options = { rateBytes: null, loadedRateBytes: null };
    expect(pullFor(100)).toBeGreaterThan(16 * 1048576);
  });

  test('chunks that IO waits for come first, and beyond the rate', () => {
    rig.resync.options = { rateBytes: 1, loadedRateBytes: 1 };
    rig.start([2], rig.version(5, [1, 2]));
    rig.resync.want(800, 2);
    rig.turn();
    expect(rig.reads(2).slice(-2)).toEqual(['800+1', '801+1']);
    // Beyond the depth, too.
    rig.resync.options = { depth: 1 };
    rig.resync.want(900, 1);
    rig.turn();
    expect(rig.reads(2).at(-1)).toBe('900+1');
  });
});

describe('resync: paused', () => {
  test('nothing is begun but what IO waits for; what is under way ends', () => {
    for (let chunk = 0; chunk < 64; chunk += 2) rig.store.mapOf(1).set(chunk, 1);
    rig.resync.options = { depth: 2 };
    rig.start([2], rig.version(5, [1, 2]));
    rig.resync.order = { paused: true, rateBytes: null };
    rig.turn();
    expect(rig.resync.status()).toMatchObject({ state: 'PAUSED', reason: 'paused by an operator', bytesPerSecond: 0, etaSeconds: null });
    rig.pullAll();
    expect([rig.reads(2), rig.resync.locked, rig.store.mapOf(1).dirtyCount]).toEqual([[], 0, 30]);
    rig.resync.want(40, 1);
    rig.turn();
    expect(rig.reads(2)).toEqual(['40+1']);
    rig.pullAll();
    expect(rig.store.mapOf(1).dirtyCount).toBe(29);
    rig.resync.order = { paused: false, rateBytes: null };
    rig.turn();
    rig.pullAll();
    expect(rig.resync.status().state).toBe('IDLE');
  });
});
