import { KIB } from '@rmr/runtime';
import type { DiskSample } from './disk-sample.ts';

/**
 * What others keep on disks, told by its signature: so that a refusal can say "an ext4 file system", and not just "data". What makes a disk
 * count as taken is any byte at its head or tail that is not zero. So a format that is missing here is refused all the same, without its name.
 */

/** Something that was found on a disk. */
export interface ForeignFinding {
  /** For people, with its article: `an ext4 file system`. */
  readonly name: string;
  readonly offsetBytes: number;
}

/** One row: a magic number at places that follow from the size of the disk. */
interface Signature {
  readonly name: string;
  /** Where the format is written down. */
  readonly source: string;
  readonly magic: Uint8Array;
  /** Where the magic may stand. */
  readonly offsets: (sizeBytes: number) => readonly number[];
  /** What else has to be there, or null. May say what it is more closely: the result replaces the name. */
  readonly check?: (sample: DiskSample, at: number) => string | boolean;
}

const KIB4 = 4 * KIB;
const SECTOR = 512;

const text = (ascii: string): Uint8Array => Uint8Array.from(ascii, (character) => character.charCodeAt(0));
const bytes = (...values: number[]): Uint8Array => Uint8Array.of(...values);
const at = (...offsets: number[]) => {
  return () => offsets;
};
const fromEnd = (...distances: number[]) => {
  return (sizeBytes: number) => distances.map((distance) => sizeBytes - distance);
};
const below = (sizeBytes: number, step: number): number => Math.floor(sizeBytes / step) * step;

/** Linux swap areas carry their magic at the end of the first page, whose size is that of the machine that made them. */
const PAGE_ENDS = [4, 8, 16, 32, 64].map((size) => size * KIB - 10);
/** Second headers of LUKS2, whose place depends on the size of the metadata (16 KiB to 4 MiB); those that are within the head. */
const LUKS2_SECONDARY = [16, 32, 64, 128, 256, 512].map((size) => size * KIB);

/** The four labels of ZFS, two at each end; within a label, the uberblocks are in its second half, one per KiB at most. */
function zfsUberblocks(sizeBytes: number): number[] {
  const label = 256 * KIB;
  const end = below(sizeBytes, label);
  const labels = [0, label, end - 2 * label, end - label].filter((start) => start >= 0);
  return labels.flatMap((start) => Array.from({ length: 128 }, (_, i) => start + 128 * KIB + i * KIB));
}

const EXT_SUPERBLOCK = 1024;
const EXT_MAGIC_OFFSET = 0x38;

/** ext2, ext3 and ext4 share a superblock; features tell them apart, as the kernel's drivers accept them. */
function extKind(sample: DiskSample, magicOffset: number): string | boolean {
  const superblock = magicOffset - EXT_MAGIC_OFFSET;
  const compatible = sample.u32(superblock + 0x5c) ?? 0;
  const incompatible = sample.u32(superblock + 0x60) ?? 0;
  const readOnly = sample.u32(superblock + 0x64) ?? 0;
  const logBlock = sample.u32(superblock + 0x18) ?? 99;
  if (logBlock > 6) return false;
  // EXT4_FEATURE_INCOMPAT: extents, 64bit, mmp, flex_bg, inline data, …; RO_COMPAT: huge_file, gdt_csum, dir_nlink, extra_isize, …
  if ((incompatible & ~0x1f) !== 0 || (readOnly & ~0x7) !== 0) return 'an ext4 file system';
  if ((incompatible & 0x8) !== 0) return 'an external journal of ext3 or ext4';
  return (compatible & 0x4) !== 0 ? 'an ext3 file system' : 'an ext2 file system';
}

/** A boot sector ends like this, and so do those of FAT and NTFS. A partition table has entries that make sense. */
function hasPartitions(sample: DiskSample): boolean {
  let used = 0;
  for (let entry = 446; entry < 510; entry += 16) {
    const status = sample.u8(entry);
    if (status !== 0 && status !== 0x80) return false;
    if (sample.u8(entry + 4) === 0) continue;
    if (sample.u32(entry + 12) === 0) return false;
    used++;
  }
  return used > 0;
}

