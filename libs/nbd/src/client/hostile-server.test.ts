// A server that does not keep to the protocol ends its attachment, with a reason, and nothing else: no assertion, no memory, no request left open.
import { Status } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { ClientBed } from '../testing/client-bed.ts';
import { concat, u32 } from '../testing/test-client.ts';
import { encodeText, readU32, writeU16, writeU32, writeU64 } from '../wire/bytes.ts';
import { encodeGreeting, GREETING_BYTES } from '../wire/greeting.ts';
import { encodeInfoBlockSize, encodeInfoExport, encodeOptionReplyHeader, OPTION_REPLY_HEADER_BYTES } from '../wire/option.ts';
import { Option, OptionReply, ReplyType, TransmissionFlag } from '../wire/protocol.ts';
import { CHUNK_HEADER_BYTES, encodeChunkHeader, encodeSimpleReply, SIMPLE_REPLY_BYTES } from '../wire/reply.ts';

const SIZE = 1 << 20;
const FLAGS = TransmissionFlag.HAS_FLAGS | TransmissionFlag.SEND_FLUSH | TransmissionFlag.SEND_FUA | TransmissionFlag.SEND_WRITE_ZEROES;

function made(byteCount: number, encode: (bytes: Uint8Array) => void): Uint8Array {
  const bytes = new Uint8Array(byteCount);
  encode(bytes);
  return bytes;
}

const greeting = (): Uint8Array => made(GREETING_BYTES, (bytes) => encodeGreeting(bytes, 0));

function optionReply(option: number, type: number, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  return concat([made(OPTION_REPLY_HEADER_BYTES, (bytes) => encodeOptionReplyHeader(bytes, 0, option, type, data.length)), data]);
}

const infoExport = (sizeBytes = SIZE, flags: number = FLAGS): Uint8Array =>
  made(12, (bytes) => encodeInfoExport(bytes, 0, sizeBytes, flags));
const blockSize = (min: number, preferred: number, max: number): Uint8Array =>
  made(14, (bytes) => encodeInfoBlockSize(bytes, 0, min, preferred, max));

/** A client that has greeted, and agreed on structured replies. */
function greeted(structured = true): ClientBed {
  const bed = new ClientBed(null);
  bed.say(greeting());
  bed.say(optionReply(Option.STRUCTURED_REPLY, structured ? OptionReply.ACK : OptionReply.ERR_UNSUP));
  return bed;
}

function attached(structured = true): ClientBed {
  const bed = greeted(structured);
  if (structured)
    bed.say(
      optionReply(Option.SET_META_CONTEXT, OptionReply.META_CONTEXT, concat([u32(7), encodeText('base:allocation')])),
      optionReply(Option.SET_META_CONTEXT, OptionReply.ACK),
    );
  bed.say(optionReply(Option.GO, OptionReply.INFO, infoExport()), optionReply(Option.GO, OptionReply.ACK));
  bed.said();
  expect(bed.ready).not.toBeNull();
  return bed;
}

/** The cookie of the request that was sent last, as two words. */
function cookie(bed: ClientBed): [number, number] {
  const said = bed.said();
  return [readU32(said, 8), readU32(said, 12)];
}

function chunk(to: [number, number], done: boolean, type: number, payload: Uint8Array, length = payload.length): Uint8Array {
  return concat([made(CHUNK_HEADER_BYTES, (bytes) => encodeChunkHeader(bytes, 0, done ? 1 : 0, type, to[0], to[1], length)), payload]);
}

const simple = (to: [number, number], error = 0): Uint8Array =>
  made(SIMPLE_REPLY_BYTES, (bytes) => encodeSimpleReply(bytes, 0, error, to[0], to[1]));

const data = (offset: number, length: number): Uint8Array => made(8 + length, (bytes) => writeU64(bytes, 0, offset));
const hole = (offset: number, length: number): Uint8Array =>
  made(12, (bytes) => {
    writeU64(bytes, 0, offset);
    writeU32(bytes, 8, length);
  });
const failed = (error: number, textBytes: number, length: number): Uint8Array =>
  made(length, (bytes) => {
    writeU32(bytes, 0, error);
    writeU16(bytes, 4, textBytes);
  });

