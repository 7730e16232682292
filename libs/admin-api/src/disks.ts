// Disks: the places on a storage node in which stores can be made.
import { z } from 'zod';
import { healthSchema } from './status-common.ts';

const bytes = z.number().int().min(0);

/** A disk of a storage node. */
export const diskStatusSchema = z.object({
  /** Its name in the node's configuration. */
  name: z.string(),
  /** `directory`: sparse files, one per store. The others hold one store each. */
  kind: z.enum(['directory', 'device', 'export']),
  /** The directory, the device's path, or the NBD URI. */
  place: z.string(),
  /** Size and free bytes. Null: not known, as the disk does not answer. */
  capacityBytes: bytes.nullable(),
  freeBytes: bytes.nullable(),
  /** Bytes that its stores may take in all if they are written fully. More than the capacity: over-provisioned. */
  promisedBytes: bytes,
  /** Identity, where it can be read. */
  model: z.string().nullable(),
  serial: z.string().nullable(),
  spare: z.boolean(),
  /** The stores on it, by their superblocks. */
  stores: z.array(
    z.object({
      storeUuid: z.string(),
      poolUuid: z.string(),
      poolName: z.string(),
      memberId: z.number().int(),
      sizeBytes: bytes,
      allocatedBytes: bytes.nullable(),
      attached: z.boolean(),
    }),
  ),
  /** What is on it that is no store: a file system, a partition table. Null: nothing that is known. */
  foreign: z.string().nullable(),
  health: healthSchema,
});
export type DiskStatus = z.infer<typeof diskStatusSchema>;

/** The disks of a storage node. */
export interface Disks {
  list(): Promise<readonly DiskStatus[]>;
}
