import type { RtrsServerRequest } from './core/server-request.ts';
import type { RtrsServerSession } from './core/server-session.ts';
import type { PeerIdentity } from './identity.ts';

/** The options of a server. */
export interface RtrsServerOptions {
  readonly local: PeerIdentity;
  /** IO permits to grant at most, 1 to `QUEUE_DEPTH_MAX`. */
  readonly queueDepth: number;
  /** Largest payload to grant, `PAYLOAD_BYTES_MIN` to `PAYLOAD_BYTES_MAX`. */
  readonly maxPayloadBytes: number;
  /** Whether to agree when a client asks for payload checksums. */
  readonly payloadChecksum: boolean;
  readonly heartbeatIntervalMs?: number;
  readonly deadAfterMs?: number;
  readonly handshakeTimeoutMs?: number;
  readonly sessionsMax?: number;
  readonly pathsMax?: number;
}

/**
 * The state of a server's session. `OPEN`: at least one path is up. `DRAINING`: the session has ended, and requests still execute.
 * `DRAINED`: the session has ended, and nothing executes any more.
 */
export type ServerSessionState = 'OPEN' | 'DRAINING' | 'DRAINED';

/** The upper layer, which is told what clients do. */
export interface RtrsServerHandler {
  /** A client began a session. */
  onSession(session: RtrsServerSession): void;
  /** A request arrived. It is answered by {@link RtrsServerRequest.respond}, now or later. */
  onRequest(request: RtrsServerRequest): void;
  /** The session has ended, and no more requests of it come. Requests that execute still have to be responded to; the responses are dropped. */
  onSessionClosed(session: RtrsServerSession, reason: string): void;
  /** Nothing of a session that has ended executes any more. Once, after onSessionClosed; perhaps from within `respond` or `close`. */
  onSessionDrained(session: RtrsServerSession): void;
}

/** A path, for status. */
export interface ServerPathInfo {
  readonly pathId: number;
  /** Where it comes from. */
  readonly address: string;
  /** False when it is gone and requests that it brought are still executing. */
  readonly up: boolean;
  /** Smoothed round trip of heartbeats in milliseconds; null before the first. */
  readonly rttMs: number | null;
  readonly executing: number;
}