function expectEnded(bed: ClientBed, why: string): void {
  bed.settle();
  expect(bed.lost?.reason ?? '(it goes on)').toContain(why);
  expect(bed.stream.closed).toBe(true);
  expect(bed.client.inFlight).toBe(0);
  expect(bed.slabs.heldBytes).toBe(0);
  expect(bed.world.ticked.size).toBe(0);
}

describe('handshake', () => {
  test.each<[string, string, (bed: ClientBed) => void]>([
    ['something that is no NBD server', 'something else listens', (bed) => bed.say(new Uint8Array(18).fill(72))],
    ['oldstyle', 'oldstyle', (bed) => bed.say(concat([greeting().subarray(0, 8), new Uint8Array(10)]))],
    ['newstyle that is not fixed', 'fixed newstyle', (bed) => bed.say(concat([greeting().subarray(0, 16), new Uint8Array(2)]))],
    ['no magic in a reply', 'magic number', (bed) => bed.say(greeting(), new Uint8Array(20))],
    ['a reply to another option', 'was asked', (bed) => bed.say(greeting(), optionReply(Option.GO, OptionReply.ACK))],
    [
      'a reply of 4 GiB',
      'bytes of data',
      (bed) => bed.say(greeting(), concat([optionReply(Option.STRUCTURED_REPLY, OptionReply.ACK).subarray(0, 16), u32(0xffff_ffff)])),
    ],
    [
      'a reply type that does not belong',
      'reply type 2',
      (bed) => bed.say(greeting(), optionReply(Option.STRUCTURED_REPLY, OptionReply.SERVER)),
    ],
    ['TLS', 'demands TLS', (bed) => bed.say(greeting(), optionReply(Option.STRUCTURED_REPLY, OptionReply.ERR_TLS_REQD))],
  ])('%s', (_name, why, play) => {
    const bed = new ClientBed(null);
    play(bed);
    expectEnded(bed, why);
  });

  test.each<[string, string, readonly Uint8Array[]]>([
    ['an export without a size', 'how large', [optionReply(Option.GO, OptionReply.ACK)]],
    ['a size of 2^60', 'larger than any device', [optionReply(Option.GO, OptionReply.INFO, infoExport(2 ** 52 * 256))]],
    ['no flags', 'nothing about what it can do', [optionReply(Option.GO, OptionReply.INFO, infoExport(SIZE, 0))]],
    ['information cut short', 'NBD_INFO_EXPORT has 11 bytes', [optionReply(Option.GO, OptionReply.INFO, infoExport().subarray(0, 11))]],
    ['information without a type', 'has no type', [optionReply(Option.GO, OptionReply.INFO, new Uint8Array(1))]],
    ['a block of 3 bytes', 'minimum block size is 3', [optionReply(Option.GO, OptionReply.INFO, blockSize(3, 4096, 4096))]],
    ['a block of 0 bytes', 'minimum block size is 0', [optionReply(Option.GO, OptionReply.INFO, blockSize(0, 4096, 4096))]],
    ['a maximum below the preferred', 'maximum block size is 512', [optionReply(Option.GO, OptionReply.INFO, blockSize(1, 4096, 512))]],
    ['information for ever', 'do not end', Array.from({ length: 100 }, () => optionReply(Option.GO, OptionReply.INFO, infoExport()))],
    ['an unknown export', 'has not got', [optionReply(Option.GO, OptionReply.ERR_UNKNOWN, encodeText('no\u0007 such\nexport'))]],
    ['a server that knows no GO', 'NBD_OPT_GO', [optionReply(Option.GO, OptionReply.ERR_UNSUP)]],
    ['a refusal', 'does not let this host', [optionReply(Option.GO, OptionReply.ERR_POLICY)]],
  ])('%s', (_name, why, said) => {
    const bed = greeted(false);
    bed.say(...said);
    expectEnded(bed, why);
    expect(bed.lost?.reason).not.toMatch(/\p{Cc}/u);
  });

  test('a metadata context that was not asked for', () => {
    const bed = greeted();
    bed.say(optionReply(Option.SET_META_CONTEXT, OptionReply.META_CONTEXT, concat([u32(1), encodeText('x:y')])));
    expectEnded(bed, 'not asked for');
  });
});

