import { readdir, readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { DeviceFacts } from '../../core/disks/disk-types.ts';
import { deviceNumber } from '../block-limits.ts';

/** What is known of the block device with this number (`rdev` or `dev` of `stat`), without extra rights; null: sysfs does not know it. */
export async function deviceFacts(rdev: number, { sysfs, udev }: SystemPaths): Promise<DeviceFacts | null> {
  const number = numberText(rdev);
  // Where the link leads: the directory of a partition lies in that of its disk.
  const folder = await realpath(join(sysfs, 'dev/block', number)).catch(() => null);
  if (folder === null) return null;
  const isPartition = (await text(join(folder, 'partition'))) !== null;
  const whole = isPartition ? dirname(folder) : folder;
  const tags = await udevTags(join(udev, 'data', `b${number}`));
  const wholeNumber = await text(join(whole, 'dev'));
  const wholeTags = isPartition && wholeNumber !== null ? await udevTags(join(udev, 'data', `b${wholeNumber}`)) : tags;
  const sectors = count(await text(join(folder, 'size')));
  return {
    device: basename(folder),
    type: await typeOf(whole, isPartition),
    sizeBytes: sectors === null ? null : sectors * SYSFS_SECTOR_BYTES,
    sectorBytes: count(await text(join(whole, 'queue/logical_block_size'))),
    rotational: flag(await text(join(whole, 'queue/rotational'))),
    model: wholeTags.get('ID_MODEL') ?? (await text(join(whole, 'device/model'))),
    serial:
      wholeTags.get('ID_SERIAL_SHORT') ??
      (await text(join(whole, 'device/serial'))) ??
      (await scsiSerial(whole)) ??
      (await text(join(whole, 'serial'))),
    wwid:
      wholeTags.get('ID_WWN') ??
      (await text(join(whole, 'wwid'))) ??
      (await text(join(whole, 'device/wwid'))) ??
      (await text(join(whole, 'dm/uuid'))),
    fileSystemUuid: tags.get('ID_FS_UUID') ?? null,
    parent: isPartition ? basename(whole) : null,
    holders: await names(join(folder, 'holders')),
    partitions: isPartition ? [] : await partitionsIn(folder),
  };
}

/** Where the kernel and udev tell of devices. A container may hide each of them; tests have their own. */
export interface SystemPaths {
  readonly sysfs: string;
  readonly udev: string;
  readonly proc: string;
}

export const SYSTEM_PATHS: SystemPaths = { sysfs: '/sys', udev: '/run/udev', proc: '/proc' };

/** Sectors in which sysfs counts, whatever the device has. */
const SYSFS_SECTOR_BYTES = 512;
/** Longer values are no names. */
const TEXT_MAX = 256;

/** MAJOR:MINOR of a packed device number. */
export function numberText(rdev: number): string {
  const { major, minor } = deviceNumber(rdev);
  return `${major}:${minor}`;
}

async function typeOf(whole: string, isPartition: boolean): Promise<DeviceFacts['type']> {
  if (isPartition) return 'partition';
  if ((await text(join(whole, 'dm/name'))) !== null) return 'logical volume';
  if ((await names(join(whole, 'loop'))).length > 0 || basename(whole).startsWith('loop')) return 'loop device';
  if ((await names(join(whole, 'md'))).length > 0) return 'RAID';
  // What is on a bus has a device below it; NVMe, SCSI and virtio alike.
  return (await names(join(whole, 'device'))).length > 0 ? 'disk' : 'other';
}

async function partitionsIn(folder: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of await names(folder)) {
    if (name.startsWith(basename(folder)) && (await text(join(folder, name, 'partition'))) !== null) found.push(name);
  }
  return found;
}

/** SCSI: the page with the serial number (SPC-4, 7.8.18): a header of four bytes, and then the text. */
async function scsiSerial(whole: string): Promise<string | null> {
  const page = await readFile(join(whole, 'device/vpd_pg80')).catch(() => null);
  if (page === null || page.length <= 4 || page[1] !== 0x80) return null;
  return clean(page.subarray(4).toString('latin1'));
}

/** The properties that udev has found. Without udev there are none. */
async function udevTags(path: string): Promise<ReadonlyMap<string, string>> {
  const data = await readFile(path, 'utf8').catch(() => '');
  const tags = new Map<string, string>();
  for (const line of data.split('\n')) {
    const found = /^E:([A-Z0-9_]+)=(.*)$/.exec(line);
    const value = clean(found?.[2] ?? '');
    if (found !== null && value !== null) tags.set(found[1] as string, value);
  }
  return tags;
}

async function text(path: string): Promise<string | null> {
  return clean(await readFile(path, 'utf8').catch(() => ''));
}

async function names(path: string): Promise<readonly string[]> {
  return (await readdir(path).catch(() => [])).sort();
}

/** A name without what can't be shown; null: nothing is left. */
function clean(value: string): string | null {
  const shown = value.replaceAll(/[^\x20-\x7e]/g, '').trim();
  return shown === '' ? null : shown.slice(0, TEXT_MAX);
}

function count(value: string | null): number | null {
  return value !== null && /^\d{1,15}$/.test(value) ? Number(value) : null;
}

function flag(value: string | null): boolean | null {
  return value === '1' ? true : value === '0' ? false : null;
}
