import { adminError, type ClientNodeStatus, createAdminClient, type NodeStatus, type StorageNodeStatus } from '@rmr/admin-api';
import { OperationError } from '@rmr/runtime';

/** A probe that hangs is as good as a no. */
const PROBE_TIMEOUT_MS = 2000;
/** A flush may have to wait for slow disks. */
const FLUSH_TIMEOUT_MS = 60_000;

/** Null when `url` answers 2xx, else why not. */
export async function probe(url: string): Promise<string | null> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    const body = (await response.text()).trim();
    return response.ok ? null : body || `HTTP ${response.status}`;
  } catch {
    return 'no answer';
  }
}

/** What a daemon says of itself. Throws UNAVAILABLE or TIMEOUT. */
export async function nodeStatus(admin: string): Promise<NodeStatus> {
  try {
    return await createAdminClient({ url: admin, timeoutMs: PROBE_TIMEOUT_MS }).status.query();
  } catch (error) {
    throw adminError(error, admin);
  }
}

/** The same of the client node. */
export async function clientStatus(admin: string): Promise<ClientNodeStatus> {
  const status = await nodeStatus(admin);
  if (status.role !== 'client-node')
    throw new OperationError('CONFLICT', `the daemon at ${admin} is no client node but ${status.node.name}`);
  return status;
}

/** The same of a storage node. */
export async function storageStatus(admin: string): Promise<StorageNodeStatus> {
  const status = await nodeStatus(admin);
  if (status.role !== 'storage-node')
    throw new OperationError('CONFLICT', `the daemon at ${admin} is no storage node but ${status.node.name}`);
  return status;
}

/** Makes everything durable that the pool has acknowledged. */
export async function flushPool(admin: string, poolUuid: string): Promise<void> {
  try {
    await createAdminClient({ url: admin, timeoutMs: FLUSH_TIMEOUT_MS }).flush.mutate({ pool: poolUuid });
  } catch (error) {
    throw adminError(error, admin);
  }
}
