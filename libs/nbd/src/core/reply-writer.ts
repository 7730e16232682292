import { assert, type DiskExtent, type SendQueue, type Slab } from '@rmr/runtime';
import { EXTENTS_MAX } from '../constants.ts';
import { writeU32, writeU64 } from '../wire/bytes.ts';
import { REPLY_FLAG_DONE, ReplyType } from '../wire/protocol.ts';
import {
  BLOCK_STATUS_PREFIX_BYTES,
  CHUNK_HEADER_BYTES,
  DESCRIPTOR_BYTES,
  ERROR_OFFSET_SUFFIX_BYTES,
  ERROR_PREFIX_BYTES,
  encodeChunkHeader,
  encodeDescriptor,
  encodeErrorPrefix,
  encodeOffsetHole,
  encodeSimpleReply,
  OFFSET_DATA_PREFIX_BYTES,
  OFFSET_HOLE_BYTES,
  SIMPLE_REPLY_BYTES,
} from '../wire/reply.ts';
import { describeAllocation } from './allocation.ts';
import type { Transaction } from './transaction.ts';

/** Puts replies into a send queue. */
export class ReplyWriter {
  readonly #send: SendQueue;
  /** Zeroes to send where a client takes no holes. */
  readonly #zeroes: Slab;
  /** Scratch for block status; made when a client first asks. */
  #runs: Uint32Array | null = null;

  constructor(send: SendQueue, zeroes: Slab) {
    this.#send = send;
    this.#zeroes = zeroes;
  }

