/** What needs a person, and what moves by itself: each with what it is about, why, since when, and what to do. */
import { formatSize } from '@rmr/runtime';
import type { Action } from './advice.ts';
import type { Observation } from './observe.ts';
import { choosePlaces } from './placing.ts';
import type { MemberPicture, VolumePicture } from './volumes.ts';

export interface Notes {
  /** The gravest first. */
  readonly needed: readonly Note[];
  readonly moving: readonly Note[];
}

/** How a note is marked. `failed`: something is broken. `waits`: IO or an operation waits. `idle`: it was made so on purpose. */
export type NoteMark = 'failed' | 'waits' | 'degraded' | 'moves' | 'idle' | 'unknown';

export interface Note {
  readonly mark: NoteMark;
  /** What it is about: the name of a volume, of a node, or NODE/DISK. */
  readonly about: string;
  /** What is, without the name and without the time. */
  readonly sentence: string;
  /** ISO 8601; null: not known. */
  readonly since: string | null;
  /** What to do about it, in words; null: see `action`. */
  readonly remedy: string | null;
  /** What to do about it, as an action; null: there is none that would help for sure. */
  readonly action: Action | null;
}

/** IO that waits is graver than what is broken and hurts nobody yet. Lost data comes before everything. */
const GRAVITY: Readonly<Record<NoteMark, number>> = { waits: 0, failed: 1, unknown: 2, degraded: 3, moves: 4, idle: 5 };

/** What is to be said of a cluster. Nothing is to be said of what is well. */
export function notesOf(observation: Observation, volumes: readonly VolumePicture[]): Notes {
  const needed: Note[] = [];
  const moving: Note[] = [];
  const losses = volumes.flatMap(lossNotes);
  for (const { node, problem, silentSince } of [...observation.storage, ...observation.clients]) {
    if (problem === null) continue;
    const out = volumes.filter((volume) => volume.members.some((member) => isOutWith(volume, member, node.name))).map(({ name }) => name);
    const told = problem.code === 'UNAVAILABLE' || problem.code === 'TIMEOUT' ? 'does not answer' : problem.message;
    const sentence = out.length === 0 ? told : `${told}; its member is out of ${listed(out)}`;
    const remedy = told === 'does not answer' ? `look whether the daemon runs on its host (${node.admin})` : null;
    needed.push({ mark: 'unknown', about: node.name, sentence, since: silentSince, remedy, action: null });
  }
  for (const volume of volumes) volumeNotes(observation, volume, needed, moving);
  for (const { node, disks, disksProblem } of observation.storage) {
    if (disksProblem !== null) needed.push(note('unknown', node.name, `its disks could not be looked at: ${disksProblem.message}`));
    for (const { name, health } of disks) {
      if (health.level !== 'healthy')
        needed.push(note(health.level === 'down' ? 'failed' : 'degraded', `${node.name}/${name}`, health.sentence));
    }
  }
  for (const { node, operations, operationsProblem } of observation.clients) {
    if (operationsProblem !== null) needed.push(note('unknown', node.name, `its operations are not known: ${operationsProblem.message}`));
    for (const { id, kind, targetName, step, stepNumber, steps, waitingFor } of operations) {
      const what = `${kind}, step ${stepNumber} of ${steps}: ${step}`;
      if (waitingFor === null) moving.push({ ...note('moves', targetName, what), action: { do: 'operation-wait', id } });
      else {
        const told = { ...note('waits', targetName, `${what}; waits for ${waitingFor.what}`), since: waitingFor.since };
        const { remedy = null } = waitingFor;
        (remedy === null ? moving : needed).push({ ...told, remedy, action: { do: 'operation-show', id } });
      }
    }
  }
  needed.sort((a, b) => GRAVITY[a.mark] - GRAVITY[b.mark]);
  return { needed: [...losses, ...needed], moving };
}

function note(mark: NoteMark, about: string, sentence: string): Note {
  return { mark, about, sentence, since: null, remedy: null, action: null };
}

