/**
 * Orders for volumes: first a plan, which says what would be done, on which node, and what speaks for and against it; then the order itself,
 * which becomes an operation. A plan changes nothing. The client node judges the order again: a plan spares a person the way to a refusal.
 */
import { randomUUID } from 'node:crypto';
import type { AdminClient, OperationView, VolumeCreateInput } from '@rmr/admin-api';
import { formatSize, OperationError } from '@rmr/runtime';
import { AdvisedError } from './advice.ts';
import type { ClusterNode } from './cluster-file.ts';
import { memberName } from './notes.ts';
import { ask, type Observation } from './observe.ts';
import { type ChosenPlace, choosePlaces, findDisk, findPlace } from './placing.ts';
import { compare, type MemberPicture, type VolumePicture, volumesOf } from './volumes.ts';

/** Something that was looked at before an order. `refused`: the order makes no sense, or is dangerous. */
export interface Check {
  readonly verdict: 'good' | 'beware';
  readonly sentence: string;
}

/** An order that can be given. */
export interface Plan {
  /** The client node that would carry it out. */
  readonly node: ClusterNode;
  readonly checks: readonly Check[];
  /** Gives the order. Calls that repeat it give the same operation. */
  readonly send: (admin: AdminClient) => Promise<OperationView>;
}

/** How long a node may take to accept an order, in milliseconds: it makes the order durable first. */
const ORDER_MS = 30_000;
/** How often an order is given again when no answer came, and after how long. */
const RETRIES = 3;
const RETRY_MS = 300;

/**
 * Gives the order of a plan. When no answer comes, the same order is given again: it carries an id, so that it is carried out once. Rejects
 * with what the node refuses with, or UNAVAILABLE, which says whether the order may have been taken.
 */
export async function start(plan: Pick<Plan, 'node' | 'send'>): Promise<OperationView> {
  for (let tries = 0; ; tries++) {
    try {
      return await ask(plan.node, plan.send, ORDER_MS);
    } catch (error) {
      const failure = error as OperationError;
      if (failure.code !== 'UNAVAILABLE' || isAnswer(failure)) throw failure;
      if (tries < RETRIES) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      else if (/ECONNREFUSED/.test(failure.message))
        throw new AdvisedError('UNAVAILABLE', failure.message, [], 'nothing', { cause: failure });
      else {
        const look = [{ sentence: 'Look whether it has begun:', action: { do: 'operation-list' } }] as const;
        throw new AdvisedError('UNAVAILABLE', failure.message, look, 'unknown', { cause: failure });
      }
    }
  }
}

/** Whether a daemon has answered with this failure. Else it was not reached. */
function isAnswer({ message }: OperationError): boolean {
  return !message.startsWith('cannot reach the daemon at ');
}

/** The volume of this name or UUID. Null: none that is known. Throws INVALID_ARGUMENT for a name that two volumes have. */
export function findVolume(observation: Observation, wanted: string): VolumePicture | null {
  const volumes = volumesOf(observation);
  const named = volumes.filter(({ name }) => name === wanted);
  if (named.length > 1)
    throw new OperationError(
      'INVALID_ARGUMENT',
      `${named.length} volumes are called ${wanted}: give the UUID of one: ${named.map(({ uuid }) => uuid).join(', ')}`,
    );
  return named[0] ?? volumes.find(({ uuid }) => uuid === wanted.toLowerCase()) ?? null;
}

/** The volume of this name or UUID. Throws NOT_FOUND, or UNAVAILABLE when nodes that may know it do not answer. */
export function needVolume(observation: Observation, wanted: string): VolumePicture {
  const volume = findVolume(observation, wanted);
  if (volume !== null) return volume;
  const silent = [...observation.storage, ...observation.clients].filter(({ problem }) => problem !== null).map(({ node }) => node.name);
  const unheard = silent.length === 0 ? '' : `; ${silent.join(', ')} did not answer`;
  const code = silent.length === 0 ? 'NOT_FOUND' : 'UNAVAILABLE';
  throw new AdvisedError(
    code,
    `there is no volume ${wanted}${unheard}`,
    [{ sentence: 'Those that there are:', action: { do: 'volume-list' } }],
    'nothing',
  );
}

