import { setTimeout as sleep } from 'node:timers/promises';

/** Lets time pass. Rejects when `signal` is aborted meanwhile. */
export async function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, signal === undefined ? {} : { signal });
}
