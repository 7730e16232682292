import { Status } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { ORDERLY_STOP_MS_MAX } from '../../constants.ts';
import { OrderlyStop, type OrderlyStopHost } from './orderly-stop.ts';

/** A pool's client, of which the test says how it stands; `did`: what it was told to do. */
function rig() {
  const did: string[] = [];
  const reasons: unknown[] = [];
  const now: { isServing: boolean; unfinished: string | null; waits: boolean; flushed: (status: number) => void; released: () => void } = {
    isServing: true,
    unfinished: null,
    waits: false,
    flushed: () => {},
    released: () => {},
  };
  const host: OrderlyStopHost = {
    serving: () => now.isServing,
    unfinished: () => now.unfinished,
    flushMustWait: () => now.waits,
    flush: (done) => {
      did.push('flush');
      now.flushed = done;
    },
    release: (done) => {
      did.push('release');
      now.released = done;
    },
    stopped: () => did.push('stopped'),
  };
  const nothing = (): void => {};
  const warn = (_message: string, fields?: { why?: unknown }): number => reasons.push(fields?.why);
  const log = { debug: nothing, info: nothing, error: nothing, warn, child: () => log };
  return { now, did, reasons, stop: new OrderlyStop(log, host, 0) };
}

test('everything is flushed, then the members are released', () => {
  const { stop, did, now } = rig();
  stop.goOn(0);
  stop.goOn(50);
  expect(did).toEqual(['flush']);
  now.flushed(Status.OK);
  expect(did).toEqual(['flush', 'release']);
  now.released();
  expect(did).toEqual(['flush', 'release', 'stopped']);
});

test('I2: IO that nobody waits for any more ends before that', () => {
  const { stop, did, now } = rig();
  now.unfinished = '1 requests';
  stop.goOn(0);
  stop.goOn(5_000);
  expect(did).toEqual([]);
  now.unfinished = null;
  stop.goOn(5_050);
  expect(did).toEqual(['flush']);
});

test('I2: nobody is released while IO is in flight, whatever the flush says', () => {
  const { stop, did, now, reasons } = rig();
  stop.goOn(0);
  now.unfinished = '1 requests';
  now.flushed(Status.OK);
  expect(did).toEqual(['flush', 'stopped']);
  expect(reasons).toEqual(['there is still 1 requests']);
});

test('I1: nobody is released when the flush fails', () => {
  const { stop, did, now, reasons } = rig();
  stop.goOn(0);
  now.flushed(Status.EIO);
  expect(did).toEqual(['flush', 'stopped']);
  expect(reasons).toEqual(['the last flush failed with EIO']);
});

test.each([
  ['IO', '3 requests', '10 s were not enough for 3 requests'],
  ['the flush', null, '10 s were not enough for the last flush'],
] as const)('I11: it ends although %s does not', (_what, unfinished, why) => {
  const { stop, did, now, reasons } = rig();
  now.unfinished = unfinished;
  stop.goOn(0);
  stop.goOn(ORDERLY_STOP_MS_MAX - 1);
  expect(did).not.toContain('stopped');
  stop.goOn(ORDERLY_STOP_MS_MAX);
  expect(did).toContain('stopped');
  expect(did).not.toContain('release');
  expect(reasons).toEqual([why]);
});

test('I11: a pool that is not served, and one whose flush would wait for a member that is away, end at once', () => {
  const [lost, waiting] = [rig(), rig()];
  lost.now.isServing = false;
  lost.now.unfinished = '3 requests';
  lost.stop.goOn(0);
  waiting.now.waits = true;
  waiting.stop.goOn(0);
  expect([...lost.did, ...waiting.did]).toEqual(['stopped', 'stopped']);
});
