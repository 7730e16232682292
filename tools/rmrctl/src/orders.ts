/** The commands that change something. */
import { randomUUID } from 'node:crypto';
import { ask, type ChosenPlace, choosePlaces, findPlace, type Observation, type VolumePicture } from '@rmr/cluster-view';
import { formatSize, OperationError, parseSize } from '@rmr/runtime';
import type { Command } from 'commander';
import { showOperation } from './progress.ts';
import { findOperation } from './questions.ts';
import { findVolume, operationScreen, volumeScreen } from './screens.ts';
import { type GlobalFlags, type OrderFlags, Session, timeoutOf } from './session.ts';
import { sizeText } from './terminal.ts';

const sessionOf = (command: Command): Session => new Session(command.optsWithGlobals<GlobalFlags>());
const placeOf = ({ node, addresses, disk }: ChosenPlace) => ({ node, addresses: [...addresses], disk });

interface CreateFlags extends OrderFlags {
  readonly size: string;
  readonly replicas: string;
  readonly disk?: readonly string[];
  readonly quorum: 'none' | 'majority';
  readonly witness?: string;
  readonly client?: string;
  readonly dryRun?: true;
}

export async function createVolume(name: string, flags: CreateFlags, command: Command): Promise<void> {
  const session = sessionOf(command);
  const sizeBytes = sizeOf(flags.size);
  const replicas = numberOf('--replicas', flags.replicas, 1, 8);
  const observation = await session.observe(true);
  if (findVolume(observation, name) !== null)
    throw new OperationError('ALREADY_EXISTS', `there is a volume ${name} already: choose another name. Nothing has been changed`);
  if (flags.disk !== undefined && flags.disk.length !== replicas)
    throw new OperationError('INVALID_ARGUMENT', `${flags.disk.length} disks are named for ${replicas} copies: name ${replicas}, or none`);
  const places = flags.disk?.map((text) => findPlace(observation, text)) ?? choosePlaces(observation, replicas, sizeBytes);
  const witness = flags.witness === undefined ? null : findPlace(observation, flags.witness);
  const client = session.client(observation, flags.client);
  const plan = planText(name, sizeBytes, places, witness, client.name);
  if (flags.dryRun === true) {
    session.print({ name, sizeBytes, members: places, witness, servedBy: client.name }, () => `${plan}\nNothing has been changed.`);
    return;
  }
  const input = { name, sizeBytes, quorum: flags.quorum, members: places.map(placeOf), requestId: randomUUID() };
  const operation = await session.order(client, flags, (admin) =>
    admin.volume.create.mutate({ ...input, witness: witness === null ? null : placeOf(witness) }),
  );
  if (!flags.wait) {
    session.print({ operation }, () => operationScreen(session.painter, operation));
    return;
  }
  const volume = session.volume(await session.observe(true), name);
  session.print({ ...volume, operation }, () => readyText(session, volume));
}

function planText(name: string, sizeBytes: number, places: readonly ChosenPlace[], witness: ChosenPlace | null, client: string): string {
  const copies = places.length === 1 ? '1 copy' : `${places.length} copies`;
  const row = (what: string, place: ChosenPlace): string =>
    `  ${what}  ${place.node}/${place.disk}   free ${sizeText(place.freeBytes)} of ${sizeText(place.capacityBytes)}`;
  return [
    `Would create ${name}: ${formatSize(sizeBytes)}, ${copies}, thin.`,
    ...places.map((place, index) => row(`member ${index + 1}`, place)),
    ...(witness === null ? [] : [row('witness ', witness)]),
    `  served by  ${client}`,
  ].join('\n');
}

function readyText(session: Session, { name, nbdUri }: VolumePicture): string {
  if (nbdUri === null) return `${session.painter.name(name)} is made.`;
  return `${session.painter.name(name)} is ready:  ${nbdUri}\n  try   nbdinfo ${nbdUri}`;
}

export async function deleteVolume(wanted: string, flags: OrderFlags & { yes?: true; force?: true }, command: Command): Promise<void> {
  const session = sessionOf(command);
  const volume = session.volume(await session.observe(), wanted);
  const node = session.server(volume);
  const copies = volume.members.length;
  await session.confirm(
    volume.name,
    flags.yes,
    `${volume.name} (${sizeText(volume.sizeBytes)}, ${copies} copies) and all of its data would be destroyed`,
  );
  const input = { pool: volume.uuid, confirm: volume.name, evenIfConnected: flags.force === true, requestId: randomUUID() };
  const operation = await session.order(node, flags, (admin) => admin.volume.delete.mutate(input));
  session.print(operation, () => `${volume.name} ${flags.wait ? 'is' : 'is being'} deleted.`);
}

