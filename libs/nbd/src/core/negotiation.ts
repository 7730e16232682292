import { HAGGLING_BACKLOG_BYTES_MAX, OPTION_BYTES_MAX, OPTIONS_MAX, PAYLOAD_BYTES_MAX, STRING_BYTES_MAX } from '../constants.ts';
import { decodeText, encodeText, readU16, readU32, writeU16, writeU32 } from '../wire/bytes.ts';
import { EXPORT_REPLY_BYTES, EXPORT_REPLY_PADDED_BYTES, encodeExportReply } from '../wire/greeting.ts';
import {
  encodeInfoBlockSize,
  encodeInfoExport,
  encodeOptionReplyHeader,
  INFO_BLOCK_SIZE_BYTES,
  INFO_EXPORT_BYTES,
  OPTION_CODE_OFFSET,
  OPTION_HEADER_BYTES,
  OPTION_LENGTH_OFFSET,
  OPTION_REPLY_HEADER_BYTES,
  optionHeaderInvalid,
} from '../wire/option.ts';
import { ALLOCATION_CONTEXT, HandshakeFlag, InfoType, Option, OptionReply } from '../wire/protocol.ts';
import { type ExportEntry, transmissionFlags } from './export-entry.ts';
import type { Link } from './link.ts';
import { BASE_ALLOCATION_ID } from './reply-writer.ts';

/** Option haggling of one connection (proto.md, "Fixed newstyle negotiation" and "Option types"). */
export class Negotiation {
  /** The next option waits until the client has taken more of the replies, or for an export. */
  stalled = false;
  /** The next option waits for an export that is announced. */
  awaitsExport = false;

  readonly #link: Link;
  readonly #directory: ExportDirectory;
  readonly #clientFlags: number;
  #optionCount = 0;
  #structured = false;
  /** The export for which `base:allocation` was selected last. */
  #contextEntry: ExportEntry | null = null;
  #over = false;
  /** Options that ask for an export which is not served wait for it. */
  #patient: boolean;

  constructor(link: Link, directory: ExportDirectory, clientFlags: number, patient = false) {
    this.#link = link;
    this.#directory = directory;
    this.#clientFlags = clientFlags;
    this.#patient = patient;
  }

  /** The client has waited for as long as it may. From now on it is told when an export is not served. */
  losePatience(): void {
    this.#patient = false;
  }

  /** Handles the options that have been received, until an export is chosen or the connection ends. */
  run(): void {
    while (!this.#over) {
      this.awaitsExport = false;
      this.stalled = this.#link.send.pendingBytes > HAGGLING_BACKLOG_BYTES_MAX;
      if (this.stalled || !this.#runOption()) return;
      this.#link.wake();
    }
  }

  /** Handles one option. False when there is no whole one. */
  #runOption(): boolean {
    const receive = this.#link.receive;
    if (!receive.hasFrame(OPTION_HEADER_BYTES)) return false;
    const option = readU32(receive.slab.bytes, receive.start + OPTION_CODE_OFFSET);
    const dataBytes = readU32(receive.slab.bytes, receive.start + OPTION_LENGTH_OFFSET);
    const invalid = optionHeaderInvalid(receive.slab.bytes, receive.start) ?? this.#optionInvalid(option, dataBytes);
    if (invalid !== null) {
      this.#answer(option, violation(invalid));
      return false;
    }
    if (!receive.hasFrame(OPTION_HEADER_BYTES + dataBytes)) return false;
    const from = receive.start + OPTION_HEADER_BYTES;
    const data = receive.slab.bytes.subarray(from, from + dataBytes);
    if (this.#patient && this.#asksForAnnounced(option, data)) {
      this.awaitsExport = true;
      this.stalled = true;
      return false;
    }
    receive.consume(OPTION_HEADER_BYTES + dataBytes);
    this.#optionCount++;
    this.#answer(option, this.#handle(option, data));
    return true;
  }

