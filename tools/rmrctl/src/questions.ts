/** The commands that only look. */
import { HEALTH_EXIT_CODES } from '@rmr/admin-api';
import { ask, EventFollower, type EventList, findPlace, newestEvents, overviewOf, volumesOf } from '@rmr/cluster-view';
import { OperationError } from '@rmr/runtime';
import type { Command } from 'commander';
import { createLogUpdate } from 'log-update';
import { readContexts } from './context.ts';
import * as screens from './screens.ts';
import { type GlobalFlags, Session } from './session.ts';

/** How often `--watch` looks, in milliseconds. */
const WATCH_MS = 1_000;

const sessionOf = (command: Command): Session => new Session(command.optsWithGlobals<GlobalFlags>());

export async function status(flags: { readonly watch?: true }, command: Command): Promise<void> {
  const session = sessionOf(command);
  if (flags.watch === true && session.painter.look.live) {
    const paint = createLogUpdate(process.stdout);
    for (;;) {
      const seen = await session.observe(true);
      paint(`${screens.statusScreen(session.painter, seen)}\n${session.painter.faint(`as of ${new Date().toTimeString().slice(0, 8)}`)}`);
      await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
    }
  }
  const observation = await session.observe(true);
  const overview = overviewOf(observation);
  session.print({ ...overview, volumes: volumesOf(observation), counts: overview.volumes }, () =>
    screens.statusScreen(session.painter, observation),
  );
  // What nobody could say is no health.
  process.exitCode = HEALTH_EXIT_CODES[overview.level === 'unknown' ? 'degraded' : overview.level];
}

export async function nodes(_flags: object, command: Command): Promise<void> {
  const session = sessionOf(command);
  const observation = await session.observe();
  const data = [...observation.storage, ...observation.clients].map(({ node, status: heard, problem }) => ({
    ...{ name: node.name, role: node.role, admin: node.admin, answers: heard !== null },
    health: heard?.health ?? null,
    problem: problem?.message ?? null,
  }));
  session.print(data, () => screens.nodeList(session.painter, observation));
}

export async function disks(_flags: object, command: Command): Promise<void> {
  const session = sessionOf(command);
  const observation = await session.observe(true);
  const data = observation.storage.flatMap(({ node, disks: all }) => all.map((disk) => ({ node: node.name, ...disk })));
  session.print(data, () => screens.diskList(session.painter, observation));
}

export async function disk(wanted: string, _flags: object, command: Command): Promise<void> {
  const session = sessionOf(command);
  const observation = await session.observe(true);
  const place = findPlace(observation, wanted);
  const storage = observation.storage.filter(({ node }) => node.name === place.node);
  const only = storage.map((node) => ({ ...node, disks: node.disks.filter(({ name }) => name === place.disk) }));
  session.print(only[0]?.disks[0] ?? null, () =>
    [
      screens.diskList(session.painter, { ...observation, storage: only }),
      '',
      only[0]?.disks[0]?.health.sentence ?? '',
      '',
      screens.storeList(session.painter, { ...observation, storage: only.map((node) => ({ ...node, status: null })) }),
    ].join('\n'),
  );
}

export async function stores(_flags: object, command: Command): Promise<void> {
  const session = sessionOf(command);
  const observation = await session.observe(true);
  const data = observation.storage.flatMap(({ node, disks: all }) =>
    all.flatMap(({ name, stores: list }) => list.map((store) => ({ node: node.name, disk: name, ...store }))),
  );
  session.print(data, () => screens.storeList(session.painter, observation));
}

export async function volumes(_flags: object, command: Command): Promise<void> {
  const session = sessionOf(command);
  const list = volumesOf(await session.observe());
  session.print(list, () => screens.volumeList(session.painter, list));
}

export async function volume(wanted: string, _flags: object, command: Command): Promise<void> {
  const session = sessionOf(command);
  const found = session.volume(await session.observe(true), wanted);
  session.print(found, () => screens.volumeScreen(session.painter, found, session.flags.uuids === true));
}