export async function mapVolume(wanted: string, flags: OrderFlags & { client?: string; readOnly?: true }, command: Command): Promise<void> {
  const session = sessionOf(command);
  const observation = await session.observe();
  const volume = session.volume(observation, wanted);
  if (volume.servedBy !== null)
    throw new OperationError('CONFLICT', `${volume.servedBy} maps ${volume.name} already: unmap it there first`);
  const node = session.client(observation, flags.client);
  const members = volume.members.map(({ memberId, node: name }) => ({ memberId, node: name, addresses: addressesOf(observation, name) }));
  const input = { uuid: volume.uuid, name: volume.name, members, readOnly: flags.readOnly === true, requestId: randomUUID() };
  const operation = await session.order(node, flags, (admin) => admin.volume.map.mutate(input));
  const now = findVolume(await session.observe(), wanted) ?? volume;
  session.print(operation, () => (now.nbdUri === null ? `${volume.name} is being mapped by ${node.name}.` : readyText(session, now)));
}

function addressesOf(observation: Observation, name: string): string[] {
  return [...(observation.storage.find(({ node }) => node.name === name)?.status?.rtrsAddresses ?? [])];
}

export async function unmapVolume(wanted: string, flags: OrderFlags & { force?: true }, command: Command): Promise<void> {
  const session = sessionOf(command);
  const volume = session.volume(await session.observe(), wanted);
  const input = { pool: volume.uuid, evenIfConnected: flags.force === true, requestId: randomUUID() };
  const operation = await session.order(session.server(volume), flags, (admin) => admin.volume.unmap.mutate(input));
  session.print(operation, () => `${volume.name} is not served any more. Its data stays: rmrctl volume map ${volume.name}`);
}

export async function forceVolume(wanted: string, flags: { yesLose?: string }, command: Command): Promise<void> {
  const session = sessionOf(command);
  const volume = session.volume(await session.observe(), wanted);
  const node = session.server(volume);
  const plan = await ask(node, (admin) => admin.pool.forcePlan.query({ pool: volume.uuid }));
  if (flags.yesLose === undefined) {
    const lose = plan.leftBehind.map(({ memberId }) => memberId).join(',') || 'none';
    session.print(plan, () =>
      [
        plan.sentence,
        ...(plan.refusal === null ? [] : [`It can't be forced: ${plan.refusal}`]),
        ...plan.members.map(({ memberId, name, version }) => `  serves   member ${memberId} (${name})  ${version ?? ''}`),
        ...plan.leftBehind.map(({ memberId, name, note }) => `  is left  member ${memberId} (${name})  ${note}`),
        ...(plan.refusal === null ? [`Nothing has been changed. To do it: rmrctl volume force ${volume.name} --yes-lose ${lose}`] : []),
      ].join('\n'),
    );
    return;
  }
  const leftBehind = flags.yesLose === 'none' ? [] : flags.yesLose.split(',').map((text) => numberOf('--yes-lose', text, 1, 255));
  await ask(node, (admin) => admin.pool.force.mutate({ pool: volume.uuid, leftBehind }), 60_000);
  session.print({ forced: true, leftBehind }, () => `${volume.name} is served with the members that are there.`);
}

export async function addMember(wanted: string, flags: OrderFlags & { disk: string }, command: Command): Promise<void> {
  const session = sessionOf(command);
  const observation = await session.observe(true);
  const volume = session.volume(observation, wanted);
  const place = placeOf(findPlace(observation, flags.disk));
  await ordered(session, volume, flags, (admin) => admin.member.add.mutate({ pool: volume.uuid, place, requestId: randomUUID() }));
}

interface Decided extends OrderFlags {
  readonly yes?: true;
  readonly giveUpLastCopies?: true;
}

export async function removeMember(wanted: string, member: string, flags: Decided, command: Command): Promise<void> {
  const session = sessionOf(command);
  const volume = session.volume(await session.observe(), wanted);
  const memberId = numberOf('MEMBER', member, 1, 255);
  await session.confirm(volume.name, flags.yes, `The store of member ${memberId} of ${volume.name} would be destroyed`);
  const input = { pool: volume.uuid, memberId, giveUp: flags.giveUpLastCopies === true, requestId: randomUUID() };
  await ordered(session, volume, flags, (admin) => admin.member.remove.mutate(input));
}

