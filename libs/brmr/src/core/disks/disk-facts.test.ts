// What the kernel, a marker and SMART tell of a disk, and what is made of it in words.
import { GIB } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { directoryVerdict, markerText, parseMarker } from './directory-marker.ts';
import { directoryRoom } from './directory-room.ts';
import { type DiskCondition, DiskHealthBook } from './disk-health.ts';
import { type DeviceUses, mountOfPath, parseMountInfo, parseSwaps, useOf } from './mounts.ts';
import { parseSmart, smartTrouble } from './smart-report.ts';

const A = '00000000-0000-4000-8000-00000000000a';
const B = '00000000-0000-4000-8000-00000000000b';

const MOUNTINFO = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
31 27 8:17 / /srv/disk\\0401 rw,relatime shared:2 master:1 - xfs /dev/sdb1 rw
32 27 0:44 /sub /srv/tree rw,relatime - btrfs /dev/sdc rw
no line of this kind
33 31 0:50 / /srv/disk\\0401 rw - tmpfs none rw
`;

test('mountinfo: optional fields, spaces, lines that make no sense, and what is mounted over something', () => {
  const mounts = parseMountInfo(MOUNTINFO);
  expect(mounts).toHaveLength(5);
  expect(mounts[2]).toEqual({ device: '8:17', mountPoint: '/srv/disk 1', fileSystem: 'xfs', source: '/dev/sdb1' });
  expect(mountOfPath('/srv/disk 1/a', mounts)?.fileSystem).toBe('tmpfs');
  expect(mountOfPath('/srv/disk 12', mounts)?.mountPoint).toBe('/');
  expect(mountOfPath('/srv/tree', mounts)?.fileSystem).toBe('btrfs');
  expect(mountOfPath('/', [])).toBe(null);
});

const FREE: DeviceUses = { number: '8:99', paths: ['/dev/sdx'], holders: [], partitions: [] };
test.each<[string, Partial<DeviceUses>, string | null]>([
  ['nothing', {}, null],
  ['a mount, by its number', { number: '8:17' }, 'mounted at /srv/disk 1 (xfs)'],
  ['a mount whose number is that of no device, by its path', { paths: ['/dev/disk/by-id/x', '/dev/sdc'] }, 'mounted at /srv/tree (btrfs)'],
  ['swap', { paths: ['/dev/sdd 1'] }, 'in use as swap'],
  ['a logical volume on it', { holders: ['dm-0', 'md1'] }, 'part of dm-0, md1'],
  ['partitions', { partitions: ['sdx1'] }, 'divided into partitions (sdx1)'],
])('a device is in use by %s', (_what, uses, expected) => {
  const swaps = parseSwaps('Filename\tType\tSize\n/dev/sdd\\0401 partition 100 0 -2\n/dev/zram0 partition 9 0 1\n');
  expect(swaps).toEqual(['/dev/sdd 1', '/dev/zram0']);
  expect(useOf({ ...FREE, ...uses }, parseMountInfo(MOUNTINFO), swaps)).toBe(expected);
});

test('a marker is read as it is written; anything else is none', () => {
  expect(parseMarker(markerText(A))).toBe(A);
  for (const text of ['', '{}', 'x', '[]', '{"version":2,"directoryUuid":""}', markerText('no uuid'), markerText(A).slice(0, 20)]) {
    expect(parseMarker(text)).toBe(null);
  }
});

const where = { label: 'disk "d" (/srv/d)', path: '/srv/d', mountedAt: '/' };
test.each<[string, string | null, Parameters<typeof directoryVerdict>[1], unknown]>([
  ['never used', null, 'absent', 'new'],
  ['used, and there', A, { directoryUuid: A }, 'known'],
  ['used, and remembered by nobody', null, { directoryUuid: A }, 'adopt'],
  [
    'used, and not mounted',
    A,
    'absent',
    { code: 'UNAVAILABLE', sentence: expect.stringMatching(/is missing.*mounted at \/\. Mount the right one/) },
  ],
  ['another one', A, { directoryUuid: B }, { code: 'UNAVAILABLE', sentence: expect.stringMatching(/another directory/) }],
  ['damaged', A, 'damaged', { code: 'UNAVAILABLE', sentence: expect.stringMatching(/is damaged/) }],
  ['damaged, and never used', null, 'damaged', { code: 'UNAVAILABLE', sentence: expect.stringMatching(/is damaged/) }],
])('a directory: %s', (_what, remembered, found, verdict) => {
  expect(directoryVerdict(remembered, found, new Map(), where)).toEqual(verdict);
});

test('one directory is not used under two names', () => {
  expect(directoryVerdict(null, { directoryUuid: A }, new Map([[A, 'other']]), where)).toMatchObject({
    code: 'CONFLICT',
    sentence: expect.stringContaining('the directory of disk "other", or a copy of it'),
  });
});

test('room: what stores may still be promised is counted from what is there for them', () => {
  const space = { capacityBytes: 100 * GIB, freeBytes: 40 * GIB, allocatedBytes: 20 * GIB, promisedBytes: 50 * GIB };
  expect(directoryRoom(space, 1)).toBe(10 * GIB);
  expect(directoryRoom(space, 2)).toBe(70 * GIB);
  expect(directoryRoom({ ...space, freeBytes: 0 }, 1)).toBe(0);
});

const ATA = {
  model_name: 'ACME 4000',
  serial_number: 'S1',
  smart_status: { passed: true },
  temperature: { current: 31 },
  power_on_time: { hours: 1234 },
  ata_smart_attributes: {
    table: [
      { id: 5, raw: { value: 2 } },
      { id: 197, raw: { value: 8 } },
    ],
  },
};
const NVME = {
  smart_status: { passed: false },
  nvme_smart_health_information_log: { critical_warning: 4, media_errors: 3, percentage_used: 101 },
};

test('SMART: what smartctl prints for ATA and NVMe is read, and trouble is put into words', () => {
  const ata = parseSmart(JSON.stringify(ATA));
  expect(ata).toEqual({
    passed: true,
    temperatureCelsius: 31,
    powerOnHours: 1234,
    reallocatedSectors: 2,
    pendingSectors: 8,
    mediaErrors: null,
    percentageUsed: null,
    criticalWarning: null,
    model: 'ACME 4000',
    serial: 'S1',
  });
  expect(ata === null ? null : smartTrouble(ata)).toBe("8 sectors can't be read");
  const nvme = parseSmart(JSON.stringify(NVME));
  expect(nvme === null ? null : smartTrouble(nvme)).toBe(
    'it says that it is failing, it gives a critical warning, 3 errors of the medium, 101 % of its life is used',
  );
});

test.each(['', 'smartctl: no such device', '[]', 'null', '{"smartctl":{"exit_status":2}}', JSON.stringify(ATA).slice(0, 100)])(
  'SMART: from %j nothing is known',
  (output) => {
    expect(parseSmart(output)).toBe(null);
  },
);

test('SMART: a figure that makes no sense takes none of the others along', () => {
  const odd = { ...ATA, temperature: 'hot', power_on_time: { hours: -1 }, ata_smart_attributes: { table: 'none' } };
  expect(parseSmart(JSON.stringify(odd))).toMatchObject({
    passed: true,
    temperatureCelsius: null,
    powerOnHours: null,
    pendingSectors: null,
    model: 'ACME 4000',
  });
});

const WELL: DiskCondition = { label: 'disk "d" (/srv/d)', unavailable: null, use: null, smart: null, space: null, places: [] };
test('health: the gravest trouble comes first, with the time from which it lasts, and what to do', () => {
  const book = new DiskHealthBook();
  const smart = parseSmart(JSON.stringify(ATA));
  expect(book.of(WELL, 0).level).toBe('healthy');
  expect(book.of({ ...WELL, smart }, 1000)).toEqual({
    level: 'degraded',
    sentence:
      'disk "d" (/srv/d) reports trouble through SMART: 8 sectors can\'t be read (since 1970-01-01 00:00:01Z at least). Replace the stores on it by stores on another disk, and then the disk.',
  });
  // The same trouble, later: it lasts.
  expect(book.of({ ...WELL, smart }, 9000).sentence).toContain('00:00:01Z');
  const unavailable = { code: 'TIMEOUT', sentence: 'it hangs' } as const;
  expect(book.of({ ...WELL, smart, unavailable }, 9000)).toEqual({
    level: 'down',
    sentence: 'it hangs (since 1970-01-01 00:00:09Z at least)',
  });
  expect(book.of({ ...WELL, smart }, 10_000).sentence).toContain('00:00:10Z');
});

test.each<[string, Partial<DiskCondition>, string, RegExp]>([
  ['a use', { use: 'mounted at /srv' }, 'down', /is mounted at \/srv/],
  ['a damaged store', { places: [{ path: '/srv/d/x', content: { kind: 'damaged', reason: '' } }] }, 'degraded', /\/srv\/d\/x on disk "d"/],
  [
    'foreign data',
    { places: [{ path: '/dev/x', content: { kind: 'foreign', findings: [{ name: 'an ext4 file system', offsetBytes: 0 }] } }] },
    'degraded',
    /holds an ext4 file system: no store can be made there/,
  ],
  [
    'little space',
    { space: { capacityBytes: 100 * GIB, freeBytes: GIB, allocatedBytes: 0, promisedBytes: 50 * GIB } },
    'degraded',
    /running out of space: 1 GiB of 100 GiB/,
  ],
  [
    'little space that nobody wants',
    { space: { capacityBytes: 100 * GIB, freeBytes: GIB, allocatedBytes: 5, promisedBytes: 5 } },
    'healthy',
    /nothing is known/,
  ],
])('health: %s', (_what, condition, level, sentence) => {
  expect(new DiskHealthBook().of({ ...WELL, ...condition }, 0)).toEqual({ level, sentence: expect.stringMatching(sentence) });
});