describe('replies', () => {
  type Play = (to: [number, number]) => Uint8Array;
  test.each<[string, string, Play]>([
    ['no magic', 'magic number', () => new Uint8Array(20)],
    ['an unknown cookie', 'no request that is in flight', ([high]) => chunk([high, 9], true, ReplyType.NONE, new Uint8Array(0))],
    [
      'the cookie of another age',
      'no request that is in flight',
      ([high, low]) => chunk([high + 1, low], true, ReplyType.NONE, new Uint8Array(0)),
    ],
    ['a simple reply', 'although structured', (to) => simple(to)],
    ['data before the range', 'outside', (to) => chunk(to, true, ReplyType.OFFSET_DATA, data(4095, 10))],
    ['data beyond the range', 'outside', (to) => chunk(to, true, ReplyType.OFFSET_DATA, data(8190, 3))],
    ['data of 4 GiB', 'outside', (to) => chunk(to, true, ReplyType.OFFSET_DATA, data(4096, 1), 0xffff_ffff)],
    ['no data', 'has none', (to) => chunk(to, true, ReplyType.OFFSET_DATA, data(4096, 0))],
    ['a hole beyond the range', 'outside', (to) => chunk(to, true, ReplyType.OFFSET_HOLE, hole(4096, 4097))],
    ['a hole of 2^60', 'outside', (to) => chunk(to, true, ReplyType.OFFSET_HOLE, hole(2 ** 52, 1))],
    ['a hole without length', 'no length', (to) => chunk(to, true, ReplyType.OFFSET_HOLE, hole(4096, 0))],
    ['a hole in 11 bytes', 'told of in 11', (to) => chunk(to, true, ReplyType.OFFSET_HOLE, hole(4096, 1).subarray(0, 11))],
    [
      'data that comes twice',
      'overlap',
      (to) => concat([chunk(to, false, ReplyType.OFFSET_DATA, data(4096, 100)), chunk(to, true, ReplyType.OFFSET_HOLE, hole(4195, 100))]),
    ],
    ['an end before all data', 'before all of its data', (to) => chunk(to, true, ReplyType.OFFSET_DATA, data(4096, 4095))],
    ['nothing at all', 'before all of its data', (to) => chunk(to, true, ReplyType.NONE, new Uint8Array(0))],
    ['nothing, with a payload', 'says nothing', (to) => chunk(to, true, ReplyType.NONE, new Uint8Array(1))],
    ['nothing, and not the last', 'says nothing', (to) => chunk(to, false, ReplyType.NONE, new Uint8Array(0))],
    ['a block status', 'type 5 came to READ', (to) => chunk(to, true, ReplyType.BLOCK_STATUS, new Uint8Array(12))],
    ['an unknown chunk', 'type 77', (to) => chunk(to, true, 77, new Uint8Array(0))],
    ['an error of 0', 'says that there is none', (to) => chunk(to, true, ReplyType.ERROR, failed(0, 0, 6))],
    ['an error in 5 bytes', 'an error has 5', (to) => chunk(to, true, ReplyType.ERROR, new Uint8Array(5))],
    ['an error with a text of another length', 'differ in length', (to) => chunk(to, true, ReplyType.ERROR, failed(5, 9, 6))],
    ['an error of 4 GiB', 'an error has 4294967295', (to) => chunk(to, true, ReplyType.ERROR, new Uint8Array(0), 0xffff_ffff)],
  ])('to a READ: %s', (_name, why, play) => {
    const bed = attached();
    bed.client.read(4096, new Uint8Array(4096), 1, bed.sink);
    bed.client.submit();
    bed.settle();
    bed.say(play(cookie(bed)));
    expectEnded(bed, why);
    expect(bed.done.get(1)).toBe(Status.EIO);
  });

  test.each<[string, string, Play]>([
    ['without a run', 'a block status has 4 bytes', (to) => chunk(to, true, ReplyType.BLOCK_STATUS, u32(7))],
    ['with a run cut short', 'a block status has 11', (to) => chunk(to, true, ReplyType.BLOCK_STATUS, new Uint8Array(11))],
    ['of another context', 'not selected', (to) => chunk(to, true, ReplyType.BLOCK_STATUS, concat([u32(8), u32(1), u32(0)]))],
    ['with an empty run', 'no length', (to) => chunk(to, true, ReplyType.BLOCK_STATUS, concat([u32(7), u32(0), u32(0)]))],
    ['of 4 GiB', 'more runs than bytes', (to) => chunk(to, true, ReplyType.BLOCK_STATUS, new Uint8Array(0), 0xffff_fffc)],
    ['that says nothing', 'says nothing', (to) => chunk(to, true, ReplyType.NONE, new Uint8Array(0))],
    [
      'twice',
      'came twice',
      (to) => {
        const run = chunk(to, false, ReplyType.BLOCK_STATUS, concat([u32(7), u32(9), u32(0)]));
        return concat([run, run]);
      },
    ],
  ])('a block status %s', (_name, why, play) => {
    const bed = attached();
    let status = -1;
    bed.client.extents(0, 4096, (ended) => {
      status = ended;
    });
    bed.settle();
    bed.say(play(cookie(bed)));
    expectEnded(bed, why);
    expect(status).toBe(Status.EIO);
  });

  test('a structured reply where none were agreed on, and a reply that comes twice', () => {
    const bed = attached(false);
    bed.client.flush(1, bed.sink);
    bed.client.submit();
    bed.settle();
    const to = cookie(bed);
    bed.say(simple(to), simple(to));
    expectEnded(bed, 'no request that is in flight');
    expect(bed.done.get(1)).toBe(Status.OK);
    const other = attached(false);
    other.client.flush(1, other.sink);
    other.client.submit();
    other.settle();
    other.say(chunk(cookie(other), true, ReplyType.NONE, new Uint8Array(0)));
    expectEnded(other, 'none were agreed on');
  });
});

