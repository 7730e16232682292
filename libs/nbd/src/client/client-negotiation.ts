/**
 * The client's side of the handshake: greeting, STRUCTURED_REPLY, SET_META_CONTEXT for `base:allocation`, GO. The server decides what there
 * is of the first two; without GO, which servers have had since 2017, there is no export.
 */
import { assert, type ReceiveBuffer, type SendQueue } from '@rmr/runtime';
import { CLIENT_OPTION_REPLIES_MAX, CLIENT_OPTION_REPLY_BYTES_MAX, PAYLOAD_BYTES_MAX } from '../constants.ts';
import { decodeText, encodeText, readU32 } from '../wire/bytes.ts';
import {
  CLIENT_FLAGS_BYTES,
  decodeGreetingFlags,
  encodeClientFlags,
  GREETING_BYTES,
  greetingInvalid,
  SERVER_HANDSHAKE_FLAGS,
} from '../wire/greeting.ts';
import {
  type BlockSizes,
  blockSizesInvalid,
  decodeInfoBlockSize,
  decodeInfoExport,
  decodeInfoType,
  decodeMetaContextId,
  encodeInfoRequest,
  encodeMetaQuery,
  encodeOptionHeader,
  INFO_BLOCK_SIZE_BYTES,
  INFO_EXPORT_BYTES,
  INFO_TYPE_BYTES,
  META_CONTEXT_ID_BYTES,
  OPTION_HEADER_BYTES,
  OPTION_REPLY_HEADER_BYTES,
  OPTION_REPLY_LENGTH_OFFSET,
  OPTION_REPLY_TYPE_OFFSET,
  optionReplyInvalid,
} from '../wire/option.ts';
import { ALLOCATION_CONTEXT, InfoType, Option, OptionReply, TransmissionFlag } from '../wire/protocol.ts';
import type { ExportFailure, RemoteExport } from './remote-export.ts';

/** One handshake. {@link parse} is called whenever bytes have come, until it returns something else than null. */
export class ClientNegotiation {
  readonly #receive: ReceiveBuffer;
  readonly #send: SendQueue;
  readonly #exportName: string;
  /** The option that is being answered; 0: the greeting has not come. */
  #option = 0;
  #replies = 0;
  #structured = false;
  #allocationContextId: number | null = null;
  #export: { readonly sizeBytes: number; readonly transmissionFlags: number } | null = null;
  #blockSizes: BlockSizes = DEFAULT_BLOCK_SIZES;

  constructor(receive: ReceiveBuffer, send: SendQueue, exportName: string) {
    this.#receive = receive;
    this.#send = send;
    this.#exportName = exportName;
  }

