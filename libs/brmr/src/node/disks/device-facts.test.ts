import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { OperationError } from '@rmr/runtime';
import { afterAll, expect, test } from 'vitest';
import { deviceFacts, type SystemPaths } from './device-facts.ts';
import { DirectoryRecordFile } from './directory-records.ts';
import { Smartctl } from './smartctl.ts';

const root = mkdtempSync(join(tmpdir(), 'brmr-facts-'));
afterAll(() => rmSync(root, { recursive: true }));
let folders = 0;

/** A sysfs with devices, each in a folder of files, and what udev knows of them. */
function system(devices: Record<string, Record<string, string>>, udev: Record<string, string> = {}): SystemPaths {
  const base = join(root, `${folders++}`);
  for (const [folder, files] of Object.entries(devices)) {
    const path = join(base, 'sys/devices', folder);
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(dirname(join(path, name)), { recursive: true });
      writeFileSync(join(path, name), content, 'latin1');
    }
    mkdirSync(join(base, 'sys/dev/block'), { recursive: true });
    symlinkSync(path, join(base, 'sys/dev/block', (files['dev'] ?? '').trim()));
  }
  for (const [name, content] of Object.entries(udev)) {
    mkdirSync(join(base, 'udev/data'), { recursive: true });
    writeFileSync(join(base, 'udev/data', name), content);
  }
  return { sysfs: join(base, 'sys'), udev: join(base, 'udev'), proc: join(base, 'proc') };
}

const rdev = (major: number, minor: number): number => major * 256 + minor;
const QUEUE = { 'queue/logical_block_size': '512\n', 'queue/rotational': '1\n' };
const SCSI = {
  dev: '8:16\n',
  size: '2048\n',
  ...QUEUE,
  'device/model': 'ACME DISK       \n',
  'device/vpd_pg80': '\x00\x80\x00\x08 SER1234',
  'device/wwid': 'naa.5000\n',
};
const PARTITION = { dev: '8:17\n', size: '1024\n', partition: '1\n' };

test('a SCSI disk: serial and WWID from its own pages, and its partitions', async () => {
  const paths = system({ 'pci/sdb': SCSI, 'pci/sdb/sdb1': PARTITION, 'pci/sdb/sdb2': { ...PARTITION, dev: '8:18\n' } });
  expect(await deviceFacts(rdev(8, 16), paths)).toEqual({
    device: 'sdb',
    type: 'disk',
    sizeBytes: 2048 * 512,
    sectorBytes: 512,
    rotational: true,
    model: 'ACME DISK',
    serial: 'SER1234',
    wwid: 'naa.5000',
    fileSystemUuid: null,
    parent: null,
    holders: [],
    partitions: ['sdb1', 'sdb2'],
  });
});

test('a partition: its own size and file system, the rest from its disk', async () => {
  const udev = { 'b8:17': 'N:sdb1\nE:ID_FS_UUID=f00d\n', 'b8:16': 'E:ID_MODEL=Acme\nE:ID_SERIAL_SHORT=S9\nE:ID_WWN=0x5000\n' };
  const paths = system({ 'pci/sdb': SCSI, 'pci/sdb/sdb1': { ...PARTITION, 'holders/dm-0/x': '', 'holders/md1/x': '' } }, udev);
  expect(await deviceFacts(rdev(8, 17), paths)).toMatchObject({
    ...{ device: 'sdb1', type: 'partition', sizeBytes: 1024 * 512, sectorBytes: 512, parent: 'sdb', partitions: [] },
    ...{ model: 'Acme', serial: 'S9', wwid: '0x5000', fileSystemUuid: 'f00d', holders: ['dm-0', 'md1'] },
  });
});

