import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { OperationView } from '@rmr/admin-api';
import { GIB } from '@rmr/runtime';
import { newDisk, newMember, newVolume } from '@rmr/simulated-daemons';
import { expect, test, vi } from 'vitest';
import { parse } from 'yaml';
import { Painter } from './painter.ts';
import { lineOf } from './progress.ts';
import { exampleStage, NOW_MS, runLine, type Stage, stage } from './testing-screen.ts';

/** `web` with two members, on three storage nodes with two disks each. */
async function webStage(): Promise<Stage> {
  const disks = () => [newDisk('disk-1'), newDisk('disk-2')];
  const built = await stage({
    storage: { 'storage-1': disks(), 'storage-2': disks(), 'storage-3': disks() },
    clients: ['client-1', 'client-2'],
  });
  built.simulated.state.volumes.push(
    newVolume(1, 'web', 'client-1', [newMember(1, 'storage-1', 'disk-1'), newMember(2, 'storage-2', 'disk-1')]),
  );
  return built;
}

interface Volume {
  readonly members: readonly { readonly memberId: number; readonly node: string; readonly disk: string }[];
  readonly operation: { readonly id: string; readonly state: string };
}

const places = ({ members }: Volume): readonly string[] => members.map(({ memberId, node, disk }) => `${memberId} ${node}/${disk}`);

test('status ends with 0, 20 and 21, and with that of UNAVAILABLE when nobody answers', async () => {
  const { simulated, type, json } = await webStage();
  const [volume] = simulated.state.volumes;
  expect((await type('status')).code).toBe(0);
  expect(await json('status')).toMatchObject({
    cluster: 'simulated',
    level: 'healthy',
    volumes: [{ name: 'web' }],
    counts: { healthy: 1 },
    at: new Date(NOW_MS).toISOString(),
  });
  Object.assign(volume?.members[0] as object, { dirtyBytes: 4096 });
  expect((await type('status')).code).toBe(20);
  Object.assign(volume as object, { state: 'WAITING' });
  expect((await type('status --output json')).code).toBe(21);
  await simulated.stop();
  expect(await type('status')).toMatchObject({ code: 8, stdout: expect.stringMatching(/^\? Not known\. None of the 5 nodes answers/) });
});

test('what other programs rely on: a volume through its life, as one JSON document for each command', async () => {
  const { json, type } = await webStage();
  const created = await json<Volume>('volume create db --size 64MiB --replicas 2 --disk storage-1/disk-2 storage-3/disk-1 --wait');
  expect(created).toMatchObject({
    name: 'db',
    sizeBytes: 64 * 1024 ** 2,
    nbdUri: 'nbd://client-2:10809/db',
    operation: { state: 'SUCCEEDED' },
  });
  expect(places(created)).toEqual(['1 storage-1/disk-2', '2 storage-3/disk-1']);
  const shown = await json<Volume>('volume show db');
  expect(shown.members[0]).toMatchObject({
    memberId: 1,
    node: 'storage-1',
    disk: 'disk-2',
    store: expect.any(String),
    state: 'NORMAL',
    inSync: true,
    dirtyBytes: 0,
  });
  expect(places(await json('member add db --disk storage-2/disk-1'))).toEqual([
    '1 storage-1/disk-2',
    '2 storage-3/disk-1',
    '3 storage-2/disk-1',
  ]);
  expect(places(await json('member replace db 2 --disk storage-3/disk-2 --yes --wait'))[1]).toBe('2 storage-3/disk-2');
  expect(await json('member maintenance on db 1')).toMatchObject({ members: [{ maintenance: true }, {}, {}] });
  expect(await json('member maintenance off db 1')).toMatchObject({ members: [{ maintenance: false, inSync: true }, {}, {}] });
  expect(places(await json('member remove db 3 --yes'))).toHaveLength(2);
  expect(await json('volume quorum db majority')).toMatchObject({ kind: 'set-quorum', state: 'SUCCEEDED' });
  expect(await json('resync pause db')).toEqual({ volume: 'db', paused: true });
  expect(await json('resync resume db')).toEqual({ volume: 'db', paused: false });
  expect(await json('resync limit db 50MiB')).toEqual({ volume: 'db', limitBytesPerSecond: 50 * 1024 * 1024 });
  expect(await json('resync limit db none')).toEqual({ volume: 'db', limitBytesPerSecond: null });
  expect(await json('resync anew db 2 --yes')).toEqual({ volume: 'db', memberId: 2 });
  expect(await json('volume unmap db')).toMatchObject({ kind: 'volume-unmap', state: 'SUCCEEDED' });
  expect(await json('volume map db --client client-1')).toMatchObject({ servedBy: 'client-1' });
  expect(await json('volume takeover db')).toMatchObject({ servedBy: 'client-2', operation: { kind: 'volume-takeover' } });
  expect(await json('volume takeover db --client client-1 --force --yes')).toMatchObject({ servedBy: 'client-1' });
  const { operation } = await json<Volume>('member add db --disk storage-2/disk-2 --no-wait');
  expect(operation.state).toBe('QUEUED');
  expect(await json(`operation show ${operation.id}`)).toMatchObject({ id: operation.id });
  expect(await json(`operation wait ${operation.id} --timeout 60s`)).toMatchObject({ state: 'SUCCEEDED' });
  expect(await json('volume delete db --yes')).toMatchObject({ kind: 'volume-delete', state: 'SUCCEEDED' });
  expect(await type('volume show db --output json')).toMatchObject({ code: 4, stdout: '' });
  expect(await json('event list')).toEqual([]);
});

