/** What is shown of a cluster, as text for people. */
import type { EventView, OperationView } from '@rmr/admin-api';
import { type MemberPicture, type Observation, type Overview, overviewOf, type VolumePicture, volumesOf } from '@rmr/cluster-view';
import { type Mark, type Painter, sinceText, sizeText, spanText } from './terminal.ts';

const LEVEL_MARKS = { healthy: 'good', degraded: 'degraded', down: 'down', unknown: 'unknown', unmapped: 'idle' } as const satisfies Record<
  string,
  Mark
>;

export function statusScreen(painter: Painter, observation: Observation): string {
  const overview: Overview = overviewOf(observation);
  const { volumes, members, nodes, capacity } = overview;
  const all = Object.values(volumes).reduce((sum, count) => sum + count, 0);
  const others = [
    ...(volumes.unmapped > 0 ? [`${volumes.unmapped} not mapped`] : []),
    ...(volumes.unknown > 0 ? [`${volumes.unknown} not known`] : []),
  ];
  const [first] = overview.needed.filter(({ remedy }) => remedy !== null);
  const lines = [`${painter.mark(LEVEL_MARKS[overview.level])} ${painter.name(overview.sentence)}`];
  if (first !== undefined) lines.push(`  What to do: ${first.remedy}`);
  const notes = (title: string, mark: Mark, list: Overview['needed']): void => {
    if (list.length === 0) return;
    lines.push('', title, ...list.map(({ about, sentence }) => `${painter.mark(mark)} ${painter.name(about)}  ${sentence}`));
  };
  notes('NEEDS A PERSON', 'degraded', overview.needed);
  notes('MOVES BY ITSELF', 'moves', overview.moving);
  const counts = [
    `VOLUMES ${all}: ${[`${volumes.healthy} healthy`, `${volumes.degraded} degraded`, `${volumes.down} down`, ...others].join(', ')}`,
    `MEMBERS ${members.inSync} of ${members.all} in sync`,
    `NODES ${nodes.answer} of ${nodes.all} answer`,
    ...(capacity === null ? [] : [`CAPACITY ${sizeText(capacity.usedBytes)} of ${sizeText(capacity.totalBytes)} used`]),
  ];
  const oneLine = counts.join('   ');
  lines.push('', ...(oneLine.length <= painter.look.width ? [oneLine] : counts));
  return lines.join('\n');
}

export function volumeList(painter: Painter, volumes: readonly VolumePicture[]): string {
  if (volumes.length === 0) return 'There is no volume yet. Make one: rmrctl volume create NAME --size 10GiB --replicas 2';
  return painter.table(
    ['NAME', 'SIZE', 'COPIES', 'STATE', 'ACTIVITY', 'SERVED BY', 'CLIENTS'],
    volumes.map((volume) => {
      const inSync = volume.members.filter(({ inSync: isIn, dirtyBytes }) => isIn && dirtyBytes === 0).length;
      return [
        painter.name(volume.name),
        sizeText(volume.sizeBytes),
        `${inSync} of ${volume.members.length}`,
        `${painter.mark(LEVEL_MARKS[volume.state])} ${volume.state}`,
        activityOf(volume),
        volume.servedBy ?? '-',
        String(volume.connections),
      ];
    }),
    ['CLIENTS', 'SIZE', 'SERVED BY'],
  );
}

function activityOf({ operations, members, waitingFor }: VolumePicture): string {
  const [operation] = operations;
  if (operation !== undefined) return `${operation.kind}: ${operation.step}`;
  const pulling = members.find(({ resync }) => resync !== null);
  if (pulling?.resync !== null && pulling !== undefined) {
    const { paused, etaSeconds } = pulling.resync;
    const eta = etaSeconds === null ? '' : `, about ${spanText(etaSeconds)}`;
    return paused ? 'resync is paused' : `resync of member ${pulling.memberId}, ${sizeText(pulling.dirtyBytes)} left${eta}`;
  }
  const out = members.find(({ inSync }) => !inSync);
  if (out !== undefined) return `member ${out.memberId} (${out.node}) is out`;
  return waitingFor === null ? '' : `waits ${sinceText(waitingFor.since)}`;
}

