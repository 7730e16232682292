import type { Slab } from '@rmr/runtime';
import type { RtrsClientSession } from './core/client-session.ts';
import type { PeerIdentity } from './identity.ts';

/**
 * How a session chooses the path of a request: the paths in turn (`round-robin`), the path with the fewest unanswered requests
 * (`min-inflight`), or the path with the fastest heartbeats (`min-latency`).
 */
export type PathPolicy = 'round-robin' | 'min-inflight' | 'min-latency';

/**
 * The state of a client's session. `IDLE`: not started. `CONNECTING`: there is no session, and one is sought. `CONNECTED`: at least one
 * path is up. `CLOSED`: ended for good.
 */
export type ClientSessionState = 'IDLE' | 'CONNECTING' | 'CONNECTED' | 'CLOSED';

/** The state of one path. A path that is `DOWN` waits for its next attempt. While there is no session, it waits for the session. */
export type ClientPathState = 'DOWN' | 'CONNECTING' | 'HANDSHAKING' | 'UP';

/** The options of a client's session. */
export interface RtrsClientOptions {
  /** The identity of this process, which the server gets. */
  readonly local: PeerIdentity;
  /** Addresses of the server, one per path, 1 to `PATHS_MAX`. The same address may be given several times. */
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

/** The limits that both sides agreed on. Each is the lesser of the two that were offered. */
export interface SessionLimits {
  /** IO permits. */
  readonly queueDepth: number;
  readonly maxPayloadBytes: number;
  readonly payloadChecksum: boolean;
  readonly heartbeatIntervalMs: number;
}

/** The object that is told how requests ended. */
export interface RtrsResponseSink {
  /**
   * The request that was submitted with `tag` has ended, exactly once. `status` is 0 or a `Status`; `ESESSION` means
   * that the session was lost and the request may or may not have been executed. The permit is free again already.
   *
   * The response header is `header[headerOffset .. headerOffset + headerLength)`; it and `payload` are valid during
   * the call. A sink that keeps them longer retains `slab`. A payload always comes with a slab.
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

/** The object that is told what happens to a session. */
export interface RtrsClientHandler {
  /** A new session exists. Permits can be allocated; those held from an earlier session are void. */
  onConnected(session: RtrsClientSession): void;
  /** The session is gone. Its requests in flight end with ESESSION after this call. The client seeks a new session by itself. */
  onLost(session: RtrsClientSession, reason: string): void;
  /** A permit is free again, after `allocate` had returned -1. */
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
