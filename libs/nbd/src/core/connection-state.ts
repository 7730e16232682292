/**
 * - `HANDSHAKE`: greeted; the client's flags are awaited.
 * - `HAGGLING`: options are negotiated.
 * - `TRANSMISSION`: requests are served.
 * - `DRAINING`: the client has disconnected, or the server shuts down: what executes is finished, nothing new begins.
 * - `CLOSING`: the stream has been told to end; its `onClosed` is awaited.
 * - `CLOSED`: gone.
 */
export type ConnectionState = 'HANDSHAKE' | 'HAGGLING' | 'TRANSMISSION' | 'DRAINING' | 'CLOSING' | 'CLOSED';

/** What may follow what. */
export const CONNECTION_TRANSITIONS: Readonly<Record<ConnectionState, readonly ConnectionState[]>> = {
  // HAGGLING: the flags are good. CLOSING: they are not, they are late, or the server shuts down. CLOSED: the peer left.
  HANDSHAKE: ['HAGGLING', 'CLOSING', 'CLOSED'],
  // TRANSMISSION: an export was chosen. CLOSING: ABORT, a violation, too late, or shutdown. CLOSED: the peer left.
  HAGGLING: ['TRANSMISSION', 'CLOSING', 'CLOSED'],
  // DRAINING: DISC, or shutdown. CLOSING: a violation, or a shutdown that does not wait. CLOSED: the peer left.
  TRANSMISSION: ['DRAINING', 'CLOSING', 'CLOSED'],
  // CLOSING: nothing executes any more, or it took too long. CLOSED: the peer left.
  DRAINING: ['CLOSING', 'CLOSED'],
  // CLOSED: the stream is gone.
  CLOSING: ['CLOSED'],
  CLOSED: [],
};
