import { expect, test } from 'vitest';
import { hex, requestBytes } from '../testing/test-client.ts';
import { decodeText, encodeText, readU16, readU32, readU64, writeU64 } from './bytes.ts';
import {
  CLIENT_FLAGS_BYTES,
  clientFlagsInvalid,
  decodeClientFlags,
  decodeGreetingFlags,
  EXPORT_REPLY_PADDED_BYTES,
  encodeClientFlags,
  encodeExportReply,
  encodeGreeting,
  GREETING_BYTES,
  greetingInvalid,
} from './greeting.ts';
import {
  blockSizesInvalid,
  decodeInfoBlockSize,
  decodeInfoExport,
  encodeInfoBlockSize,
  encodeInfoExport,
  encodeInfoRequest,
  encodeMetaQuery,
  encodeOptionHeader,
  encodeOptionReplyHeader,
  INFO_BLOCK_SIZE_BYTES,
  INFO_EXPORT_BYTES,
  OPTION_HEADER_BYTES,
  OPTION_REPLY_HEADER_BYTES,
  optionHeaderInvalid,
  optionReplyInvalid,
} from './option.ts';
import { CommandFlag, commandName, NbdCommand, Option, OptionReply, ReplyType, TransmissionFlag } from './protocol.ts';
import {
  CHUNK_HEADER_BYTES,
  DESCRIPTOR_BYTES,
  ERROR_PREFIX_BYTES,
  encodeChunkHeader,
  encodeDescriptor,
  encodeErrorPrefix,
  encodeOffsetHole,
  encodeSimpleReply,
  OFFSET_HOLE_BYTES,
  SIMPLE_REPLY_BYTES,
} from './reply.ts';
import { encodeRequest, REQUEST_BYTES, requestInvalid } from './request.ts';

/** What `encode` writes behind three bytes that it must leave alone, as hexadecimal. */
function golden(byteCount: number, encode: (bytes: Uint8Array, offset: number) => void): string {
  const bytes = new Uint8Array(byteCount + 6).fill(0xee);
  encode(bytes, 3);
  expect(hex(bytes.subarray(0, 3))).toBe('eeeeee');
  expect(hex(bytes.subarray(byteCount + 3))).toBe('eeeeee');
  return hex(bytes.subarray(3, byteCount + 3));
}

test('greeting: NBDMAGIC, IHAVEOPT, fixed newstyle without zeroes', () => {
  expect(golden(GREETING_BYTES, encodeGreeting)).toBe('4e42444d41474943' + '49484156454f5054' + '0003');
});

test('client flags: the two that were offered are good, any other bit is not', () => {
  for (const flags of [0, 1, 2, 3]) expect(clientFlagsInvalid(Uint8Array.of(0, 0, 0, flags), 0)).toBeNull();
  for (let bit = 2; bit < 32; bit++) {
    const bytes = new Uint8Array(4);
    bytes[3 - (bit >>> 3)] = 1 << (bit & 7);
    expect(clientFlagsInvalid(bytes, 0)).toMatch(/has not offered/);
  }
  expect(decodeClientFlags(Uint8Array.of(0, 0, 0, 3), 0)).toBe(3);
});

test('reply to EXPORT_NAME: size, flags, and 124 zeroes only when padded', () => {
  const flags = TransmissionFlag.HAS_FLAGS | TransmissionFlag.SEND_FAST_ZERO;
  const head = '0000010000000200' + '0801';
  expect(golden(10, (bytes, offset) => encodeExportReply(bytes, offset, 2 ** 40 + 512, flags, false))).toBe(head);
  expect(golden(EXPORT_REPLY_PADDED_BYTES, (bytes, offset) => encodeExportReply(bytes, offset, 2 ** 40 + 512, flags, true))).toBe(
    head + '00'.repeat(124),
  );
});

test('option header: anything but IHAVEOPT is refused', () => {
  const bytes = encodeText('IHAVEOPT');
  expect(optionHeaderInvalid(bytes, 0)).toBeNull();
  for (let i = 0; i < 8; i++) {
    const damaged = bytes.slice();
    (damaged[i] as number) ^= 0x20;
    expect(optionHeaderInvalid(damaged, 0)).toMatch(/IHAVEOPT/);
  }
});

test('option reply header', () => {
  expect(
    golden(OPTION_REPLY_HEADER_BYTES, (bytes, offset) =>
      encodeOptionReplyHeader(bytes, offset, Option.GO, OptionReply.ERR_UNKNOWN, 0x1234),
    ),
  ).toBe('0003e889045565a9' + '00000007' + '80000006' + '00001234');
});

test('NBD_INFO_EXPORT and NBD_INFO_BLOCK_SIZE', () => {
  expect(golden(INFO_EXPORT_BYTES, (bytes, offset) => encodeInfoExport(bytes, offset, 0x1f_ffff_ffff_ffff, 0x0d6d))).toBe(
    '0000' + '001fffffffffffff' + '0d6d',
  );
  expect(golden(INFO_BLOCK_SIZE_BYTES, (bytes, offset) => encodeInfoBlockSize(bytes, offset, 1, 4096, 33554432))).toBe(
    '0003' + '00000001' + '00001000' + '02000000',
  );
});

test('request: the layout that clients send is the one that is read', () => {
  const bytes = requestBytes(NbdCommand.WRITE_ZEROES, CommandFlag.FUA | CommandFlag.FAST_ZERO, 0x1_0000_0002, 0x3_0000_0004, 0xffff_fffe);
  expect(bytes.length).toBe(REQUEST_BYTES);
  expect(hex(bytes)).toBe('25609513' + '0011' + '0006' + '0000000100000002' + '0000000300000004' + 'fffffffe');
  expect(requestInvalid(bytes, 0)).toBeNull();
  for (let i = 0; i < 4; i++) {
    const damaged = bytes.slice();
    (damaged[i] as number) ^= 1;
    expect(requestInvalid(damaged, 0)).toMatch(/magic/);
  }
});

