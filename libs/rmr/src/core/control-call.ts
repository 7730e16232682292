import { Status } from '@rmr/runtime';
import type { z } from 'zod';
import {
  type ControlFailure,
  type ControlRequest,
  controlFailureSchema,
  decodeControlBody,
  encodeControlBody,
  encodeControlHeader,
  type UserCommand,
} from '../wire/control-message.ts';
import type { SharedSession } from './shared-session.ts';

/** Sends a control request. `whom` names the peer in messages. `done` is called once, never from within this call. */
export function controlCall<T>(
  session: SharedSession,
  whom: string,
  request: ControlRequest | UserCommand,
  schema: z.ZodType<T>,
  done: CallDone<T>,
): void {
  session.call(encodeControlHeader, encodeControlBody(request), (status, payload) => {
    if (status === Status.OK) {
      const decoded = decodeControlBody(schema, payload);
      if ('body' in decoded) done(decoded.body, null);
      else done(null, { code: null, message: `${whom} answered ${request.op} with a malformed message: ${decoded.reason}`, failure: null });
      return;
    }
    if (payload === null) {
      done(null, { code: null, message: `${whom} did not answer ${request.op} (status ${status})`, failure: null });
      return;
    }
    const decoded = decodeControlBody(controlFailureSchema, payload);
    if ('body' in decoded) done(null, { code: decoded.body.code, message: `${whom}: ${decoded.body.message}`, failure: decoded.body });
    else done(null, { code: null, message: `${whom} refused ${request.op} (status ${status})`, failure: null });
  });
}

/** The outcome of a control call: a result, or a failure (with code null when the member did not answer). */
export type CallDone<T> = (
  result: T | null,
  failure: { readonly code: ControlFailure['code'] | null; readonly message: string; readonly failure: ControlFailure | null } | null,
) => void;

/**
 * C3: whether a member refused a request because another client has claimed the pool. A request that it refused because of this client's
 * own newer claim was only late.
 */
export function isFenced(failure: ControlFailure | null, clientInstance: string): boolean {
  return failure?.code === 'STALE_EPOCH' && failure.promise?.clientInstance !== clientInstance;
}
