// The disks of a storage node, as its configuration names them: places in which stores can be made. An operator decides which disks may be
// used, by this and nothing else.
import { DISKS_MAX, type DiskSpec } from '@rmr/brmr';
import { nameValue, pathValue } from '@rmr/daemon';
import { z } from 'zod';

/** Most that a directory may promise: beyond it the limit would mean nothing. */
const OVER_PROVISIONING_MAX = 1000;
const PLACES = ['directory', 'device', 'export'] as const;

/** One disk: its name, and exactly one place. */
export const diskSchema = z
  .strictObject({
    name: nameValue().describe('name of the disk on this node; it stays the same when the device gets another name'),
    directory: pathValue()
      .optional()
      .describe('a directory, for any number of stores: sparse files that are named by the UUID of their store'),
    device: pathValue()
      .optional()
      .describe('a disk, partition or logical volume, which one store takes whole; a name in /dev/disk/by-id stays the same'),
    export: exportValue()
      .optional()
      .describe('a remote NBD export, which one store takes whole: nbd://HOST:PORT/NAME or nbd+unix:///NAME?socket=PATH'),
    overProvisioning: z
      .number()
      .min(1)
      .max(OVER_PROVISIONING_MAX)
      .optional()
      .describe(
        'for a directory: the sizes of its stores may add up to this many times the space that is there for them; 1 when left out: then no store runs out of space because another one grows',
      ),
    spare: z.boolean().default(false).describe('keep it for replacing what fails: no volume is placed on it by itself'),
  })
  .superRefine((disk, context) => {
    const given = PLACES.filter((place) => disk[place] !== undefined);
    if (given.length !== 1)
      context.addIssue({
        code: 'custom',
        message: `names ${given.length === 0 ? 'no place' : given.join(' and ')}; write exactly one of ${PLACES.join(', ')}`,
      });
    if (disk.overProvisioning !== undefined && disk.directory === undefined)
      context.addIssue({
        code: 'custom',
        path: ['overProvisioning'],
        message: 'is for directories alone: one store takes a device or an export whole; leave it out',
      });
  });

/** All disks of a node: each name and each place once. */
export function disksSection() {
  return z
    .array(diskSchema)
    .max(DISKS_MAX)
    .superRefine((disks, context) => {
      const seen = new Set<string>();
      for (const [index, disk] of disks.entries()) {
        for (const key of ['name', ...PLACES] as const) {
          const value = disk[key];
          if (value === undefined) continue;
          // A name and a path are never equal: a path begins with a slash.
          if (seen.has(value))
            context.addIssue({ code: 'custom', path: [index, key], message: `names "${value}" a second time; write each once` });
          seen.add(value);
        }
      }
    })
    .default([])
    .describe('places in which stores can be made at run time');
}

/** The disks as the catalogue takes them. */
export function diskSpecsOf(disks: readonly z.output<typeof diskSchema>[]): readonly DiskSpec[] {
  return disks.map(({ name, directory, device, export: uri = '', overProvisioning, spare }): DiskSpec => {
    const place =
      directory !== undefined
        ? ({ kind: 'directory', path: directory } as const)
        : device !== undefined
          ? ({ kind: 'device', path: device } as const)
          : ({ kind: 'export', uri } as const);
    // With 1 what is promised is there, whichever store grows first. More is a decision that somebody has to take and to watch.
    return { name, place, overProvisioning: overProvisioning ?? 1, spare };
  });
}

function exportValue() {
  return z
    .string({ error: 'is not an NBD URI; write a string' })
    .max(1024)
    .refine(isExportUri, { error: 'is not an NBD URI; write nbd://HOST:PORT/NAME or nbd+unix:///NAME?socket=PATH' })
    .meta({ value: 'NBD URI' });
}

function isExportUri(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, searchParams } = new URL(text);
  if (protocol === 'nbd:') return hostname !== '';
  return protocol === 'nbd+unix:' && (searchParams.get('socket') ?? '').startsWith('/');
}
