/** One volume, one operation, one node, one disk: the screens of `show`. */
import type { OperationView } from '@rmr/admin-api';
import type { DiskPicture, NodePicture, StorePicture, VolumePicture } from '@rmr/cluster-view';
import { commandOf } from './action-command.ts';
import { DISK_COLUMNS, MEMBER_COLUMNS, OPERATION_COLUMNS, STORE_COLUMNS, stepOf } from './columns.ts';
import { listText } from './lists.ts';
import { LEVEL_MARKS, OPERATION_MARKS, VOLUME_MARKS } from './marks.ts';
import type { Painter } from './painter.ts';
import { countText, sinceText, sizeText } from './words.ts';

export function volumeScreen(
  painter: Painter,
  volume: VolumePicture,
  { uuids, nowMs }: { readonly uuids: boolean; readonly nowMs: number },
): string {
  const { name, state, health, waitingFor, members, lost, unreadable, operations, witness } = volume;
  const lines = [painter.lines(`${painter.mark(VOLUME_MARKS[state])} `, headOf(painter, name, health.sentence))];
  if (waitingFor !== null) lines.push(painter.lines('  ', `It waits for ${waitingFor.what}, ${sinceText(waitingFor.since, nowMs)}.`));
  if (waitingFor?.remedy !== undefined) lines.push(painter.lines('  ', `What to do: ${waitingFor.remedy}`));
  if (state === 'unmapped' && operations.length === 0)
    lines.push(painter.lines('  ', `What to do: ${commandOf({ do: 'volume-map', volume: name })}`));
  lines.push(
    '',
    ...facts(painter, [
      ['size', sizeText(volume.sizeBytes)],
      ['served by', [volume.servedBy ?? 'nobody that answers', volume.nbdUri ?? ''].join('   ').trimEnd()],
      ['stands by', volume.standby.join(', ')],
      ['clients', volume.peers.length === 0 ? 'none' : volume.peers.join(', ')],
      ['quorum', volume.quorum ?? ''],
      ['witness', witness === null ? '' : `${witness.name}${witness.ready ? '' : `: ${witness.reason}`}`],
      ['lost', lost === null ? '' : sizeText(lost.bytes)],
      ['unreadable', unreadable === null ? '' : sizeText(unreadable.bytes)],
      ['uuid', uuids ? volume.uuid : ''],
    ]),
    '',
    listText(
      painter,
      members.map((member) => ({ volume: name, ...member })),
      MEMBER_COLUMNS,
      uuids,
      'No member is known.',
    ),
  );
  for (const { what, remedy } of volume.differences) lines.push('', painter.lines(`${painter.mark('degraded')} `, `${what} ${remedy}`));
  if (operations.length > 0) {
    const rows = operations.map((view) => ({ node: volume.servedBy ?? '?', ...view }));
    lines.push('', listText(painter, rows, OPERATION_COLUMNS, uuids, ''));
  }
  return lines.join('\n');
}

/** Facts below one another: names on the left, texts on the right. Empty texts are left out. */
function facts(painter: Painter, rows: readonly (readonly [string, string])[]): readonly string[] {
  const shown = rows.filter(([, text]) => text !== '');
  const label = Math.max(...shown.map(([name]) => name.length));
  return shown.map(([name, text]) => painter.lines(`${name.padEnd(label)}  `, text));
}

/** The sentence of something, behind its name. Most sentences begin with the name already. */
function headOf(painter: Painter, name: string, sentence: string): string {
  const [called] = /^(pool )?/.exec(sentence) ?? [''];
  const plain = sentence.slice(called.length);
  const text = plain.startsWith(`${name} `) ? plain.slice(name.length) : `  ${sentence}`;
  return `${painter.name(name)}${text.replace(/\.$/, '')}.`;
}

export function operationScreen(painter: Painter, operation: OperationView, nowMs: number): string {
  const { state, kind, targetName, waitingFor, error, endedAt, id } = operation;
  const lines = [`${painter.mark(OPERATION_MARKS[state])} ${kind} of ${painter.name(targetName)}  ${state.toLowerCase()}`, ''];
  const rows: (readonly [string, string])[] = [
    ['step', error === null ? stepOf(operation) : `${operation.stepNumber}/${operation.steps} ${operation.step}`],
    ['waits for', waitingFor === null ? '' : `${waitingFor.what}, ${sinceText(waitingFor.since, nowMs)}`],
    ['what to do', waitingFor?.remedy ?? ''],
    ['error', error === null ? '' : `${error.sentence} (${error.code})`],
    ['asked for', `by ${operation.requestedBy}, ${sinceText(operation.createdAt, nowMs)}`],
    ['ended', endedAt === null ? '' : sinceText(endedAt, nowMs).replace('since ', '')],
    ['id', id],
  ];
  return [...lines, ...facts(painter, rows)].join('\n');
}

export function nodeScreen(
  painter: Painter,
  node: NodePicture,
  stores: readonly StorePicture[],
  disks: readonly DiskPicture[],
  nowMs: number,
): string {
  const { name, role, health, problem, silentSince } = node;
  const head =
    health === null
      ? painter.lines(`${painter.mark('unknown')} `, `${painter.name(name)}  does not answer, ${sinceText(silentSince, nowMs)}: ${problem}`)
      : painter.lines(`${painter.mark(LEVEL_MARKS[health.level])} `, headOf(painter, name, health.sentence));
  const lines = [
    head,
    '',
    ...facts(painter, [
      ['role', role],
      ['admin', node.admin],
      [role === 'client-node' ? 'NBD' : 'RTRS', node.addresses.join(', ')],
      ['version', node.version ?? ''],
      ['started', sinceText(node.startedAt, nowMs).replace('since ', '')],
      ['volumes', node.volumes === null ? '' : countText(node.volumes, 'volume')],
      ['operations', node.operations === 0 ? '' : String(node.operations)],
    ]),
  ];
  if (disks.length > 0) lines.push('', listText(painter, disks, DISK_COLUMNS, false, ''));
  if (stores.length > 0) lines.push('', listText(painter, stores, STORE_COLUMNS, false, ''));
  return lines.join('\n');
}

export function diskScreen(painter: Painter, disk: DiskPicture, stores: readonly StorePicture[]): string {
  return [
    painter.lines(`${painter.mark(LEVEL_MARKS[disk.health.level])} `, headOf(painter, `${disk.node}/${disk.name}`, disk.health.sentence)),
    '',
    ...facts(painter, [
      ['place', `${disk.place} (${disk.kind})`],
      ['size', sizeText(disk.capacityBytes)],
      ['free', sizeText(disk.freeBytes)],
      ['promised', `${sizeText(disk.promisedBytes)}: what its stores take when they are written fully`],
      ['model', disk.model ?? ''],
      ['serial', disk.serial ?? ''],
      ['spare', disk.spare ? 'yes: it is kept for replacing what fails' : ''],
      ['foreign', disk.foreign ?? ''],
    ]),
    '',
    listText(painter, stores, STORE_COLUMNS, false, 'There is no store on it.'),
  ].join('\n');
}
