/** Volumes: what they are, and how they come and go. */
import type { ForcePlan } from '@rmr/admin-api';
import {
  ask,
  type CreatePlan,
  chooseClient,
  findVolume,
  needVolume,
  planCreate,
  planDelete,
  planMap,
  planQuorum,
  planTakeover,
  planUnmap,
  serverOf,
  type VolumePicture,
  volumesOf,
} from '@rmr/cluster-view';
import { formatSize, OperationError, parseSize } from '@rmr/runtime';
import { type Command, Option } from 'commander';
import { volumeColumns } from '../columns.ts';
import { addListFlags, type ListFlags, listText, selectRows } from '../lists.ts';
import type { Painter } from '../painter.ts';
import { type Session, wholeNumber } from '../session.ts';
import { copiesText } from '../status-screen.ts';
import type { Surroundings } from '../surroundings.ts';
import { operationScreen, volumeScreen } from '../volume-screen.ts';
import { sizeText } from '../words.ts';
import { carryOut, checkLines, does, noun, type OrderFlags, order, printPlan, verb } from './verbs.ts';

/** How long a forced start may take to be recorded, in milliseconds. */
const FORCE_MS = 60_000;
const BLOCK_BYTES = 4096;

export function addVolume(program: Command, world: Surroundings): void {
  const volume = noun(program, 'volume', 'Volumes: replicated block devices.');
  const list = addListFlags(
    verb(volume, {
      usage: 'list',
      description: 'Every volume, and how it is.',
      example: 'volume list --filter state=degraded --sort -size',
    }),
    volumeColumns(0),
  );
  does(world, list, (session, flags: ListFlags) =>
    session.show(flags.watch === true, { disks: true }, (observation) => {
      const columns = volumeColumns(Date.parse(observation.at));
      const rows = selectRows(volumesOf(observation), columns, flags);
      const empty =
        (flags.filter ?? []).length > 0
          ? 'No volume fits.'
          : 'There is no volume yet. Make one: rmrctl volume create NAME --size 10GiB --replicas 2';
      return { data: rows, text: (painter) => listText(painter, rows, columns, session.flags.uuids === true, empty) };
    }),
  );
  const show = verb(volume, {
    usage: 'show [volume]',
    description: 'One volume: its members, its clients, what it waits for.',
    example: 'volume show web-01',
  }).option('--watch', 'paint it again and again, until Ctrl-C');
  does(world, show, async (session, flags: { watch?: true }, wanted?: string) => {
    const name = wanted ?? (await session.volume(await session.observe(), wanted)).uuid;
    await session.show(flags.watch === true, { disks: true }, (observation) => {
      const found = needVolume(observation, name);
      const nowMs = Date.parse(observation.at);
      return { data: found, text: (painter) => volumeScreen(painter, found, { uuids: session.flags.uuids === true, nowMs }) };
    });
  });
  addCreate(volume, world);
  addDelete(volume, world);
  addMapping(volume, world);
  addTakeover(volume, world);
  addQuorum(volume, world);
  addForce(volume, world);
}

interface CreateFlags extends OrderFlags {
  readonly size: string;
  readonly replicas?: string;
  readonly disk?: readonly string[];
  readonly quorum: 'none' | 'majority';
  readonly witness?: string;
  readonly client?: string;
}

const REPLICAS_DEFAULT = 2;

function addCreate(volume: Command, world: Surroundings): void {
  const create = order(volume, {
    ...{
      usage: 'create <name>',
      description: 'Makes a volume, and serves it over NBD.',
      example: 'volume create web-01 --size 100GiB --replicas 2',
    },
  })
    .requiredOption('--size <size>', 'size of the device, such as 100GiB')
    .option('--replicas <number>', `copies of the data, each on another host (default: ${REPLICAS_DEFAULT}, or the number of disks)`)
    .option('--disk <node/disk...>', 'the disks to use, in place of those with most free space')
    .addOption(
      new Option('--quorum <quorum>', 'majority: IO waits unless most members are there').choices(['none', 'majority']).default('none'),
    )
    .option('--witness <node/disk>', 'a member without data that votes, for a quorum with two copies')
    .option('--client <node>', 'the client node that serves it (default: the one with the fewest volumes)');
  does(world, create, async (session, flags: CreateFlags, name: string) => {
    const sizeBytes = sizeOf(flags.size);
    const replicas =
      flags.replicas === undefined ? (flags.disk?.length ?? REPLICAS_DEFAULT) : wholeNumber('--replicas', flags.replicas, 1, 8);
    const { disk: disks, quorum, witness, client } = flags;
    const plan = planCreate(await session.observe(true), { name, sizeBytes, replicas, disks, quorum, witness, client });
    if (flags.dryRun === true) {
      const data = { name, sizeBytes, members: plan.members, witness: plan.witness, servedBy: plan.node.name };
      return printPlan(session, plan, (painter) => planLines(painter, name, sizeBytes, plan), data);
    }
    const operation = await carryOut(session, plan, flags);
    const now = findVolume(await session.observe(true), name);
    session.print({
      data: { ...(now ?? { name }), operation },
      text: (painter) => (flags.wait && now !== null ? readyText(painter, now) : operationScreen(painter, operation, world.now())),
    });
  });
}