test('the order names what the person chose, and the node that carries it out', async () => {
  const { simulated, type } = await webStage();
  await type('member replace web 2 --disk storage-3/disk-2 --yes --give-up-last-copies');
  const place = { node: 'storage-3', addresses: ['tcp://storage-3:7000'], disk: 'disk-2' };
  expect(simulated.driver('client-1').orders).toMatchObject([{ order: 'store-replace', input: { memberId: 2, place, giveUp: true } }]);
  await type('volume force web --yes-lose 2');
  await type('resync anew web 1 --yes');
  expect(simulated.driver('client-1').orders.slice(1)).toMatchObject([
    { order: 'force', input: { leftBehind: [2] } },
    { order: 'copy-anew', input: { memberId: 1, giveUp: false } },
  ]);
});

test.each(['volume delete web', 'member remove web 2', 'member replace web 2 --disk storage-3/disk-1', 'resync anew web 2'])(
  '"%s" wants the name typed: a pipe is refused, another name is asked for again, the name carries it out',
  async (line) => {
    const { simulated, type } = await webStage();
    const { orders } = simulated.driver('client-1');
    expect(await type(line)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/--yes[\s\S]*Nothing has been changed/) });
    expect(orders).toEqual([]);
    const asked = 'Type the name of the volume to go on: web';
    expect(await type(line, { columns: 100, typed: { when: asked, text: '\u0003' } })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Nothing has been changed'),
    });
    expect(orders).toEqual([]);
    expect((await type(line, { columns: 100, typed: { when: asked, text: 'web\r' } })).code).toBe(0);
    expect(orders).toHaveLength(1);
  },
);

test('NBD clients are cut off only where that is said', async () => {
  const { simulated, type } = await webStage();
  simulated.state.volumes[0]?.peers.push('10.0.0.7:4000');
  expect(await type('volume delete web --yes')).toMatchObject({ code: 5, stderr: expect.stringContaining('1 NBD client uses web') });
  expect(await type('volume unmap web')).toMatchObject({ code: 5 });
  for (const flag of ['--even-if-connected', '--force']) expect((await type(`volume unmap web --dry-run ${flag}`)).code).toBe(0);
  expect((await type('volume delete web --yes --even-if-connected')).code).toBe(0);
});

test('a dry run says what would be done and changes nothing', async () => {
  const { simulated, type, json } = await webStage();
  for (const line of [
    ...[
      'volume create db --size 1GiB',
      'volume delete web',
      'volume unmap web',
      'member add web --disk storage-3/disk-1',
      'member remove web 2',
    ],
    ...['member replace web 2 --disk storage-2/disk-2', 'member maintenance on web 2', 'member maintenance off web 2'],
  ]) {
    expect(await type(`${line} --dry-run`)).toMatchObject({ code: 0, stdout: expect.stringMatching(/Nothing has been changed\.\n$/) });
    expect(await json(`${line} --dry-run`)).toMatchObject({ dryRun: true, checks: expect.any(Array) });
  }
  expect(simulated.driver('client-1').orders).toEqual([]);
  expect(simulated.driver('client-2').orders).toEqual([]);
});

test('a verb without its argument offers a choice on a terminal, and is an error in a pipe that names what there is', async () => {
  const { type } = await exampleStage();
  expect(await type('volume show')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('There are: analytics, ci-artifacts, mail-spool, orders-db'),
  });
  const chosen = await type('volume show', { columns: 100, typed: { when: 'Which volume?', text: '\u001b[B\r' } });
  expect(chosen).toMatchObject({ code: 0, stdout: expect.stringMatching(/^! ci-artifacts/) });
  expect(await type('member maintenance on orders-db')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('1 (storage-1), 2 (storage-2)'),
  });
});