export function volumeScreen(painter: Painter, volume: VolumePicture, uuids: boolean): string {
  const { health, state, waitingFor } = volume;
  const lines = [
    `${painter.mark(LEVEL_MARKS[state])} ${painter.name(volume.name)}  ${health.sentence}`,
    ...(waitingFor === null ? [] : [`  It waits for ${waitingFor.what}, ${sinceText(waitingFor.since)}.`]),
    ...(waitingFor?.remedy === undefined ? [] : [`  What to do: ${waitingFor.remedy}`]),
    '',
    `size       ${sizeText(volume.sizeBytes)}`,
    `served by  ${volume.servedBy ?? 'nobody'}${volume.nbdUri === null ? '' : `   ${volume.nbdUri}`}`,
    `clients    ${volume.connections}`,
    ...(uuids ? [`uuid       ${volume.uuid}`] : []),
    '',
    painter.table(
      ['MEMBER', 'NODE', 'DISK', 'STATE', 'MISSES', 'ACTIVITY', ...(uuids ? ['STORE'] : [])],
      volume.members.map((member) => [
        String(member.memberId),
        member.node,
        member.disk ?? '-',
        memberState(painter, member),
        sizeText(member.dirtyBytes),
        memberActivity(member),
        ...(uuids ? [member.store ?? '?'] : []),
      ]),
      ['DISK'],
    ),
  ];
  if (volume.operations.length > 0) lines.push('', operationList(painter, volume.operations));
  return lines.join('\n');
}

function memberState(painter: Painter, { maintenance, inSync, dirtyBytes, state }: MemberPicture): string {
  if (maintenance) return `${painter.mark('idle')} maintenance`;
  if (!inSync) return `${painter.mark('down')} ${state.toLowerCase()}`;
  return dirtyBytes === 0 ? `${painter.mark('good')} in sync` : `${painter.mark('moves')} catching up`;
}

function memberActivity({ resync, waitingFor, inSync }: MemberPicture): string {
  if (resync !== null && inSync) {
    if (resync.paused) return 'resync is paused';
    const eta = resync.etaSeconds === null ? '' : `, about ${spanText(resync.etaSeconds)}`;
    return `pulls ${sizeText(Math.round(resync.bytesPerSecond))}/s${eta}`;
  }
  return waitingFor === null ? '' : `waits for ${waitingFor}`;
}

const STATE_MARKS: Readonly<Record<OperationView['state'], Mark>> = {
  QUEUED: 'idle',
  RUNNING: 'moves',
  WAITING: 'waits',
  SUCCEEDED: 'good',
  FAILED: 'down',
  CANCELLED: 'idle',
};

export function operationList(painter: Painter, operations: readonly OperationView[]): string {
  if (operations.length === 0) return 'There is no operation.';
  return painter.table(
    ['ID', 'OPERATION', 'VOLUME', 'STATE', 'STEP', 'BY', 'CREATED'],
    operations.map((operation) => [
      operation.id,
      operation.kind,
      painter.name(operation.targetName),
      `${painter.mark(STATE_MARKS[operation.state])} ${operation.state.toLowerCase()}`,
      operationStep(operation),
      operation.requestedBy,
      operation.createdAt.slice(0, 19).replace('T', ' '),
    ]),
    ['BY', 'CREATED', 'STEP'],
  );
}

function operationStep({ state, stepNumber, steps, step, waitingFor, error, progress }: OperationView): string {
  if (error !== null) return error.sentence;
  if (state === 'SUCCEEDED') return '';
  const share = progress === null || progress.total === 0 ? '' : ` ${Math.floor((100 * progress.done) / progress.total)} %`;
  return waitingFor === null || progress !== null ? `${stepNumber}/${steps} ${step}${share}` : `waits for ${waitingFor.what}`;
}

export function operationScreen(painter: Painter, operation: OperationView): string {
  const { state, kind, targetName, waitingFor, error } = operation;
  return [
    `${painter.mark(STATE_MARKS[state])} ${kind} of ${painter.name(targetName)}  ${state.toLowerCase()}`,
    `step       ${operation.stepNumber} of ${operation.steps}: ${operation.step}`,
    ...(waitingFor === null ? [] : [`waits for  ${waitingFor.what}, ${sinceText(waitingFor.since)}`]),
    ...(waitingFor?.remedy === undefined ? [] : [`to do      ${waitingFor.remedy}`]),
    ...(error === null ? [] : [`error      ${error.code}: ${error.sentence}`]),
    `by         ${operation.requestedBy}, ${operation.createdAt}`,
    ...(operation.endedAt === null ? [] : [`ended      ${operation.endedAt}`]),
    `id         ${operation.id}`,
  ].join('\n');
}

