import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ThreadPlaces } from '@rmr/brmr';
import { DirectoryRecordFile, DiskCatalogue } from '@rmr/brmr/node';
import { MIB, SILENT_LOGGER } from '@rmr/runtime';
import { createSystemWorld } from '@rmr/runtime/node';
import { afterAll, expect, test } from 'vitest';
import { diskSpecsOf, disksSection } from './disk-config.ts';
import { diskStatusOf } from './disk-status.ts';

const root = mkdtempSync(join(tmpdir(), 'storage-node-disks-'));
afterAll(() => rmSync(root, { recursive: true }));
const uuid = (digit: number): string => `00000000-0000-4000-8000-00000000000${digit}`;

test('disks with and without stores, and disks that are not there, are shown as the admin interface has them', async () => {
  const disks = new DiskCatalogue({
    specs: diskSpecsOf(
      disksSection().parse([
        { name: 'ssd', directory: root },
        { name: 'gone', device: '/dev/rmr-no-such-device', spare: true },
        { name: 'far', export: 'nbd://10.0.0.9/a' },
      ]),
    ),
    world: createSystemWorld(SILENT_LOGGER),
    threads: new ThreadPlaces(64),
    records: new DirectoryRecordFile(root),
  });
  await disks.createStore('ssd', {
    ...{ storeUuid: uuid(1), poolUuid: uuid(2), lineageUuid: uuid(3), poolName: 'vm-1', memberId: 7 },
    ...{ sizeBytes: 16 * MIB, queueDepth: 32 },
  });
  const shown = (await disks.lookAll()).map((report) => diskStatusOf(report, (storeUuid) => storeUuid === uuid(1)));
  expect(shown).toMatchObject([
    {
      ...{ name: 'ssd', kind: 'directory', place: root, spare: false, foreign: null, health: { level: 'healthy' } },
      stores: [{ storeUuid: uuid(1), poolUuid: uuid(2), poolName: 'vm-1', memberId: 7, sizeBytes: 16 * MIB, attached: true }],
    },
    { name: 'gone', kind: 'device', spare: true, capacityBytes: null, freeBytes: null, stores: [], health: { level: 'down' } },
    {
      name: 'far',
      kind: 'export',
      place: 'nbd://10.0.0.9/a',
      health: { level: 'down', sentence: expect.stringContaining('makes no stores on exports by order') },
    },
  ]);
});
