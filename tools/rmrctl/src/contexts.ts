/** Which cluster is meant: `--cluster`, `--context`, `$RMR_CLUSTER`, the context in use, or `rmr.yaml` in the current folder. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { AdvisedError, type Cluster, readClusterFile } from '@rmr/cluster-view';
import { errorMessage, OperationError } from '@rmr/runtime';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import type { Surroundings } from './surroundings.ts';

const HERE = 'rmr.yaml';

export interface ContextFlags {
  readonly cluster?: string | undefined;
  readonly context?: string | undefined;
}

const contextsSchema = z.strictObject({
  current: z.string().nullable().default(null),
  contexts: z.record(z.string(), z.string()).default({}),
});

/** The contexts of a person: names for cluster files, and the one in use. */
export type Contexts = z.infer<typeof contextsSchema>;

export function contextsPath({ env, home }: Surroundings): string {
  return join(env['XDG_CONFIG_HOME'] || join(home, '.config'), 'rmrctl', 'contexts.yaml');
}

/** Throws INVALID_CONFIG for a file that is damaged. */
export function readContexts(world: Surroundings): Contexts {
  const path = contextsPath(world);
  if (!existsSync(path)) return { current: null, contexts: {} };
  try {
    return contextsSchema.parse(parse(readFileSync(path, 'utf8')) ?? {});
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : errorMessage(error);
    throw new OperationError('INVALID_CONFIG', `${path} can't be understood: ${why}`, { cause: error });
  }
}

export function writeContexts(world: Surroundings, contexts: Contexts): void {
  const path = contextsPath(world);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, stringify(contexts));
  renameSync(`${path}.new`, path);
}

/** The cluster that is meant. Throws NOT_FOUND with the ways to name one. */
export function clusterOf(world: Surroundings, flags: ContextFlags): Cluster {
  return readClusterFile(clusterPath(world, flags));
}

function clusterPath(world: Surroundings, { cluster, context }: ContextFlags): string {
  if (cluster !== undefined) return resolve(world.folder, cluster);
  if (context !== undefined) return contextFile(world, context);
  const named = world.env['RMR_CLUSTER'];
  if (named !== undefined && named !== '') return resolve(world.folder, named);
  const { current } = readContexts(world);
  if (current !== null) return contextFile(world, current);
  const here = resolve(world.folder, HERE);
  if (existsSync(here)) return here;
  const ways = ['Name a cluster file with --cluster FILE or in RMR_CLUSTER, or once for all: rmrctl context add NAME FILE'];
  throw new AdvisedError('NOT_FOUND', `no cluster is named, and this folder has no ${HERE}`, ways, 'nothing');
}

/** The file that a context stands for. Throws NOT_FOUND with those that there are. */
export function contextFile(world: Surroundings, name: string): string {
  const { contexts } = readContexts(world);
  const file = Object.hasOwn(contexts, name) ? contexts[name] : undefined;
  if (file !== undefined) return file;
  throw new OperationError('NOT_FOUND', `there is no context ${name}; there are: ${Object.keys(contexts).join(', ') || 'none'}`);
}
