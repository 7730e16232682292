import { OperationError } from '@rmr/runtime';
import { adminUrl, type ClusterState, runningClients, writeState } from './cluster-state.ts';
import { POLL_MS, POOL_NAME, START_TIMEOUT_MS } from './constants.ts';
import { orderPool } from './probes.ts';
import { pause } from './waiting.ts';

/** What another attempt may mend: a member or the client node itself may not have found its peers yet. */
const PASSING: ReadonlySet<string> = new Set(['UNAVAILABLE', 'TIMEOUT']);

export interface CreationOptions {
  readonly signal: AbortSignal;
  /** Gives the order once, and returns when the pool is served. Throws {@link OperationError}. */
  readonly order?: (timeoutMs: number) => Promise<void>;
  readonly timeoutMs?: number;
}

/**
 * Gives the order that brings the pool of a new cluster into being, until it is carried out; nothing, if the state says that it
 * was. That it may have been given is durable before it is: then, and only then, a pool that exists already is as good as created.
 */
export async function createPool(directory: string, state: ClusterState, options: CreationOptions): Promise<void> {
  if (state.poolCreated) return;
  const { signal, timeoutMs = START_TIMEOUT_MS } = options;
  const order = options.order ?? ((limitMs: number) => giveOrder(state, limitMs, signal));
  let mayExist = state.poolOrdered;
  state.poolOrdered = true;
  writeState(directory, state);
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    signal.throwIfAborted();
    const failure = await failureOf(order(Math.max(1, Math.ceil(deadline - performance.now()))));
    signal.throwIfAborted();
    if (failure === null || (failure.code === 'CONFLICT' && mayExist)) break;
    if (!PASSING.has(failure.code) || performance.now() >= deadline)
      throw new OperationError(failure.code, `${POOL_NAME} was not created: ${failure.message}`, { cause: failure });
    mayExist = true;
    await pause(POLL_MS, signal);
  }
  state.poolCreated = true;
  writeState(directory, state);
}

async function giveOrder(state: ClusterState, timeoutMs: number, signal: AbortSignal): Promise<void> {
  const [client] = runningClients(state);
  if (client === undefined) throw new OperationError('IO_ERROR', 'every client node has ended; their logs say why');
  await orderPool(adminUrl(client.adminPort), state.poolUuid, timeoutMs, signal);
}

async function failureOf(work: Promise<void>): Promise<OperationError | null> {
  try {
    await work;
    return null;
  } catch (error) {
    if (error instanceof OperationError) return error;
    throw error;
  }
}
