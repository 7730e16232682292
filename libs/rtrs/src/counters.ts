/** Integers that only rise, per session; for status and metrics. */
export class RtrsCounters {
  /** Requests sent (client) or received (server), re-issues included. */
  requests = 0;
  /** Responses received (client) or sent (server). */
  responses = 0;
  /** Bytes of all frames, handshakes and heartbeats included. */
  sentBytes = 0;
  receivedBytes = 0;
  /** Requests sent again on another path, behind a fence. Client only. */
  reissues = 0;
  /** Responses to requests whose path was gone by then. Server only. */
  droppedResponses = 0;
  /** Paths that finished their handshake. */
  pathsUp = 0;
  /** Paths that were up and are lost. */
  pathsLost = 0;
  /** Connects and handshakes that failed. Client only. */
  pathsFailed = 0;
  /** Sessions made; more than one on a client after a loss. */
  sessionsUp = 0;
  sessionsLost = 0;
  /** Frames that closed their path: damaged, out of bounds or out of place. */
  badFrames = 0;
}
