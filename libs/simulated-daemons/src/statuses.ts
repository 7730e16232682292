/** The answers of simulated daemons, made from the state at the moment of the question. */
import {
  type ClientNodeStatus,
  type ClientPoolStatus,
  type DiskStatus,
  type Health,
  type NodeIdentity,
  type ResyncStatus,
  type ServerPoolStatus,
  type StorageNodeStatus,
  worstHealth,
} from '@rmr/admin-api';
import { HEALTHY, SINCE, type SimulatedMember, type SimulatedState, type SimulatedVolume, uuidOf } from './model.ts';

const NO_IO = { reads: 0, writes: 0, flushes: 0, trims: 0, writeZeroes: 0, readBytes: 0, writtenBytes: 0, errors: 0, inFlight: 0 };
const CHUNK_BYTES = 128 * 1024;

/** What a daemon says of itself. `number` makes its UUIDs. */
function identity(name: string, number: number, host: number): NodeIdentity {
  return {
    ...{ name, hostUuid: uuidOf(3, host), bootId: uuidOf(4, host), incarnation: uuidOf(5, number), version: '0.1.0' },
    ...{ pid: 100 + number, startedAt: SINCE, uptimeSeconds: 60 },
  };
}

/** The status of the client node with this name. */
export function clientNodeStatus({ volumes }: SimulatedState, name: string, number: number, host: number): ClientNodeStatus {
  const mapped = volumes.filter(({ client }) => client === name);
  const pools = mapped.map(clientPool);
  return {
    role: 'client-node',
    node: identity(name, number, host),
    health: worstHealth(
      pools.map(({ health }) => health),
      'every pool is served',
    ),
    sessions: [],
    nbdAddresses: [`tcp://${name}:10809`],
    pools,
    exports: mapped.map((volume) => ({
      ...{ name: volume.name, poolUuid: volume.uuid, sizeBytes: volume.sizeBytes, readOnly: false },
      connections: volume.peers.map((peer) => ({ peer, since: SINCE, inFlight: 0 })),
    })),
  };
}

/** The health of a volume as a client node would tell it. */
function healthOf({ name, state, reason, members, health }: SimulatedVolume): Health {
  if (health !== null) return health;
  if (state !== 'SERVING') return { level: 'down', sentence: `${name} is not served: ${reason}` };
  const out = members.filter(({ inSync }) => !inSync);
  if (out.length > 0) {
    const which = out.map(({ memberId, node }) => `member ${memberId} (${node})`).join(' and ');
    return {
      level: 'degraded',
      sentence: `${name} is served by ${members.length - out.length} of ${members.length} members; ${which} ${out.length === 1 ? 'is' : 'are'} out`,
    };
  }
  const behind = members.filter(({ dirtyBytes }) => dirtyBytes > 0);
  if (behind.length === 0) return { level: 'healthy', sentence: `${name} is served by all ${members.length} members` };
  return { level: 'degraded', sentence: `${name} is served; ${behind.length} of ${members.length} members pull what they missed` };
}

function clientPool(volume: SimulatedVolume): ClientPoolStatus {
  const serving = volume.state === 'SERVING';
  return {
    ...{ name: volume.name, uuid: volume.uuid, state: volume.state, reason: volume.reason, since: SINCE, born: true },
    ...{ differences: volume.differences, epoch: 1, version: versionOf(volume), sizeBytes: volume.sizeBytes, chunkSizeBytes: CHUNK_BYTES },
    ...{ queueDepth: 128, readPolicy: 'round-robin', quorum: volume.quorum, witness: null, versionChangePending: false },
    legs: volume.members.map((member) => ({
      ...{ memberId: member.memberId, name: member.node, addresses: [`tcp://${member.node}:7000`], storeUuid: member.storeUuid },
      ...{ state: member.state, reason: member.reason, since: member.since, connected: member.connected, inSync: member.inSync },
      ...{ maintenance: member.maintenance, rolledBack: member.rolledBack, diskTrouble: member.diskTrouble },
      ...{ dirtyBytes: member.dirtyBytes, inFlight: 0, heldUp: null, waitingFor: member.waitingFor },
    })),
    ...{ io: NO_IO, counters: { readRetries: 0, overlapHolds: 0, bounces: 0 }, waitingIo: 0, oldestIoSince: null, waits: volume.waits },
    ...{ lost: volume.lost, unreadable: volume.unreadable, withoutCleanCopy: volume.withoutCleanCopy, owedBytes: 0 },
    ...{ waitingFor: volume.waitingFor ?? (serving ? (volume.waits[0] ?? null) : null), health: healthOf(volume) },
  };
}