const isBootSector = (sample: DiskSample): boolean => sample.u16(510) === 0xaa55;
/** The major version of an MD superblock follows its magic; in the 0.90 format the numbers are those of the machine that made it. */
const mdVersion = (version: number) => {
  return (sample: DiskSample, found: number) => sample.u32(found + 4) === version;
};
const MD_MAGIC = bytes(0xfc, 0x4e, 0x2b, 0xa9);
const md0Offset = (sizeBytes: number): number[] => [below(sizeBytes, 64 * KIB) - 64 * KIB];
/** `calc_dev_sboffset` of format 1.0: 8 KiB before the end at least, on a boundary of 4 KiB. */
const md10Offset = (sizeBytes: number): number[] => [below(below(sizeBytes, SECTOR) - 16 * SECTOR, KIB4)];

/**
 * The table. Sources: `linux/…` is the kernel's tree; the rest names the specification or the project whose format it is.
 * Order: what a person wants to hear first.
 */
export const SIGNATURES: readonly Signature[] = [
  {
    name: 'a GPT partition table',
    source: 'UEFI specification 2.10, 5.3.2: header in the second logical block, its copy in the last one',
    magic: text('EFI PART'),
    offsets: (sizeBytes) => [SECTOR, KIB4, sizeBytes - SECTOR, sizeBytes - KIB4],
  },
  {
    name: 'an MBR partition table',
    source: 'UEFI specification 2.10, 5.2.1; linux/block/partitions/msdos.c',
    magic: bytes(0x55, 0xaa),
    offsets: at(510),
    check: hasPartitions,
  },
  {
    name: 'an ext file system',
    source: 'linux/Documentation/filesystems/ext4/super.rst',
    magic: bytes(0x53, 0xef),
    offsets: at(EXT_SUPERBLOCK + EXT_MAGIC_OFFSET),
    check: extKind,
  },
  { name: 'an XFS file system', source: 'linux/fs/xfs/libxfs/xfs_format.h: XFS_SB_MAGIC', magic: text('XFSB'), offsets: at(0) },
  {
    name: 'a btrfs file system',
    source: 'linux/include/uapi/linux/btrfs_tree.h: BTRFS_MAGIC, at byte 64 of the superblock at 64 KiB',
    magic: text('_BHRfS_M'),
    offsets: at(64 * KIB + 64),
  },
  {
    name: 'a FAT file system',
    source: 'Microsoft FAT specification 1.03: FilSysType',
    magic: text('FAT1'),
    offsets: at(54),
    check: isBootSector,
  },
  {
    name: 'a FAT file system',
    source: 'Microsoft FAT specification 1.03: FilSysType of FAT32',
    magic: text('FAT32   '),
    offsets: at(82),
    check: isBootSector,
  },
  { name: 'an exFAT file system', source: 'Microsoft exFAT specification: FileSystemName', magic: text('EXFAT   '), offsets: at(3) },
  { name: 'an NTFS file system', source: 'linux/fs/ntfs3/ntfs.h: NTFS_BOOT system_id', magic: text('NTFS    '), offsets: at(3) },
  { name: 'a swap area', source: 'linux/include/linux/swap.h: union swap_header', magic: text('SWAPSPACE2'), offsets: at(...PAGE_ENDS) },
  { name: 'a swap area of an old kind', source: 'Linux before 2.5', magic: text('SWAP-SPACE'), offsets: at(...PAGE_ENDS) },
  {
    name: 'an image of a suspended system',
    source: 'linux/kernel/power/swap.c: HIBERNATE_SIG',
    magic: text('S1SUSPEND'),
    offsets: at(...PAGE_ENDS),
  },
  {
    name: 'an LVM physical volume',
    source: 'LVM2 lib/label/label.h, lib/format_text/layout.h: a label in one of the first four sectors',
    magic: text('LABELONE'),
    offsets: at(0, SECTOR, 2 * SECTOR, 3 * SECTOR),
    check: (sample, found) => sample.matches(found + 24, text('LVM2 001')),
  },
  {
    name: 'a member of an MD RAID (format 1.1)',
    source: 'linux/include/uapi/linux/raid/md_p.h: mdp_superblock_1',
    magic: MD_MAGIC,
    offsets: at(0),
    check: mdVersion(1),
  },
  {
    name: 'a member of an MD RAID (format 1.2)',
    source: 'linux/include/uapi/linux/raid/md_p.h: mdp_superblock_1',
    magic: MD_MAGIC,
    offsets: at(KIB4),
    check: mdVersion(1),
  },
  {
    name: 'a member of an MD RAID (format 1.0)',
    source: 'linux/drivers/md/md.c: super_1_load',
    magic: MD_MAGIC,
    offsets: md10Offset,
    check: mdVersion(1),
  },
  {
    name: 'a member of an MD RAID (format 0.90)',
    source: 'linux/include/uapi/linux/raid/md_p.h: MD_NEW_SIZE_SECTORS',
    magic: MD_MAGIC,
    offsets: md0Offset,
    check: mdVersion(0),
  },
  {
    name: 'a member of an MD RAID (format 0.90, big-endian)',
    source: 'linux/include/uapi/linux/raid/md_p.h: MD_NEW_SIZE_SECTORS',
    magic: Uint8Array.from(MD_MAGIC).reverse(),
    offsets: md0Offset,
    check: mdVersion(0),
  },
  {
    name: 'a member of an Intel RAID',
    source: 'mdadm super-intel.c: MPB_SIGNATURE, two sectors before the end',
    magic: text('Intel Raid ISM Cfg Sig. '),
    offsets: fromEnd(2 * SECTOR, 2 * KIB4),
  },
  {
    name: 'a member of a DDF RAID',
    source: 'SNIA Common RAID Disk Data Format 2.0: anchor header in the last block',
    magic: bytes(0xde, 0x11, 0xde, 0x11),
    offsets: fromEnd(SECTOR),
  },
  {
    name: 'a LUKS encrypted volume',
    source: 'LUKS on-disk format 1.2.3 and LUKS2 1.1.1: magic',
    magic: bytes(0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe),
    offsets: at(0),
  },
  {
    name: 'a LUKS2 encrypted volume whose first header is gone',
    source: 'LUKS2 on-disk format 1.1.1: magic of the second header',
    magic: bytes(0x53, 0x4b, 0x55, 0x4c, 0xba, 0xbe),
    offsets: at(...LUKS2_SECONDARY),
  },
  {
    name: 'a member of a ZFS pool',
    source: 'OpenZFS include/sys/uberblock_impl.h: UBERBLOCK_MAGIC, little-endian',
    magic: bytes(0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0),
    offsets: zfsUberblocks,
  },
  {
    name: 'a member of a ZFS pool',
    source: 'OpenZFS include/sys/uberblock_impl.h: UBERBLOCK_MAGIC, big-endian',
    magic: bytes(0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c),
    offsets: zfsUberblocks,
  },
  {
    name: 'a bcache device',
    source: 'linux/drivers/md/bcache/bcache_ondisk.h: bcache_magic, at byte 24 of the superblock at 4 KiB',
    magic: bytes(0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81),
    offsets: at(KIB4 + 24),
  },
  {
    name: 'a Ceph OSD (BlueStore)',
    source: 'Ceph src/os/bluestore: label of a block device',
    magic: text('bluestore block device\n'),
    offsets: at(0),
  },
  {
    name: 'an F2FS file system',
    source: 'linux/include/uapi/linux/magic.h: F2FS_SUPER_MAGIC',
    magic: bytes(0x10, 0x20, 0xf5, 0xf2),
    offsets: at(1024),
  },
  { name: 'an ISO 9660 image', source: 'ECMA-119, 8.1: standard identifier in sector 16', magic: text('CD001'), offsets: at(32 * KIB + 1) },
  { name: 'a SquashFS image', source: 'linux/include/uapi/linux/magic.h: SQUASHFS_MAGIC', magic: text('hsqs'), offsets: at(0) },
];

/** What is on the disk, each name once, in the order of {@link SIGNATURES}. */
export function foreignFindings(sample: DiskSample): readonly ForeignFinding[] {
  const found = new Map<string, ForeignFinding>();
  for (const signature of SIGNATURES) {
    for (const offsetBytes of signature.offsets(sample.sizeBytes)) {
      if (offsetBytes < 0 || !sample.matches(offsetBytes, signature.magic)) continue;
      const checked = signature.check?.(sample, offsetBytes) ?? true;
      if (checked === false) continue;
      const name = checked === true ? signature.name : checked;
      if (!found.has(name)) found.set(name, { name, offsetBytes });
    }
  }
  return [...found.values()];
}