test('an operation that fails ends with the code of its error, and one that waits too long goes on', async () => {
  const { simulated, type } = await webStage();
  const driver = simulated.driver('client-1');
  driver.failsWith = { code: 'NO_SPACE', sentence: 'disk-1 is full' };
  expect(await type('member add web --disk storage-3/disk-1')).toMatchObject({
    code: 9,
    stderr: '✗ Failed: member-add of web failed: disk-1 is full (NO_SPACE).\n',
  });
  driver.failsWith = { code: 'MADE_UP_LATER', sentence: 'of a newer daemon' };
  expect((await type('member add web --disk storage-3/disk-1')).code).toBe(9);
  driver.waitsFor = { what: 'storage-3 to answer', since: '2026-12-01T03:00:00.000Z', remedy: 'start it' };
  const late = await type('member add web --disk storage-3/disk-1 --timeout 1ms');
  expect(late).toMatchObject({
    code: 8,
    stderr: expect.stringMatching(
      /has not ended in time \(TIMEOUT\)\.\n {2}Follow it: rmrctl operation wait \S+\n {2}It goes on by itself\./,
    ),
  });
  const [newest] = driver.list({ target: null, unfinished: true, before: null, limit: 1 });
  const shown = await type(`operation wait ${newest?.id} --timeout 300ms`);
  expect(shown.stdout).toContain('⧗ 1/2 makes the store of the new member: waits for storage-3 to answer');
  expect(await type(`operation cancel ${newest?.id}`)).toMatchObject({ code: 0, stdout: expect.stringContaining('cancelled') });
  expect(await type(`operation wait ${newest?.id}`)).toMatchObject({
    code: 5,
    stderr: expect.stringContaining('was cancelled: an operator cancelled it'),
  });
});

test('lists are sorted and filtered for people and for programs alike', async () => {
  const { type, json } = await exampleStage();
  const names = async (flags: string) => (await json<{ name: string }[]>(`volume list ${flags}`)).map(({ name }) => name);
  expect(await names('--sort -size')).toEqual(['analytics', 'ci-artifacts', 'orders-db', 'mail-spool']);
  expect(await names('--filter state=degraded client=client-1')).toEqual(['mail-spool', 'orders-db']);
  expect(await names('--filter name=*-*')).toEqual(['ci-artifacts', 'mail-spool', 'orders-db']);
  expect((await type('disk list --filter state=down')).stdout).toMatch(/^There is no disk/);
  expect(await type('volume list --sort colour')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('there are: name, size, copies, state'),
  });
  expect(await type('volume list --filter name')).toMatchObject({ code: 2, stderr: expect.stringContaining('write KEY=VALUE') });
});

test('the same answer as YAML, in ASCII, with UUIDs', async () => {
  const { type, json } = await exampleStage();
  expect(parse((await type('volume list -o yaml')).stdout)).toEqual(await json('volume list'));
  const ascii = (await type('status --ascii')).stdout;
  expect([...ascii].every((char) => (char.codePointAt(0) ?? 0) < 128)).toBe(true);
  expect(ascii).toMatch(/^x ci-artifacts/m);
  expect((await type('status', { env: { LANG: 'C', LC_ALL: '' } })).stdout).toBe(ascii);
  expect((await type('volume list')).stdout).not.toContain('0000-4000');
  expect((await type('volume list --uuids')).stdout).toContain('00000001-0000-4000-8000-000000000001');
});

test('colour is on terminals alone, and NO_COLOR takes it away without changing a word', async () => {
  const { type } = await exampleStage();
  const plain = (await type('status', { columns: 100 })).stdout;
  const coloured = (await type('status', { columns: 100, env: { NO_COLOR: '', FORCE_COLOR: '1' } })).stdout;
  expect(plain).not.toContain('\u001b');
  expect(coloured).toContain('\u001b[');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are escape sequences
  expect(coloured.replace(/\u001b\[\d+m/g, '')).toBe(plain);
  expect((await type('status', { columns: 100, env: { NO_COLOR: '', TERM: 'dumb' } })).stdout).toBe(plain);
});

test('--watch paints the terminal until Ctrl-C, with the age of the picture, and what does not fit is cut at the end', async () => {
  const { type } = await exampleStage();
  const { code, stdout } = await type('status --watch', { columns: 100, interruptAt: 'VOLUMES 4' });
  expect(code).toBe(20);
  expect(stdout).toMatch(/\d+ s old; Ctrl-C ends it\n! Degraded\./);
  const low = await type('status --watch', { columns: 100, rows: 5, interruptAt: 'more lines' });
  expect(low.stdout).toMatch(/\d+ s old; Ctrl-C ends it\n! Degraded\.[^\n]*\n[^\n]*\n\d+ more lines?/);
});

test('--watch needs a terminal', async () => {
  const { type } = await webStage();
  expect(await type('status --watch')).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('--watch paints a terminal') });
  expect((await type('volume list --watch --output json', { columns: 100 })).code).toBe(2);
});

