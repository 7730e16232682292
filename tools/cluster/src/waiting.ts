import { setTimeout as sleep } from 'node:timers/promises';
import { POLL_MS } from './constants.ts';

/** Lets time pass between two looks at something. */
export async function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, signal === undefined ? {} : { signal });
}

/** Looks until `look` returns something other than null, or the time is up: then null. */
export async function waitFor<Found>(timeoutMs: number, look: () => Promise<Found | null> | Found | null): Promise<Found | null> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    if (performance.now() >= deadline) return null;
    await pause(POLL_MS);
  }
}