  /** Reads what has come, and queues what is to be said. Null: more has to come. Bytes behind the handshake are left in the buffer. */
  parse(): RemoteExport | ExportFailure | null {
    for (;;) {
      if (this.#option === 0) {
        if (!this.#receive.hasFrame(GREETING_BYTES)) return null;
        const failure = this.#onGreeting();
        if (failure !== null) return failure;
        continue;
      }
      if (!this.#receive.hasFrame(OPTION_REPLY_HEADER_BYTES)) return null;
      const { slab, start } = this.#receive;
      const wrong = optionReplyInvalid(slab.bytes, start, this.#option);
      if (wrong !== null) return violation(wrong);
      const type = readU32(slab.bytes, start + OPTION_REPLY_TYPE_OFFSET);
      const dataBytes = readU32(slab.bytes, start + OPTION_REPLY_LENGTH_OFFSET);
      if (dataBytes > CLIENT_OPTION_REPLY_BYTES_MAX) return violation(`a reply to an option has ${dataBytes} bytes of data`);
      if (!this.#receive.hasFrame(OPTION_REPLY_HEADER_BYTES + dataBytes)) return null;
      if (++this.#replies > CLIENT_OPTION_REPLIES_MAX) return violation('the replies to an option do not end');
      const from = this.#receive.start + OPTION_REPLY_HEADER_BYTES;
      const data = this.#receive.slab.bytes.slice(from, from + dataBytes);
      this.#receive.consume(OPTION_REPLY_HEADER_BYTES + dataBytes);
      const outcome = this.#onReply(type, data);
      if (outcome !== null) return outcome;
    }
  }

  #onGreeting(): ExportFailure | null {
    const { slab, start } = this.#receive;
    const wrong = greetingInvalid(slab.bytes, start);
    if (wrong !== null) return violation(wrong);
    const flags = decodeGreetingFlags(slab.bytes, start) & SERVER_HANDSHAKE_FLAGS;
    this.#receive.consume(GREETING_BYTES);
    const offset = this.#send.reserve(CLIENT_FLAGS_BYTES);
    encodeClientFlags(this.#send.bytes, offset, flags);
    this.#ask(Option.STRUCTURED_REPLY, NO_DATA);
    return null;
  }

  #ask(option: number, data: Uint8Array): void {
    this.#option = option;
    this.#replies = 0;
    const offset = this.#send.reserve(OPTION_HEADER_BYTES);
    encodeOptionHeader(this.#send.bytes, offset, option, data.length);
    this.#send.append(data, null);
  }

  #askGo(): void {
    this.#ask(Option.GO, encodeInfoRequest(encodeText(this.#exportName), [InfoType.BLOCK_SIZE]));
  }

  #onReply(type: number, data: Uint8Array): RemoteExport | ExportFailure | null {
    const isError = type >= ERROR_BIT;
    if (type === OptionReply.ERR_TLS_REQD) {
      return { code: 'UNSUPPORTED', reason: `the server demands TLS, which this program does not speak${toldText(data)}` };
    }
    switch (this.#option) {
      case Option.STRUCTURED_REPLY:
        if (!isError && type !== OptionReply.ACK) return violation(`it answered STRUCTURED_REPLY with reply type ${type}`);
        this.#structured = !isError;
        if (isError) this.#askGo();
        else this.#ask(Option.SET_META_CONTEXT, encodeMetaQuery(encodeText(this.#exportName), encodeText(ALLOCATION_CONTEXT)));
        return null;
      case Option.SET_META_CONTEXT:
        return this.#onMetaReply(type, isError, data);
      default:
        assert(this.#option === Option.GO, 'nbd client: an option that nobody asked for');
        return this.#onGoReply(type, isError, data);
    }
  }

  #onMetaReply(type: number, isError: boolean, data: Uint8Array): ExportFailure | null {
    if (type === OptionReply.META_CONTEXT) {
      if (data.length < META_CONTEXT_ID_BYTES) return violation('a metadata context has no id');
      if (decodeText(data.subarray(META_CONTEXT_ID_BYTES)) !== ALLOCATION_CONTEXT)
        return violation('it selected a metadata context that was not asked for');
      this.#allocationContextId = decodeMetaContextId(data, 0);
      return null;
    }
    if (!isError && type !== OptionReply.ACK) return violation(`it answered SET_META_CONTEXT with reply type ${type}`);
    // Without the context there are no holes to be told of. GO says what else may be wrong.
    if (isError) this.#allocationContextId = null;
    this.#askGo();
    return null;
  }

  #onGoReply(type: number, isError: boolean, data: Uint8Array): RemoteExport | ExportFailure | null {
    if (isError) return refusal(type, this.#exportName, data);
    if (type === OptionReply.INFO) return this.#onInfo(data);
    if (type !== OptionReply.ACK) return violation(`it answered GO with reply type ${type}`);
    if (this.#export === null) return violation('it granted the export without saying how large it is');
    return {
      ...this.#export,
      blockSizes: this.#blockSizes,
      structured: this.#structured,
      allocationContextId: this.#allocationContextId,
    };
  }

  #onInfo(data: Uint8Array): ExportFailure | null {
    if (data.length < INFO_TYPE_BYTES) return violation('information on an export has no type');
    const type = decodeInfoType(data, 0);
    if (type === InfoType.EXPORT) {
      if (data.length !== INFO_EXPORT_BYTES) return violation(`NBD_INFO_EXPORT has ${data.length} bytes`);
      const found = decodeInfoExport(data, 0);
      if (!Number.isSafeInteger(found.sizeBytes)) return violation('the export is larger than any device is');
      if ((found.transmissionFlags & TransmissionFlag.HAS_FLAGS) === 0) return violation('the export says nothing about what it can do');
      this.#export = found;
    } else if (type === InfoType.BLOCK_SIZE) {
      if (data.length !== INFO_BLOCK_SIZE_BYTES) return violation(`NBD_INFO_BLOCK_SIZE has ${data.length} bytes`);
      const sizes = decodeInfoBlockSize(data, 0);
      const wrong = blockSizesInvalid(sizes);
      if (wrong !== null) return violation(wrong);
      this.#blockSizes = sizes;
    }
    return null;
  }
}

/** An error reply has this bit. */
const ERROR_BIT = 0x8000_0000;
/** Characters of a server's text that are shown. */
const TEXT_MAX = 200;
/** What the protocol has a client assume of a server that does not tell its block sizes. */
const DEFAULT_BLOCK_SIZES: BlockSizes = { minBytes: 1, preferredBytes: 4096, maxBytes: PAYLOAD_BYTES_MAX };

const NO_DATA = new Uint8Array(0);

/** The server does not do what the protocol says. */
export function violation(reason: string): ExportFailure {
  return { code: 'UNAVAILABLE', reason: `the server broke the NBD protocol: ${reason}` };
}

function refusal(type: number, exportName: string, data: Uint8Array): ExportFailure {
  const told = toldText(data);
  const name = exportName === '' ? 'its default export' : `the export "${exportName}"`;
  switch (type) {
    case OptionReply.ERR_UNSUP:
      return { code: 'UNSUPPORTED', reason: `the server does not know NBD_OPT_GO, which servers have had since 2017${told}` };
    case OptionReply.ERR_POLICY:
      return { code: 'PERMISSION_DENIED', reason: `the server does not let this host have ${name}${told}` };
    case OptionReply.ERR_UNKNOWN:
      return { code: 'NOT_FOUND', reason: `the server has not got ${name}${told}` };
    case OptionReply.ERR_SHUTDOWN:
      return { code: 'UNAVAILABLE', reason: `the server is shutting down${told}` };
    default:
      return { code: 'UNAVAILABLE', reason: `the server refused ${name} (error 0x${type.toString(16)})${told}` };
  }
}

/** What a server says to people, for the end of a sentence. It may be anything. */
function toldText(data: Uint8Array): string {
  const text = (decodeText(data) ?? '').replace(/\p{C}+/gu, ' ').trim();
  return text === '' ? '' : `: ${text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text}`;
}
