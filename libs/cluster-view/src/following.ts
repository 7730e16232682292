/** Follows an operation to its end, whatever becomes of the daemon that drives it meanwhile. */
import type { OperationView } from '@rmr/admin-api';
import { OperationError } from '@rmr/runtime';
import type { ClusterNode } from './cluster-file.ts';
import { ask } from './observe.ts';

/** How often it is asked, in milliseconds: at first, and at most. */
const ASK_MS = 100;
const ASK_MS_MAX = 800;
const ASK_GROWTH = 1.3;

/** What is known of an operation at a moment. */
export interface Followed {
  readonly operation: OperationView;
  /** Why the daemon does not answer, since the last time that it did; null: it does. */
  readonly silence: string | null;
}

export interface FollowOptions {
  /** Milliseconds. Without it there is no limit. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with every answer, and with every question that got none. */
  readonly onChange?: ((followed: Followed) => void) | undefined;
}

/**
 * Resolves with the operation once it has ended, well or not. A daemon that is away is asked again until it is back: the operation goes on
 * after its restart. Rejects with TIMEOUT, NOT_FOUND, what the daemon refuses with, or the reason of the signal.
 */
export async function follow(node: ClusterNode, operation: OperationView, options: FollowOptions = {}): Promise<OperationView> {
  const deadline = options.timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + options.timeoutMs;
  let known = operation;
  let pauseMs = ASK_MS;
  while (known.endedAt === null) {
    const leftMs = deadline - performance.now();
    if (leftMs <= 0)
      throw new OperationError(
        'TIMEOUT',
        `operation ${known.id} (${known.kind} of ${known.targetName}) has not ended in time, and goes on`,
      );
    await pause(Math.min(pauseMs, leftMs), options.signal);
    pauseMs = Math.min(ASK_MS_MAX, pauseMs * ASK_GROWTH);
    try {
      known = await askOnce(node, known.id, options.signal);
      options.onChange?.({ operation: known, silence: null });
    } catch (error) {
      options.signal?.throwIfAborted();
      const { code, message } = error as OperationError;
      if (code !== 'UNAVAILABLE' && code !== 'TIMEOUT') throw error;
      options.onChange?.({ operation: known, silence: message });
    }
  }
  return known;
}

/** Each question has a signal of its own: one that lives as long as the operation would collect a listener for each of them. */
async function askOnce(node: ClusterNode, id: string, signal: AbortSignal | undefined): Promise<OperationView> {
  const question = new AbortController();
  const stop = (): void => question.abort(signal?.reason);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    return await ask(node, (admin) => admin.operation.show.query({ id }, { signal: question.signal }));
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(end, ms);
    function end(): void {
      signal?.removeEventListener('abort', abort);
      resolve();
    }
    function abort(): void {
      clearTimeout(timer);
      reject(signal?.reason);
    }
    signal?.addEventListener('abort', abort, { once: true });
  });
}
