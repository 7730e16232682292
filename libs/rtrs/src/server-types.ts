import type { PeerIdentity } from './identity.ts';

/** What a server is set up with. */
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
 * State of a server's session: `OPEN` with at least one path; `DRAINING` without one, while requests are executing;
 * `DRAINED` when none is, for good.
 */
export type ServerSessionState = 'OPEN' | 'DRAINING' | 'DRAINED';
