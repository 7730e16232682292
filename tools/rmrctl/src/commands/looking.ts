/** The verbs that only look: the state of the cluster, its nodes, disks, stores and events. */
import { EVENT_SEVERITIES, HEALTH_EXIT_CODES } from '@rmr/admin-api';
import {
  AdvisedError,
  disksOf,
  EventFollower,
  type EventPicture,
  findDisk,
  findVolume,
  newestEvents,
  nodesOf,
  overviewOf,
  storesOf,
  volumesOf,
} from '@rmr/cluster-view';
import { OPERATION_ERRORS } from '@rmr/runtime';
import { type Command, Option } from 'commander';
import { DISK_COLUMNS, EVENT_COLUMNS, NODE_COLUMNS, STORE_COLUMNS } from '../columns.ts';
import { addListFlags, type ListFlags, listText, selectRows } from '../lists.ts';
import { type Session, wholeNumber } from '../session.ts';
import { statusScreen } from '../status-screen.ts';
import type { Surroundings } from '../surroundings.ts';
import { diskScreen, nodeScreen } from '../volume-screen.ts';
import { does, noun, verb } from './verbs.ts';

/** How often `event follow` asks, in milliseconds. */
const FOLLOW_MS = 500;

export function addLooking(program: Command, world: Surroundings): void {
  const status = verb(program, {
    ...{ usage: 'status', description: 'Is my data safe, and what is to be done?', example: 'status' },
  }).option('--watch', 'paint it again and again, until Ctrl-C');
  does(world, status, (session, flags: { watch?: true }) =>
    session.show(flags.watch === true, { disks: true }, (observation) => {
      const volumes = volumesOf(observation);
      const overview = overviewOf(observation, volumes);
      const { level } = overview;
      return {
        data: { cluster: observation.cluster.name, at: observation.at, ...overview, volumes, counts: overview.volumes },
        text: (painter) => statusScreen(painter, observation, overview),
        exitCode: level === 'unknown' ? OPERATION_ERRORS.UNAVAILABLE.exit : HEALTH_EXIT_CODES[level],
      };
    }),
  );
  addNodes(program, world);
  addDisks(program, world);
  const store = noun(program, 'store', 'The stores: what holds the data of a member.');
  const list = addListFlags(
    verb(store, { usage: 'list', description: 'Every store, and where it is.', example: 'store list --filter volume=web-01' }),
    STORE_COLUMNS,
  );
  does(world, list, (session, flags: ListFlags) =>
    session.show(flags.watch === true, { disks: true }, (observation) => {
      const rows = selectRows(storesOf(observation), STORE_COLUMNS, flags);
      return { data: rows, text: (painter) => listText(painter, rows, STORE_COLUMNS, session.flags.uuids === true, 'There is no store.') };
    }),
  );
  addEvents(program, world);
}

function addNodes(program: Command, world: Surroundings): void {
  const node = noun(program, 'node', 'The daemons of the cluster.');
  const list = addListFlags(
    verb(node, { usage: 'list', description: 'Every daemon, and what it says of itself.', example: 'node list' }),
    NODE_COLUMNS,
  );
  does(world, list, (session, flags: ListFlags) =>
    session.show(flags.watch === true, { disks: false }, (observation) => {
      const rows = selectRows(nodesOf(observation), NODE_COLUMNS, flags);
      return { data: rows, text: (painter) => listText(painter, rows, NODE_COLUMNS, session.flags.uuids === true, 'No node fits.') };
    }),
  );
  const show = verb(node, {
    usage: 'show [node]',
    description: 'One daemon: its health, disks and stores.',
    example: 'node show storage-1',
  });
  does(world, show, async (session, _flags: object, wanted?: string) => {
    const observation = await session.observe(true);
    const nodes = nodesOf(observation);
    const name =
      wanted ??
      (await session.choose(
        'node',
        nodes.map((each) => ({ value: each.name, label: each.name, hint: each.role })),
      ));
    const found = nodes.find((each) => each.name === name);
    if (found === undefined)
      throw new AdvisedError(
        'NOT_FOUND',
        `there is no node ${name}; there are: ${nodes.map((each) => each.name).join(', ')}`,
        [],
        'nothing',
      );
    const stores = storesOf(observation).filter((each) => each.node === name);
    const disks = disksOf(observation).filter((each) => each.node === name);
    session.print({
      data: { ...found, disks, stores },
      text: (painter) => nodeScreen(painter, found, stores, disks, world.now()),
      exitCode: found.answers ? 0 : OPERATION_ERRORS.UNAVAILABLE.exit,
    });
  });
}

