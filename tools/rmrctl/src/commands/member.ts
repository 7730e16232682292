/** The members of a volume, and their resync. */
import {
  ask,
  findVolume,
  needMember,
  needVolume,
  type Plan,
  planMaintenance,
  planMemberAdd,
  planMemberRemove,
  planMemberReplace,
  serverOf,
  type VolumePicture,
  volumesOf,
} from '@rmr/cluster-view';
import { parseSize } from '@rmr/runtime';
import type { Command } from 'commander';
import { RESYNC_COLUMNS } from '../columns.ts';
import { addListFlags, type ListFlags, listText, selectRows } from '../lists.ts';
import type { Painter } from '../painter.ts';
import type { Session } from '../session.ts';
import type { Surroundings } from '../surroundings.ts';
import { operationScreen, volumeScreen } from '../volume-screen.ts';
import { sizeText } from '../words.ts';
import { carryOut, checkLines, does, noun, type OrderFlags, order, printPlan, verb } from './verbs.ts';

/** How long pausing and copying anew may take to be recorded, in milliseconds. */
const RECORD_MS = 60_000;

interface DecidedFlags extends OrderFlags {
  readonly yes?: true;
  readonly giveUpLastCopies?: true;
}

const GIVE_UP = ['--give-up-last-copies', 'although this member alone has some of the data: that data is LOST'] as const;
const YES = ['--yes', 'do not ask for the name'] as const;

export function addMember(program: Command, world: Surroundings): void {
  const member = noun(program, 'member', 'The members of a volume: one copy of the data each.');
  const add = order(member, {
    usage: 'add [volume]',
    description: 'Adds a copy of the data.',
    example: 'member add web-01 --disk storage-3/disk-1',
  }).requiredOption('--disk <node/disk>', 'where the new copy is made');
  does(world, add, async (session, flags: OrderFlags & { disk: string }, wanted?: string) => {
    const observation = await session.observe(true);
    const volume = await session.volume(observation, wanted);
    const plan = planMemberAdd(observation, volume, flags.disk);
    const lines = (): readonly string[] => [
      `Would add a member of ${volume.name} on ${flags.disk}: ${sizeText(volume.sizeBytes)} to be copied. IO goes on.`,
    ];
    if (flags.dryRun === true) return printPlan(session, plan, lines, { volume: volume.name, place: plan.place });
    await carryOutFor(session, volume, plan, flags);
  });
  const remove = order(member, {
    usage: 'remove [volume] [member]',
    description: 'Removes a member and destroys its store.',
    example: 'member remove web-01 3',
  })
    .option(...YES)
    .option(...GIVE_UP);
  does(world, remove, async (session, flags: DecidedFlags, wanted?: string, id?: string) => {
    const observation = await session.observe(true);
    const volume = await session.volume(observation, wanted);
    const memberId = await session.memberId(volume, id);
    const { node, disk } = needMember(volume, memberId);
    const plan = planMemberRemove(observation, volume, memberId, flags.giveUpLastCopies === true);
    const where = disk === null ? node : `${node}, ${disk}`;
    await decide(session, volume, plan, flags, `Remove member ${memberId} of ${volume.name} (${where}). Its store is destroyed.`, {
      memberId,
    });
  });
  const replace = order(member, {
    usage: 'replace [volume] [member]',
    description: 'Replaces the store of a member by a new one on another disk. On another node, the member moves there.',
    example: 'member replace web-01 2 --disk storage-2/disk-2',
  });
  replace
    .requiredOption('--disk <node/disk>', 'where the new store is made')
    .option(...YES)
    .option(...GIVE_UP);
  does(world, replace, async (session, flags: DecidedFlags & { disk: string }, wanted?: string, id?: string) => {
    const observation = await session.observe(true);
    const volume = await session.volume(observation, wanted);
    const memberId = await session.memberId(volume, id);
    const plan = planMemberReplace(observation, volume, { memberId, disk: flags.disk, giveUp: flags.giveUpLastCopies === true });
    const { node, disk } = plan.member;
    const where = disk === null ? node : `${node}, ${disk}`;
    const what = `Replace the store of member ${memberId} of ${volume.name} (${where}) by one on ${flags.disk}. ${sizeText(volume.sizeBytes)} are copied. IO goes on. The old store is destroyed at the end if its disk can be written.`;
    await decide(session, volume, plan, flags, what, { memberId, place: plan.place });
  });
  const maintenance = noun(member, 'maintenance', 'Takes a member out of service on purpose, and lets it return.');
  for (const [word, on, description] of [
    ['on', true, 'The member leaves. What it misses is tracked.'],
    ['off', false, 'The member returns, and pulls what it missed.'],
  ] as const) {
    const turn = order(maintenance, { usage: `${word} [volume] [member]`, description, example: `member maintenance ${word} web-01 2` });
    does(world, turn, async (session, flags: OrderFlags, wanted?: string, id?: string) => {
      const observation = await session.observe(true);
      const volume = await session.volume(observation, wanted);
      const memberId = await session.memberId(volume, id);
      const plan = planMaintenance(observation, volume, memberId, on);
      const what = on
        ? `Would take member ${memberId} of ${volume.name} out of service.`
        : `Would let member ${memberId} of ${volume.name} return.`;
      if (flags.dryRun === true) return printPlan(session, plan, () => [what], { volume: volume.name, memberId, on });
      await carryOutFor(session, volume, plan, flags);
    });
  }
}