export async function resync(wanted: string | undefined, _flags: object, command: Command): Promise<void> {
  const session = sessionOf(command);
  const observation = await session.observe();
  const list = wanted === undefined ? volumesOf(observation) : [session.volume(observation, wanted)];
  const data = list.map(({ name, uuid, members }) => ({ name, uuid, members }));
  session.print(data, () => screens.resyncScreen(session.painter, list));
}

export async function operations(flags: { readonly unfinished?: true; readonly limit: string }, command: Command): Promise<void> {
  const session = sessionOf(command);
  const limit = Number(flags.limit);
  if (!Number.isInteger(limit) || limit < 1 || limit > 200)
    throw new OperationError('INVALID_ARGUMENT', `--limit "${flags.limit}": write a number from 1 to 200`);
  const observation = await session.observe();
  const answers = await Promise.all(
    observation.clients
      .filter(({ status: heard }) => heard !== null)
      .map(({ node }) => ask(node, (admin) => admin.operation.list.query({ unfinished: flags.unfinished === true, limit }))),
  );
  const list = answers
    .flat()
    .sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1))
    .slice(0, limit);
  session.print(list, () => screens.operationList(session.painter, list));
}

export async function operation(id: string, _flags: object, command: Command): Promise<void> {
  const session = sessionOf(command);
  const { view } = await findOperation(session, id);
  session.print(view, () => screens.operationScreen(session.painter, view));
}

interface EventFlags {
  readonly limit: string;
  readonly severity?: 'info' | 'notice' | 'warning' | 'critical';
  readonly node?: string;
}

export async function events(flags: EventFlags, command: Command): Promise<void> {
  const session = sessionOf(command);
  const limit = Number(flags.limit);
  if (!Number.isInteger(limit) || limit < 1 || limit > 500)
    throw new OperationError('INVALID_ARGUMENT', `--limit "${flags.limit}": write a number from 1 to 500`);
  const list = await newestEvents(session.cluster, limit, { severity: flags.severity, node: flags.node });
  session.print(list.events, () => eventLines(session, list).join('\n') || 'There is no event.');
}

export async function followEvents(flags: EventFlags, command: Command): Promise<void> {
  const session = sessionOf(command);
  const follower = new EventFollower(session.cluster, { severity: flags.severity, node: flags.node });
  for (;;) {
    const news = await follower.next();
    if (session.flags.output === 'json') for (const event of news.events) process.stdout.write(`${JSON.stringify(event)}\n`);
    else {
      for (const { node, why } of news.lost) process.stderr.write(`${node} does not answer: ${why}\n`);
      for (const node of news.found) process.stderr.write(`${node} answers again\n`);
      for (const line of eventLines(session, news)) process.stdout.write(`${line}\n`);
    }
    await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
  }
}

function eventLines(session: Session, { events: list, gaps }: Pick<EventList, 'events' | 'gaps'>): string[] {
  return [
    ...gaps.map((node) => `${session.painter.mark('unknown')} ${node} has dropped events that were not seen`),
    ...list.map((event) => screens.eventLine(session.painter, event.node, event)),
  ];
}

/** The operation, and the client node that drives it. An id may be shortened, as long as it is clear. */
export async function findOperation(session: Session, id: string) {
  const observation = await session.observe();
  const answers = await Promise.all(
    observation.clients
      .filter(({ status: heard }) => heard !== null)
      .map(async ({ node }) => ({ node, list: await ask(node, (admin) => admin.operation.list.query({ limit: 200 })) })),
  );
  const found = answers.flatMap(({ node, list }) => list.filter((each) => each.id.startsWith(id)).map((view) => ({ node, view })));
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  throw found.length === 0
    ? new OperationError('NOT_FOUND', `no client node that answers has an operation ${id} among its last 200`)
    : new OperationError('INVALID_ARGUMENT', `${id} begins the ids of ${found.length} operations: write more of it`);
}

export function contexts(_flags: object, command: Command): void {
  const { output } = command.optsWithGlobals<GlobalFlags>();
  const known = readContexts();
  const lines = Object.entries(known.contexts).map(([name, file]) => `${name === known.current ? '*' : ' '} ${name}  ${file}`);
  process.stdout.write(output === 'json' ? `${JSON.stringify(known, null, 2)}\n` : `${lines.join('\n') || 'There is no context yet.'}\n`);
}
