import type { PathStatus, SessionStatus } from './status-common.ts';

/** A session, as seen by the side that opens it. `RtrsClientSession` fits it. */
export interface ClientSessionView {
  /** The other host; null until it has answered for the first time. */
  readonly peer: { readonly hostName: string; readonly hostUuid: string } | null;
  readonly state: SessionStatus['state'];
  readonly limits: { readonly queueDepth: number };
  paths(): readonly {
    readonly address: string;
    readonly state: PathStatus['state'];
    readonly lastError: string | null;
    readonly rttMs: number | null;
    readonly inFlight: number;
    readonly reconnects: number;
  }[];
}

/** The status of a session that this node opens, with its paths. */
export function clientSessionStatus(session: ClientSessionView): SessionStatus {
  const paths = session.paths();
  return {
    peerName: session.peer?.hostName ?? null,
    peerHostUuid: session.peer?.hostUuid ?? null,
    side: 'client',
    state: session.state,
    queueDepth: session.limits.queueDepth,
    inFlight: paths.reduce((sum, path) => sum + path.inFlight, 0),
    paths: paths.map((path) => ({
      address: path.address,
      state: path.state,
      reason: path.lastError,
      roundTripMs: path.rttMs,
      inFlight: path.inFlight,
      reconnects: path.reconnects,
    })),
  };
}