export async function replaceMember(wanted: string, member: string, flags: Decided & { disk: string }, command: Command): Promise<void> {
  const session = sessionOf(command);
  const observation = await session.observe(true);
  const volume = session.volume(observation, wanted);
  const memberId = numberOf('MEMBER', member, 1, 255);
  const place = placeOf(findPlace(observation, flags.disk));
  const what = `All of ${volume.name} (${sizeText(volume.sizeBytes)}) would be copied to ${place.node}/${place.disk}, and the former store of member ${memberId} destroyed`;
  await session.confirm(volume.name, flags.yes, what);
  const input = { pool: volume.uuid, memberId, place, giveUp: flags.giveUpLastCopies === true, requestId: randomUUID() };
  await ordered(session, volume, flags, (admin) => admin.member.replace.mutate(input));
}

export const maintenanceOn = (wanted: string, member: string, flags: OrderFlags, command: Command): Promise<void> =>
  setMaintenance(wanted, member, true, flags, command);
export const maintenanceOff = (wanted: string, member: string, flags: OrderFlags, command: Command): Promise<void> =>
  setMaintenance(wanted, member, false, flags, command);

async function setMaintenance(wanted: string, member: string, on: boolean, flags: OrderFlags, command: Command): Promise<void> {
  const session = sessionOf(command);
  const volume = session.volume(await session.observe(), wanted);
  const memberId = numberOf('MEMBER', member, 1, 255);
  await ordered(session, volume, flags, (admin) =>
    admin.member.maintenance.mutate({ pool: volume.uuid, memberId, on, requestId: randomUUID() }),
  );
}

export const pauseResync = (wanted: string, _flags: object, command: Command): Promise<void> => setPaused(wanted, true, command);
export const resumeResync = (wanted: string, _flags: object, command: Command): Promise<void> => setPaused(wanted, false, command);

async function setPaused(wanted: string, paused: boolean, command: Command): Promise<void> {
  const session = sessionOf(command);
  const volume = session.volume(await session.observe(), wanted);
  await ask(session.server(volume), (admin) => admin.resync.pause.mutate({ pool: volume.uuid, paused }), 30_000);
  session.print({ volume: volume.name, paused }, () => `Resync of ${volume.name} ${paused ? 'is paused' : 'goes on'}.`);
}

export async function copyAnew(
  wanted: string,
  member: string,
  flags: { yes?: true; giveUpLastCopies?: true },
  command: Command,
): Promise<void> {
  const session = sessionOf(command);
  const volume = session.volume(await session.observe(), wanted);
  const memberId = numberOf('MEMBER', member, 1, 255);
  await session.confirm(volume.name, flags.yes, `All data of member ${memberId} of ${volume.name} would be copied anew from the others`);
  const input = { pool: volume.uuid, memberId, giveUp: flags.giveUpLastCopies === true };
  await ask(session.server(volume), (admin) => admin.pool.copyAnew.mutate(input), 60_000);
  session.print(
    { volume: volume.name, memberId },
    () => `Member ${memberId} of ${volume.name} is copied anew: rmrctl resync show ${volume.name}`,
  );
}

export async function waitForOperation(id: string, flags: { timeout?: string }, command: Command): Promise<void> {
  const session = sessionOf(command);
  const { node, view } = await findOperation(session, id);
  const ended = await showOperation(session.painter, node, view, session.flags.output !== 'table', timeoutOf(flags.timeout));
  session.print(ended, () => operationScreen(session.painter, ended));
}

export async function cancelOperation(id: string, _flags: object, command: Command): Promise<void> {
  const session = sessionOf(command);
  const { node, view } = await findOperation(session, id);
  const cancelled = await ask(node, (admin) => admin.operation.cancel.mutate({ id: view.id }));
  session.print(cancelled, () => operationScreen(session.painter, cancelled));
}

/** Gives an order for a volume, and shows the volume as it is afterwards. */
async function ordered(session: Session, volume: VolumePicture, flags: OrderFlags, give: Parameters<Session['order']>[2]): Promise<void> {
  const operation = await session.order(session.server(volume), flags, give);
  const now = findVolume(await session.observe(true), volume.uuid);
  session.print({ ...now, operation }, () =>
    flags.wait && now !== null
      ? volumeScreen(session.painter, now, session.flags.uuids === true)
      : operationScreen(session.painter, operation),
  );
}

function sizeOf(text: string): number {
  const bytes = parseSize(text);
  if (bytes % 4096 === 0) return bytes;
  throw new OperationError('INVALID_ARGUMENT', `--size "${text}": the size is a multiple of 4,096 bytes`);
}

function numberOf(flag: string, text: string, min: number, max: number): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= min && number <= max) return number;
  throw new OperationError('INVALID_ARGUMENT', `${flag} "${text}": write a whole number from ${min} to ${max}`);
}
