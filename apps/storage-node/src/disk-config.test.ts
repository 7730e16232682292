import { configReference } from '@rmr/daemon';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { diskSpecsOf, disksSection } from './disk-config.ts';

const schema = z.strictObject({ disks: disksSection() });
const UNIX = 'nbd+unix:///a?socket=/run/a.sock';

function reasons(disks: unknown): string {
  const { error } = schema.safeParse({ disks });
  return error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ') ?? 'accepted';
}

test('a disk is a directory, a device or a remote export', () => {
  const { disks } = schema.parse({
    disks: [
      { name: 'ssd', directory: '/srv/ssd', overProvisioning: 2.5 },
      { name: 'hdd', device: '/dev/disk/by-id/wwn-1', spare: true },
      { name: 'far', export: 'nbd://10.0.0.9:10809/a' },
      { name: 'near', export: UNIX },
    ],
  });
  expect(diskSpecsOf(disks)).toEqual([
    { name: 'ssd', place: { kind: 'directory', path: '/srv/ssd' }, overProvisioning: 2.5, spare: false },
    { name: 'hdd', place: { kind: 'device', path: '/dev/disk/by-id/wwn-1' }, overProvisioning: 1, spare: true },
    { name: 'far', place: { kind: 'export', uri: 'nbd://10.0.0.9:10809/a' }, overProvisioning: 1, spare: false },
    { name: 'near', place: { kind: 'export', uri: UNIX }, overProvisioning: 1, spare: false },
  ]);
  expect(schema.parse({}).disks).toEqual([]);
});

test.each<[string, unknown, RegExp]>([
  ['no place', [{ name: 'a' }], /disks\.0: names no place; write exactly one of directory, device, export/],
  ['two places', [{ name: 'a', directory: '/a', device: '/dev/a' }], /names directory and device; write exactly one/],
  ['no name', [{ directory: '/a' }], /disks\.0\.name: nothing is not a name/],
  ['a relative path', [{ name: 'a', directory: 'a' }], /disks\.0\.directory: "a" is not an absolute path/],
  ['an unknown key', [{ name: 'a', directory: '/a', size: 1 }], /size/],
  [
    'over-provisioning of a device',
    [{ name: 'a', device: '/dev/a', overProvisioning: 2 }],
    /disks\.0\.overProvisioning: is for directories alone/,
  ],
  ['less than what is there', [{ name: 'a', directory: '/a', overProvisioning: 0.5 }], /disks\.0\.overProvisioning/],
  ['an export of another kind', [{ name: 'a', export: 'iscsi://10.0.0.9/a' }], /disks\.0\.export: is not an NBD URI/],
  ['an export without a host', [{ name: 'a', export: 'nbd:///a' }], /disks\.0\.export: is not an NBD URI/],
  ['a socket that is none', [{ name: 'a', export: 'nbd+unix:///a?socket=x' }], /disks\.0\.export: is not an NBD URI/],
  [
    'a name twice',
    [
      { name: 'a', directory: '/a' },
      { name: 'a', directory: '/b' },
    ],
    /disks\.1\.name: names "a" a second time/,
  ],
  [
    'a place twice',
    [
      { name: 'a', directory: '/a' },
      { name: 'b', directory: '/a' },
    ],
    /disks\.1\.directory: names "\/a" a second time/,
  ],
  ['too many', Array.from({ length: 65 }, (_, i) => ({ name: `d${i}`, directory: `/d${i}` })), /disks: /],
])('%s: refused with what to write', (_what, disks, reason) => {
  expect(reasons(disks)).toMatch(reason);
});

test('the reference of the configuration shows every key', () => {
  const keys = configReference(schema)
    .split('\n')
    .slice(2)
    .map((line) => line.split(' ')[1]);
  expect(keys).toEqual(
    ['disks', 'disks[].name', 'disks[].directory', 'disks[].device', 'disks[].export', 'disks[].overProvisioning', 'disks[].spare'].map(
      (key) => `\`${key}\``,
    ),
  );
});
