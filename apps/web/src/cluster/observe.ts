import { readFile } from 'node:fs/promises';
import { adminError, createAdminClient, nodeStatusSchema } from '@rmr/admin-api';
import { errorMessage } from '@rmr/runtime';
import { z } from 'zod';
import { readClusterFile } from './cluster-file.ts';
import { overallHealth } from './health.ts';
import type { ObservedNode, Overview } from './overview.ts';

/** Asks every daemon, at the same time. Never throws: what can't be found out is in the answer. */
export async function observe(options: ObserveOptions): Promise<Overview> {
  const observedAt = new Date().toISOString();
  try {
    const { nodes: known, nbdUri } = await knownNodes(options);
    const token = options.tokenFile === undefined ? undefined : (await readFile(options.tokenFile, 'utf8')).trim();
    const nodes = await Promise.all(known.map((node) => askNode(node, token)));
    return { observedAt, health: overallHealth(nodes), nbdUri, nodes };
  } catch (error) {
    return { observedAt, health: { level: 'unknown', sentence: errorMessage(error) }, nbdUri: null, nodes: [] };
  }
}

/** A daemon that takes longer than this to say how it is, is not well. */
const STATUS_TIMEOUT_MS = 2000;

/** Where the daemons are found; from the environment, see the README. */
export interface ObserveOptions {
  readonly clusterFile: string | undefined;
  /** Admin URLs, used when there is no cluster file. */
  readonly adminUrls: readonly string[];
  readonly tokenFile: string | undefined;
}

export function observeOptions(environment: Record<string, string | undefined>): ObserveOptions {
  const adminUrls = (environment['RMR_ADMIN_URLS'] ?? '').split(',').map((url) => url.trim());
  return {
    clusterFile: environment['RMR_CLUSTER_FILE'] || undefined,
    adminUrls: adminUrls.filter((url) => url !== ''),
    tokenFile: environment['RMR_ADMIN_TOKEN_FILE'] || undefined,
  };
}

type KnownNode = Omit<ObservedNode, 'status' | 'error'>;

async function knownNodes(options: ObserveOptions): Promise<{ nodes: KnownNode[]; nbdUri: string | null }> {
  if (options.clusterFile !== undefined) {
    const { clientNode, storageNodes } = await readClusterFile(options.clusterFile);
    const client = { name: clientNode.name, role: 'client-node' as const, admin: clientNode.admin, pid: clientNode.pid };
    const storage = storageNodes.map(({ name, admin, pid }) => ({ name, role: 'storage-node' as const, admin, pid }));
    return { nodes: [client, ...storage], nbdUri: clientNode.nbdUri };
  }
  if (options.adminUrls.length === 0) {
    throw new Error('No daemon is configured: set RMR_CLUSTER_FILE to a cluster file, or RMR_ADMIN_URLS to admin addresses.');
  }
  const nodes = options.adminUrls.map((admin) => ({ name: admin, role: 'unknown' as const, admin, pid: undefined }));
  return { nodes, nbdUri: null };
}

async function askNode(known: KnownNode, token: string | undefined): Promise<ObservedNode> {
  if (known.pid === null) return { ...known, status: null, error: 'stopped' };
  try {
    const answer: unknown = await createAdminClient({ url: known.admin, token, timeoutMs: STATUS_TIMEOUT_MS }).status.query();
    const parsed = nodeStatusSchema.safeParse(answer);
    if (!parsed.success) return { ...known, status: null, error: `its answer is not a status: ${z.prettifyError(parsed.error)}` };
    const status = parsed.data;
    return { ...known, name: status.node.name, role: status.role, status, error: null };
  } catch (error) {
    return { ...known, status: null, error: adminError(error, known.admin).message };
  }
}