  /** Whether the option needs an export that is announced and not served. */
  #asksForAnnounced(option: number, data: Uint8Array): boolean {
    if (option === Option.EXPORT_NAME) {
      const name = data.length <= STRING_BYTES_MAX ? decodeText(data) : null;
      return name !== null && this.#directory.findAnnounced(name) !== null;
    }
    if (option !== Option.INFO && option !== Option.GO && option !== Option.SET_META_CONTEXT && option !== Option.LIST_META_CONTEXT)
      return false;
    const name = new OptionReader(data).text();
    return name !== null && this.#directory.findAnnounced(name) !== null;
  }

  /** The refusal for an export that can't be found: it does not exist, or is not served yet. */
  #unknown(name: string): Refusal {
    const announced = this.#directory.findAnnounced(name);
    if (announced === null) return refusal(OptionReply.ERR_UNKNOWN, 'there is no export of that name');
    return refusal(
      OptionReply.ERR_UNKNOWN,
      `export "${announced.name}" is not served yet: ${announced.why()}`.slice(0, STRING_BYTES_MAX / 4),
    );
  }

  #optionInvalid(option: number, dataBytes: number): string | null {
    if (dataBytes > OPTION_BYTES_MAX) return 'the data of an option is longer than 64 KiB';
    if (this.#optionCount >= OPTIONS_MAX) return 'too many options without choosing an export';
    if ((this.#clientFlags & HandshakeFlag.FIXED_NEWSTYLE) === 0 && option !== Option.EXPORT_NAME) {
      return 'a client without fixed newstyle negotiation can only send EXPORT_NAME';
    }
    return null;
  }

  /** Tells the client, or hangs up, when an option was refused. */
  #answer(option: number, refused: Refusal | null): void {
    if (refused === null) return;
    if (refused.replyType !== null) {
      this.#reply(option, refused.replyType, encodeText(refused.message));
      return;
    }
    this.#over = true;
    this.#link.fail(refused.message);
  }

  #handle(option: number, data: Uint8Array): Refusal | null {
    switch (option) {
      case Option.EXPORT_NAME:
        return this.#exportName(data);
      case Option.ABORT:
        this.#over = true;
        this.#reply(option, OptionReply.ACK, NO_DATA);
        this.#link.finish('the client ended the negotiation');
        return null;
      case Option.LIST:
        return this.#list(data);
      case Option.STARTTLS:
        // With TLS, the connection would acknowledge here, put a TLS layer between its stream and its buffers, and
        // start this negotiation anew: nothing that was agreed on in the clear may survive (proto.md, STARTTLS).
        return refusal(OptionReply.ERR_UNSUP, 'this server does not offer TLS');
      case Option.INFO:
      case Option.GO:
        return this.#info(option, data);
      case Option.STRUCTURED_REPLY:
        if (data.length > 0) return refusal(OptionReply.ERR_INVALID, 'STRUCTURED_REPLY takes no data');
        this.#structured = true;
        this.#reply(option, OptionReply.ACK, NO_DATA);
        return null;
      case Option.LIST_META_CONTEXT:
      case Option.SET_META_CONTEXT:
        return this.#metaContext(option, data);
      case Option.EXTENDED_HEADERS:
        return refusal(OptionReply.ERR_UNSUP, 'this server does not offer extended headers');
      default:
        return refusal(OptionReply.ERR_UNSUP, 'this server does not know the option');
    }
  }

  #exportName(data: Uint8Array): Refusal | null {
    const name = data.length <= STRING_BYTES_MAX ? decodeText(data) : null;
    if (name === null) return violation('EXPORT_NAME carries no valid name');
    const entry = this.#directory.findExport(name);
    // The option has no way to say so.
    if (entry === null && this.#directory.findAnnounced(name) !== null) {
      this.#over = true;
      this.#link.finish('EXPORT_NAME asks for an export that is not served yet');
      return null;
    }
    if (entry === null) return violation('EXPORT_NAME asks for an export that does not exist');
    const padded = (this.#clientFlags & HandshakeFlag.NO_ZEROES) === 0;
    const send = this.#link.send;
    const at = send.reserve(padded ? EXPORT_REPLY_PADDED_BYTES : EXPORT_REPLY_BYTES);
    encodeExportReply(send.bytes, at, entry.device.sizeBytes, transmissionFlags(entry.device, this.#structured), padded);
    this.#enter(entry);
    return null;
  }

  #list(data: Uint8Array): Refusal | null {
    if (data.length > 0) return refusal(OptionReply.ERR_INVALID, 'LIST takes no data');
    for (const { device } of this.#directory.listExports()) this.#listed(device.name, device.description);
    for (const { name, description } of this.#directory.listAnnounced()) this.#listed(name, description);
    this.#reply(Option.LIST, OptionReply.ACK, NO_DATA);
    return null;
  }

  #listed(name: string, description: string): void {
    const [nameBytes, descriptionBytes] = [encodeText(name), encodeText(description)];
    const reply = new Uint8Array(4 + nameBytes.length + descriptionBytes.length);
    writeU32(reply, 0, nameBytes.length);
    reply.set(nameBytes, 4);
    reply.set(descriptionBytes, 4 + nameBytes.length);
    this.#reply(Option.LIST, OptionReply.SERVER, reply);
  }

  #info(option: number, data: Uint8Array): Refusal | null {
    const reader = new OptionReader(data);
    const name = reader.text();
    const requestCount = name === null ? null : reader.u16();
    if (name === null || requestCount === null || reader.left !== requestCount * 2) {
      return refusal(OptionReply.ERR_INVALID, 'INFO and GO take a name and a list of information requests');
    }
    const entry = this.#directory.findExport(name);
    if (entry === null) return this.#unknown(name);
    const device = entry.device;

    const information = new Uint8Array(INFO_EXPORT_BYTES);
    encodeInfoExport(information, 0, device.sizeBytes, transmissionFlags(device, this.#structured));
    this.#reply(option, OptionReply.INFO, information);
    // A set: a client that asks twice, which it must not, is answered once.
    const requested = new Set<number | null>();
    for (let i = 0; i < requestCount; i++) requested.add(reader.u16());
    if (requested.has(InfoType.NAME)) this.#infoText(option, InfoType.NAME, device.name);
    if (requested.has(InfoType.DESCRIPTION) && device.description !== '') {
      this.#infoText(option, InfoType.DESCRIPTION, device.description);
    }
    if (requested.has(InfoType.BLOCK_SIZE)) {
      const sizes = new Uint8Array(INFO_BLOCK_SIZE_BYTES);
      encodeInfoBlockSize(sizes, 0, device.blockSizeMinBytes, device.blockSizePreferredBytes, PAYLOAD_BYTES_MAX);
      this.#reply(option, OptionReply.INFO, sizes);
    }
    this.#reply(option, OptionReply.ACK, NO_DATA);
    if (option === Option.GO) this.#enter(entry);
    return null;
  }

  #infoText(option: number, type: number, text: string): void {
    const encoded = encodeText(text);
    const information = new Uint8Array(2 + encoded.length);
    writeU16(information, 0, type);
    information.set(encoded, 2);
    this.#reply(option, OptionReply.INFO, information);
  }

  #metaContext(option: number, data: Uint8Array): Refusal | null {
    const setting = option === Option.SET_META_CONTEXT;
    // Even an attempt that fails replaces what was selected before.
    if (setting) this.#contextEntry = null;
    if (!this.#structured) return refusal(OptionReply.ERR_INVALID, 'metadata contexts need structured replies first');
    const reader = new OptionReader(data);
    const name = reader.text();
    const queryCount = name === null ? null : reader.u32();
    if (name === null || queryCount === null) return BAD_QUERIES;
    let selected = queryCount === 0 && !setting;
    for (let i = 0; i < queryCount; i++) {
      const query = reader.text();
      if (query === null) return BAD_QUERIES;
      if (!query.includes(':')) return refusal(OptionReply.ERR_INVALID, 'a query begins with a namespace and a colon');
      if (query === ALLOCATION_CONTEXT || (query === BASE_NAMESPACE && !setting)) selected = true;
    }
    if (reader.left > 0) return BAD_QUERIES;
    const entry = this.#directory.findExport(name);
    if (entry === null) return this.#unknown(name);
    if (selected) {
      const context = encodeText(ALLOCATION_CONTEXT);
      const reply = new Uint8Array(4 + context.length);
      // In a list the id is reserved.
      writeU32(reply, 0, setting ? BASE_ALLOCATION_ID : 0);
      reply.set(context, 4);
      this.#reply(option, OptionReply.META_CONTEXT, reply);
      if (setting) this.#contextEntry = entry;
    }
    this.#reply(option, OptionReply.ACK, NO_DATA);
    return null;
  }

  #enter(entry: ExportEntry): void {
    this.#over = true;
    this.#link.enterTransmission(entry, this.#structured, this.#contextEntry === entry);
  }

  #reply(option: number, replyType: number, data: Uint8Array): void {
    const send = this.#link.send;
    const at = send.reserve(OPTION_REPLY_HEADER_BYTES);
    encodeOptionReplyHeader(send.bytes, at, option, replyType, data.length);
    send.append(data, null);
  }
}

