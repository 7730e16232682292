import type { ReceiveBuffer, SendQueue } from '@rmr/runtime';
import type { ExportEntry } from './export-entry.ts';

/** What the phases of a connection (negotiation, transmission) see of it. */
export interface Link {
  readonly receive: ReceiveBuffer;
  readonly send: SendQueue;
  /** Something is to be sent, or something that had to wait may go on: look at it at the end of the turn. */
  wake(): void;
  /** The peer broke the protocol: closes this connection alone, and logs why. */
  fail(reason: string): void;
  /** Replies that are queued leave, then the connection closes. */
  finish(reason: string): void;
  /** The negotiation chose an export. */
  enterTransmission(entry: ExportEntry, structured: boolean, blockStatus: boolean): void;
  /** Bytes that the connection may have in flight at the moment. */
  inFlightBytesMax(): number;
}
