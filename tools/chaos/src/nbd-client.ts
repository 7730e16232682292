import { connect, type Socket } from 'node:net';
import type { NbdAddress } from '@rmr/cluster';
import { errorMessage, OperationError } from '@rmr/runtime';
import { ByteReader } from './byte-reader.ts';
import { RequestKind } from './device-request.ts';

/** A connection to an NBD server, with as many requests in flight as the caller likes. */
export class NbdClient {
  readonly #socket: Socket;
  readonly #events: NbdEvents;
  /** Cookies under way, with the bytes that their replies carry. */
  readonly #expected = new Map<number, number>();
  readonly sizeBytes: number;

  private constructor(socket: Socket, reader: ByteReader, sizeBytes: number, events: NbdEvents) {
    this.#socket = socket;
    this.#events = events;
    this.sizeBytes = sizeBytes;
    void this.#receive(reader);
  }

  /** Connects to an export. Rejects with UNAVAILABLE while nobody listens, or the export is not there. */
  static async connect(address: NbdAddress, events: NbdEvents): Promise<NbdClient> {
    const socket = connect(address.socket);
    const reader = new ByteReader(socket);
    const guard = setTimeout(() => socket.destroy(new Error(`no answer in ${HANDSHAKE_MS_MAX / 1000} s`)), HANDSHAKE_MS_MAX);
    try {
      const sizeBytes = await negotiate(socket, reader, address.export);
      return new NbdClient(socket, reader, sizeBytes, events);
    } catch (error) {
      socket.destroy();
      throw new OperationError('UNAVAILABLE', `export "${address.export}" can't be had: ${errorMessage(error)}`, { cause: error });
    } finally {
      clearTimeout(guard);
    }
  }

  /** Sends a request. `cookie` is under way nowhere else; `payload` is that of a write. */
  send(kind: RequestKind, fua: boolean, cookie: number, offsetBytes: number, lengthBytes: number, payload: Uint8Array | null): void {
    this.#expected.set(cookie, kind === RequestKind.READ ? lengthBytes : 0);
    const header = requestHeader(kind, fua ? FLAG_FUA : 0, cookie, offsetBytes, lengthBytes);
    this.#socket.cork();
    this.#socket.write(header);
    if (payload !== null) this.#socket.write(payload);
    this.#socket.uncork();
  }

  /** Ends the connection as NBD wants it, after the requests that are under way. */
  end(): void {
    this.#socket.end(requestHeader(DISCONNECT, 0, 0, 0, 0));
  }

  /** Drops the connection: what is under way stays without an answer. */
  drop(): void {
    this.#socket.destroy();
  }

  async #receive(reader: ByteReader): Promise<void> {
    try {
      for (;;) {
        const header = await reader.read(SIMPLE_REPLY_BYTES);
        const cookie = Number(header.readBigUInt64BE(8));
        const error = header.readUInt32BE(4);
        const payloadBytes = this.#expected.get(cookie);
        if (header.readUInt32BE(0) !== SIMPLE_REPLY_MAGIC || payloadBytes === undefined) {
          throw new Error(`no reply to anything that was asked: ${header.toString('hex')}`);
        }
        const payload = error === 0 && payloadBytes > 0 ? await reader.read(payloadBytes) : null;
        this.#expected.delete(cookie);
        this.#events.onReply(cookie, error, payload);
      }
    } catch (error) {
      this.#socket.destroy();
      this.#events.onClosed(errorMessage(error));
    }
  }
}

// The client's side of the NBD protocol (NetworkBlockDevice/nbd, doc/proto.md): fixed newstyle, GO, simple replies.

const GREETING = 'NBDMAGICIHAVEOPT';
const GREETING_BYTES = 18;
/** Fixed newstyle, no zeroes. */
const CLIENT_FLAGS = 3;
const OPTION_GO = 7;
const OPTION_REPLY_BYTES = 20;
const REPLY_ACK = 1;
const REPLY_INFO = 3;
const REPLY_ERROR_BIT = 0x8000_0000;
const INFO_EXPORT = 0;
const REQUEST_MAGIC = 0x2560_9513;
const REQUEST_BYTES = 28;
const FLAG_FUA = 1;
const SIMPLE_REPLY_MAGIC = 0x6744_6698;
const SIMPLE_REPLY_BYTES = 16;
const DISCONNECT = 2;

/** A server that neither answers nor refuses for so long is one that is stuck. */
const HANDSHAKE_MS_MAX = 10_000;

/** Told of everything that a connection brings. */
export interface NbdEvents {
  /** Exactly once per request, unless the connection ends before. `payload`: the bytes of a read without error. */
  onReply(cookie: number, error: number, payload: Uint8Array | null): void;
  /** Once; nothing follows. */
  onClosed(reason: string): void;
}

function requestHeader(type: number, flags: number, cookie: number, offsetBytes: number, lengthBytes: number): Buffer {
  const header = Buffer.allocUnsafe(REQUEST_BYTES);
  header.writeUInt32BE(REQUEST_MAGIC, 0);
  header.writeUInt16BE(flags, 4);
  header.writeUInt16BE(type, 6);
  header.writeBigUInt64BE(BigInt(cookie), 8);
  header.writeBigUInt64BE(BigInt(offsetBytes), 16);
  header.writeUInt32BE(lengthBytes, 24);
  return header;
}

/** Up to the answer to GO; the size of the export. */
async function negotiate(socket: Socket, reader: ByteReader, name: string): Promise<number> {
  const greeting = await reader.read(GREETING_BYTES);
  if (greeting.toString('latin1', 0, GREETING.length) !== GREETING) throw new Error(`a strange greeting: ${greeting.toString('hex')}`);
  const encoded = Buffer.from(name);
  const go = Buffer.alloc(4 + 16 + 4 + encoded.length + 2);
  go.writeUInt32BE(CLIENT_FLAGS, 0);
  go.write('IHAVEOPT', 4, 'latin1');
  go.writeUInt32BE(OPTION_GO, 12);
  go.writeUInt32BE(4 + encoded.length + 2, 16);
  go.writeUInt32BE(encoded.length, 20);
  encoded.copy(go, 24);
  socket.write(go);
  let sizeBytes = -1;
  for (;;) {
    const header = await reader.read(OPTION_REPLY_BYTES);
    const type = header.readUInt32BE(12);
    const data = await reader.read(header.readUInt32BE(16));
    if (type === REPLY_INFO && data.readUInt16BE(0) === INFO_EXPORT) sizeBytes = Number(data.readBigUInt64BE(2));
    if (type === REPLY_ACK) break;
    if (type >= REPLY_ERROR_BIT) throw new Error(data.toString('utf8') || `the server refuses it with ${type.toString(16)}`);
  }
  if (sizeBytes < 0) throw new Error('the server did not tell its size');
  return sizeBytes;
}