/** The client node that maps a volume. Throws UNAVAILABLE if none does. */
export function serverOf(observation: Observation, volume: VolumePicture): ClusterNode {
  const found = observation.clients.find(({ node }) => node.name === volume.servedBy);
  if (found !== undefined) return found.node;
  if (volume.state === 'unknown') throw new AdvisedError('UNAVAILABLE', volume.health.sentence, [], 'nothing');
  const sentence = `no client node maps ${volume.name}, and only the one that serves a volume can change it`;
  throw new AdvisedError(
    'UNAVAILABLE',
    sentence,
    [{ sentence: 'Map it first:', action: { do: 'volume-map', volume: volume.name } }],
    'nothing',
  );
}

/** The client node with this name, or the one that answers and maps the fewest volumes. Throws NOT_FOUND or UNAVAILABLE. */
export function chooseClient({ clients }: Observation, wanted: string | undefined): ClusterNode {
  if (wanted !== undefined) {
    const named = clients.find(({ node }) => node.name === wanted);
    if (named === undefined) {
      const names = clients.map(({ node }) => node.name).join(', ') || 'none';
      throw new OperationError('NOT_FOUND', `there is no client node ${wanted}; there are: ${names}`);
    }
    if (named.problem === null) return named.node;
    throw new AdvisedError('UNAVAILABLE', `${wanted} does not answer: ${named.problem.message}`, [], 'nothing');
  }
  const [best] = clients
    .filter(({ status }) => status !== null)
    .sort((a, b) => (a.status?.pools.length ?? 0) - (b.status?.pools.length ?? 0) || compare(a.node.name, b.node.name));
  if (best !== undefined) return best.node;
  throw new AdvisedError('UNAVAILABLE', 'no client node answers, and volumes are made and served by client nodes', [], 'nothing');
}

/** The member of a volume. Throws NOT_FOUND with those that there are. */
export function needMember({ name, members }: VolumePicture, memberId: number): MemberPicture {
  const member = members.find((each) => each.memberId === memberId);
  if (member !== undefined) return member;
  const all = members.map(({ memberId: id }) => id).join(', ');
  throw new AdvisedError(
    'NOT_FOUND',
    `${name} has no member ${memberId}; it has: ${all}`,
    [{ sentence: 'Its members:', action: { do: 'volume-show', volume: name } }],
    'nothing',
  );
}

const storePlace = ({ node, addresses, disk }: ChosenPlace) => ({ node, addresses: [...addresses], disk });

export interface CreateOrder {
  readonly name: string;
  readonly sizeBytes: number;
  readonly replicas: number;
  /** `NODE/DISK` of each member, in order. Absent: they are chosen. */
  readonly disks?: readonly string[] | undefined;
  readonly quorum?: VolumeCreateInput['quorum'] | undefined;
  readonly witness?: string | undefined;
  /** The client node that serves it. Absent: the one with the fewest volumes. */
  readonly client?: string | undefined;
}

export interface CreatePlan extends Plan {
  readonly members: readonly ChosenPlace[];
  readonly witness: ChosenPlace | null;
}

/** The disks have to be part of the observation. Throws ALREADY_EXISTS, INVALID_ARGUMENT, NO_SPACE and what finding disks and nodes throws. */
export function planCreate(observation: Observation, order: CreateOrder): CreatePlan {
  const { name, sizeBytes, replicas, disks, quorum = 'none' } = order;
  if (findVolume(observation, name) !== null) {
    const show = [{ sentence: 'Choose another name. That volume:', action: { do: 'volume-show', volume: name } }] as const;
    throw new AdvisedError('ALREADY_EXISTS', `there is a volume ${name} already`, show, 'nothing');
  }
  if (disks !== undefined && disks.length !== replicas)
    throw new AdvisedError(
      'INVALID_ARGUMENT',
      `${disks.length} disks are named for ${replicas} copies: name ${replicas}, or none`,
      [],
      'nothing',
    );
  const members = disks?.map((text) => findPlace(observation, text)) ?? choosePlaces(observation, replicas, sizeBytes);
  const witness = order.witness === undefined ? null : findPlace(observation, order.witness);
  const node = chooseClient(observation, order.client);
  const input = {
    ...{ name, sizeBytes, quorum, members: members.map(storePlace), witness: witness === null ? null : storePlace(witness) },
    requestId: randomUUID(),
  };
  return { node, checks: [], members, witness, send: (admin) => admin.volume.create.mutate(input) };
}

