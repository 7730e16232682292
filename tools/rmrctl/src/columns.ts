/** The columns of every list. */
import {
  type DiskPicture,
  describePull,
  type EventPicture,
  type MemberPicture,
  type NodePicture,
  type OperationPicture,
  type StorePicture,
  spanText,
  type VolumePicture,
} from '@rmr/cluster-view';
import type { Column } from './lists.ts';
import { LEVEL_MARKS, memberState, OPERATION_MARKS, VOLUME_MARKS } from './marks.ts';
import { clockText, sinceText, sizeText } from './words.ts';

/** Null: no client node that answers maps the volume, and only that one knows. */
const inSyncOf = ({ members, state }: VolumePicture): number | null =>
  state === 'unknown' || state === 'unmapped' ? null : members.filter(({ inSync, dirtyBytes }) => inSync && dirtyBytes === 0).length;

/** Volumes, looked at `nowMs`. */
export function volumeColumns(nowMs: number): readonly Column<VolumePicture>[] {
  return [
    { key: 'name', title: 'NAME', value: ({ name }) => name, text: ({ name }, painter) => painter.name(name) },
    { key: 'size', title: 'SIZE', value: ({ sizeBytes }) => sizeBytes, text: ({ sizeBytes }) => sizeText(sizeBytes), goes: 4 },
    { key: 'copies', title: 'COPIES', value: inSyncOf, text: (volume) => `${inSyncOf(volume) ?? '?'} of ${volume.members.length}` },
    {
      key: 'state',
      title: 'STATE',
      value: ({ state }) => state,
      text: ({ state }, painter) => `${painter.mark(VOLUME_MARKS[state])} ${state}`,
    },
    {
      key: 'activity',
      title: 'ACTIVITY',
      value: (volume) => activityOf(volume, nowMs),
      text: (volume) => activityOf(volume, nowMs),
      goes: 6,
    },
    { key: 'client', title: 'SERVED BY', value: ({ servedBy }) => servedBy, text: ({ servedBy }) => servedBy ?? '-', goes: 3 },
    { key: 'clients', title: 'CLIENTS', value: ({ connections }) => connections, text: ({ connections }) => String(connections), goes: 2 },
    { key: 'uuid', title: 'UUID', value: ({ uuid }) => uuid, text: ({ uuid }) => uuid, uuid: true, goes: 1 },
  ];
}

/** What goes on with a volume, in a few words. */
function activityOf({ operations, members, waitingFor, state, lost, promisedTo }: VolumePicture, nowMs: number): string {
  if (lost !== null) return `${sizeText(lost.bytes)} LOST`;
  const [operation] = operations;
  if (operation !== undefined) return `${operation.kind}${shareText(operation.progress)}`;
  if (state === 'unknown') return promisedTo === null ? '' : `${promisedTo} served it last`;
  if (waitingFor !== null) return `waits, ${sinceText(waitingFor.since, nowMs)}`;
  const out = members.find(({ inSync, maintenance }) => !inSync && !maintenance);
  if (out !== undefined && state !== 'unmapped') return `member ${out.memberId} is out, ${sinceText(out.since, nowMs)}`;
  const pulling = members.find(({ resync }) => resync !== null);
  if (pulling?.resync !== null && pulling !== undefined) {
    const { paused, etaSeconds, bytesLeft } = pulling.resync;
    if (paused) return 'resync is paused';
    return `resync, ${sizeText(bytesLeft)} left${etaSeconds === null ? '' : `, about ${spanText(etaSeconds)}`}`;
  }
  const resting = members.find(({ maintenance }) => maintenance);
  return resting === undefined ? '' : `member ${resting.memberId} in maintenance`;
}

function shareText(progress: { readonly done: number; readonly total: number } | null): string {
  return progress === null || progress.total === 0 ? '' : ` ${Math.floor((100 * progress.done) / progress.total)} %`;
}

/** A member, with the volume that it belongs to. */
export interface MemberRow extends MemberPicture {
  readonly volume: string;
}

const MEMBER: Column<MemberRow> = {
  key: 'member',
  title: 'MEMBER',
  value: ({ memberId }) => memberId,
  text: ({ memberId }) => String(memberId),
};
const MEMBER_STATE: Column<MemberRow> = {
  key: 'state',
  title: 'STATE',
  value: (member) => memberState(member)[1],
  text: (member, painter) => {
    const [mark, word] = memberState(member);
    return `${painter.mark(mark)} ${word}`;
  },
};

