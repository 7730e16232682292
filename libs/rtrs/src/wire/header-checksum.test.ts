import { crc32c, SeededRandom } from '@rmr/runtime';
import { describe, expect, test } from 'vitest';
import { headerChecksum } from './header-checksum.ts';

describe('header checksum', () => {
  test.each([
    ['32 bytes of zeroes', new Uint8Array(32), 0x8a9136aa],
    ['32 bytes of ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ['32 rising bytes', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    ['32 falling bytes', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
    ['the digits 1 to 9', new TextEncoder().encode('123456789'), 0xe3069283],
  ])('%s give the published value (RFC 3720 B.4)', (_name, bytes, expected) => {
    expect(headerChecksum(bytes, 0, bytes.length)).toBe(expected);
  });

  test('every length and alignment agrees with the native function', () => {
    const random = new SeededRandom(5);
    const bytes = Uint8Array.from({ length: 320 }, () => random.u32());
    for (let from = 0; from < 9; from++) {
      for (let to = from; to <= 300; to++) {
        expect(headerChecksum(bytes, from, to)).toBe(crc32c(bytes.subarray(from, to)));
      }
    }
  });
});
