// The signatures of foreign data, against what the tools of others really write.
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readSync, rmSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from '@rmr/runtime';
import { afterAll, expect, test } from 'vitest';
import { DiskSample, sampleRanges } from '../../core/disks/disk-sample.ts';
import { foreignFindings } from '../../core/disks/signatures.ts';

const directory = mkdtempSync(join(tmpdir(), 'brmr-signatures-'));
afterAll(() => rmSync(directory, { recursive: true }));
/** Administrators' commands are not in every PATH. */
const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/local/sbin:/usr/sbin:/sbin` };

function has(tool: string): boolean {
  return env.PATH.split(':').some((folder) => existsSync(join(folder, tool)));
}

function run(tool: string, args: readonly string[], input?: string): string {
  return execFileSync(tool, args, { env, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'], ...(input === undefined ? {} : { input }) });
}

let files = 0;
function newFile(sizeBytes: number): string {
  const path = join(directory, `${files++}.disk`);
  writeFileSync(path, '');
  truncateSync(path, sizeBytes);
  return path;
}

function namesIn(path: string): string[] {
  const { size } = statSync(path);
  const fd = openSync(path, 'r');
  try {
    const parts = sampleRanges(size).map(({ offsetBytes, lengthBytes }) => {
      const bytes = new Uint8Array(lengthBytes);
      readSync(fd, bytes, 0, lengthBytes, offsetBytes);
      return bytes;
    });
    return foreignFindings(new DiskSample(size, parts)).map(({ name }) => name);
  } finally {
    closeSync(fd);
  }
}

const KEY = join(directory, 'key');
writeFileSync(KEY, 'a key of tests');

for (const [tool, args, size, expected] of [
  ['mkfs.ext2', ['-q', '-F'], 64, 'an ext2 file system'],
  ['mkfs.ext3', ['-q', '-F'], 64, 'an ext3 file system'],
  ['mkfs.ext4', ['-q', '-F'], 64, 'an ext4 file system'],
  ['mkfs.xfs', ['-q'], 400, 'an XFS file system'],
  ['mkfs.btrfs', ['-q', '-f'], 256, 'a btrfs file system'],
  ['mkfs.vfat', ['-F', '16'], 64, 'a FAT file system'],
  ['mkfs.vfat', ['-F', '32'], 128, 'a FAT file system'],
  ['mkntfs', ['-q', '-F'], 64, 'an NTFS file system'],
  ['mkswap', [], 64, 'a swap area'],
  ['mkswap', ['-p', '65536'], 64, 'a swap area'],
  ['make-bcache', ['-B'], 64, 'a bcache device'],
  ['cryptsetup', ['luksFormat', '-q', '--type', 'luks1', '--iter-time', '1', '--key-file', KEY], 64, 'a LUKS encrypted volume'],
  [
    'cryptsetup',
    ['luksFormat', '-q', '--type', 'luks2', '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000', '--key-file', KEY],
    64,
    'a LUKS encrypted volume',
  ],
] as const) {
  test.skipIf(!has(tool))(`what "${[tool, ...args.filter((arg) => arg !== KEY)].join(' ')}" makes is named`, () => {
    const path = newFile(size * MIB);
    run(tool, [...args, path]);
    // LUKS2 writes a second header, which is named as well.
    expect(namesIn(path)[0]).toBe(expected);
  });
}

test.skipIf(!has('sfdisk'))('partition tables that sfdisk makes are named', () => {
  const mbr = newFile(64 * MIB);
  run('sfdisk', ['-q', mbr], ',,L\n');
  expect(namesIn(mbr)).toEqual(['an MBR partition table']);
  const gpt = newFile(64 * MIB);
  run('sfdisk', ['-q', '-X', 'gpt', gpt], ',,L\n');
  expect(namesIn(gpt)).toEqual(['a GPT partition table', 'an MBR partition table']);
});

const loops = process.getuid?.() === 0 && existsSync('/dev/loop-control') && has('losetup');

test.skipIf(!loops || !has('pvcreate'))('an LVM physical volume that pvcreate makes is named', () => {
  const path = newFile(64 * MIB);
  const loop = run('losetup', ['--find', '--show', path]).trim();
  try {
    run('pvcreate', ['-y', '--devices', loop, loop]);
  } finally {
    run('losetup', ['--detach', loop]);
  }
  expect(namesIn(path)).toEqual(['an LVM physical volume']);
});

/**
 * An MD superblock needs the kernel's driver to be made, and mdadm alone to be looked at: mdadm has to find it where it is looked for here.
 * The place of format 1.0 and 0.90 depends on the size of the disk.
 */
for (const [format, size, offset, version] of [
  ['1.0', 64 * MIB, 64 * MIB - 8192, 1],
  ['1.0', 64 * MIB + 512 * 11, 64 * MIB - 4096, 1],
  ['1.1', 64 * MIB, 0, 1],
  ['1.2', 64 * MIB, 4096, 1],
  ['0.90', 64 * MIB + 512 * 11, 64 * MIB - 65_536, 0],
] as const) {
  test.skipIf(!has('mdadm'))(`mdadm looks for a superblock of format ${format} at ${offset} of ${size} bytes, and so do we`, () => {
    const path = newFile(size);
    const superblock = new Uint8Array(4096);
    const view = new DataView(superblock.buffer);
    view.setUint32(0, 0xa92b4efc, true);
    view.setUint32(4, version, true);
    if (version === 0) view.setUint32(8, 90, true);
    else {
      // super_offset, in sectors, has to say where it is.
      view.setBigUint64(144, BigInt(offset / 512), true);
      // The checksum is that of `calc_sb_1_csum`: the sum of its 256 bytes as words, folded, without itself.
      let sum = 0n;
      for (let at = 0; at < 256; at += 4) if (at !== 216) sum += BigInt(view.getUint32(at, true));
      view.setUint32(216, Number((sum & 0xffffffffn) + (sum >> 32n)), true);
    }
    const fd = openSync(path, 'r+');
    writeSync(fd, superblock, 0, superblock.length, offset);
    closeSync(fd);
    expect(run('mdadm', ['--examine', path])).toContain(`Version : ${format}`);
    expect(namesIn(path)).toEqual([`a member of an MD RAID (format ${format})`]);
  });
}
