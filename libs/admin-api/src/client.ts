import { errorMessage, OPERATION_ERRORS, OperationError, type OperationErrorCode } from '@rmr/runtime';
import { createTRPCClient, httpLink, type TRPCClient, TRPCClientError } from '@trpc/client';
import type { AdminRouter } from './router.ts';

/** How long an answer may take by default. Every status is faster, and a person waits for so long. */
const TIMEOUT_MS_DEFAULT = 10_000;

export type AdminClient = TRPCClient<AdminRouter>;

export interface AdminClientOptions {
  /** The daemon's admin address: `tcp://HOST:PORT`, `http://HOST:PORT`, or `https://…` where a proxy is in front of it. */
  readonly url: string;
  readonly token?: string | undefined;
  readonly timeoutMs?: number | undefined;
}

/** A typed client of a daemon's admin interface. Pass each error that its calls throw through {@link adminError}. */
export function createAdminClient(options: AdminClientOptions): AdminClient {
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS_DEFAULT;
  return createTRPCClient<AdminRouter>({
    links: [
      httpLink({
        url: `${options.url.replace(/\/$/, '').replace(/^tcp:/, 'http:')}/trpc`,
        headers: options.token === undefined ? {} : { authorization: `Bearer ${options.token}` },
        fetch: async (input, init) => {
          const limit = AbortSignal.timeout(timeoutMs);
          const signal = init?.signal ? AbortSignal.any([init.signal, limit]) : limit;
          const response = await fetch(input, { ...(init as RequestInit), signal });
          const refusal = response.headers.get('content-type')?.startsWith('text/plain') ? REFUSALS[response.status] : undefined;
          if (refusal !== undefined) throw new OperationError(refusal.code, `the daemon at ${options.url} ${refusal.why}`);
          return response;
        },
      }),
    ],
  });
}

/**
 * The failure of a call to a daemon, as an {@link OperationError}. Its code is the one that the daemon answered with. When no answer
 * came, it is UNAVAILABLE or TIMEOUT.
 */
export function adminError(thrown: unknown, url: string): OperationError {
  if (thrown instanceof OperationError) return thrown;
  if (thrown instanceof TRPCClientError) {
    const code = (thrown.data as { operationCode?: unknown } | null | undefined)?.operationCode;
    if (typeof code === 'string' && code in OPERATION_ERRORS) {
      return new OperationError(code as OperationErrorCode, thrown.message, { cause: thrown });
    }
    if (thrown.cause instanceof OperationError) return thrown.cause;
    const cause = thrown.cause;
    if (cause?.name === 'TimeoutError') {
      return new OperationError('TIMEOUT', `the daemon at ${url} did not answer in time; is it stopped or overloaded?`, { cause: thrown });
    }
    if (thrown.data === undefined || thrown.data === null) {
      return new OperationError('UNAVAILABLE', `cannot reach the daemon at ${url}: ${causeText(cause ?? thrown)}; is it running?`, {
        cause: thrown,
      });
    }
  }
  return new OperationError('IO_ERROR', `the daemon at ${url} failed: ${errorMessage(thrown)}`, { cause: thrown });
}

/** Refusals that the daemon answers as plain text, before any procedure is called. By HTTP status. */
const REFUSALS: Readonly<Record<number, { readonly code: OperationErrorCode; readonly why: string }>> = {
  401: { code: 'UNAUTHENTICATED', why: 'asks for another token; give the one of its admin.tokenFile' },
  403: { code: 'PERMISSION_DENIED', why: 'has no token and answers only to programs on its own host' },
};

/** The innermost cause of an error. The outer text, `fetch failed`, tells nothing. */
function causeText(error: Error): string {
  return error.cause instanceof Error ? causeText(error.cause) : errorMessage(error);
}