function addDisks(program: Command, world: Surroundings): void {
  const disk = noun(program, 'disk', 'The disks of storage nodes: places for stores.');
  const list = addListFlags(
    verb(disk, { usage: 'list', description: 'Every disk: size, free space, stores, use.', example: 'disk list --sort -free' }),
    DISK_COLUMNS,
  );
  does(world, list, (session, flags: ListFlags) =>
    session.show(flags.watch === true, { disks: true }, (observation) => {
      const rows = selectRows(disksOf(observation), DISK_COLUMNS, flags);
      const silent = observation.storage
        .filter(({ problem, disksProblem }) => problem !== null || disksProblem !== null)
        .map(({ node }) => node.name);
      return {
        data: rows,
        text: (painter) => {
          const table = listText(
            painter,
            rows,
            DISK_COLUMNS,
            session.flags.uuids === true,
            'There is no disk. Disks are named in the configuration of storage nodes.',
          );
          return [
            table,
            ...silent.map((name) => `${painter.mark('unknown')} ${name}  its disks are not known: rmrctl node show ${name}`),
          ].join('\n');
        },
      };
    }),
  );
  const show = verb(disk, { usage: 'show [node/disk]', description: 'One disk, and its stores.', example: 'disk show storage-1/disk-1' });
  does(world, show, async (session, _flags: object, wanted?: string) => {
    const observation = await session.observe(true);
    const names = disksOf(observation).map(({ node, name }) => `${node}/${name}`);
    const text =
      wanted ??
      (await session.choose(
        'disk',
        names.map((value) => ({ value, label: value })),
      ));
    const found = findDisk(observation, text);
    const picture = { node: found.node.node.name, ...found.disk };
    const stores = storesOf(observation).filter((store) => store.node === picture.node && store.disk === picture.name);
    session.print({ data: picture, text: (painter) => diskScreen(painter, picture, stores) });
  });
}

interface EventFlags extends ListFlags {
  readonly severity?: (typeof EVENT_SEVERITIES)[number];
  readonly node?: string;
  readonly volume?: string;
  readonly limit: string;
}

function addEvents(program: Command, world: Surroundings): void {
  const event = noun(program, 'event', 'What happened, on every node.');
  const filters = (command: Command): Command =>
    command
      .addOption(new Option('--severity <level>', 'only events of this severity, and graver ones').choices([...EVENT_SEVERITIES]))
      .option('--node <node>', 'only events of this node')
      .option('--volume <volume>', 'only events of this volume');
  const list = addListFlags(
    filters(
      verb(event, {
        usage: 'list',
        description: 'The newest events, the oldest of them first.',
        example: 'event list --severity warning --limit 20',
      }),
    ).option('--limit <number>', 'how many', '100'),
    EVENT_COLUMNS,
    false,
  );
  does(world, list, async (session, flags: EventFlags) => {
    const limit = wholeNumber('--limit', flags.limit, 1, 500);
    const { events, unheard } = await newestEvents(session.cluster, limit, await filterOf(session, flags));
    const rows = selectRows(events, EVENT_COLUMNS, flags);
    session.print({ data: rows, text: (painter) => listText(painter, rows, EVENT_COLUMNS, false, 'There is no event.') });
    for (const { node, why } of unheard) session.say(`${session.aside.mark('unknown')} ${node}  its events are not known: ${why}`);
  });
  const follow = filters(
    verb(event, {
      ...{
        usage: 'follow',
        description: 'Events as they come, until Ctrl-C. With --output json, one document a line.',
        example: 'event follow --severity warning',
      },
    }),
  );
  does(world, follow, async (session, flags: EventFlags) => {
    const follower = new EventFollower(session.cluster, await filterOf(session, flags));
    let stopped = false;
    const back = world.onInterrupt(() => {
      stopped = true;
    });
    while (!stopped) {
      const { events, gaps, lost, found } = await follower.next();
      for (const { node, why } of lost) session.say(`${session.aside.mark('unknown')} ${node} does not answer, and is asked again: ${why}`);
      for (const node of found) session.say(`${session.aside.mark('good')} ${node} answers again`);
      for (const node of gaps) session.say(`${session.aside.mark('degraded')} ${node} has dropped older events: some are missing here`);
      for (const each of events)
        world.stdout.write(`${session.flags.output === 'table' ? eventLine(session, each) : JSON.stringify(each)}\n`);
      await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
    }
    back();
  });
}

function eventLine({ painter }: Session, event: EventPicture): string {
  const [at, node] = EVENT_COLUMNS.map(({ text }) => text(event, painter));
  return painter.lines(`${at}  ${node}  `, event.sentence, 4);
}

async function filterOf(session: Session, { severity, node, volume }: EventFlags) {
  const names = session.cluster.nodes.map(({ name }) => name);
  if (node !== undefined && !names.includes(node))
    throw new AdvisedError('NOT_FOUND', `there is no node ${node}; there are: ${names.join(', ')}`, [], 'nothing');
  // A volume that is gone has events all the same, under its UUID.
  const target = volume === undefined ? null : (findVolume(await session.observe(), volume)?.uuid ?? volume);
  return { severity: severity ?? null, node, target };
}
