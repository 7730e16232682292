import { KIB, MIB } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { DiskSample, sampleRanges } from './disk-sample.ts';
import { foreignFindings, SIGNATURES } from './signatures.ts';

const SIZE = 64 * MIB + 7 * 512;

/** A sample of a disk that is zero but for these bytes. */
function sampleOf(sizeBytes: number, parts: readonly (readonly [number, string | Uint8Array | readonly number[]])[]): DiskSample {
  const ranges = sampleRanges(sizeBytes);
  const read = ranges.map(({ lengthBytes }) => new Uint8Array(lengthBytes));
  for (const [offset, content] of parts) {
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : Uint8Array.from(content);
    const index = ranges.findIndex(
      (range) => offset >= range.offsetBytes && offset + bytes.length <= range.offsetBytes + range.lengthBytes,
    );
    expect([offset, index]).not.toEqual([offset, -1]);
    (read[index] as Uint8Array).set(bytes, offset - (ranges[index]?.offsetBytes ?? 0));
  }
  return new DiskSample(sizeBytes, read);
}

const names = (sample: DiskSample): string[] => foreignFindings(sample).map(({ name }) => name);
const MD = [0xfc, 0x4e, 0x2b, 0xa9];
const UBERBLOCK = [0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0];
const BOOT: [number, number[]] = [510, [0x55, 0xaa]];
const partition = (entry: number, type: number): [number, number[]] => [
  446 + entry * 16,
  [0, 0, 2, 0, type, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0],
];
const SIZE_256K = Math.floor(SIZE / (256 * KIB)) * 256 * KIB;

/** Every format by the bytes that its specification wants. */
test.each<[string, (readonly [number, string | readonly number[]])[], string]>([
  ['GPT, sectors of 512 bytes', [[512, 'EFI PART']], 'a GPT partition table'],
  ['GPT, sectors of 4 KiB', [[4096, 'EFI PART']], 'a GPT partition table'],
  ['GPT whose head was overwritten', [[SIZE - 512, 'EFI PART']], 'a GPT partition table'],
  ['GPT whose head was overwritten, sectors of 4 KiB', [[SIZE - 4096, 'EFI PART']], 'a GPT partition table'],
  ['MBR', [BOOT, partition(0, 0x83)], 'an MBR partition table'],
  ['MBR, last entry', [BOOT, partition(3, 0x07)], 'an MBR partition table'],
  ['ext2', [[1024 + 0x38, [0x53, 0xef]]], 'an ext2 file system'],
  [
    'ext3',
    [
      [1024 + 0x38, [0x53, 0xef]],
      [1024 + 0x5c, [4]],
    ],
    'an ext3 file system',
  ],
  [
    'ext4: extents',
    [
      [1024 + 0x38, [0x53, 0xef]],
      [1024 + 0x5c, [4]],
      [1024 + 0x60, [0x42]],
    ],
    'an ext4 file system',
  ],
  [
    'ext4: checksums',
    [
      [1024 + 0x38, [0x53, 0xef]],
      [1024 + 0x64, [0x10]],
    ],
    'an ext4 file system',
  ],
  [
    'ext3 journal',
    [
      [1024 + 0x38, [0x53, 0xef]],
      [1024 + 0x60, [8]],
    ],
    'an external journal of ext3 or ext4',
  ],
  ['XFS', [[0, 'XFSB']], 'an XFS file system'],
  ['btrfs', [[65_600, '_BHRfS_M']], 'a btrfs file system'],
  ['FAT16', [BOOT, [54, 'FAT16   ']], 'a FAT file system'],
  ['FAT32', [BOOT, [82, 'FAT32   ']], 'a FAT file system'],
  ['exFAT', [BOOT, [3, 'EXFAT   ']], 'an exFAT file system'],
  ['NTFS', [BOOT, [3, 'NTFS    ']], 'an NTFS file system'],
  ['swap', [[4086, 'SWAPSPACE2']], 'a swap area'],
  ['swap, pages of 64 KiB', [[65_526, 'SWAPSPACE2']], 'a swap area'],
  ['suspended', [[4086, 'S1SUSPEND']], 'an image of a suspended system'],
  [
    'LVM2',
    [
      [512, 'LABELONE'],
      [536, 'LVM2 001'],
    ],
    'an LVM physical volume',
  ],
  [
    'LVM2, last sector for labels',
    [
      [1536, 'LABELONE'],
      [1560, 'LVM2 001'],
    ],
    'an LVM physical volume',
  ],
  ['MD 1.1', [[0, [...MD, 1, 0, 0, 0]]], 'a member of an MD RAID (format 1.1)'],
  ['MD 1.2', [[4096, [...MD, 1, 0, 0, 0]]], 'a member of an MD RAID (format 1.2)'],
  [
    'MD 1.0',
    [[(Math.floor(SIZE / 512) - 16 - ((Math.floor(SIZE / 512) - 16) % 8)) * 512, [...MD, 1, 0, 0, 0]]],
    'a member of an MD RAID (format 1.0)',
  ],
  ['MD 0.90', [[64 * MIB - 64 * KIB, [...MD, 0, 0, 0, 0]]], 'a member of an MD RAID (format 0.90)'],
  ['MD 0.90, big-endian', [[64 * MIB - 64 * KIB, [...MD].reverse()]], 'a member of an MD RAID (format 0.90, big-endian)'],
  ['IMSM', [[SIZE - 1024, 'Intel Raid ISM Cfg Sig. 1.3.00']], 'a member of an Intel RAID'],
  ['DDF', [[SIZE - 512, [0xde, 0x11, 0xde, 0x11]]], 'a member of a DDF RAID'],
  ['LUKS', [[0, [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe, 0, 2]]], 'a LUKS encrypted volume'],
  ['LUKS2, second header', [[16_384, [0x53, 0x4b, 0x55, 0x4c, 0xba, 0xbe]]], 'a LUKS2 encrypted volume whose first header is gone'],
  ['ZFS, first label', [[128 * KIB + 4 * KIB, UBERBLOCK]], 'a member of a ZFS pool'],
  ['ZFS, second label', [[384 * KIB, UBERBLOCK]], 'a member of a ZFS pool'],
  ['ZFS, third label', [[SIZE_256K - 512 * KIB + 255 * KIB, UBERBLOCK]], 'a member of a ZFS pool'],
  ['ZFS, last label, big-endian', [[SIZE_256K - 128 * KIB, [...UBERBLOCK].reverse()]], 'a member of a ZFS pool'],
  ['bcache', [[4120, [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81]]], 'a bcache device'],
  ['BlueStore', [[0, 'bluestore block device\n']], 'a Ceph OSD (BlueStore)'],
  ['F2FS', [[1024, [0x10, 0x20, 0xf5, 0xf2]]], 'an F2FS file system'],
  ['ISO 9660', [[32_769, 'CD001']], 'an ISO 9660 image'],
  ['SquashFS', [[0, 'hsqs']], 'a SquashFS image'],
])('%s is named', (_what, parts, name) => {
  expect(names(sampleOf(SIZE, parts))).toEqual([name]);
});

