import type { Slab } from '@rmr/runtime';
import type { RtrsClientSession } from './core/client-session.ts';
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

/** Gets what happens to a session. */
export interface RtrsClientHandler {
  /** A new session exists. Permits can be allocated; those held from an earlier session are void. */
  onConnected(session: RtrsClientSession): void;
  /** The session is gone. Called before its requests in flight end with ESESSION; a new session is sought by itself. */
  onLost(session: RtrsClientSession, reason: string): void;
  /** A permit can be had again after `allocate` returned -1. */
  onPermit(session: RtrsClientSession): void;
  /** A path of a session that lives on came up or was lost. */
  onPathChange?(session: RtrsClientSession): void;
}

/** A path, for status. */
export interface PathInfo {
  readonly address: string;
  readonly state: ClientPathState;
  /** Smoothed round trip of heartbeats in milliseconds; null before the first. */
  readonly rttMs: number | null;
  readonly inFlight: number;
  /** How often it came up again. */
  readonly reconnects: number;
  /** Why it is down, or why the last attempt failed; null while it is up. */
  readonly lastError: string | null;
}
