import { STORES_MAX } from '@rmr/brmr';
import {
  adminSection,
  durationValue,
  logSection,
  nodeKeys,
  quote,
  refuseEarlyDeath,
  refuseSharedAddresses,
  sizeValue,
  socketAccessValue,
  socketAddressListValue,
  transportKeys,
  uuidValue,
} from '@rmr/daemon';
import { isNbdUri, parseNbdUri } from '@rmr/nbd';
import { QUEUE_DEPTH_MAX, SESSIONS_MAX } from '@rmr/rtrs';
import { errorMessage } from '@rmr/runtime';
import { z } from 'zod';
import { disksSection } from './disk-config.ts';

/**
 * The configuration of a storage node. Its validated form has sizes in bytes and durations in milliseconds.
 * Every key has a default, except `name` and `stateDir`.
 */
export const storageNodeConfigSchema = z
  .strictObject({
    ...nodeKeys('storage node'),
    rtrs: z
      .strictObject({
        listen: socketAddressListValue()
          .default(['tcp://127.0.0.1:4810'])
          .describe('addresses on which sessions are accepted, tcp://HOST:PORT or unix:/PATH'),
        advertise: socketAddressListValue()
          .optional()
          .describe('addresses at which others reach this node, if they differ from rtrs.listen'),
        socket: socketAccessValue().prefault({}),
      })
      .prefault({}),
    admin: adminSection('tcp://127.0.0.1:4811'),
    stores: z
      .array(
        z.strictObject({
          path: storePathValue().describe(
            'file or block device, or an export of an NBD server: nbd://HOST:PORT/EXPORT or nbd+unix:///EXPORT?socket=/PATH',
          ),
          poolUuid: uuidValue().optional().describe('refuse the store unless it belongs to this pool'),
          ioTimeout: durationValue({ millisecondsMin: 1000, millisecondsMax: 600_000 })
            .default(20_000)
            .describe(
              'a disk hangs when it has requests and has done nothing for this long: its store is detached until the disk answers; the store of a disk that is slow and goes on stays open',
            ),
          volatileCache: z
            .boolean()
            .default(false)
            .describe('data that was not flushed is gone when this process ends; for tests of power loss, together with bootIdOverride'),
        }),
      )
      .max(STORES_MAX)
      .default([])
      .describe('stores to open at start; for a store that is missing, the node waits; it never creates one'),
    disks: disksSection(),
    lastCopyWait: durationValue({ millisecondsMax: 86_400_000 })
      .prefault('0s')
      .describe(
        'how long an orderly stop waits at most while this node holds the only copy of some data; the node goes on serving meanwhile; 0s: it stops at once, and logs a warning',
      ),
    resync: z
      .strictObject({
        depth: z.int().min(1).max(256).default(32).describe('most pulls at a time'),
        rate: sizeValue({ bytesMin: 64 * 1024 })
          .nullable()
          .default(null)
          .describe('most bytes per second that this node pulls, all pools together, and that others pull from it; null: no limit'),
        rateUnderLoad: sizeValue({ bytesMin: 64 * 1024 })
          .nullable()
          .default(null)
          .describe('the same limit while clients do IO; null: that of rate. Below the limit, resync slows down when clients feel it'),
      })
      .prefault({})
      .describe('resync: how this node pulls from other members what it has missed'),
    log: logSection(),
    transport: z.strictObject(transportKeys()).prefault({}),
    limits: z
      .strictObject({
        sessions: z.int().min(1).max(SESSIONS_MAX).default(64).describe('most sessions at a time'),
        queueDepth: z.int().min(1).max(QUEUE_DEPTH_MAX).default(QUEUE_DEPTH_MAX).describe('most permits that a session gets'),
      })
      .prefault({}),
  })
  .superRefine((config, context) => {
    refuseSharedAddresses(
      [
        ...config.rtrs.listen.map((address, index) => ({ path: ['rtrs', 'listen', index], address })),
        { path: ['admin', 'listen'], address: config.admin.listen },
      ],
      context,
    );
    refuseEarlyDeath(config.transport, context);
    const paths = new Set<string>();
    for (const [index, store] of config.stores.entries()) {
      const place = placeOf(store.path);
      if (paths.has(place)) {
        context.addIssue({ code: 'custom', path: ['stores', index, 'path'], message: 'names a store a second time; write each once' });
      }
      paths.add(place);
    }
  });

/** The validated configuration of a storage node. */
export type StorageNodeConfig = z.output<typeof storageNodeConfigSchema>;
/** The configuration of a storage node as it is written in a file. */
export type StorageNodeConfigFile = z.input<typeof storageNodeConfigSchema>;

/** Where a store is: an absolute path of this host, or an NBD URI. */
function storePathValue() {
  return z
    .string({ error: (issue) => `${quote(issue.input)} is not a path; write a string` })
    .superRefine((value, context) => {
      const wrong = invalidStorePath(value);
      if (wrong !== null) context.addIssue({ code: 'custom', message: wrong });
    })
    .meta({ value: 'absolute path or NBD URI' });
}

function invalidStorePath(value: string): string | null {
  if (isNbdUri(value)) {
    try {
      parseNbdUri(value);
      return null;
    } catch (error) {
      return errorMessage(error);
    }
  }
  if (value.startsWith('/') && !value.includes('\0')) return null;
  return `${quote(value)} is neither an absolute path nor an NBD URI; write it from the root, for example /var/lib/rmr, or as nbd://HOST:PORT/EXPORT`;
}

/** One export can be written in several ways. */
function placeOf(path: string): string {
  if (!isNbdUri(path) || invalidStorePath(path) !== null) return path;
  const { address, exportName } = parseNbdUri(path);
  return `${address} ${exportName}`;
}