function planLines(painter: Painter, name: string, sizeBytes: number, { members, witness, node }: CreatePlan): readonly string[] {
  const rows = [
    ...members.map((place, index) => [`member ${index + 1}`, place] as const),
    ...(witness === null ? [] : [['witness', witness] as const]),
  ];
  const places = Math.max(...rows.map(([, place]) => place.node.length + place.disk.length + 1));
  const labels = Math.max('served by'.length, ...rows.map(([label]) => label.length));
  return [
    `Would create ${painter.name(name)}: ${formatSize(sizeBytes)}, ${copiesText(members.length)}.`,
    ...rows.map(([label, place]) => {
      const head = `  ${label.padEnd(labels)}  ${`${place.node}/${place.disk}`.padEnd(places)}  `;
      return painter.lines(head, `free ${sizeText(place.freeBytes)} of ${sizeText(place.capacityBytes)}`);
    }),
    `  ${'served by'.padEnd(labels)}  ${node.name}`,
  ];
}

/** How a volume is used, once it is served. */
function readyText(painter: Painter, { name, nbdUri }: VolumePicture): string {
  if (nbdUri === null) return `${painter.mark('good')} ${painter.name(name)} is ready.`;
  const lines = [`${painter.name(name)} is ready:  ${nbdUri}`, `  try   nbdinfo ${nbdUri.includes('?') ? `'${nbdUri}'` : nbdUri}`];
  const { protocol, hostname, port } = new URL(nbdUri.replace(/^nbd:/, 'http:'));
  if (protocol === 'http:')
    lines.push(
      `  QEMU  -drive driver=nbd,server.type=inet,server.host=${hostname},server.port=${port || '10809'},export=${name},reconnect-delay=600`,
    );
  return lines.join('\n');
}

function sizeOf(text: string): number {
  const bytes = parseSize(text);
  if (bytes % BLOCK_BYTES === 0) return bytes;
  throw new OperationError('INVALID_ARGUMENT', `--size "${text}": the size is a multiple of 4,096 bytes`);
}

/** The former name of --even-if-connected. Programs may still say it. */
const FORCE = (): Option => new Option('--force').hideHelp();

interface DeleteFlags extends OrderFlags {
  readonly yes?: true;
  readonly evenIfConnected?: true;
  readonly force?: true;
}

function addDelete(volume: Command, world: Surroundings): void {
  const remove = order(volume, {
    usage: 'delete [volume]',
    description: 'Destroys a volume and all of its stores.',
    example: 'volume delete web-01',
  })
    .option('--yes', 'do not ask for the name')
    .option('--even-if-connected', 'although NBD clients use it: they are cut off');
  remove.addOption(FORCE());
  does(world, remove, async (session, flags: DeleteFlags, wanted?: string) => {
    const observation = await session.observe(true);
    const found = await session.volume(observation, wanted);
    const plan = planDelete(observation, found, (flags.evenIfConnected ?? flags.force) === true);
    const lines = (painter: Painter): readonly string[] => [
      `${flags.dryRun === true ? 'Would delete' : 'Delete'} ${painter.name(found.name)}: ${sizeText(found.sizeBytes)}, ${copiesText(found.members.length)}.`,
      ...found.members.map(({ memberId, node, disk }) => `  member ${memberId}  ${node}${disk === null ? '' : `/${disk}`}`),
    ];
    if (flags.dryRun === true) return printPlan(session, plan, lines, { name: found.name });
    if (flags.yes !== true) session.say([...lines(session.aside), ...checkLines(session.aside, plan)].join('\n'));
    await session.confirm(found.name, flags.yes, `the deletion of ${found.name}`);
    const operation = await carryOut(session, plan, flags);
    session.print({
      data: operation,
      text: (painter) => `${painter.mark('good')} ${painter.name(found.name)} is ${flags.wait ? 'deleted' : 'being deleted'}.`,
    });
  });
}

