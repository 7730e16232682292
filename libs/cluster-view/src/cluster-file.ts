/** The cluster file: which daemons there are, and how their admin interfaces are reached. */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { errorMessage, OperationError } from '@rmr/runtime';
import { parseDocument } from 'yaml';
import { z } from 'zod';

const nameValue = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'is not a name: letters, digits, ".", "_" and "-", beginning with a letter or digit');

const nodeSchema = z
  .strictObject({
    name: nameValue,
    role: z.enum(['storage-node', 'client-node'], 'is not a role: write storage-node or client-node'),
    /** `http://HOST:PORT`, `tcp://HOST:PORT`, or `https://…` where a proxy is in front of the daemon. */
    admin: z.string().refine(isAdminAddress, 'is not an address: write http://HOST:PORT'),
    /** The bearer token, or the file that holds it. A relative path is relative to the folder of the cluster file. */
    token: z.string().min(1, 'is empty').optional(),
    tokenFile: z.string().min(1, 'is empty').optional(),
  })
  .refine((node) => node.token === undefined || node.tokenFile === undefined, 'has a token and a tokenFile: give one of them');

export const clusterFileSchema = z
  .strictObject({
    name: nameValue.default('cluster'),
    nodes: z.array(nodeSchema).min(1, 'is empty: name at least one daemon'),
  })
  .superRefine(({ nodes }, context) => {
    for (const key of ['name', 'admin'] as const) {
      const seen = new Set<string>();
      for (const [index, { [key]: value }] of nodes.entries()) {
        if (seen.has(value)) context.addIssue({ code: 'custom', path: ['nodes', index, key], message: `is "${value}" a second time` });
        seen.add(value);
      }
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

/** Reads a cluster file. Throws NOT_FOUND, or INVALID_CONFIG with every key that is wrong. */
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

/** A cluster file's content. `path`: its name in messages, and the folder that its relative paths start from. Throws INVALID_CONFIG. */
export function parseCluster(text: string, path: string): Cluster {
  const document = parseDocument(text);
  const [fault] = document.errors;
  if (fault !== undefined) throw new OperationError('INVALID_CONFIG', `${path} is not YAML: ${fault.message}`, { cause: fault });
  const parsed = clusterFileSchema.safeParse(document.toJS());
  if (!parsed.success) {
    const wrong = parsed.error.issues.map((issue) => `${placeText(issue.path)}${issueText(issue)}`);
    throw new OperationError('INVALID_CONFIG', `${path}: ${wrong.join('; ')}`);
  }
  return {
    name: parsed.data.name,
    nodes: parsed.data.nodes.map(({ name, role, admin, token, tokenFile }) => ({
      ...{ name, role, admin },
      token: tokenFile === undefined ? token : readToken(name, resolve(dirname(path), tokenFile)),
    })),
  };
}

/** `nodes[2].admin `, or nothing for the file as a whole. */
function placeText(path: readonly PropertyKey[]): string {
  const place = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return place === '' ? '' : `${place.replace(/^\./, '')} `;
}

function issueText(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') return `has unknown keys: ${issue.keys.join(', ')}`;
  if (issue.code === 'invalid_type')
    return issue.input === undefined ? `is missing, or is no ${issue.expected}` : `is no ${issue.expected}`;
  return issue.message;
}

function isAdminAddress(text: string): boolean {
  try {
    const { protocol, host, pathname, search } = new URL(text.replace(/^tcp:/, 'http:'));
    return ['http:', 'https:'].includes(protocol) && host !== '' && pathname.length <= 1 && search === '';
  } catch {
    return false;
  }
}

function readToken(node: string, path: string): string {
  let token: string;
  try {
    token = readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new OperationError('INVALID_CONFIG', `cannot read the token of ${node}, ${path}: ${errorMessage(error)}`, { cause: error });
  }
  if (token === '') throw new OperationError('INVALID_CONFIG', `${path}, the token of ${node}, is empty`);
  return token;
}
