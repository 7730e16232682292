import { readFile } from 'node:fs/promises';
import { errorMessage } from '@rmr/runtime';
import { z } from 'zod';

/** The parts of `cluster.json` that the page uses. Fields are only ever added to it: unknown ones are left alone. */
const clusterFileSchema = z.object({
  pool: z.object({ name: z.string(), uuid: z.string(), size: z.number(), chunkSize: z.number() }),
  storageNodes: z.array(
    z.object({ name: z.string(), pid: z.number().nullable(), admin: z.string(), rtrs: z.string(), store: z.string().nullable() }),
  ),
  clientNode: z.object({ name: z.string(), pid: z.number().nullable(), admin: z.string(), nbdUri: z.string() }),
});

export type ClusterFile = z.infer<typeof clusterFileSchema>;

/** Reads and validates the cluster file. Throws an error that names the file and what is wrong with it. */
export async function readClusterFile(path: string): Promise<ClusterFile> {
  let contents: unknown;
  try {
    contents = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new Error(`The cluster file ${path} can't be read: ${errorMessage(error)}`);
  }
  const parsed = clusterFileSchema.safeParse(contents);
  if (!parsed.success) throw new Error(`The cluster file ${path} is not valid: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