function addMapping(volume: Command, world: Surroundings): void {
  const map = order(volume, {
    usage: 'map [volume]',
    description: 'Serves a volume that no client node maps.',
    example: 'volume map web-01 --client client-2',
  })
    .option('--client <node>', 'the client node that serves it (default: the one with the fewest volumes)')
    .option('--read-only', 'refuse requests that change data');
  does(world, map, async (session, flags: OrderFlags & { client?: string; readOnly?: true }, wanted?: string) => {
    const observation = await session.observe();
    if (flags.client !== undefined) chooseClient(observation, flags.client);
    const found = await session.volume(observation, wanted);
    const plan = planMap(observation, found, { client: flags.client, readOnly: flags.readOnly === true });
    if (flags.dryRun === true)
      return printPlan(session, plan, (painter) => [`Would map ${painter.name(found.name)} on ${plan.node.name}.`], { name: found.name });
    const operation = await carryOut(session, plan, flags);
    const now = findVolume(await session.observe(true), found.uuid);
    session.print({
      data: { ...(now ?? found), operation },
      text: (painter) => (flags.wait && now !== null ? readyText(painter, now) : operationScreen(painter, operation, world.now())),
    });
  });
  const unmap = order(volume, {
    usage: 'unmap [volume]',
    description: 'Takes a volume out of service. Its data stays.',
    example: 'volume unmap web-01',
  })
    .option('--client <node>', 'the client node that is to map it no more (default: the one that serves it)')
    .option('--even-if-connected', 'although NBD clients use it: they are cut off');
  unmap.addOption(FORCE());
  does(world, unmap, async (session, flags: OrderFlags & { client?: string; evenIfConnected?: true; force?: true }, wanted?: string) => {
    const observation = await session.observe();
    const found = await session.volume(observation, wanted);
    const plan = planUnmap(observation, found, (flags.evenIfConnected ?? flags.force) === true, flags.client);
    const isServer = plan.node.name === found.servedBy;
    if (flags.dryRun === true)
      return printPlan(
        session,
        plan,
        (painter) => [
          isServer
            ? `Would take ${painter.name(found.name)} out of service on ${plan.node.name}. Its data stays.`
            : `Would unmap ${painter.name(found.name)} on ${plan.node.name}, which stands by. ${found.servedBy ?? 'Nobody'} goes on serving it.`,
        ],
        { name: found.name },
      );
    const operation = await carryOut(session, plan, flags);
    const done = `is ${flags.wait ? 'out of service' : 'being taken out of service'}. Its data stays.`;
    session.print({
      data: operation,
      text: (painter) =>
        isServer
          ? `${painter.mark('good')} ${painter.name(found.name)} ${done} To serve it again: rmrctl volume map ${found.name}`
          : `${painter.mark('good')} ${plan.node.name} does not stand by for ${painter.name(found.name)} any more.`,
    });
  });
}

interface TakeoverFlags extends OrderFlags {
  readonly client?: string;
  readonly evenIfConnected?: true;
  readonly force?: true;
  readonly yes?: true;
}

function addTakeover(volume: Command, world: Surroundings): void {
  const takeover = order(volume, {
    usage: 'takeover [volume]',
    description: 'Serves a volume on another client node. The one that serves it is asked for it, and ends in order.',
    example: 'volume takeover web-01 --client client-2',
  })
    .option('--client <node>', 'the client node that serves it from then on (default: another one with the fewest volumes)')
    .option('--even-if-connected', 'although NBD clients use it: they are cut off')
    .option('--force', 'do not ask the client node that serves it: what is in flight there fails')
    .option('--yes', 'with --force: do not ask for the name');
  does(world, takeover, async (session, flags: TakeoverFlags, wanted?: string) => {
    const observation = await session.observe();
    if (flags.client !== undefined) chooseClient(observation, flags.client);
    const found = await session.volume(observation, wanted);
    const force = flags.force === true;
    const plan = planTakeover(observation, found, { client: flags.client, evenIfConnected: flags.evenIfConnected === true, force });
    const how = force ? 'by force from' : 'from';
    const lines = (painter: Painter): readonly string[] => [
      `${flags.dryRun === true ? 'Would take' : 'Take'} ${painter.name(found.name)} over ${how} ${plan.from}, to be served by ${plan.node.name}.`,
    ];
    if (flags.dryRun === true) return printPlan(session, plan, lines, { name: found.name, from: plan.from, force });
    if (force) {
      if (flags.yes !== true) session.say([...lines(session.aside), ...checkLines(session.aside, plan)].join('\n'));
      await session.confirm(found.name, flags.yes, `the takeover of ${found.name} by force`);
    }
    const operation = await carryOut(session, plan, flags);
    const now = findVolume(await session.observe(true), found.uuid);
    session.print({
      data: { ...(now ?? found), operation },
      text: (painter) => (flags.wait && now !== null ? readyText(painter, now) : operationScreen(painter, operation, world.now())),
    });
  });
}