function versionOf({ members }: SimulatedVolume): ClientPoolStatus['version'] {
  return { lineageUuid: uuidOf(6, 1), epoch: 1, seq: 1, inSync: members.filter(({ inSync }) => inSync).map(({ memberId }) => memberId) };
}

/** The status of the storage node with this name. */
export function storageNodeStatus({ volumes }: SimulatedState, name: string, number: number, host: number): StorageNodeStatus {
  const here = volumes.flatMap((volume) => volume.members.filter(({ node }) => node === name).map((member) => ({ volume, member })));
  const open = here.filter(({ member }) => member.attached);
  return {
    role: 'storage-node',
    node: identity(name, number, host),
    health: here.length === open.length ? HEALTHY : { level: 'degraded', sentence: `${here.length - open.length} stores are not open` },
    ...{ sessions: [], rtrsAddresses: [`tcp://${name}:7000`] },
    pools: open.map(({ volume, member }) => serverPool(volume, member)),
    stores: here.map(({ volume, member }) => ({
      path: `/srv/${member.disk}/${member.storeUuid}`,
      uuid: member.storeUuid,
      pool: { name: volume.name, uuid: volume.uuid, memberId: member.memberId },
      ...{
        state: member.attached ? 'MAPPED' : 'DETACHED',
        reason: member.attached ? 'a client serves it' : member.reason,
        since: member.since,
      },
      ...{ waitingFor: null, space: null, health: member.attached ? HEALTHY : { level: 'down', sentence: member.reason } },
    })),
  };
}

function serverPool(volume: SimulatedVolume, member: SimulatedMember): ServerPoolStatus {
  return {
    ...{
      name: volume.name,
      uuid: volume.uuid,
      memberId: member.memberId,
      state: member.inSync ? 'NORMAL' : 'CREATED',
      reason: '',
      since: SINCE,
    },
    promised: { epoch: 1, clientName: volume.client ?? 'client-1', clientInstance: uuidOf(7, 1) },
    ...{ version: versionOf(volume), chunkSizeBytes: CHUNK_BYTES, queueDepth: 128 },
    store: {
      ...{ path: `/srv/${member.disk}/${member.storeUuid}`, uuid: member.storeUuid, state: 'MAPPED', sizeBytes: volume.sizeBytes },
      ...{ volatileLost: false, intentBytes: 0 },
    },
    onlyCopyBytes: member.onlyCopyBytes,
    dirty: volume.members.map(({ memberId, dirtyBytes }) => ({ memberId, dirtyBytes })),
    sync: resyncOf(volume, member),
    ...{ syncLegs: [], waits: [], io: NO_IO, waitingFor: null, health: HEALTHY },
    counters: { rejected: 0, chunkWaits: 0, bounces: 0, passedWrites: 0, syncReads: 0, syncReadBytes: 0 },
  };
}

function resyncOf({ members }: SimulatedVolume, member: SimulatedMember): ResyncStatus {
  const runs = member.inSync && member.dirtyBytes > 0;
  const sources = members.filter(({ memberId, inSync }) => runs && memberId !== member.memberId && inSync);
  return {
    ...{ state: runs ? 'RUNNING' : 'IDLE', since: SINCE, bytesLeft: member.dirtyBytes, bytesPerSecond: 0, etaSeconds: null },
    sources: sources.map(({ memberId, node }) => ({ memberId, name: node })),
    ...{ reason: '', pulledBytes: 0, refusedBytes: 0, refusedRanges: [], paused: false, limitBytesPerSecond: null, ...member.resync },
  };
}

/** The disks of the storage node with this name, with the stores of the members that name them. */
export function diskStatuses({ volumes, disks }: SimulatedState, node: string): DiskStatus[] {
  return (disks.get(node) ?? []).map((disk) => {
    const stores = volumes.flatMap(({ uuid, name, sizeBytes, members }) =>
      members
        .filter((member) => member.node === node && member.disk === disk.name)
        .map(({ storeUuid, memberId, attached }) => ({
          ...{ storeUuid, poolUuid: uuid, poolName: name, memberId, sizeBytes, allocatedBytes: Math.floor(sizeBytes / 2), attached },
        })),
    );
    return { ...disk, stores, promisedBytes: stores.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
  });
}