test.each<[string, Record<string, string>, string, Record<string, unknown>]>([
  [
    'NVMe',
    { 'device/model': 'FAST', 'device/serial': 'N1', wwid: 'eui.1', 'queue/rotational': '0\n', 'queue/logical_block_size': '4096\n' },
    'nvme0n1',
    { type: 'disk', model: 'FAST', serial: 'N1', wwid: 'eui.1', rotational: false, sectorBytes: 4096 },
  ],
  ['a logical volume', { 'dm/name': 'vg-lv\n', 'dm/uuid': 'LVM-abc\n' }, 'dm-3', { type: 'logical volume', wwid: 'LVM-abc' }],
  ['a loop device', { 'loop/backing_file': '/x\n' }, 'loop5', { type: 'loop device' }],
  ['RAID', { 'md/level': 'raid1\n' }, 'md0', { type: 'RAID' }],
  [
    'something else',
    {},
    'zram0',
    { type: 'other', model: null, serial: null, wwid: null, rotational: null, sectorBytes: null, sizeBytes: null },
  ],
  [
    'values that make no sense',
    { size: '-1\n', 'queue/rotational': 'x', 'queue/logical_block_size': '5e12', 'device/model': '\x00\x01\n' },
    'sdz',
    { type: 'disk', sizeBytes: null, rotational: null, sectorBytes: null, model: null },
  ],
])('%s', async (_what, files, name, expected) => {
  expect(await deviceFacts(rdev(300, 7), system({ [name]: { dev: '300:7\n', ...files } }))).toMatchObject({ device: name, ...expected });
});

test('a number that sysfs does not know, and a container without sysfs: nothing is known', async () => {
  expect(await deviceFacts(rdev(8, 99), system({}))).toBe(null);
  expect(await deviceFacts(rdev(8, 99), { sysfs: '/none', udev: '/none', proc: '/none' })).toBe(null);
});

function program(script: string): string {
  const path = join(root, `smartctl-${folders++}`);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

test('smartctl is asked without waking the disk; its exit code says nothing of what it has printed', async () => {
  const asked = join(root, 'asked');
  const smartctl = new Smartctl(program(`echo "$@" > ${asked}; echo '{"model_name":"M","smart_status":{"passed":false}}'; exit 8`));
  expect(await smartctl.ask('/dev/sdb')).toMatchObject({ model: 'M', passed: false });
  expect(existsSync(asked)).toBe(true);
});

test.each([
  ['there is none', '/no/such/smartctl'],
  ['it has no right to ask', program('echo "{}"; exit 2')],
  ['it prints what is no JSON', program('echo nonsense')],
  ['it prints without an end', program('yes \'{"model_name":"M"}\'')],
])('SMART is not known where smartctl is of no use: %s', async (_what, path) => {
  expect(await new Smartctl(path).ask('/dev/sdb')).toBe(null);
});

test('a device is asked once at a time', async () => {
  const gate = join(root, 'gate');
  const smartctl = new Smartctl(program(`while [ ! -e ${gate} ]; do sleep 0.05; done; echo '{"model_name":"M"}'`));
  const first = smartctl.ask('/dev/sdb');
  expect(await smartctl.ask('/dev/sdb')).toBe(null);
  writeFileSync(gate, '');
  expect(await first).toMatchObject({ model: 'M' });
});

const UUID = '00000000-0000-4000-8000-00000000000a';

test('directories are remembered across restarts', () => {
  const state = join(root, `${folders++}`);
  mkdirSync(state);
  const records = new DirectoryRecordFile(state);
  expect(records.all.size).toBe(0);
  records.set('d', UUID);
  expect([...new DirectoryRecordFile(state).all]).toEqual([['d', UUID]]);
});

test.each(['', '{', '{"version":2,"directories":{}}', '{"version":1,"directories":{"d":"x"}}', '{"version":1,"directories":{},"more":1}'])(
  'a file of records that says %j is refused with what to do, and left as it is',
  (content) => {
    const state = join(root, `${folders++}`);
    mkdirSync(state);
    writeFileSync(join(state, 'disks.json'), content);
    let thrown: unknown = null;
    try {
      new DirectoryRecordFile(state);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(OperationError);
    expect(thrown).toMatchObject({ code: 'INVALID_CONFIG', message: expect.stringMatching(/disks\.json is damaged.*remove the file/) });
  },
);