function addQuorum(volume: Command, world: Surroundings): void {
  const quorum = order(volume, {
    usage: 'quorum <volume> <quorum>',
    description: 'Changes with how many members a volume is served: with any (none), or with most of them (majority).',
    example: 'volume quorum web-01 majority',
  });
  does(world, quorum, async (session, flags: OrderFlags, wanted: string, word: string) => {
    if (word !== 'none' && word !== 'majority')
      throw new OperationError('INVALID_ARGUMENT', `"${word}" is no quorum: write none or majority`);
    const observation = await session.observe();
    const found = await session.volume(observation, wanted);
    const plan = planQuorum(observation, found, word);
    if (flags.dryRun === true)
      return printPlan(session, plan, (painter) => [`Would set the quorum of ${painter.name(found.name)} to ${word}.`], {
        name: found.name,
        quorum: word,
      });
    const operation = await carryOut(session, plan, flags);
    session.print({
      data: operation,
      text: (painter) =>
        flags.wait
          ? `${painter.mark('good')} The quorum of ${painter.name(found.name)} is ${word}.`
          : operationScreen(painter, operation, world.now()),
    });
  });
}

function addForce(volume: Command, world: Surroundings): void {
  const force = verb(volume, {
    usage: 'force [volume]',
    description:
      'Serves a volume with the members that are there, when nothing else helps. Without --yes-lose it shows what would be lost, and changes nothing.',
    example: 'volume force web-01',
  }).option(
    '--yes-lose <members>',
    'do it, and leave these members behind, as the plan names them, such as 2,3; none: leaves nobody behind',
  );
  does(world, force, async (session, flags: { yesLose?: string }, wanted?: string) => {
    const observation = await session.observe();
    const found = await session.volume(observation, wanted);
    const node = serverOf(observation, found);
    if (flags.yesLose === undefined)
      return showForcePlan(session, found, await ask(node, (admin) => admin.pool.forcePlan.query({ pool: found.uuid })));
    const leftBehind = flags.yesLose === 'none' ? [] : flags.yesLose.split(',').map((text) => wholeNumber('--yes-lose', text, 1, 255));
    await ask(node, (admin) => admin.pool.force.mutate({ pool: found.uuid, leftBehind }), FORCE_MS);
    session.print({
      data: { forced: true, volume: found.name, leftBehind },
      text: (painter) =>
        `${painter.mark('good')} ${painter.name(found.name)} is served with the members that are there: rmrctl volume show ${found.name}`,
    });
  });
}

function showForcePlan(session: Session, { name }: VolumePicture, plan: ForcePlan): void {
  const { refusal, members, leftBehind, sentence } = plan;
  const row = (painter: Painter, what: string, member: ForcePlan['members'][number]): string => {
    const missing = member.missingBytes === null ? 'how much it misses is not known' : `misses ${sizeText(member.missingBytes)}`;
    const facts = [`version ${member.version ?? '?'}`, missing, member.note].filter((fact) => fact !== '').join(', ');
    return painter.lines(`  ${what}  member ${member.memberId} (${member.name})  `, facts, 4);
  };
  const lose = leftBehind.map(({ memberId }) => memberId).join(',') || 'none';
  session.print({
    data: plan,
    text: (painter) =>
      [
        painter.lines(`${painter.mark('degraded')} `, sentence),
        ...members.map((member) => row(painter, 'serves  ', member)),
        ...leftBehind.map((member) => row(painter, 'is left ', member)),
        ...(refusal === null ? [] : [painter.lines(`${painter.mark('down')} `, `It can't be forced: ${refusal}.`)]),
        'Nothing has been changed.',
        ...(refusal === null ? [`To do it: rmrctl volume force ${name} --yes-lose ${lose}`] : []),
      ].join('\n'),
  });
}