/** Throws UNAVAILABLE for a volume that nobody maps, and CONFLICT while NBD clients use it, unless `evenIfConnected`. */
export function planDelete(observation: Observation, volume: VolumePicture, evenIfConnected: boolean): Plan {
  const node = serverOf(observation, volume);
  const [standby] = volume.standby;
  if (standby !== undefined) {
    const unmap = {
      sentence: 'Unmap it there first:',
      action: { do: 'volume-unmap', volume: volume.name, evenIfConnected: false, client: standby },
    } as const;
    throw new AdvisedError('CONFLICT', `${standby} maps ${volume.name}, too, and would wait for it for ever`, [unmap], 'nothing');
  }
  refuseUsed(volume, evenIfConnected, 'volume-delete');
  const input = { pool: volume.uuid, confirm: volume.name, evenIfConnected, requestId: randomUUID() };
  const copies = `${volume.members.length} ${volume.members.length === 1 ? 'copy' : 'copies'}`;
  const checks: Check[] = [{ verdict: 'beware', sentence: `all data of ${volume.name}, ${copies}, is destroyed` }];
  if (volume.peers.length > 0) checks.push({ verdict: 'beware', sentence: `its NBD clients are cut off: ${volume.peers.join(', ')}` });
  return { node, checks, send: (admin) => admin.volume.delete.mutate(input) };
}

/** `client`: the client node that is to map it no more; absent: the one that serves it. */
export function planUnmap(observation: Observation, volume: VolumePicture, evenIfConnected: boolean, client?: string): Plan {
  const { name, servedBy, standby } = volume;
  if (client !== undefined && client !== servedBy && !standby.includes(client)) {
    const maps = [...(servedBy === null ? [] : [servedBy]), ...standby].join(', ') || 'no client node that answers';
    throw new OperationError('NOT_FOUND', `${client} does not map ${name}; it is mapped by: ${maps}`);
  }
  const isServer = client === undefined || client === servedBy;
  const node = isServer ? serverOf(observation, volume) : chooseClient(observation, client);
  if (isServer) refuseUsed(volume, evenIfConnected, 'volume-unmap');
  const input = { pool: volume.uuid, evenIfConnected, requestId: randomUUID() };
  return { node, checks: [], send: (admin) => admin.volume.unmap.mutate(input) };
}

function refuseUsed(
  { name, peers }: VolumePicture,
  evenIfConnected: boolean,
  action: 'volume-delete' | 'volume-unmap' | 'volume-takeover',
): void {
  if (peers.length === 0 || evenIfConnected) return;
  const used = peers.length === 1 ? '1 NBD client uses' : `${peers.length} NBD clients use`;
  const cut = { sentence: 'Disconnect them first; or cut them off:', action: { do: action, volume: name, evenIfConnected: true } } as const;
  throw new AdvisedError('CONFLICT', `${used} ${name}: ${peers.join(', ')}`, [cut], 'nothing');
}

/** Throws CONFLICT for a volume that a client node maps, and UNAVAILABLE when one does not answer that may. */
export function planMap(
  observation: Observation,
  volume: VolumePicture,
  { client, readOnly = false }: { readonly client?: string | undefined; readonly readOnly?: boolean },
): Plan {
  if (volume.servedBy !== null) {
    const takeOver = {
      sentence: 'To serve it elsewhere:',
      action: { do: 'volume-takeover', volume: volume.name, evenIfConnected: false },
    } as const;
    throw new AdvisedError('CONFLICT', `${volume.servedBy} maps ${volume.name} already`, [takeOver], 'nothing');
  }
  const node = chooseClient(observation, client);
  const input = { uuid: volume.uuid, name: volume.name, members: knownPlaces(observation, volume), readOnly, requestId: randomUUID() };
  const checks: Check[] = [];
  if (volume.state === 'unknown')
    checks.push({
      verdict: 'beware',
      sentence: `${volume.health.sentence}; if it is served, the new client node is refused or takes over`,
    });
  return { node, checks, send: (admin) => admin.volume.map.mutate(input) };
}

