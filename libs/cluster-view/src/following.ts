/** Follows an operation to its end, whatever becomes of the daemon that drives it meanwhile. */
import type { OperationView } from '@rmr/admin-api';
import { OperationError } from '@rmr/runtime';
import type { ClusterNode } from './cluster-file.ts';
import { ask } from './observe.ts';

/** How often it is asked, in milliseconds: at first, and at most. */
const ASK_MS = 100;
const ASK_MS_MAX = 1_000;

/** What is known of an operation at a moment. */
export interface Followed {
  readonly operation: OperationView;
  /** Why the daemon does not answer, since the last time that it did; null: it does. */
  readonly silence: string | null;
}

export interface FollowOptions {
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onChange?: ((followed: Followed) => void) | undefined;
}

/** Resolves with the operation once it has ended. Rejects with TIMEOUT, NOT_FOUND, or what the daemon refuses with. */
export async function follow(node: ClusterNode, operation: OperationView, options: FollowOptions = {}): Promise<OperationView> {
  const deadline = options.timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + options.timeoutMs;
  let known = operation;
  let pauseMs = ASK_MS;
  while (known.endedAt === null) {
    if (performance.now() >= deadline)
      throw new OperationError('TIMEOUT', `operation ${known.id} has not ended in time; it goes on: rmrctl operation wait ${known.id}`);
    await pause(pauseMs, options.signal);
    pauseMs = Math.min(ASK_MS_MAX, pauseMs * 1.3);
    try {
      known = await ask(node, (admin) => admin.operation.show.query({ id: known.id }));
      options.onChange?.({ operation: known, silence: null });
    } catch (error) {
      const { code, message } = error as OperationError;
      if (code !== 'UNAVAILABLE' && code !== 'TIMEOUT') throw error;
      options.onChange?.({ operation: known, silence: message });
    }
  }
  return known;
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
