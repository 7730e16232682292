// Whole screens, as an operator sees them. To accept what has changed: npx vitest run --root tools/rmrctl transcripts -u
import { expect, test } from 'vitest';
import { exampleStage, type ScreenOptions, type Stage } from './testing-screen.ts';

const PLACES: readonly (readonly [string, ScreenOptions])[] = [
  ['pipe', {}],
  ['100 columns', { columns: 100, errorsToo: true }],
  ['80 columns', { columns: 80, errorsToo: true }],
  ['60 columns', { columns: 60, errorsToo: true }],
];

/** The same command line in a pipe and on terminals of three widths. */
async function transcript({ type }: Stage, line: string): Promise<string> {
  const parts: string[] = [];
  for (const [where, options] of PLACES) {
    const { code, stdout, stderr } = await type(line, options);
    for (const text of [stdout, stderr].join('').split('\n')) {
      expect(text).toBe(text.trimEnd());
      if (options.columns !== undefined) expect(text.length).toBeLessThanOrEqual(options.columns);
    }
    parts.push(`# ${where}\n$ rmrctl ${line}\n${stdout}${stderr}$ echo $?\n${code}\n`);
  }
  return parts.join('\n');
}

test.each([
  ['status', 'status'],
  ['volume-list', 'volume list'],
  ['volume-show', 'volume show mail-spool'],
  ['volume-create-dry-run', 'volume create web-01 --size 100GiB --replicas 2 --dry-run'],
  ['member-replace-refused', 'member replace mail-spool 2 --disk storage-3/nvme2n1'],
  ['member-replace-dry-run', 'member replace ci-artifacts 2 --disk storage-2/nvme3n1 --dry-run'],
  ['volume-force', 'volume force mail-spool'],
  ['disk-list', 'disk list'],
  ['resync-show', 'resync show'],
  ['not-found', 'volume show nowhere'],
])('%s looks as it did', async (name, line) => {
  await expect(await transcript(await exampleStage(), line)).toMatchFileSnapshot(`transcripts/${name}.txt`);
});

test('a silent node hides nothing, and is told with since when', async () => {
  const built = await exampleStage();
  await built.simulated.node('storage-3').stop();
  await built.simulated.node('client-2').stop();
  await expect(await transcript(built, 'status')).toMatchFileSnapshot('transcripts/status-silent.txt');
  await expect(await transcript(built, 'volume list')).toMatchFileSnapshot('transcripts/volume-list-silent.txt');
});

test('an operation in a pipe is one line for each change', async () => {
  const { type } = await exampleStage();
  const { stdout, code } = await type('volume create web-01 --size 100GiB');
  await expect(`${stdout}${code}\n`).toMatchFileSnapshot('transcripts/volume-create-pipe.txt');
});