/** Where the members of a volume are whose storage nodes answer. Throws UNAVAILABLE if there is none: nobody could be asked for it. */
function knownPlaces(observation: Observation, { name, members }: VolumePicture) {
  const addresses = new Map(observation.storage.map((seen) => [seen.node.name, seen.status?.rtrsAddresses ?? []]));
  const known = members
    .map(({ memberId, node }) => ({ memberId, node, addresses: [...(addresses.get(node) ?? [])] }))
    .filter((member) => member.addresses.length > 0);
  if (known.length > 0) return known;
  const nodes = members.map(({ node }) => node).join(', ');
  throw new AdvisedError('UNAVAILABLE', `no storage node with a member of ${name} answers (${nodes})`, [], 'nothing');
}

/**
 * Another client node is to serve the volume. Throws CONFLICT if it does already, if nobody maps the volume, and while NBD clients use it,
 * unless `evenIfConnected`. With `force` the client node that serves it is not asked.
 */
export function planTakeover(
  observation: Observation,
  volume: VolumePicture,
  order: { readonly client?: string | undefined; readonly evenIfConnected: boolean; readonly force: boolean },
): Plan & { readonly from: string } {
  const { name, uuid } = volume;
  const { client, evenIfConnected, force } = order;
  const from = volume.servedBy ?? volume.promisedTo;
  if (volume.state === 'unmapped' || from === null) {
    const map = [{ sentence: 'Map it:', action: { do: 'volume-map', volume: name } }] as const;
    throw new AdvisedError('CONFLICT', `no client node maps ${name}, so there is nobody to take it over from`, map, 'nothing');
  }
  const others = { ...observation, clients: observation.clients.filter(({ node }) => node.name !== from) };
  if (client === undefined && others.clients.length === 0)
    throw new AdvisedError('NOT_FOUND', `the cluster has no client node besides ${from}`, [], 'nothing');
  const node = chooseClient(client === undefined ? others : observation, client);
  if (node.name === volume.servedBy) {
    const show = [{ sentence: 'Look at it:', action: { do: 'volume-show', volume: name } }] as const;
    throw new AdvisedError('CONFLICT', `${from} serves ${name} already`, show, 'nothing');
  }
  refuseUsed(volume, evenIfConnected, 'volume-takeover');
  const silent = observation.clients.some((seen) => seen.node.name === from && seen.problem !== null);
  const checks: Check[] = [];
  if (volume.peers.length > 0)
    checks.push({
      verdict: 'beware',
      sentence: `its NBD clients are cut off, and have to connect to ${node.name}: ${volume.peers.join(', ')}`,
    });
  if (force) checks.push({ verdict: 'beware', sentence: `what is in flight at ${from} fails there; what was acknowledged stays` });
  else if (silent)
    checks.push({ verdict: 'beware', sentence: `${from} does not answer here; it hands ${name} over if the storage nodes reach it` });
  else checks.push({ verdict: 'good', sentence: `${from} ends its IO, flushes it, and hands ${name} over` });
  const input = { uuid, name, members: knownPlaces(observation, volume), evenIfConnected, requestId: randomUUID() };
  return {
    ...{ node, from, checks },
    send: (admin) => (force ? admin.volume.seize.mutate({ ...input, confirm: name }) : admin.volume.takeOver.mutate(input)),
  };
}

/** Changes with how many members a volume is served. Throws CONFLICT if it is so already. */
export function planQuorum(observation: Observation, volume: VolumePicture, quorum: 'none' | 'majority'): Plan {
  const node = serverOf(observation, volume);
  const { name, members, witness } = volume;
  if (volume.quorum === quorum) {
    const show = [{ sentence: 'Look at it:', action: { do: 'volume-show', volume: name } }] as const;
    throw new AdvisedError('CONFLICT', `the quorum of ${name} is ${quorum} already`, show, 'nothing');
  }
  const voters = members.length + (witness === null ? 0 : 1);
  const needed = Math.floor(voters / 2) + 1;
  const spare = voters - needed;
  const those = witness === null ? `${voters} members` : `${members.length} members and the witness`;
  const check: Check =
    quorum === 'none'
      ? { verdict: 'beware', sentence: `one member that is left serves ${name}; a client that is cut off may serve it, too` }
      : {
          verdict: spare > 0 ? 'good' : 'beware',
          sentence: `${name} is served while ${needed} of its ${those} are there${spare > 0 ? '' : ', so it stands still when one of them is lost'}`,
        };
  const input = { pool: volume.uuid, quorum, requestId: randomUUID() };
  return { node, checks: [check], send: (admin) => admin.volume.quorum.mutate(input) };
}

