import { adminError, type ClientNodeStatus, createAdminClient, type NodeStatus, type StorageNodeStatus } from '@rmr/admin-api';
import { OperationError } from '@rmr/runtime';

/** A probe that hangs is as good as a no. */
const PROBE_TIMEOUT_MS = 2000;
/** A flush may have to wait for slow disks. */
const FLUSH_TIMEOUT_MS = 60_000;

/** Why a probe failed that nobody answered. */
export const NO_ANSWER = 'no answer';

/** Null when `url` answers 2xx, else why not. */
export async function probe(url: string): Promise<string | null> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    const body = (await response.text()).trim();
    return response.ok ? null : body || `HTTP ${response.status}`;
  } catch {
    return NO_ANSWER;
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

/** Gives the order that brings a pool into being; returns when it is served. Throws CONFLICT when it exists already. */
export async function orderPool(admin: string, poolUuid: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
  try {
    await createAdminClient({ url: admin, timeoutMs }).pool.create.mutate({ pool: poolUuid }, { signal });
  } catch (error) {
    throw adminError(error, admin);
  }
}

/**
 * Whether a client node says that nobody has ever created a pool: then the remedy that it names, else null. A node that does not
 * answer says nothing of the kind.
 */
export async function unbornRemedy(admin: string, poolUuid: string): Promise<string | null> {
  try {
    return remedyOfUnborn(await clientStatus(admin), poolUuid);
  } catch (error) {
    if (error instanceof OperationError) return null;
    throw error;
  }
}

/** The same of a status that is there. */
export function remedyOfUnborn(status: ClientNodeStatus, poolUuid: string): string | null {
  const pool = status.pools.find((each) => each.uuid === poolUuid && each.born === false && each.state === 'WAITING');
  return pool === undefined ? null : (pool.waitingFor?.remedy ?? '');
}