/** The members of one volume. */
export const MEMBER_COLUMNS: readonly Column<MemberRow>[] = [
  MEMBER,
  { key: 'node', title: 'NODE', value: ({ node }) => node, text: ({ node }) => node },
  { key: 'disk', title: 'DISK', value: ({ disk }) => disk, text: ({ disk }) => disk ?? '-', goes: 2 },
  MEMBER_STATE,
  { key: 'misses', title: 'MISSES', value: ({ dirtyBytes }) => dirtyBytes, text: ({ dirtyBytes }) => sizeText(dirtyBytes) },
  { key: 'activity', title: 'ACTIVITY', value: memberActivity, text: memberActivity },
  { key: 'store', title: 'STORE', value: ({ store }) => store, text: ({ store }) => store ?? '?', uuid: true, goes: 1 },
];

/** Members that have something to pull. */
export const RESYNC_COLUMNS: readonly Column<MemberRow>[] = [
  { key: 'volume', title: 'VOLUME', value: ({ volume }) => volume, text: ({ volume }, painter) => painter.name(volume) },
  { ...MEMBER, text: ({ memberId, node }) => `${memberId} (${node})` },
  { key: 'left', title: 'LEFT', value: ({ dirtyBytes }) => dirtyBytes, text: ({ dirtyBytes }) => sizeText(dirtyBytes) },
  MEMBER_STATE,
  { key: 'activity', title: 'ACTIVITY', value: memberActivity, text: memberActivity },
];

function memberActivity({ resync, waitingFor, inSync, storeProblem, reason, rolledBack, diskTrouble }: MemberRow): string {
  if (diskTrouble !== null) return diskTrouble;
  if (inSync && resync === null) return '';
  if (resync !== null && inSync) {
    if (resync.paused) return 'paused';
    return resync.reason === '' ? `pulls${describePull(resync)}` : `stands still: ${resync.reason}`;
  }
  return storeProblem ?? rolledBack ?? (waitingFor === null ? reason : `waits for ${waitingFor}`);
}

export const NODE_COLUMNS: readonly Column<NodePicture>[] = [
  { key: 'name', title: 'NAME', value: ({ name }) => name, text: ({ name }, painter) => painter.name(name) },
  { key: 'role', title: 'ROLE', value: ({ role }) => role, text: ({ role }) => role, goes: 4 },
  {
    ...{ key: 'state', title: 'STATE', value: ({ health }) => health?.level ?? 'silent' },
    text: ({ health }, painter) =>
      health === null ? `${painter.mark('unknown')} no answer` : `${painter.mark(LEVEL_MARKS[health.level])} ${health.level}`,
  },
  { key: 'volumes', title: 'VOLUMES', value: ({ volumes }) => volumes, text: ({ volumes }) => String(volumes ?? '-'), goes: 5 },
  { key: 'stores', title: 'STORES', value: ({ stores }) => stores, text: ({ stores }) => String(stores ?? '-'), goes: 6 },
  { key: 'version', title: 'VERSION', value: ({ version }) => version, text: ({ version }) => version ?? '?', goes: 2 },
  { key: 'admin', title: 'ADMIN', value: ({ admin }) => admin, text: ({ admin }) => admin, goes: 3 },
  { key: 'uuid', title: 'HOST', value: ({ hostUuid }) => hostUuid, text: ({ hostUuid }) => hostUuid ?? '?', uuid: true, goes: 1 },
];

export const DISK_COLUMNS: readonly Column<DiskPicture>[] = [
  {
    key: 'disk',
    title: 'DISK',
    value: ({ node, name }) => `${node}/${name}`,
    text: ({ node, name }, painter) => painter.name(`${node}/${name}`),
  },
  {
    ...{ key: 'state', title: 'STATE', value: ({ health }) => health.level },
    text: ({ health }, painter) => `${painter.mark(LEVEL_MARKS[health.level])} ${health.level}`,
  },
  { key: 'free', title: 'FREE', value: ({ freeBytes }) => freeBytes, text: ({ freeBytes }) => sizeText(freeBytes) },
  {
    key: 'size',
    title: 'SIZE',
    value: ({ capacityBytes }) => capacityBytes,
    text: ({ capacityBytes }) => sizeText(capacityBytes),
    goes: 5,
  },
  {
    key: 'promised',
    title: 'PROMISED',
    value: ({ promisedBytes }) => promisedBytes,
    text: ({ promisedBytes }) => sizeText(promisedBytes),
    goes: 3,
  },
  { key: 'stores', title: 'STORES', value: ({ stores }) => stores.length, text: ({ stores }) => String(stores.length), goes: 4 },
  { key: 'use', title: 'USE', value: useOf, text: useOf },
  { key: 'kind', title: 'KIND', value: ({ kind }) => kind, text: ({ kind }) => kind, goes: 2 },
  { key: 'model', title: 'MODEL', value: ({ model }) => model, text: ({ model }) => model ?? '-', goes: 1 },
];

