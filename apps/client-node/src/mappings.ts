/** What a client node remembers of the pools that it was told to map, beyond its restart. */
import { join } from 'node:path';
import type { Mapping } from '@rmr/brmr';
import { RecordDirectory } from '@rmr/operations/node';
import { z } from 'zod';
import { type ClientPoolConfig, clientPoolSchema } from './config.ts';

const VERSION = 1;
const memberSchema = z.strictObject({ memberId: z.int(), name: z.string(), addresses: z.array(z.string()) });

/** A pool as an order names it, and as it is remembered. */
export const mappingSchema: z.ZodType<Mapping> = z.strictObject({
  uuid: z.uuid(),
  name: z.string(),
  members: z.array(memberSchema),
  witness: memberSchema.nullable(),
  quorum: z.enum(['none', 'majority']),
  exportName: z.string().nullable(),
  readOnly: z.boolean(),
  queueDepth: z.int(),
});

/** Opens the list of mapped pools. Throws INVALID_CONFIG for what can't be understood. */
export function openMappings(stateDir: string): RecordDirectory<Mapping> {
  return new RecordDirectory<Mapping>({
    path: join(stateDir, 'pools'),
    what: 'list of mapped pools',
    version: VERSION,
    schema: mappingSchema,
    idOf: ({ uuid }) => uuid,
  });
}

/** The pool as if the configuration file named it: what the order does not say has its default. */
export function configOf({ uuid, name, members, witness, quorum, exportName, readOnly, queueDepth }: Mapping): ClientPoolConfig {
  const address = ({ memberId, name: node, addresses }: Mapping['members'][number]) => ({
    memberId,
    name: node,
    addresses: [...addresses],
  });
  return clientPoolSchema.parse({
    ...{ uuid, name, quorum, readOnly, queueDepth, members: members.map(address) },
    ...(witness === null ? {} : { witness: address(witness) }),
    ...(exportName === null ? {} : { exportName }),
  });
}