/** `member 2 (storage-3)` */
export function memberName({ memberId, node }: { readonly memberId: number; readonly node: string }): string {
  return `member ${memberId} (${node})`;
}

/** How many names a note has. */
const NAMES_MAX = 5;

/** `a, b and c`; of many, the first ones. */
function listed(names: readonly string[]): string {
  if (names.length <= 1) return names.join('');
  if (names.length > NAMES_MAX) return `${names.slice(0, NAMES_MAX).join(', ')} and ${names.length - NAMES_MAX} more`;
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

/** Whether a member is out because its node is: the note of the node says so, once for all volumes. */
function isOutWith(volume: VolumePicture, { node, inSync, connected, maintenance }: MemberPicture, silent: string): boolean {
  return node === silent && volume.servedBy !== null && !inSync && !connected && !maintenance;
}

/** Data of a volume that nobody has, or that no disk can read. */
function lossNotes({ name, lost, unreadable }: VolumePicture): readonly Note[] {
  const notes: Note[] = [];
  const action: Action = { do: 'volume-show', volume: name };
  if (lost !== null) notes.push({ ...note('failed', name, `${formatSize(lost.bytes)} are LOST: no member has them any more`), action });
  if (unreadable !== null) {
    const remedy = 'write these ranges anew, or restore them from a backup: a chunk that is written whole heals';
    notes.push({ ...note('failed', name, `no disk can read ${formatSize(unreadable.bytes)}`), remedy, action });
  }
  return notes;
}

function volumeNotes(observation: Observation, volume: VolumePicture, needed: Note[], moving: Note[]): void {
  const { name, state, members, waitingFor, health } = volume;
  const told = needed.length + moving.length;
  const show: Action = { do: 'volume-show', volume: name };
  if (state === 'unmapped' && volume.operations.length > 0) return;
  if (state === 'unmapped') needed.push({ ...note('idle', name, 'no client node maps it'), action: { do: 'volume-map', volume: name } });
  else if (state === 'unknown') needed.push(note('unknown', name, health.sentence));
  else if (waitingFor !== null && volume.operations.length === 0) {
    const waits = state === 'down' ? 'not served: it waits for' : 'IO waits for';
    needed.push({
      ...note('waits', name, `${waits} ${waitingFor.what}`),
      since: waitingFor.since,
      remedy: waitingFor.remedy ?? null,
      action: waitingFor.remedy === undefined ? show : null,
    });
  }
  for (const difference of volume.differences) needed.push({ ...note('degraded', name, difference.what), remedy: difference.remedy });
  if (state !== 'unmapped' && state !== 'unknown') for (const member of members) memberNotes(observation, volume, member, needed, moving);
  const isToldByNode = observation.storage.some(
    ({ node, problem }) => problem !== null && members.some((member) => isOutWith(volume, member, node.name)),
  );
  const silentReason =
    needed.length + moving.length === told &&
    !isToldByNode &&
    lossNotes(volume).length + volume.operations.length === 0 &&
    state !== 'healthy';
  if (silentReason) needed.push({ ...note(state === 'down' ? 'failed' : 'degraded', name, health.sentence), action: show });
}

function memberNotes(observation: Observation, volume: VolumePicture, member: MemberPicture, needed: Note[], moving: Note[]): void {
  const { name } = volume;
  const { memberId, inSync, maintenance, resync, since, dirtyBytes, diskTrouble, storeProblem } = member;
  const who = memberName(member);
  const busy = volume.operations.length > 0;
  if (diskTrouble !== null)
    needed.push({ ...note('degraded', name, `the disk of ${who}: ${diskTrouble}`), action: replacement(observation, volume, member) });
  if (maintenance) {
    if (busy) return;
    needed.push({
      ...note('idle', name, `${who} is in maintenance${missed(dirtyBytes)}`),
      since,
      action: { do: 'maintenance-off', volume: name, memberId },
    });
  } else if (!inSync) {
    if (busy) return;
    const isSilent = observation.storage.some(({ node, problem }) => node.name === member.node && problem !== null);
    if (storeProblem !== null) {
      const action = replacement(observation, volume, member);
      needed.push({ ...note('failed', name, `the store of ${who} is not open: ${storeProblem}`), since, remedy: member.remedy, action });
    } else if (!member.connected) {
      if (isSilent) return;
      needed.push({ ...note('degraded', name, `${who} is out: ${member.reason}${missed(dirtyBytes)}`), since, remedy: member.remedy });
    } else {
      const why = member.rolledBack ?? member.reason;
      (member.remedy === null ? moving : needed).push({
        ...note('moves', name, `${who} is out: ${why}${missed(dirtyBytes)}`),
        since,
        remedy: member.remedy,
      });
    }
  } else if (resync !== null) resyncNote(volume, member, needed, moving);
  else if (dirtyBytes !== null && dirtyBytes > 0)
    moving.push({ ...note('moves', name, `${who} has ${formatSize(dirtyBytes)} to pull`), since });
}

function resyncNote({ name }: VolumePicture, member: MemberPicture, needed: Note[], moving: Note[]): void {
  const { resync, since } = member;
  if (resync === null) return;
  const left = formatSize(resync.bytesLeft);
  const show: Action = { do: 'resync-show', volume: name };
  if (resync.paused) {
    needed.push({
      ...note('idle', name, `resync of ${memberName(member)} is paused, ${left} left`),
      since,
      action: { do: 'resync-resume', volume: name },
    });
  } else if (resync.reason !== '') {
    const told = {
      ...note('waits', name, `resync of ${memberName(member)} stands still, ${left} left: ${resync.reason}`),
      since,
      remedy: resync.remedy,
    };
    (resync.remedy === null ? moving : needed).push({ ...told, action: show });
  } else moving.push({ ...note('moves', name, `${memberName(member)} pulls ${left}${describePull(resync)}`), action: show });
}

/** ` from members 1 and 3, 186 MiB/s, about 6 min` */
export function describePull({ sources, bytesPerSecond, etaSeconds, limitBytesPerSecond }: NonNullable<MemberPicture['resync']>): string {
  const ids = sources.map(({ memberId }) => memberId);
  const from = ids.length === 0 ? '' : ` from member${ids.length === 1 ? '' : 's'} ${ids.join(' and ')}`;
  const rate = bytesPerSecond === 0 ? ', at a rate that is not known yet' : `, ${formatSize(bytesPerSecond)}/s`;
  const limit = limitBytesPerSecond === null ? '' : ` of at most ${formatSize(limitBytesPerSecond)}/s`;
  return `${from}${rate}${limit}${etaSeconds === null ? '' : `, about ${spanText(etaSeconds)}`}`;
}

/** A duration in seconds for people: `40 s`, `6 min`, `1 h 40 min`, `3 days`. */
export function spanText(seconds: number): string {
  if (seconds < 100) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${Math.round(hours / 24)} days`;
}

function missed(dirtyBytes: number | null): string {
  return dirtyBytes === null || dirtyBytes === 0 ? '' : `, and has missed ${formatSize(dirtyBytes)}`;
}

/** To replace the member's store, by the best disk of its own node if there is one. */
function replacement(observation: Observation, { name, sizeBytes }: VolumePicture, { memberId, node, disk }: MemberPicture): Action {
  const own = observation.storage
    .filter((seen) => seen.node.name === node)
    .map((seen) => ({ ...seen, disks: seen.disks.filter((each) => each.name !== disk) }));
  let best: string | null = null;
  if (sizeBytes !== null && own.some(({ disks }) => disks.length > 0)) {
    try {
      const [place] = choosePlaces({ ...observation, storage: own }, 1, sizeBytes, { spares: true });
      if (place !== undefined) best = `${place.node}/${place.disk}`;
    } catch {
      // No disk of this node will do. The person chooses one of another node.
    }
  }
  return { do: 'member-replace', volume: name, memberId, disk: best };
}
