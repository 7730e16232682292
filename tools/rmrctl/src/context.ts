/** Which cluster is meant: `--cluster`, `--context`, `$RMR_CLUSTER`, the context in use, or `rmr.yaml` in the current folder. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { type Cluster, readClusterFile } from '@rmr/cluster-view';
import { errorMessage, OperationError } from '@rmr/runtime';
import { parse, stringify } from 'yaml';

const HERE = 'rmr.yaml';

export interface ContextFlags {
  readonly cluster?: string | undefined;
  readonly context?: string | undefined;
}

/** The contexts of a person: names for cluster files. */
export interface Contexts {
  readonly current: string | null;
  readonly contexts: Readonly<Record<string, string>>;
}

export function contextsPath(): string {
  return join(process.env['XDG_CONFIG_HOME'] ?? join(homedir(), '.config'), 'rmrctl', 'contexts.yaml');
}

/** Throws INVALID_CONFIG for a file that is damaged. */
export function readContexts(): Contexts {
  const path = contextsPath();
  if (!existsSync(path)) return { current: null, contexts: {} };
  try {
    const content = parse(readFileSync(path, 'utf8')) as Partial<Contexts> | null;
    const contexts = content?.contexts ?? {};
    if (!Object.values(contexts).every((file) => typeof file === 'string')) throw new Error('a context is no path');
    return { current: content?.current ?? null, contexts };
  } catch (error) {
    throw new OperationError('INVALID_CONFIG', `${path} can't be understood: ${errorMessage(error)}`, { cause: error });
  }
}

export function writeContexts(contexts: Contexts): void {
  const path = contextsPath();
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, stringify(contexts));
}

/** The cluster that is meant. Throws NOT_FOUND with the ways to name one. */
export function clusterOf(flags: ContextFlags): Cluster {
  return readClusterFile(clusterPath(flags));
}

function clusterPath({ cluster, context }: ContextFlags): string {
  if (cluster !== undefined) return cluster;
  if (context !== undefined) return fileOf(context);
  const named = process.env['RMR_CLUSTER'];
  if (named !== undefined && named !== '') return named;
  const { current } = readContexts();
  if (current !== null) return fileOf(current);
  if (existsSync(HERE)) return HERE;
  throw new OperationError(
    'NOT_FOUND',
    `no cluster is named. Give one with --cluster FILE, or once for all with: rmrctl context add NAME FILE. A cluster of this repository has its file in its folder: rmr.yaml`,
  );
}

function fileOf(name: string): string {
  const { contexts } = readContexts();
  const file = contexts[name];
  if (file !== undefined) return resolve(file);
  throw new OperationError('NOT_FOUND', `there is no context ${name}; there are: ${Object.keys(contexts).join(', ') || 'none'}`);
}