  simple(cookieHigh: number, cookieLow: number, error: number): void {
    const at = this.#send.reserve(SIMPLE_REPLY_BYTES);
    encodeSimpleReply(this.#send.bytes, at, error, cookieHigh, cookieLow);
  }

  /** The last chunk of a structured reply: an error, with its place when `offsetBytes` is not negative. */
  error(cookieHigh: number, cookieLow: number, error: number, message: Uint8Array | null, offsetBytes: number): void {
    const messageBytes = message === null ? 0 : message.length;
    const placed = offsetBytes >= 0;
    const payloadBytes = ERROR_PREFIX_BYTES + messageBytes + (placed ? ERROR_OFFSET_SUFFIX_BYTES : 0);
    const at = this.#send.reserve(CHUNK_HEADER_BYTES + payloadBytes);
    const bytes = this.#send.bytes;
    const type = placed ? ReplyType.ERROR_OFFSET : ReplyType.ERROR;
    encodeChunkHeader(bytes, at, REPLY_FLAG_DONE, type, cookieHigh, cookieLow, payloadBytes);
    encodeErrorPrefix(bytes, at + CHUNK_HEADER_BYTES, error, messageBytes);
    const messageAt = at + CHUNK_HEADER_BYTES + ERROR_PREFIX_BYTES;
    if (message !== null) bytes.set(message, messageAt);
    if (placed) writeU64(bytes, messageAt + messageBytes, offsetBytes);
  }

  /** The last chunk of a structured reply that has nothing else to say. */
  none(transaction: Transaction): void {
    const at = this.#send.reserve(CHUNK_HEADER_BYTES);
    encodeChunkHeader(this.#send.bytes, at, REPLY_FLAG_DONE, ReplyType.NONE, transaction.cookieHigh, transaction.cookieLow, 0);
  }

  /** A content chunk: data, or a hole when `data` is null. */
  content(
    transaction: Transaction,
    offsetBytes: number,
    data: Uint8Array | null,
    lengthBytes: number,
    slab: Slab | null,
    last: boolean,
  ): void {
    if (data === null) {
      const at = this.#send.reserve(CHUNK_HEADER_BYTES + OFFSET_HOLE_BYTES);
      this.#chunkHeader(at, transaction, last, ReplyType.OFFSET_HOLE, OFFSET_HOLE_BYTES);
      encodeOffsetHole(this.#send.bytes, at + CHUNK_HEADER_BYTES, offsetBytes, lengthBytes);
      return;
    }
    this.#dataHeader(transaction, offsetBytes, lengthBytes, last);
    this.#send.append(data, slab);
  }

  /** A READ's reply out of all of its parts: a simple reply, or one content chunk. */
  collected(transaction: Transaction, structured: boolean): void {
    if (structured) {
      if (transaction.partCount === 1 && transaction.partData[0] === null) {
        this.content(transaction, transaction.offsetBytes, null, transaction.lengthBytes, null, true);
        return;
      }
      this.#dataHeader(transaction, transaction.offsetBytes, transaction.lengthBytes, true);
    } else {
      this.simple(transaction.cookieHigh, transaction.cookieLow, 0);
    }
    let position = transaction.offsetBytes;
    for (let i = 0; i < transaction.partCount; i++) {
      assert(transaction.partOffsets[i] === position, 'reply: the parts of a read leave a gap or overlap');
      const data = transaction.partData[i] as Uint8Array | null;
      const lengthBytes = transaction.partLengths[i] as number;
      if (data === null) this.#zeroBytes(lengthBytes);
      else this.#send.append(data, transaction.partSlabs[i] as Slab | null);
      position += lengthBytes;
    }
    assert(position === transaction.offsetBytes + transaction.lengthBytes, 'reply: the parts of a read do not reach its end');
  }

  /** The chunk of `base:allocation`. Not the last chunk. */
  allocation(transaction: Transaction, extents: readonly DiskExtent[], blockBytes: number, oneExtent: boolean): void {
    const countMax = oneExtent ? 1 : EXTENTS_MAX;
    this.#runs ??= new Uint32Array(EXTENTS_MAX * 2);
    const runs = this.#runs;
    const count = describeAllocation(extents, transaction.lengthBytes, blockBytes, countMax, runs);
    const payloadBytes = BLOCK_STATUS_PREFIX_BYTES + count * DESCRIPTOR_BYTES;
    const at = this.#send.reserve(CHUNK_HEADER_BYTES + payloadBytes);
    const bytes = this.#send.bytes;
    this.#chunkHeader(at, transaction, false, ReplyType.BLOCK_STATUS, payloadBytes);
    writeU32(bytes, at + CHUNK_HEADER_BYTES, BASE_ALLOCATION_ID);
    let to = at + CHUNK_HEADER_BYTES + BLOCK_STATUS_PREFIX_BYTES;
    for (let i = 0; i < count; i++, to += DESCRIPTOR_BYTES) {
      encodeDescriptor(bytes, to, runs[i * 2] as number, runs[i * 2 + 1] as number);
    }
  }

  #dataHeader(transaction: Transaction, offsetBytes: number, lengthBytes: number, last: boolean): void {
    const at = this.#send.reserve(CHUNK_HEADER_BYTES + OFFSET_DATA_PREFIX_BYTES);
    this.#chunkHeader(at, transaction, last, ReplyType.OFFSET_DATA, OFFSET_DATA_PREFIX_BYTES + lengthBytes);
    writeU64(this.#send.bytes, at + CHUNK_HEADER_BYTES, offsetBytes);
  }

  #chunkHeader(at: number, transaction: Transaction, last: boolean, type: number, payloadBytes: number): void {
    const flags = last ? REPLY_FLAG_DONE : 0;
    encodeChunkHeader(this.#send.bytes, at, flags, type, transaction.cookieHigh, transaction.cookieLow, payloadBytes);
  }

  #zeroBytes(lengthBytes: number): void {
    const zeroes = this.#zeroes;
    for (let left = lengthBytes; left > 0; ) {
      const part = Math.min(left, zeroes.bytes.length);
      this.#send.append(zeroes.bytes.subarray(0, part), zeroes);
      left -= part;
    }
  }
}

/** Id of `base:allocation`, the only metadata context so far. */
export const BASE_ALLOCATION_ID = 1;