test('a READ in chunks of any order, with an error text of an unknown kind beside it', () => {
  const bed = attached();
  const target = new Uint8Array(300).fill(0xee);
  bed.client.read(0, target, 1, bed.sink);
  bed.client.submit();
  bed.settle();
  const to = cookie(bed);
  bed.say(
    chunk(to, false, ReplyType.OFFSET_DATA, data(200, 100)),
    chunk(to, false, ReplyType.OFFSET_DATA, data(0, 100)),
    chunk(to, true, ReplyType.OFFSET_HOLE, hole(100, 100)),
  );
  expect(bed.done.get(1)).toBe(Status.OK);
  expect(target.every((byte) => byte === 0)).toBe(true);
  bed.client.read(0, target, 2, bed.sink);
  bed.client.submit();
  bed.settle();
  bed.say(chunk(cookie(bed), true, 0x8123, failed(28, 3, 20)));
  expect(bed.done.get(2)).toBe(Status.ENOSPC);
  expect(bed.lost).toBeNull();
});

test('simple replies, where the server has no structured ones: data follows at once', () => {
  const bed = attached(false);
  const target = new Uint8Array(5).fill(0xee);
  bed.client.read(0, target, 1, bed.sink);
  bed.client.submit();
  bed.settle();
  bed.say(simple(cookie(bed)), Uint8Array.of(1, 2, 3, 4));
  expect(bed.done.size).toBe(0);
  bed.say(Uint8Array.of(5));
  expect([...target]).toEqual([1, 2, 3, 4, 5]);
  expect(bed.done.get(1)).toBe(Status.OK);
  bed.client.read(0, target, 2, bed.sink);
  bed.client.submit();
  bed.settle();
  bed.say(simple(cookie(bed), 4711));
  expect(bed.done.get(2)).toBe(Status.EIO);
});

test('a WRITE that is answered before its payload has left ends only when it has left: until then the caller must not touch it', () => {
  const bed = attached();
  const payload = new Uint8Array(100_000).fill(1);
  bed.stream.blocked = true;
  bed.client.write(0, payload, false, 1, bed.sink);
  bed.client.submit();
  bed.settle();
  // The first request on this connection has slot 0 in its first use.
  bed.say(chunk([1, 0], true, ReplyType.ERROR, failed(5, 0, 6)));
  expect(bed.done.size).toBe(0);
  bed.stream.blocked = false;
  bed.settle();
  expect(bed.done.get(1)).toBe(Status.EIO);
  expect(bed.lost).toBeNull();
});
