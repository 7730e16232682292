import { writeU32 } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { REASON_BYTES_MAX, RESPONSE_HEADER_BYTES_MAX, USER_HEADER_BYTES_MAX } from '../constants.ts';
import {
  encodeFrameHeader,
  FRAME_FLAG_PAYLOAD_CHECKSUM,
  FRAME_HEADER_BYTES,
  FrameKind,
  frameChecksumFails,
  frameGeneration,
  frameKind,
  framePayloadChecksum,
  framePayloadLength,
  frameSlot,
  frameStatus,
  frameUserHeaderLength,
  HANDSHAKE_BYTES,
  invalidFrameFields,
  invalidFrameHeader,
} from './frame-header.ts';
import { headerChecksum } from './header-checksum.ts';

interface Fields {
  userHeader: string;
  slot: number;
  generation: number;
  status: number;
  payloadLength: number;
  flags: number;
  payloadChecksum: number;
}

function frame(kind: FrameKind, fields: Partial<Fields> = {}): Uint8Array {
  const user = new TextEncoder().encode(fields.userHeader ?? '');
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + user.length);
  bytes.set(user, FRAME_HEADER_BYTES);
  encodeFrameHeader(
    bytes,
    0,
    kind,
    user.length,
    fields.slot ?? 0,
    fields.generation ?? 0,
    fields.status ?? 0,
    fields.payloadLength ?? 0,
    fields.flags ?? 0,
    fields.payloadChecksum ?? 0,
  );
  return bytes;
}

