import type { Logger } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { runUntilSignal } from './daemon-process.ts';

/** A log that keeps the events. */
function recorder(): { readonly log: Logger; readonly events: string[] } {
  const events: string[] = [];
  const note = (event: string): void => {
    events.push(event);
  };
  const log: Logger = { debug: note, info: note, warn: note, error: note, child: () => log };
  return { log, events };
}

test.each(['SIGTERM', 'SIGINT'] as const)('%s stops gracefully, and the listeners are gone afterwards', async (signal) => {
  const { log, events } = recorder();
  const before = process.listenerCount(signal);
  const stops: boolean[] = [];
  const ended = runUntilSignal({ stop: async (graceful) => void stops.push(graceful) }, log);
  process.emit(signal, signal);
  await ended;
  expect(stops).toEqual([true]);
  expect(events).toEqual(['stopping: requests that execute finish first', 'stopped']);
  expect(process.listenerCount(signal)).toBe(before);
});

test('a second signal stops at once what the first waits for', async () => {
  const stops: boolean[] = [];
  const ended = runUntilSignal(
    {
      stop(graceful) {
        stops.push(graceful);
        return graceful ? new Promise(() => {}) : Promise.resolve();
      },
    },
    recorder().log,
  );
  process.emit('SIGTERM', 'SIGTERM');
  process.emit('SIGINT', 'SIGINT');
  await ended;
  expect(stops).toEqual([true, false]);
});

test('a stop that fails is told to the caller', async () => {
  const ended = runUntilSignal({ stop: () => Promise.reject(new Error('flush failed')) }, recorder().log);
  process.emit('SIGTERM', 'SIGTERM');
  await expect(ended).rejects.toThrow('flush failed');
});
