import { SlabPool } from '@rmr/runtime';
import { NbdServer, type NbdServerOptions } from '../core/nbd-server.ts';
import { encodeText, readU16, readU32, readU64, writeU16, writeU32, writeU64 } from '../wire/bytes.ts';
import { Option, REQUEST_MAGIC, SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC } from '../wire/protocol.ts';
import { FakeStream, FakeWorld } from './fake-world.ts';
import type { MemoryDevice } from './memory-device.ts';

/** The client's side of a connection. */
export class TestClient {
  readonly bed: TestBed;
  readonly stream: FakeStream;

  constructor(bed: TestBed, stream: FakeStream) {
    this.bed = bed;
    this.stream = stream;
  }

  send(bytes: Uint8Array): void {
    this.stream.feed(bytes);
    this.bed.settle();
  }

  /** Everything received since the last call. */
  take(): Uint8Array {
    const bytes = concat(this.stream.received);
    this.stream.received = [];
    return bytes;
  }

  option(option: number, data: Uint8Array = new Uint8Array(0)): void {
    this.send(optionBytes(option, data));
  }

  answers(): OptionAnswer[] {
    const bytes = this.take();
    const answers: OptionAnswer[] = [];
    for (let at = 0; at < bytes.length; ) {
      const length = readU32(bytes, at + 16);
      if (readU32(bytes, at) !== 0x0003e889 || readU32(bytes, at + 4) !== 0x045565a9) throw new Error('no option reply');
      answers.push({ option: readU32(bytes, at + 8), type: readU32(bytes, at + 12), data: bytes.slice(at + 20, at + 20 + length) });
      at += 20 + length;
    }
    return answers;
  }

  /** Replies received since the last call. `readLengths` tells the lengths of simple replies to reads, by cookie. */
  replies(readLengths: Readonly<Record<number, number>> = {}): Reply[] {
    const bytes = this.take();
    const replies: Reply[] = [];
    for (let at = 0; at < bytes.length; ) {
      const magic = readU32(bytes, at);
      if (magic === SIMPLE_REPLY_MAGIC) {
        const error = readU32(bytes, at + 4);
        const cookie = readU64(bytes, at + 8);
        const length = error === 0 ? (readLengths[cookie] ?? 0) : 0;
        replies.push({ kind: 'simple', cookie, error, type: 0, done: true, data: bytes.slice(at + 16, at + 16 + length) });
        at += 16 + length;
        continue;
      }
      if (magic !== STRUCTURED_REPLY_MAGIC) throw new Error(`no reply at ${at} of ${bytes.length}`);
      const length = readU32(bytes, at + 16);
      replies.push({
        kind: 'chunk',
        cookie: readU64(bytes, at + 8),
        error: 0,
        type: readU16(bytes, at + 6),
        done: readU16(bytes, at + 4) === 1,
        data: bytes.slice(at + 20, at + 20 + length),
      });
      at += 20 + length;
    }
    return replies;
  }

  request(command: number, flags: number, cookie: number, offset: number, length: number, payload?: Uint8Array): void {
    this.send(requestBytes(command, flags, cookie, offset, length, payload));
  }
}

/** A server in a world of its own. */
export class TestBed {
  readonly world = new FakeWorld();
  readonly slabs = new SlabPool();
  readonly server: NbdServer;
  readonly streams: FakeStream[] = [];

  constructor(options: NbdServerOptions = {}) {
    this.server = new NbdServer(this.world, this.slabs, options);
  }

  /** Lets everything happen that can, and rechecks all invariants on the way. */
  settle(): void {
    for (let rounds = 0; ; rounds++) {
      if (rounds > 1_000_000) throw new Error('the server does not come to rest');
      let moved = false;
      for (const stream of this.streams) moved = stream.step() || moved;
      moved = this.world.endTurn() || moved;
      this.server.verify();
      if (!moved) return;
    }
  }

  connect(): TestClient {
    const stream = new FakeStream();
    this.streams.push(stream);
    this.server.accept(stream);
    this.settle();
    return new TestClient(this, stream);
  }

  /** A client in transmission. */
  attach(device: MemoryDevice, structured = true, contexts = structured): TestClient {
    const client = this.connect();
    client.take();
    client.send(u32(3));
    if (structured) client.option(Option.STRUCTURED_REPLY);
    if (contexts) client.option(Option.SET_META_CONTEXT, metaData(device.name, ['base:allocation']));
    client.option(Option.GO, infoData(device.name, []));
    client.take();
    return client;
  }

  /** Every connection is gone: what is still held is a leak. */
  heldBytes(): number {
    for (const stream of this.streams) stream.reset();
    this.settle();
    return this.slabs.heldBytes;
  }
}

/** A reply to an option. */
export interface OptionAnswer {
  readonly option: number;
  readonly type: number;
  readonly data: Uint8Array;
}

/** A simple reply, or a chunk of a structured one. */
export interface Reply {
  readonly kind: 'simple' | 'chunk';
  readonly cookie: number;
  /** Simple: the error. */
  readonly error: number;
  /** Chunk: its type and whether it is the last. */
  readonly type: number;
  readonly done: boolean;
  readonly data: Uint8Array;
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export function u16(value: number): Uint8Array {
  const bytes = new Uint8Array(2);
  writeU16(bytes, 0, value);
  return bytes;
}

export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  writeU32(bytes, 0, value);
  return bytes;
}

export function optionBytes(option: number, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  return concat([encodeText('IHAVEOPT'), u32(option), u32(data.length), data]);
}

/** Data of INFO and GO. */
export function infoData(name: string, requests: readonly number[]): Uint8Array {
  const encoded = encodeText(name);
  return concat([u32(encoded.length), encoded, u16(requests.length), ...requests.map(u16)]);
}

/** Data of the metadata context options. */
export function metaData(name: string, queries: readonly string[]): Uint8Array {
  const texts = [name, ...queries].map((text) => concat([u32(encodeText(text).length), encodeText(text)]));
  const [first, ...rest] = texts as [Uint8Array, ...Uint8Array[]];
  return concat([first, u32(queries.length), ...rest]);
}

export function requestBytes(
  command: number,
  flags: number,
  cookie: number,
  offset: number,
  length: number,
  payload: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const bytes = new Uint8Array(28 + payload.length);
  writeU32(bytes, 0, REQUEST_MAGIC);
  writeU16(bytes, 4, flags);
  writeU16(bytes, 6, command);
  writeU64(bytes, 8, cookie);
  writeU64(bytes, 16, offset);
  writeU32(bytes, 24, length);
  bytes.set(payload, 28);
  return bytes;
}

/** Bytes in which every position is recognisable. */
export function pattern(length: number, salt = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + salt) | 0;
  return bytes;
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
