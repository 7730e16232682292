import { writeU16, writeU32 } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { HANDSHAKE_BYTES } from './frame-header.ts';
import {
  decodeHandshake,
  decodeText,
  encodeHandshake,
  encodeText,
  type Handshake,
  handshakeVersions,
  invalidHandshake,
} from './handshake.ts';

const HANDSHAKE: Handshake = {
  versionMin: 1,
  versionMax: 2,
  payloadChecksum: true,
  generation: 0x1f_ffff * 0x1_0000_0000 + 0x89abcdef,
  pathId: 0x01020304,
  maxPayloadBytes: 1024 * 1024,
  heartbeatIntervalMs: 1000,
  queueDepth: 128,
  identity: {
    hostUuid: '01234567-89ab-4cde-8f01-23456789abcd',
    hostName: 'storage-ü',
    bootId: '11111111-2222-4333-8444-555555555555',
    incarnation: 'ffffffff-ffff-4fff-bfff-ffffffffffff',
  },
};

function encoded(change: Partial<Handshake> = {}): Uint8Array {
  const bytes = new Uint8Array(HANDSHAKE_BYTES).fill(0xee);
  encodeHandshake({ ...HANDSHAKE, ...change }, bytes, 0);
  return bytes;
}

describe('handshake', () => {
  test('the body is these bytes', () => {
    expect(Buffer.from(encoded()).toString('hex').match(/.{32}/g)).toEqual([
      '0100020001000000efcdab89ffff1f00',
      '0403020100001000e803000080000a00',
      '0123456789ab4cde8f0123456789abcd',
      '11111111222243338444555555555555',
      'ffffffffffff4fffbfffffffffffffff',
      '73746f726167652dc3bc000000000000',
      '00000000000000000000000000000000',
      '00000000000000000000000000000000',
      '00000000000000000000000000000000',
      '00000000000000000000000000000000',
    ]);
  });

  test('every field comes back', () => {
    expect(invalidHandshake(encoded(), 0)).toBeNull();
    expect(decodeHandshake(encoded(), 0)).toEqual(HANDSHAKE);
    const plain = { ...HANDSHAKE, payloadChecksum: false, generation: 0, pathId: 0 };
    expect(decodeHandshake(encoded(plain), 0)).toEqual(plain);
    expect(handshakeVersions(encoded(), 0)).toEqual([1, 2]);
  });

  test('features that we do not know are left out', () => {
    const bytes = encoded({ payloadChecksum: false });
    writeU32(bytes, 4, 0xfffffffe);
    expect(invalidHandshake(bytes, 0)).toBeNull();
    expect(decodeHandshake(bytes, 0).payloadChecksum).toBe(false);
  });

  const u16 = (offset: number, value: number) => (bytes: Uint8Array) => writeU16(bytes, offset, value);
  const u32 = (offset: number, value: number) => (bytes: Uint8Array) => writeU32(bytes, offset, value);
  const u8 = (offset: number, value: number) => (bytes: Uint8Array) => {
    bytes[offset] = value;
  };
  test.each([
    ['lowest version 0', u16(0, 0), 'handshake: impossible versions'],
    ['versions the wrong way round', u16(0, 3), 'handshake: impossible versions'],
    ['generation of 2^53', u32(12, 0x20_0000), 'handshake: session generation out of range'],
    ['payload too small', u32(20, 64 * 1024 - 1), 'handshake: payload size out of range'],
    ['payload smallest', u32(20, 64 * 1024), null],
    ['payload largest', u32(20, 32 * 1024 * 1024), null],
    ['payload too large', u32(20, 32 * 1024 * 1024 + 1), 'handshake: payload size out of range'],
    ['heartbeat too short', u32(24, 49), 'handshake: heartbeat interval out of range'],
    ['heartbeat shortest', u32(24, 50), null],
    ['heartbeat longest', u32(24, 60_000), null],
    ['heartbeat too long', u32(24, 60_001), 'handshake: heartbeat interval out of range'],
    ['no permits', u16(28, 0), 'handshake: queue depth out of range'],
    ['one permit', u16(28, 1), null],
    ['most permits', u16(28, 1024), null],
    ['too many permits', u16(28, 1025), 'handshake: queue depth out of range'],
    ['no name', u8(30, 0), 'handshake: host name length out of range'],
    ['a name too long', u8(30, 65), 'handshake: host name length out of range'],
    ['reserved byte 31', u8(31, 1), 'handshake: reserved bytes are not zero'],
    ['a byte behind the name', u8(80 + 10, 1), 'handshake: reserved bytes are not zero'],
    ['reserved byte 144', u8(144, 1), 'handshake: reserved bytes are not zero'],
    ['reserved byte 159', u8(159, 1), 'handshake: reserved bytes are not zero'],
    ['a name that is not UTF-8', u8(80, 0xff), 'handshake: host name is not UTF-8'],
  ])('%s is judged right', (_name, change, verdict) => {
    const bytes = encoded();
    change(bytes);
    expect(invalidHandshake(bytes, 0)).toBe(verdict);
  });

  test('a host name of 64 bytes fits, one of 65 is a bug', () => {
    const identity = { ...HANDSHAKE.identity, hostName: 'n'.repeat(64) };
    expect(decodeHandshake(encoded({ identity }), 0).identity.hostName).toBe('n'.repeat(64));
    expect(() => encoded({ identity: { ...identity, hostName: 'n'.repeat(65) } })).toThrow('host name too long');
  });

  test('text is cut at the end of a character', () => {
    expect(decodeText(encodeText('ab€', 4), 0, 2)).toBe('ab');
    expect(encodeText('ab€', 4)).toHaveLength(2);
    expect(encodeText('ab€', 5)).toHaveLength(5);
    expect(decodeText(new Uint8Array([0xe2, 0x82]), 0, 2)).toBeNull();
  });
});