/** Shows what is to be decided, has it confirmed, and carries it out. */
async function decide(session: Session, volume: VolumePicture, plan: Plan, flags: DecidedFlags, what: string, data: object): Promise<void> {
  const lines = (painter: Painter): readonly string[] => [painter.lines('', what, 2)];
  if (flags.dryRun === true) return printPlan(session, plan, lines, { volume: volume.name, ...data });
  if (flags.yes !== true) session.say([...lines(session.aside), ...checkLines(session.aside, plan)].join('\n'));
  await session.confirm(volume.name, flags.yes, `a change of ${volume.name} that destroys a store`);
  await carryOutFor(session, volume, plan, flags);
}

/** Carries out a plan, and shows the volume as it is afterwards. */
async function carryOutFor(session: Session, { uuid }: VolumePicture, plan: Plan, flags: OrderFlags): Promise<void> {
  const operation = await carryOut(session, plan, flags);
  const now = findVolume(await session.observe(true), uuid);
  const nowMs = session.world.now();
  session.print({
    data: { ...now, operation },
    text: (painter) =>
      flags.wait && now !== null
        ? volumeScreen(painter, now, { uuids: session.flags.uuids === true, nowMs })
        : operationScreen(painter, operation, nowMs),
  });
}

export function addResync(program: Command, world: Surroundings): void {
  const resync = noun(program, 'resync', 'How members pull what they missed.');
  const show = addListFlags(
    verb(resync, { usage: 'show [volume]', description: 'What is left to be pulled, by member.', example: 'resync show' }),
    RESYNC_COLUMNS,
  );
  does(world, show, (session, flags: ListFlags, wanted?: string) =>
    session.show(flags.watch === true, { disks: false }, (observation) => {
      const volumes = wanted === undefined ? volumesOf(observation) : [needVolume(observation, wanted)];
      const all = volumes
        .filter(({ servedBy }) => servedBy !== null)
        .flatMap(({ name, members }) => members.map((member) => ({ volume: name, ...member })));
      const rows = selectRows(
        all.filter(({ dirtyBytes, inSync }) => !inSync || dirtyBytes !== 0),
        RESYNC_COLUMNS,
        flags,
      );
      const empty = `${everyMember(all.length)} in sync: nothing is to be pulled.`;
      return {
        data: volumes.map(({ name, uuid, members }) => ({ name, uuid, members })),
        text: (painter) => listText(painter, rows, RESYNC_COLUMNS, false, empty),
      };
    }),
  );
  for (const [word, paused, description] of [
    ['pause', true, 'Members of the volume pull nothing until it is resumed, except what IO waits for.'],
    ['resume', false, 'Members of the volume pull again.'],
  ] as const) {
    const set = verb(resync, { usage: `${word} [volume]`, description, example: `resync ${word} web-01` });
    does(world, set, async (session, _flags: object, wanted?: string) => {
      const observation = await session.observe();
      const volume = await session.volume(observation, wanted);
      await ask(serverOf(observation, volume), (admin) => admin.resync.pause.mutate({ pool: volume.uuid, paused }), RECORD_MS);
      const done = paused ? `is paused. To go on: rmrctl resync resume ${volume.name}` : 'goes on.';
      session.print({
        data: { volume: volume.name, paused },
        text: (painter) => `${painter.mark('good')} Resync of ${painter.name(volume.name)} ${done}`,
      });
    });
  }
  const limit = verb(resync, {
    usage: 'limit <volume> <rate>',
    description: 'Members of the volume pull no faster than this, each; none: as fast as the storage nodes allow.',
    example: 'resync limit web-01 50MiB',
  });
  does(world, limit, async (session, _flags: object, wanted: string, rate: string) => {
    const bytesPerSecond = rate === 'none' ? null : parseSize(rate.replace(/\/s$/, ''));
    const observation = await session.observe();
    const volume = await session.volume(observation, wanted);
    await ask(serverOf(observation, volume), (admin) => admin.resync.limit.mutate({ pool: volume.uuid, bytesPerSecond }), RECORD_MS);
    const done =
      bytesPerSecond === null ? 'has no limit of its own any more' : `is limited to ${sizeText(bytesPerSecond)}/s for each member`;
    session.print({
      data: { volume: volume.name, limitBytesPerSecond: bytesPerSecond },
      text: (painter) => `${painter.mark('good')} Resync of ${painter.name(volume.name)} ${done}.`,
    });
  });
  const anew = verb(resync, {
    usage: 'anew [volume] [member]',
    description: 'Copies all data of a member from the others: for a store that is not trusted.',
    example: 'resync anew web-01 2',
  });
  anew.option(...YES).option(...GIVE_UP);
  does(world, anew, async (session, flags: { yes?: true; giveUpLastCopies?: true }, wanted?: string, id?: string) => {
    const observation = await session.observe();
    const volume = await session.volume(observation, wanted);
    const memberId = await session.memberId(volume, id);
    needMember(volume, memberId);
    const node = serverOf(observation, volume);
    if (flags.yes !== true)
      session.say(
        `Copy all data of member ${memberId} of ${volume.name} anew, ${sizeText(volume.sizeBytes)}. What its store has counts as missed.`,
      );
    await session.confirm(volume.name, flags.yes, `that all data of member ${memberId} of ${volume.name} counts as missed`);
    const input = { pool: volume.uuid, memberId, giveUp: flags.giveUpLastCopies === true };
    await ask(node, (admin) => admin.pool.copyAnew.mutate(input), RECORD_MS);
    session.print({
      data: { volume: volume.name, memberId },
      text: (painter) =>
        `${painter.mark('good')} Member ${memberId} of ${painter.name(volume.name)} is copied anew: rmrctl resync show ${volume.name}`,
    });
  });
}

function everyMember(members: number): string {
  return members === 1 ? 'The one member is' : `All ${members} members are`;
}