/** Where a negotiation finds exports. */
export interface ExportDirectory {
  /** The export that clients call `name`; the empty name is the default export. */
  findExport(name: string): ExportEntry | null;
  listExports(): Iterable<ExportEntry>;
  /** The announced export that clients call `name`, while it is not served; null: there is none of that name, or it is served. */
  findAnnounced(name: string): AnnouncedExport | null;
  /** The exports that are announced and not served. */
  listAnnounced(): Iterable<AnnouncedExport>;
}

/** An export that is to come: it is listed, and clients that ask for it wait or are told why it is not there. */
export interface AnnouncedExport {
  readonly name: string;
  readonly description: string;
  /** Why it is not served yet, as the end of a sentence: `pool demo waits for …`. */
  readonly why: () => string;
}

const BASE_NAMESPACE = 'base:';

const NO_DATA = new Uint8Array(0);

/** Why an option is refused: an error reply, or a violation (no reply type), which ends the connection. */
interface Refusal {
  readonly replyType: number | null;
  readonly message: string;
}

function refusal(replyType: number, message: string): Refusal {
  return { replyType, message };
}

function violation(message: string): Refusal {
  return { replyType: null, message };
}

const BAD_QUERIES = refusal(OptionReply.ERR_INVALID, 'metadata context options take an export name and a list of queries');

/** Reads the data of one option; every read checks that there is enough. */
class OptionReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u16(): number | null {
    if (this.left < 2) return null;
    this.#at += 2;
    return readU16(this.#bytes, this.#at - 2);
  }

  u32(): number | null {
    if (this.left < 4) return null;
    this.#at += 4;
    return readU32(this.#bytes, this.#at - 4);
  }

  /** A string behind its 32-bit length. Null when it is cut off, too long, not UTF-8, or contains NUL. */
  text(): string | null {
    const lengthBytes = this.u32();
    if (lengthBytes === null || lengthBytes > this.left || lengthBytes > STRING_BYTES_MAX) return null;
    this.#at += lengthBytes;
    return decodeText(this.#bytes.subarray(this.#at - lengthBytes, this.#at));
  }
}