test('events of all nodes are one list, and a silent node is named beside it', async () => {
  const { simulated, type, json } = await webStage();
  const event = (number: number, second: string, sentence: string) => ({
    number,
    at: `2026-12-01T02:44:${second}.000Z`,
    kind: 'leg-lost',
    severity: 'warning' as const,
    target: '',
    sentence,
    fields: {},
  });
  simulated.node('storage-1').events.push(event(1, '07', 'the disk is slow'));
  simulated.node('client-1').events.push(event(1, '05', 'member 2 is out'));
  await simulated.node('client-2').stop();
  expect((await json<{ node: string }[]>('event list --severity warning')).map(({ node }) => node)).toEqual(['client-1', 'storage-1']);
  const { stdout, stderr } = await type('event list');
  expect(stdout).toContain('! 2026-12-01 02:44:05  client-1   warning   leg-lost  member 2 is out');
  expect(stderr).toMatch(/^\? client-2 {2}its events are not known/);
  expect((await type('event list --node nowhere')).code).toBe(4);
});

test('a cluster is found by flag, context, environment, context in use, folder, in this order', async () => {
  const { folder, simulated, type } = await webStage();
  const other = await exampleStage();
  const volumes = async (line: string, env: Record<string, string> = {}) => (await runLine(folder, line, { env })).stdout;
  expect(await volumes('volume list')).toContain('web');
  expect(await type(`context add prod ${join(other.folder, 'rmr.yaml')}`)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('is in use'),
  });
  expect(await volumes('volume list')).toContain('orders-db');
  expect(await type('context add here rmr.yaml')).toMatchObject({ code: 0 });
  expect(await volumes('volume list --context here')).toContain('web');
  expect(await volumes('volume list', { RMR_CLUSTER: 'rmr.yaml' })).toContain('web');
  expect(await volumes('volume list --cluster rmr.yaml')).toContain('web');
  await type('context use here');
  expect(await volumes('volume list')).toContain('web');
  expect((await type('context list')).stdout).toMatch(/^\* here/m);
  expect((await type('context use nowhere')).code).toBe(4);
  writeFileSync(join(folder, 'broken.yaml'), 'nodes: []\n');
  expect(await type('context add broken broken.yaml')).toMatchObject({ code: 2, stderr: expect.stringContaining('nodes is empty') });
  writeFileSync(join(folder, '.config/rmrctl/contexts.yaml'), 'contexts: 7\n');
  expect(await type('volume list')).toMatchObject({ code: 2, stderr: expect.stringContaining("can't be understood") });
  await simulated.stop();
});

test('without any cluster the ways to name one are told', async () => {
  const { folder } = await webStage();
  expect(await runLine(join(folder, '..'), 'status', { env: { XDG_CONFIG_HOME: folder } })).toMatchObject({
    code: 4,
    stderr: expect.stringMatching(/--cluster FILE[\s\S]*context add/),
  });
});

test('what is mistyped is told with what was meant, and ends with the code of INVALID_ARGUMENT', async () => {
  const { type } = await webStage();
  expect(await type('volume shwo web')).toMatchObject({ code: 2, stderr: expect.stringContaining('Did you mean show?') });
  for (const line of [
    'volume create x',
    'volume create x --size 1000',
    'volume create x --size big',
    'volume create x --size 1GiB --replicas 9',
    'member remove web two --yes',
    'status -o xml',
  ])
    expect([line, (await type(line)).code]).toEqual([line, 2]);
});