test('simple reply', () => {
  expect(golden(SIMPLE_REPLY_BYTES, (bytes, offset) => encodeSimpleReply(bytes, offset, 28, 0xaabbccdd, 0x11223344))).toBe(
    '67446698' + '0000001c' + 'aabbccdd11223344',
  );
});

test('structured reply: chunk header, hole, error and descriptor', () => {
  expect(
    golden(CHUNK_HEADER_BYTES, (bytes, offset) => encodeChunkHeader(bytes, offset, 1, ReplyType.ERROR_OFFSET, 0xffffffff, 2, 14)),
  ).toBe('668e33ef' + '0001' + '8002' + 'ffffffff00000002' + '0000000e');
  expect(golden(OFFSET_HOLE_BYTES, (bytes, offset) => encodeOffsetHole(bytes, offset, 2 ** 33, 0xffff_fe00))).toBe(
    '0000000200000000' + 'fffffe00',
  );
  expect(golden(ERROR_PREFIX_BYTES, (bytes, offset) => encodeErrorPrefix(bytes, offset, 108, 258))).toBe('0000006c' + '0102');
  expect(golden(DESCRIPTOR_BYTES, (bytes, offset) => encodeDescriptor(bytes, offset, 0x8000_0000, 3))).toBe('80000000' + '00000003');
});

test('integers: all widths survive their extremes', () => {
  const bytes = Uint8Array.of(0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8);
  expect(readU16(bytes, 0)).toBe(0xfffe);
  expect(readU32(bytes, 0)).toBe(0xfffefdfc);
  expect(readU64(bytes, 0)).toBeGreaterThan(2 ** 63);
  for (const value of [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    writeU64(bytes, 0, value);
    expect(readU64(bytes, 0)).toBe(value);
  }
});

test('text: NUL and what is not UTF-8 are refused', () => {
  expect(decodeText(encodeText('vol-ä-💾'))).toBe('vol-ä-💾');
  expect(decodeText(encodeText('\ufeffbom'))).toBe('\ufeffbom');
  expect(decodeText(Uint8Array.of(0x61, 0, 0x62))).toBeNull();
  expect(decodeText(Uint8Array.of(0xff))).toBeNull();
  expect(decodeText(Uint8Array.of(0xc0, 0x80))).toBeNull();
});

test('command names: known and unknown', () => {
  expect(commandName(NbdCommand.BLOCK_STATUS)).toBe('BLOCK_STATUS');
  expect(commandName(77)).toBe('command 77');
});

test('what a client says: flags, options, requests', () => {
  expect(golden(CLIENT_FLAGS_BYTES, (bytes, offset) => encodeClientFlags(bytes, offset, 3))).toBe('00000003');
  expect(golden(OPTION_HEADER_BYTES, (bytes, offset) => encodeOptionHeader(bytes, offset, Option.GO, 0x1234))).toBe(
    '49484156454f5054' + '00000007' + '00001234',
  );
  expect(hex(encodeInfoRequest(encodeText('ab'), [3]))).toBe('00000002' + '6162' + '0001' + '0003');
  expect(hex(encodeMetaQuery(encodeText('ab'), encodeText('x:y')))).toBe('00000002' + '6162' + '00000001' + '00000003' + '783a79');
  expect(
    golden(REQUEST_BYTES, (bytes, offset) => encodeRequest(bytes, offset, CommandFlag.FUA, NbdCommand.WRITE, 0xfedcba98, 7, 2 ** 40, 512)),
  ).toBe('25609513' + '0001' + '0001' + 'fedcba98' + '00000007' + '0000010000000000' + '00000200');
});

test('what a client is told: greeting, replies to options, sizes', () => {
  const greeting = new Uint8Array(GREETING_BYTES);
  encodeGreeting(greeting, 0);
  expect([greetingInvalid(greeting, 0), decodeGreetingFlags(greeting, 0)]).toEqual([null, 3]);
  const reply = new Uint8Array(OPTION_REPLY_HEADER_BYTES);
  encodeOptionReplyHeader(reply, 0, Option.GO, OptionReply.ACK, 0);
  expect(optionReplyInvalid(reply, 0, Option.GO)).toBeNull();
  expect(optionReplyInvalid(reply, 0, Option.INFO)).toMatch(/reply is to option 7/);
  const info = new Uint8Array(INFO_EXPORT_BYTES);
  encodeInfoExport(info, 0, 2 ** 45 + 1, 0x0d6d);
  expect(decodeInfoExport(info, 0)).toEqual({ sizeBytes: 2 ** 45 + 1, transmissionFlags: 0x0d6d });
  const sizes = new Uint8Array(INFO_BLOCK_SIZE_BYTES);
  encodeInfoBlockSize(sizes, 0, 512, 4096, 2 ** 25);
  expect(decodeInfoBlockSize(sizes, 0)).toEqual({ minBytes: 512, preferredBytes: 4096, maxBytes: 2 ** 25 });
  expect(blockSizesInvalid({ minBytes: 1, preferredBytes: 4096, maxBytes: 0xffff_ffff })).toBeNull();
  expect(blockSizesInvalid({ minBytes: 512, preferredBytes: 4096, maxBytes: 4097 })).toMatch(/maximum/);
  expect(blockSizesInvalid({ minBytes: 512, preferredBytes: 256, maxBytes: 4096 })).toMatch(/preferred/);
  expect(blockSizesInvalid({ minBytes: 131_072, preferredBytes: 131_072, maxBytes: 131_072 })).toMatch(/minimum/);
});