/** What a disk is for, and what speaks against using it. */
function useOf({ spare, foreign, kind, stores }: DiskPicture): string {
  if (foreign !== null) return `holds ${foreign}`;
  if (kind !== 'directory' && stores.length > 0) return 'in use';
  return spare ? 'spare' : 'for stores';
}

export const STORE_COLUMNS: readonly Column<StorePicture>[] = [
  { key: 'volume', title: 'VOLUME', value: ({ poolName }) => poolName, text: ({ poolName }, painter) => painter.name(poolName ?? '?') },
  { key: 'member', title: 'MEMBER', value: ({ memberId }) => memberId, text: ({ memberId }) => String(memberId ?? '?') },
  { key: 'place', title: 'PLACE', value: storePlace, text: storePlace },
  { key: 'size', title: 'SIZE', value: ({ sizeBytes }) => sizeBytes, text: ({ sizeBytes }) => sizeText(sizeBytes), goes: 3 },
  {
    key: 'allocated',
    title: 'ALLOCATED',
    value: ({ allocatedBytes }) => allocatedBytes,
    text: ({ allocatedBytes }) => sizeText(allocatedBytes),
    goes: 2,
  },
  {
    ...{ key: 'state', title: 'STATE', value: ({ attached }) => (attached ? 'open' : 'closed') },
    text: ({ attached, reason }, painter) =>
      attached ? `${painter.mark('good')} open` : `${painter.mark('down')} closed${reason === '' ? '' : `: ${reason}`}`,
  },
  { key: 'uuid', title: 'UUID', value: ({ storeUuid }) => storeUuid, text: ({ storeUuid }) => storeUuid ?? '?', uuid: true, goes: 1 },
];

function storePlace({ node, disk, path }: StorePicture): string {
  return disk === null ? `${node}:${path ?? '?'}` : `${node}/${disk}`;
}

export const OPERATION_COLUMNS: readonly Column<OperationPicture>[] = [
  { key: 'id', title: 'ID', value: ({ id }) => id, text: ({ id }) => id, goes: 6 },
  { key: 'kind', title: 'OPERATION', value: ({ kind }) => kind, text: ({ kind }) => kind },
  { key: 'volume', title: 'VOLUME', value: ({ targetName }) => targetName, text: ({ targetName }, painter) => painter.name(targetName) },
  {
    ...{ key: 'state', title: 'STATE', value: ({ state }) => state.toLowerCase() },
    text: ({ state }, painter) => `${painter.mark(OPERATION_MARKS[state])} ${state.toLowerCase()}`,
  },
  { key: 'step', title: 'STEP', value: stepOf, text: stepOf, goes: 4 },
  { key: 'node', title: 'NODE', value: ({ node }) => node, text: ({ node }) => node, goes: 2 },
  { key: 'by', title: 'BY', value: ({ requestedBy }) => requestedBy, text: ({ requestedBy }) => requestedBy, goes: 1 },
  { key: 'created', title: 'CREATED', value: ({ createdAt }) => createdAt, text: ({ createdAt }) => clockText(createdAt, true), goes: 3 },
];

/** How far an operation is, or why it ended badly. */
export function stepOf({ state, stepNumber, steps, step, waitingFor, error, progress }: Omit<OperationPicture, 'node'>): string {
  if (error !== null) return error.sentence;
  if (state === 'SUCCEEDED') return '';
  const share = shareText(progress);
  return waitingFor === null ? `${stepNumber}/${steps} ${step}${share}` : `${stepNumber}/${steps} waits for ${waitingFor.what}${share}`;
}

const SEVERITY_MARKS = { info: 'idle', notice: 'good', warning: 'degraded', critical: 'down' } as const;

export const EVENT_COLUMNS: readonly Column<EventPicture>[] = [
  {
    ...{ key: 'at', title: 'AT', value: ({ at }) => at },
    text: ({ at, severity }, painter) => `${painter.mark(SEVERITY_MARKS[severity])} ${clockText(at, true)}${at.slice(16, 19)}`,
  },
  { key: 'node', title: 'NODE', value: ({ node }) => node, text: ({ node }, painter) => painter.name(node) },
  { key: 'severity', title: 'SEVERITY', value: ({ severity }) => severity, text: ({ severity }) => severity, goes: 2 },
  { key: 'kind', title: 'KIND', value: ({ kind }) => kind, text: ({ kind }) => kind, goes: 1 },
  { key: 'event', title: 'EVENT', value: ({ sentence }) => sentence, text: ({ sentence }) => sentence },
];