/** The disks have to be part of the observation. Throws CONFLICT for a node that has a member of the volume. */
export function planMemberAdd(observation: Observation, volume: VolumePicture, disk: string): Plan & { readonly place: ChosenPlace } {
  const place = findPlace(observation, disk);
  const node = serverOf(observation, volume);
  refuseSameNode(volume, place.node, null);
  const checks = diskChecks(observation, volume, disk);
  const input = { pool: volume.uuid, place: storePlace(place), requestId: randomUUID() };
  return { node, place, checks, send: (admin) => admin.member.add.mutate(input) };
}

/** Throws CONFLICT for the last member, or one that alone has some data, unless `giveUp`. */
export function planMemberRemove(observation: Observation, volume: VolumePicture, memberId: number, giveUp: boolean): Plan {
  const node = serverOf(observation, volume);
  const member = needMember(volume, memberId);
  if (volume.members.length === 1) {
    const remove = {
      sentence: 'To destroy the volume:',
      action: { do: 'volume-delete', volume: volume.name, evenIfConnected: false },
    } as const;
    throw new AdvisedError('CONFLICT', `${memberName(member)} is the only member of ${volume.name}`, [remove], 'nothing');
  }
  const checks = [lastCopyCheck(volume, member, giveUp, 'removing it'), ...restChecks(volume, member)];
  const input = { pool: volume.uuid, memberId, giveUp, requestId: randomUUID() };
  return { node, checks, send: (admin) => admin.member.remove.mutate(input) };
}

/** The disks have to be part of the observation. Throws CONFLICT for last copies unless `giveUp`, and for a disk that can't be used. */
export function planMemberReplace(
  observation: Observation,
  volume: VolumePicture,
  { memberId, disk, giveUp }: { readonly memberId: number; readonly disk: string; readonly giveUp: boolean },
): Plan & { readonly place: ChosenPlace; readonly member: MemberPicture } {
  const node = serverOf(observation, volume);
  const member = needMember(volume, memberId);
  const place = findPlace(observation, disk);
  refuseSameNode(volume, place.node, memberId);
  const checks = [
    lastCopyCheck(volume, member, giveUp, 'replacing its store'),
    ...restChecks(volume, member),
    ...diskChecks(observation, volume, disk),
  ];
  const input = { pool: volume.uuid, memberId, place: storePlace(place), giveUp, requestId: randomUUID() };
  return { node, place, member, checks, send: (admin) => admin.member.replace.mutate(input) };
}

/** Going into maintenance throws CONFLICT for a member that alone has some data, and for the last one in sync. */
export function planMaintenance(observation: Observation, volume: VolumePicture, memberId: number, on: boolean): Plan {
  const node = serverOf(observation, volume);
  const member = needMember(volume, memberId);
  const checks = on ? [lastCopyCheck(volume, member, false, 'taking it out'), ...restChecks(volume, member)] : [];
  if (on && member.inSync && !volume.members.some((each) => each !== member && each.inSync)) {
    const show = [{ sentence: 'Its members:', action: { do: 'volume-show', volume: volume.name } }] as const;
    throw new AdvisedError(
      'CONFLICT',
      `${memberName(member)} is the last member of ${volume.name} in sync: without it nothing serves IO`,
      show,
      'nothing',
    );
  }
  const input = { pool: volume.uuid, memberId, on, requestId: randomUUID() };
  return { node, checks, send: (admin) => admin.member.maintenance.mutate(input) };
}

/** Two members on one node would both be gone with it. */
function refuseSameNode(volume: VolumePicture, node: string, except: number | null): void {
  const there = volume.members.find((member) => member.node === node && member.memberId !== except);
  if (there === undefined) return;
  const choose = [{ sentence: 'Choose a disk of another node:', action: { do: 'disk-list' } }] as const;
  throw new AdvisedError(
    'CONFLICT',
    `${node} has member ${there.memberId} of the volume already: both would be lost with one host`,
    choose,
    'nothing',
  );
}

