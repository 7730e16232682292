import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorMessage, OperationError } from '@rmr/runtime';
import { z } from 'zod';

const pidSchema = z.int().positive().nullable();

const clientNodeSchema = z.object({ name: z.string(), pid: pidSchema, admin: z.string(), nbdUri: z.string() });

/**
 * `DIR/cluster.json`: how other programs find a local cluster. Replaced atomically; fields are only ever added. Sizes
 * are integers in bytes; the pid of a stopped daemon is null.
 */
export const clusterFileSchema = z.object({
  pool: z.object({ name: z.string(), uuid: z.string(), chunkSize: z.int(), size: z.int() }),
  storageNodes: z.array(
    z.object({
      name: z.string(),
      pid: pidSchema,
      /** `tcp://127.0.0.1:PORT` or `unix:/PATH`; with several paths, the first. */
      rtrs: z.string(),
      admin: z.string(),
      /** Null on a storage node that is no member of the pool. */
      store: z.string().nullable(),
    }),
  ),
  /** The first client node, which serves unless a rival was started and has claimed the pool. */
  clientNode: clientNodeSchema,
  /** All client nodes, the first included. */
  clientNodes: z.array(clientNodeSchema).min(1),
  web: z.object({ name: z.string(), pid: pidSchema, url: z.string() }).nullable(),
});

export type ClusterFile = z.infer<typeof clusterFileSchema>;

/** Where the cluster file of a directory is. */
export function clusterFilePath(directory: string): string {
  return join(directory, 'cluster.json');
}

/** Reads `DIR/cluster.json`. Throws NOT_FOUND when there is no cluster, INVALID_CONFIG when the file is damaged. */
export function readClusterFile(directory: string): ClusterFile {
  return readJsonFile(
    clusterFilePath(directory),
    clusterFileSchema,
    `there is no cluster in ${directory}; create one with "cluster up --dir ${directory}"`,
  );
}

/** Reads and checks a JSON file. `missing` is what to say when there is none. */
export function readJsonFile<Schema extends z.ZodType>(path: string, schema: Schema, missing: string): z.output<Schema> {
  if (!existsSync(path)) throw new OperationError('NOT_FOUND', missing);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new OperationError('INVALID_CONFIG', `${path} is damaged: ${errorMessage(error)}`, { cause: error });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new OperationError('INVALID_CONFIG', `${path} is damaged: ${issue?.path.join('.')}: ${issue?.message}`);
}
