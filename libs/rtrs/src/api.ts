import type { ByteStream, Slab, SlabPool, Transport, World } from '@rmr/runtime';
import type { ClientPathState, ClientSessionState, RtrsClientOptions, RtrsResponseSink, SessionLimits } from './client-types.ts';
import type { PeerIdentity } from './identity.ts';
import type { RtrsServerOptions, ServerSessionState } from './server-types.ts';

export interface RtrsClientHandler {
  /** A new session exists. Permits can be allocated. */
  onConnected(session: RtrsClientSession): void;
  /** The session is gone. Called before its in-flight requests end with ESESSION; reconnecting goes on by itself. */
  onLost(session: RtrsClientSession, reason: string): void;
  /** A permit can be had again after `allocate` returned -1. */
  onPermit(session: RtrsClientSession): void;
  /** A path came up or was lost. */
  onPathChange?(session: RtrsClientSession): void;
}
export interface PathInfo {
  readonly address: string;
  readonly state: ClientPathState;
  readonly rttMs: number | null;
  readonly inFlight: number;
  readonly reconnects: number;
  readonly lastError: string | null;
}
export declare class RtrsClientSession {
  constructor(world: World, transport: Transport, slabs: SlabPool, options: RtrsClientOptions, handler: RtrsClientHandler);
  readonly state: ClientSessionState;
  /** The server of the present session, or of the last one; null before the first. */
  readonly peer: PeerIdentity | null;
  readonly limits: SessionLimits;
  /** All in-flight headers; a slot's header starts at `headerOffset(slot)`. */
  readonly headerBytes: Uint8Array;
  start(): void;
  /** For good; no callback of any kind comes afterwards, in-flight requests are forgotten and their slabs released. */
  close(reason: string): void;
  allocate(control: boolean): number;
  release(slot: number): void;
  headerOffset(slot: number): number;
  /** `payload` stays unchanged until the request ends; `payloadSlab` (the slab it lies in, if any) is retained until then. */
  submit(
    slot: number,
    headerLength: number,
    payload: Uint8Array | null,
    payloadSlab: Slab | null,
    tag: number,
    sink: RtrsResponseSink,
  ): void;
  paths(): PathInfo[];
  verify(): void;
}

export declare class RtrsServerRequest {
  readonly session: RtrsServerSession;
  readonly control: boolean;
  /** User header: `header[headerOffset .. headerOffset + headerLength)`. It, `payload` and `slab` stay valid until `respond`. */
  readonly header: Uint8Array;
  readonly headerOffset: number;
  readonly headerLength: number;
  readonly payload: Uint8Array | null;
  readonly slab: Slab;
  /** For the upper layer to use freely; 0 and null when the request arrives. */
  context: number;
  attachment: unknown;
  /** Where the response header goes: RESPONSE_HEADER_BYTES_MAX bytes from `responseHeaderOffset` (shared by the requests of a session). */
  readonly responseHeader: Uint8Array;
  readonly responseHeaderOffset: number;
  /** Exactly once, from `onRequest` or any time later, also when the session has closed (then it is dropped). */
  respond(status: number, responseHeaderLength: number, payload: Uint8Array | null, slab: Slab | null): void;
}
export declare class RtrsServerSession {
  readonly peer: PeerIdentity;
  readonly limits: SessionLimits;
  readonly state: ServerSessionState;
  /** Requests handed to the handler and not yet responded to. */
  readonly executing: number;
  /** For the upper layer to use freely; null at first. */
  attachment: unknown;
  /** Closes all paths; `onSessionClosed` is called from within. */
  close(reason: string): void;
}
export interface RtrsServerHandler {
  onSession(session: RtrsServerSession): void;
  onRequest(request: RtrsServerRequest): void;
  /** The last path is gone (or `close` was called). No more requests come; those executing are still to be responded to. */
  onSessionClosed(session: RtrsServerSession, reason: string): void;
  /** The session is closed and nothing of it executes any more. After onSessionClosed, exactly once. */
  onSessionDrained(session: RtrsServerSession): void;
}
export declare class RtrsServer {
  constructor(world: World, slabs: SlabPool, options: RtrsServerOptions, handler: RtrsServerHandler);
  accept(stream: ByteStream): void;
  sessions(): readonly RtrsServerSession[];
  close(reason: string): void;
}
