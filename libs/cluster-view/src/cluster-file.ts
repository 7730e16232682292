/** The cluster file: which daemons there are, and how their admin interfaces are reached. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { errorMessage, OperationError } from '@rmr/runtime';
import { parse } from 'yaml';
import { z } from 'zod';

const nameValue = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'is not a name: letters, digits, ".", "_" and "-", beginning with a letter or digit');

const nodeSchema = z
  .strictObject({
    name: nameValue,
    role: z.enum(['storage-node', 'client-node']),
    /** `http://HOST:PORT`, `tcp://HOST:PORT`, or `https://…` where a proxy is in front of the daemon. */
    admin: z.string().regex(/^(https?|tcp):\/\/\S+$/, 'is not an address: write http://HOST:PORT'),
    /** The bearer token, or the file that holds it. */
    token: z.string().min(1).optional(),
    tokenFile: z.string().min(1).optional(),
  })
  .refine((node) => node.token === undefined || node.tokenFile === undefined, 'has a token and a tokenFile: give one of them');

export const clusterFileSchema = z
  .strictObject({
    name: nameValue.default('cluster'),
    nodes: z.array(nodeSchema).min(1, 'is empty: name at least one daemon'),
  })
  .superRefine(({ nodes }, context) => {
    const names = new Set<string>();
    for (const [index, { name }] of nodes.entries()) {
      if (names.has(name)) context.addIssue({ code: 'custom', path: ['nodes', index, 'name'], message: `names "${name}" a second time` });
      names.add(name);
    }
  });

/** A daemon of the cluster. */
export interface ClusterNode {
  readonly name: string;
  readonly role: 'storage-node' | 'client-node';
  readonly admin: string;
  readonly token?: string | undefined;
}

export interface Cluster {
  readonly name: string;
  readonly nodes: readonly ClusterNode[];
}

/** Reads a cluster file. Throws NOT_FOUND, or INVALID_CONFIG with the key that is wrong. */
export function readClusterFile(path: string): Cluster {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'NOT_FOUND' : 'INVALID_CONFIG';
    throw new OperationError(code, `cannot read the cluster file ${resolve(path)}: ${errorMessage(error)}`, { cause: error });
  }
  return parseCluster(text, path);
}

/** A cluster file's content. `path`: what it is called in messages. */
export function parseCluster(text: string, path: string): Cluster {
  let content: unknown;
  try {
    content = parse(text);
  } catch (error) {
    throw new OperationError('INVALID_CONFIG', `${path} is not YAML: ${errorMessage(error)}`, { cause: error });
  }
  const parsed = clusterFileSchema.safeParse(content);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new OperationError('INVALID_CONFIG', `${path}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`);
  }
  return {
    name: parsed.data.name,
    nodes: parsed.data.nodes.map(({ name, role, admin, token, tokenFile }) => ({
      ...{ name, role, admin },
      token: tokenFile === undefined ? token : readToken(tokenFile),
    })),
  };
}

function readToken(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new OperationError('INVALID_CONFIG', `tokenFile: cannot read ${path}: ${errorMessage(error)}`, { cause: error });
  }
}
