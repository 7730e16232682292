import type { Slab } from '@rmr/runtime';
import type { PeerIdentity } from './identity.ts';

/** How a request finds its path: in turn; where least is in flight; where heartbeats return fastest. */
export type PathPolicy = 'round-robin' | 'min-inflight' | 'min-latency';

/**
 * State of a client session. `IDLE` before start; `CONNECTING` without a session, trying; `CONNECTED` with at least one
 * path; `CLOSED` for good.
 */
export type ClientSessionState = 'IDLE' | 'CONNECTING' | 'CONNECTED' | 'CLOSED';

/** State of one path: `DOWN` waits for its next attempt (or, without a session, for the session). */
export type ClientPathState = 'DOWN' | 'CONNECTING' | 'HANDSHAKING' | 'UP';

/** What a session is set up with. */
export interface RtrsClientOptions {
  /** Who we are. */
  readonly local: PeerIdentity;
  /** Addresses of the server, one per path, 1 to `PATHS_MAX`. The same address may stand there several times. */
  readonly addresses: readonly string[];
  /** Default `min-inflight`. */
  readonly pathPolicy?: PathPolicy;
  /** IO permits to ask for, 1 to `QUEUE_DEPTH_MAX`. The server may grant fewer. */
  readonly queueDepth: number;
  /** Largest payload to ask for, `PAYLOAD_BYTES_MIN` to `PAYLOAD_BYTES_MAX`. The server may grant less. */
  readonly maxPayloadBytes: number;
  /** Whether to ask for a CRC-32C over every payload. It is on when the server agrees. */
  readonly payloadChecksum: boolean;
  readonly heartbeatIntervalMs?: number;
  readonly deadAfterMs?: number;
  readonly handshakeTimeoutMs?: number;
  readonly reconnectMsMin?: number;
  readonly reconnectMsMax?: number;
  readonly drainTimeoutMs?: number;
}

/** What both sides agreed on: the lesser of what each offered. */
export interface SessionLimits {
  /** IO permits. */
  readonly queueDepth: number;
  readonly maxPayloadBytes: number;
  readonly payloadChecksum: boolean;
  readonly heartbeatIntervalMs: number;
}

/** Gets the end of requests. */
export interface RtrsResponseSink {
  /**
   * The request that was submitted with `tag` has ended, exactly once. `status` is 0 or a `Status`; `ESESSION` means
   * that the session was lost and the request may or may not have been executed. The permit is free again already.
   *
   * The response header is `header[headerOffset .. headerOffset + headerLength)`; it and `payload` are valid during
   * the call. Who wants to keep them retains `slab`. A payload always comes with a slab.
   */
  onResponse(
    tag: number,
    status: number,
    header: Uint8Array,
    headerOffset: number,
    headerLength: number,
    payload: Uint8Array | null,
    slab: Slab | null,
  ): void;
}