test.each<[string, (readonly [number, string | readonly number[]])[]]>([
  ['a disk of zeroes', []],
  ['a boot sector without partitions', [BOOT]],
  ['a boot sector whose entries make no sense', [BOOT, [446, [0x12]], partition(1, 0x83)]],
  ['an MD magic of an unknown version', [[4096, [...MD, 7, 0, 0, 0]]]],
  ['an LVM label of another kind', [[512, 'LABELONE']]],
  ['FAT names without the end of a boot sector', [[54, 'FAT16   ']]],
  [
    'an ext magic with blocks of an impossible size',
    [
      [1024 + 0x38, [0x53, 0xef]],
      [1024 + 0x18, [40]],
    ],
  ],
])('%s has no name', (_what, parts) => {
  expect(names(sampleOf(SIZE, parts))).toEqual([]);
});

test('everything that is there is named, each once', () => {
  const parts: [number, string | number[]][] = [
    BOOT,
    partition(0, 0xee),
    [512, 'EFI PART'],
    [SIZE - 512, 'EFI PART'],
    [384 * KIB, UBERBLOCK],
    [385 * KIB, UBERBLOCK],
  ];
  expect(names(sampleOf(SIZE, parts))).toEqual(['a GPT partition table', 'an MBR partition table', 'a member of a ZFS pool']);
});

test.each([0, 1, 511, 512, 4096, 65_536, 131_072, MIB - 1, MIB, MIB + 64 * KIB, MIB + 64 * KIB + 1, 2 * MIB + 512, 3 * MIB, 2 ** 44 + 512])(
  'a disk of %d bytes is sampled at both ends, without overlap, and looked through',
  (sizeBytes) => {
    const ranges = sampleRanges(sizeBytes);
    let end = 0;
    for (const { offsetBytes, lengthBytes } of ranges) {
      expect(offsetBytes).toBeGreaterThanOrEqual(end);
      expect(lengthBytes).toBeGreaterThan(0);
      end = offsetBytes + lengthBytes;
    }
    expect(end).toBe(sizeBytes);
    expect(names(sampleOf(sizeBytes, []))).toEqual([]);
  },
);

test('every signature that can be on a disk lies within what is read of it', () => {
  for (const sizeBytes of [SIZE, 3 * MIB + 512, 2 ** 44 + 5 * 512]) {
    const sample = sampleOf(sizeBytes, []);
    for (const { name, magic, offsets } of SIGNATURES)
      for (const at of offsets(sizeBytes))
        if (at >= 0) expect([name, at, sample.u8(at), sample.u8(at + magic.length - 1)]).toEqual([name, at, 0, 0]);
  }
});

test('noise is no bug: any bytes are looked through without an error', () => {
  let state = 1;
  const noise = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state >>> 16;
  };
  for (let round = 0; round < 5; round++) {
    const parts = sampleRanges(SIZE).map(({ lengthBytes }) => Uint8Array.from({ length: lengthBytes }, noise));
    expect(() => foreignFindings(new DiskSample(SIZE, parts))).not.toThrow();
  }
});