test('completion offers nouns, verbs, flags, choices, and names from the cluster', async () => {
  const { type } = await webStage();
  const offered = async (words: string) => (await type(`__complete -- ${words}`)).stdout.split('\n').filter((word) => word !== '');
  expect(await offered('vol')).toEqual(['volume']);
  expect(await offered('member ')).toEqual(['add', 'remove', 'replace', 'maintenance']);
  expect(await offered('status --out')).toEqual(['--output']);
  expect(await offered('status --output ')).toEqual(['table', 'json', 'yaml']);
  expect(await offered('completion f')).toEqual(['fish']);
  await vi.waitFor(async () => expect(await offered('volume show ')).toEqual(['web']), 30_000);
  await vi.waitFor(async () => expect(await offered('member remove web ')).toEqual(['1', '2']), 30_000);
  await vi.waitFor(
    async () => expect(await offered('member add web --disk storage-3/')).toEqual(['storage-3/disk-1', 'storage-3/disk-2']),
    30_000,
  );
  await vi.waitFor(async () => expect(await offered('disk show storage-1/')).toEqual(['storage-1/disk-1', 'storage-1/disk-2']), 30_000);
  expect(await offered('volume map web --client ')).toEqual(['client-1', 'client-2']);
  expect(await offered('volume show web ')).toEqual([]);
});

test('completion does not wait for a node that hangs, and fails with nothing on the screen', async () => {
  const { simulated, type, folder } = await webStage();
  const release = simulated.nodes.map((node) => node.hang());
  expect(await type('__complete -- volume show ')).toEqual({ code: 0, stdout: '', stderr: '' });
  for (const go of release) go();
  expect(await runLine(join(folder, '..'), '__complete -- volume show ')).toEqual({ code: 0, stdout: '', stderr: '' });
});

test('the scripts of all shells are printed without a cluster', async () => {
  const { folder } = await webStage();
  for (const shell of ['bash', 'zsh', 'fish'])
    expect((await runLine(join(folder, '..'), `completion ${shell}`)).stdout).toContain('rmrctl __complete -- ');
});

test('where too little space is left, each node says why', async () => {
  const { simulated, type } = await webStage();
  for (const disks of simulated.state.disks.values()) for (const disk of disks) disk.freeBytes = GIB;
  const { code, stderr } = await type('volume create big --size 1TiB');
  expect(code).toBe(9);
  expect(stderr).toMatch(/^✗ No space: 2 hosts with a disk for 1 TiB are needed, and 0 have one: storage-1: disk-1 has 1 GiB free/);
});

test('on a terminal an operation is painted in place, step by step, and the answer stays on standard output', async () => {
  const { type } = await webStage();
  const { stdout, stderr } = await type('member add web --disk storage-3/disk-1', { columns: 100, errorsToo: true });
  expect(stderr).toContain('Ctrl-C leaves it running: rmrctl operation wait ');
  expect(stderr).toContain('✓ makes the store of the new member');
  expect(stderr).toContain('✓ waits until the member has copied all');
  expect(stdout).toMatch(/^✓ web is served by all 3 members\./);
});

test.each([
  [100, '… resync  ████████████░░░░░░░░░░░░░░░░  42 %   431 GiB of 1 TiB   186 MiB/s   about 54 min'],
  [80, '… resync  ███████░░░░░░░░░░  42 %   431 GiB of 1 TiB   186 MiB/s   about 54 min'],
  [60, '… resync  42 %   431 GiB of 1 TiB   186 MiB/s   about 54 min'],
])('at %i columns the bar says share, bytes, rate and time left', (width, expected) => {
  const progress = { done: 431 * GIB, total: 1024 * GIB, unit: 'bytes' as const };
  const operation = { ...OPERATION, progress };
  const painter = new Painter({ width, ascii: false, colour: false });
  expect(lineOf(painter, { operation, silence: null }, { perSecond: 186 * 1024 ** 2 })).toBe(expected);
});

test('an operation says what it waits for, and that its daemon is away', () => {
  const painter = new Painter({ width: 100, ascii: false, colour: false });
  const waiting = { ...OPERATION, state: 'WAITING' as const, waitingFor: { what: 'storage-2', since: '2026-12-01T02:44:00.000Z' } };
  expect(lineOf(painter, { operation: waiting, silence: null }, null)).toBe('⧗ resync, waits for storage-2');
  expect(lineOf(painter, { operation: waiting, silence: 'refused' }, null)).toBe(
    '? resync: the daemon does not answer, and is asked again',
  );
});

const OPERATION: OperationView = {
  ...{ id: '7f3a0000-0000-4000-8000-000000000000', kind: 'store-replace', target: '', targetName: 'web', requestedBy: 'anna' },
  ...{ createdAt: '2026-12-01T02:44:00.000Z', state: 'RUNNING', step: 'resync', stepNumber: 1, steps: 2, progress: null },
  ...{ waitingFor: null, error: null, result: null, endedAt: null },
};