export function nodeList(painter: Painter, { storage, clients }: Observation): string {
  const row = (
    name: string,
    role: string,
    status: { health: { level: keyof typeof LEVEL_MARKS; sentence: string } } | null,
    problem: string,
  ): string[] => [
    painter.name(name),
    role,
    status === null ? `${painter.mark('unknown')} no answer` : `${painter.mark(LEVEL_MARKS[status.health.level])} ${status.health.level}`,
    status?.health.sentence ?? problem,
  ];
  return painter.table(
    ['NAME', 'ROLE', 'STATE', 'WHAT IT SAYS'],
    [
      ...storage.map(({ node, status, problem }) => row(node.name, 'storage', status, problem?.message ?? '')),
      ...clients.map(({ node, status, problem }) => row(node.name, 'client', status, problem?.message ?? '')),
    ],
    ['ROLE'],
  );
}

export function diskList(painter: Painter, { storage }: Observation): string {
  const rows = storage.flatMap(({ node, disks, problem }) =>
    problem === null
      ? disks.map((disk) => [
          painter.name(`${node.name}/${disk.name}`),
          disk.kind,
          sizeText(disk.capacityBytes),
          sizeText(disk.freeBytes),
          sizeText(disk.promisedBytes),
          String(disk.stores.length),
          `${painter.mark(LEVEL_MARKS[disk.health.level])} ${disk.health.level}`,
          disk.model ?? '',
          disk.place,
        ])
      : [[painter.name(`${node.name}/?`), '', '?', '?', '?', '?', `${painter.mark('unknown')} no answer`, '', problem.message]],
  );
  if (rows.length === 0) return 'No storage node has a disk in its configuration: name directories or devices under "disks".';
  return painter.table(['DISK', 'KIND', 'SIZE', 'FREE', 'PROMISED', 'STORES', 'STATE', 'MODEL', 'PLACE'], rows, [
    'MODEL',
    'KIND',
    'PROMISED',
    'PLACE',
  ]);
}

export function storeList(painter: Painter, { storage }: Observation): string {
  const rows = storage.flatMap(({ node, disks, status }) => [
    ...disks.flatMap((disk) =>
      disk.stores.map((store) => [
        store.storeUuid,
        `${node.name}/${disk.name}`,
        painter.name(store.poolName),
        String(store.memberId),
        sizeText(store.sizeBytes),
        sizeText(store.allocatedBytes),
        store.attached ? `${painter.mark('good')} open` : `${painter.mark('idle')} closed`,
      ]),
    ),
    ...(status?.stores ?? [])
      .filter(({ uuid }) => !disks.some(({ stores }) => stores.some(({ storeUuid }) => storeUuid === uuid)))
      .map((store) => [
        store.uuid ?? '?',
        `${node.name}:${store.path}`,
        painter.name(store.pool?.name ?? '?'),
        String(store.pool?.memberId ?? '?'),
        '?',
        '?',
        store.state === 'DETACHED' ? `${painter.mark('down')} detached` : `${painter.mark('good')} open`,
      ]),
  ]);
  if (rows.length === 0) return 'There is no store.';
  return painter.table(['STORE', 'WHERE', 'VOLUME', 'MEMBER', 'SIZE', 'ALLOCATED', 'STATE'], rows, ['ALLOCATED', 'STORE']);
}

export function resyncScreen(painter: Painter, volumes: readonly VolumePicture[]): string {
  const rows = volumes.flatMap((volume) =>
    volume.members
      .filter(({ dirtyBytes, inSync }) => !inSync || dirtyBytes !== 0)
      .map((member) => [
        painter.name(volume.name),
        `${member.memberId} (${member.node})`,
        sizeText(member.dirtyBytes),
        memberActivity(member) || memberState(painter, member),
      ]),
  );
  return rows.length === 0
    ? 'Nothing is to be pulled: every member is in sync.'
    : painter.table(['VOLUME', 'MEMBER', 'LEFT', 'ACTIVITY'], rows);
}

/** The volume with this name or UUID. */
export function findVolume(observation: Observation, wanted: string): VolumePicture | null {
  const volumes = volumesOf(observation);
  return volumes.find(({ name }) => name === wanted) ?? volumes.find(({ uuid }) => uuid === wanted.toLowerCase()) ?? null;
}

export function eventLine(painter: Painter, node: string, event: EventView): string {
  const marks: Readonly<Record<EventView['severity'], Mark>> = { info: 'idle', notice: 'good', warning: 'degraded', critical: 'down' };
  return `${painter.mark(marks[event.severity])} ${event.at.slice(0, 19).replace('T', ' ')}  ${painter.name(node)}  ${event.sentence}`;
}