/** After a field was changed by hand. */
function reseal(bytes: Uint8Array): Uint8Array {
  writeU32(bytes, 0, headerChecksum(bytes, 4, bytes.length));
  return bytes;
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex').replace(/.{8}/g, '$& ').trim();

describe('frame header', () => {
  test.each([
    [
      'REQUEST',
      frame(FrameKind.REQUEST, { userHeader: 'user', slot: 0x1234, generation: 0xfedc, payloadLength: 0x01020304 }),
      '88f21434 52545253 05000400 3412dcfe 00000000 04030201 00000000 00000000 75736572',
    ],
    [
      'REQUEST with a payload checksum',
      frame(FrameKind.REQUEST, {
        slot: 16,
        generation: 1,
        payloadLength: 4096,
        flags: FRAME_FLAG_PAYLOAD_CHECKSUM,
        payloadChecksum: 0xa1b2c3d4,
      }),
      '5d814960 52545253 05010000 10000100 00000000 00100000 d4c3b2a1 00000000',
    ],
    [
      'RESPONSE',
      frame(FrameKind.RESPONSE, { userHeader: 'ok', slot: 16, generation: 1, status: 1006 }),
      '44fe4015 52545253 06000200 10000100 ee030000 00000000 00000000 00000000 6f6b',
    ],
    [
      'REFUSE',
      frame(FrameKind.REFUSE, { userHeader: 'no', status: 3 }),
      'fcdc3886 52545253 03000200 00000000 03000000 00000000 00000000 00000000 6e6f',
    ],
    [
      'CLOSE',
      frame(FrameKind.CLOSE, { userHeader: 'bye' }),
      'ee95a437 52545253 04000300 00000000 00000000 00000000 00000000 00000000 627965',
    ],
    ['PING', frame(FrameKind.PING, { status: 0xffffffff }), '442c4582 52545253 07000000 00000000 ffffffff 00000000 00000000 00000000'],
    ['PONG', frame(FrameKind.PONG, { status: 1 }), '532b3e24 52545253 08000000 00000000 01000000 00000000 00000000 00000000'],
    ['FENCE', frame(FrameKind.FENCE, { status: 2 }), '2e89898d 52545253 09000000 00000000 02000000 00000000 00000000 00000000'],
    ['FENCED', frame(FrameKind.FENCED, { status: 2 }), '4db8b546 52545253 0a000000 00000000 02000000 00000000 00000000 00000000'],
  ])('%s is these bytes', (_name, bytes, golden) => {
    expect(hex(bytes)).toBe(golden);
    expect(invalidFrameHeader(bytes, 0)).toBeNull();
    expect(frameChecksumFails(bytes, 0)).toBe(false);
  });

  test('every field comes back, at any offset', () => {
    const bytes = new Uint8Array(200).fill(0xee);
    bytes.set(
      frame(FrameKind.RESPONSE, {
        userHeader: 'abc',
        slot: 0xabcd,
        generation: 0xef01,
        status: 0x89abcdef,
        payloadLength: 0xfffffffe,
        flags: FRAME_FLAG_PAYLOAD_CHECKSUM,
        payloadChecksum: 0xdeadbeef,
      }),
      77,
    );
    expect(frameKind(bytes, 77)).toBe(FrameKind.RESPONSE);
    expect(frameUserHeaderLength(bytes, 77)).toBe(3);
    expect(frameSlot(bytes, 77)).toBe(0xabcd);
    expect(frameGeneration(bytes, 77)).toBe(0xef01);
    expect(frameStatus(bytes, 77)).toBe(0x89abcdef);
    expect(framePayloadLength(bytes, 77)).toBe(0xfffffffe);
    expect(framePayloadChecksum(bytes, 77)).toBe(0xdeadbeef);
    expect(frameChecksumFails(bytes, 77)).toBe(false);
  });

  test('every single-bit error in header and user header is found', () => {
    const good = frame(FrameKind.REQUEST, { userHeader: 'sixteen bytes ok', slot: 99, generation: 3, payloadLength: 512 });
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bytes = good.slice();
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
      const found = invalidFrameHeader(bytes, 0) !== null || frameUserHeaderLength(bytes, 0) > 16 || frameChecksumFails(bytes, 0);
      expect(found, `bit ${bit}`).toBe(true);
    }
  });

  test.each(Object.values(FrameKind))('kind %i takes user headers within its bounds only', (kind) => {
    const bounds: Record<number, [number, number]> = {
      [FrameKind.HELLO]: [HANDSHAKE_BYTES, HANDSHAKE_BYTES],
      [FrameKind.WELCOME]: [HANDSHAKE_BYTES, HANDSHAKE_BYTES],
      [FrameKind.REFUSE]: [0, REASON_BYTES_MAX],
      [FrameKind.CLOSE]: [0, REASON_BYTES_MAX],
      [FrameKind.REQUEST]: [0, USER_HEADER_BYTES_MAX],
      [FrameKind.RESPONSE]: [0, RESPONSE_HEADER_BYTES_MAX],
    };
    const [min, max] = bounds[kind] ?? [0, 0];
    const judge = (length: number) => invalidFrameHeader(frame(kind, { userHeader: 'x'.repeat(length) }), 0);
    expect(judge(min)).toBeNull();
    expect(judge(max)).toBeNull();
    expect(judge(max + 1)).toBe('frame: user header too long');
    expect(judge(0xffff)).toBe('frame: user header too long');
    if (min > 0) expect(judge(min - 1)).toBe('frame: user header too short');
  });

  test.each([0, 11, 255])('kind %i does not exist', (kind) => {
    expect(invalidFrameHeader(frame(kind as FrameKind), 0)).toBe('frame: unknown kind');
  });

  test('another magic is refused', () => {
    const bytes = frame(FrameKind.PING);
    bytes[4] = 0;
    expect(invalidFrameHeader(bytes, 0)).toBe('frame: wrong magic');
  });

  const LIMIT = 8192;
  test.each([
    ['a payload as long as negotiated', FrameKind.REQUEST, { payloadLength: LIMIT }, false, null],
    ['a payload that is longer', FrameKind.REQUEST, { payloadLength: LIMIT + 1 }, false, 'frame: payload longer than negotiated'],
    ['the longest that can be said', FrameKind.RESPONSE, { payloadLength: 0xffffffff }, false, 'frame: payload longer than negotiated'],
    ['a checksum that was not negotiated', FrameKind.REQUEST, { payloadLength: 1, flags: 1 }, false, 'frame: flags not as negotiated'],
    ['a checksum that is missing', FrameKind.REQUEST, { payloadLength: 1 }, true, 'frame: flags not as negotiated'],
    ['a checksum of no payload', FrameKind.REQUEST, { flags: 1 }, true, 'frame: flags not as negotiated'],
    ['a checksum as negotiated', FrameKind.REQUEST, { payloadLength: 1, flags: 1, payloadChecksum: 5 }, true, null],
    ['a checksum without its flag', FrameKind.REQUEST, { payloadChecksum: 5 }, true, 'frame: a payload checksum without its flag'],
    ['unknown flags', FrameKind.REQUEST, { flags: 2 }, false, 'frame: flags not as negotiated'],
    ['unknown flags on a heartbeat', FrameKind.PING, { flags: 1 }, true, 'frame: unknown flags'],
    ['a request with a status', FrameKind.REQUEST, { status: 5 }, false, 'frame: a request with a status'],
    ['a response with a status', FrameKind.RESPONSE, { status: 5 }, false, null],
    ['a handshake with a status', FrameKind.HELLO, { userHeader: 'x'.repeat(160), status: 5 }, false, 'frame: a status where none may be'],
    ['a heartbeat with a payload', FrameKind.PONG, { payloadLength: 1 }, false, 'frame: a payload where none may be'],
    ['a fence with a slot', FrameKind.FENCE, { slot: 1 }, false, 'frame: a slot where none may be'],
    ['a fence with a generation', FrameKind.FENCED, { generation: 1 }, false, 'frame: a slot where none may be'],
    ['a close with a checksum', FrameKind.CLOSE, { payloadChecksum: 1 }, false, 'frame: a payload checksum without its flag'],
  ])('%s is judged right', (_name, kind, fields, checksums, verdict) => {
    expect(invalidFrameFields(frame(kind as FrameKind, fields), 0, LIMIT, checksums as boolean)).toBe(verdict);
  });

  test.each([28, 29, 30, 31])('reserved byte %i must be zero', (at) => {
    const bytes = frame(FrameKind.REQUEST);
    bytes[at] = 1;
    expect(frameChecksumFails(reseal(bytes), 0)).toBe(false);
    expect(invalidFrameFields(bytes, 0, LIMIT, false)).toBe('frame: reserved bytes are not zero');
  });
});