/** Throws CONFLICT when the member alone has some data, unless it is given up. `doing`: what would lose it. */
function lastCopyCheck(volume: VolumePicture, member: MemberPicture, giveUp: boolean, doing: string): Check {
  const { name } = volume;
  const others = volume.members.filter((each) => each !== member);
  // The member's own store knows. If its node is silent, the others know what they have missed: nothing, if one of them is in sync and clean.
  const clean = others.some(({ inSync, dirtyBytes }) => inSync && dirtyBytes === 0);
  const bytes = clean ? 0 : member.onlyCopyBytes;
  if (bytes === 0) return { verdict: 'good', sentence: 'no data has its last clean copy on the old disk' };
  if (bytes === null && volume.withoutCleanCopy === null)
    return { verdict: 'beware', sentence: `whether ${memberName(member)} alone has some data is judged by the client node` };
  const data = bytes === null ? 'some data' : formatSize(bytes);
  if (giveUp) return { verdict: 'beware', sentence: `${data} of ${name} that only ${memberName(member)} has are LOST` };
  const back =
    member.connected && member.inSync
      ? { sentence: 'Wait until another member has it all:', action: { do: 'resync-show', volume: name } as const }
      : `Bring ${member.node}${member.disk === null ? '' : ` with its disk ${member.disk}`} back: the volume needs it until another member has pulled that data.`;
  const gone = {
    sentence: 'If that disk is gone for good, this shows what would be lost:',
    action: { do: 'volume-force', volume: name },
  } as const;
  const sentence = `member ${member.memberId} alone has ${data} of ${name} clean; ${doing} would lose ${bytes === null ? 'it' : 'them'}`;
  throw new AdvisedError('CONFLICT', sentence, member.connected && member.inSync ? [back] : [back, gone], 'nothing');
}

function restChecks(volume: VolumePicture, member: MemberPicture): Check[] {
  const others = volume.members.filter((each) => each !== member);
  const behind = others.filter(({ inSync, dirtyBytes }) => !inSync || dirtyBytes !== 0);
  const served = volume.state === 'down' ? 'the volume is not served' : 'the volume is served';
  if (others.length === 0) return [{ verdict: 'beware', sentence: `${served}; it has no other member` }];
  if (behind.length === 0)
    return [{ verdict: volume.state === 'down' ? 'beware' : 'good', sentence: `${served}; its other members are in sync` }];
  return [
    { verdict: 'beware', sentence: `${served}; ${behind.map(memberName).join(' and ')} ${behind.length === 1 ? 'is' : 'are'} behind` },
  ];
}

/** What speaks for and against a new store on a disk. Throws CONFLICT or NO_SPACE for a disk that can't be used. */
function diskChecks(observation: Observation, volume: VolumePicture, text: string): Check[] {
  const { node, disk } = findDisk(observation, text);
  const choose = [{ sentence: 'Choose another disk:', action: { do: 'disk-list' } }] as const;
  const refuse = (code: 'CONFLICT' | 'NO_SPACE', sentence: string): never => {
    throw new AdvisedError(code, `${text}: ${sentence}`, choose, 'nothing');
  };
  if (disk.health.level === 'down') refuse('CONFLICT', `the disk can't be used: ${disk.health.sentence}`);
  if (disk.foreign !== null) refuse('CONFLICT', `the disk holds ${disk.foreign}, which would be destroyed`);
  const [store] = disk.stores;
  if (disk.kind !== 'directory' && store !== undefined) refuse('CONFLICT', `the disk has the store of ${store.poolName} already`);
  const { sizeBytes } = volume;
  if (disk.freeBytes !== null && sizeBytes !== null && disk.freeBytes < sizeBytes)
    refuse('NO_SPACE', `the disk has ${formatSize(disk.freeBytes)} free, and ${volume.name} is ${formatSize(sizeBytes)}`);
  const checks: Check[] = [
    disk.kind === 'directory'
      ? { verdict: 'good', sentence: 'the disk is a directory, and other stores in it stay as they are' }
      : { verdict: 'good', sentence: 'the disk is empty: no store, file system or partition table is known to be on it' },
  ];
  if (disk.freeBytes !== null && sizeBytes !== null)
    checks.push({ verdict: 'good', sentence: `it is large enough (${formatSize(disk.freeBytes)} free for ${formatSize(sizeBytes)})` });
  if (disk.health.level === 'degraded') checks.push({ verdict: 'beware', sentence: disk.health.sentence });
  if (disk.spare) checks.push({ verdict: 'good', sentence: 'it is a spare' });
  const busy = node.status?.pools.find(({ sync }) => sync.state === 'RUNNING');
  if (busy !== undefined)
    checks.push({
      verdict: 'beware',
      sentence: `another resync runs on ${node.node.name} (${busy.name}): both share its disks and network`,
    });
  return checks;
}
