import { readFileSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { buildProgram } from './cli.ts';
import { exampleOf } from './commands/verbs.ts';
import { referenceOf } from './reference.ts';
import { processSurroundings } from './surroundings.ts';
import { exampleStage } from './testing-screen.ts';

const PATH = new URL('../../../docs/rmrctl.md', import.meta.url);
const BEGIN = '<!-- The commands: from the program. -->\n\n';
const END = '\n\n<!-- The end of the commands. -->';

const program = (): Command => buildProgram(processSurroundings());

function verbsOf(command: Command): readonly Command[] {
  const shown = command.commands.filter((each) => !each.name().startsWith('_'));
  return shown.length === 0 ? [command] : shown.flatMap(verbsOf);
}

test('docs/rmrctl.md has every command as the program has it; to update it: UPDATE_DOCS=1 npx vitest run --root tools/rmrctl reference', () => {
  const text = readFileSync(PATH, 'utf8');
  const from = text.indexOf(BEGIN) + BEGIN.length;
  const to = text.indexOf(END);
  expect(from).toBeGreaterThan(BEGIN.length);
  expect(to).toBeGreaterThanOrEqual(from);
  const reference = referenceOf(program());
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(PATH, text.slice(0, from) + reference + text.slice(to));
  else expect(text.slice(from, to)).toBe(reference);
});

test('every verb has a description, and an example in its help', () => {
  for (const verb of verbsOf(program())) {
    expect(verb.description(), verb.name()).not.toBe('');
    expect(exampleOf(verb), verb.name()).toMatch(/^\w/);
  }
});

/** What stands in the examples, and its like in the example cluster. */
const LIKE: Readonly<Record<string, string>> = {
  'web-01 3': 'orders-db 3',
  'web-01 2': 'orders-db 2',
  'storage-3/disk-1': 'storage-3/nvme3n1',
  'storage-2/disk-2': 'storage-2/nvme0n1',
  'storage-1/disk-1': 'storage-1/nvme0n1',
};

test('every example is understood by the program', async () => {
  const { folder, type } = await exampleStage();
  for (const verb of verbsOf(program())) {
    let line = exampleOf(verb) ?? '';
    // One follows for ever, and the shell has its part in the other.
    if (line.startsWith('event follow')) continue;
    line = line.replace(/ > .*/, '').replace('/etc/rmr/prod.yaml', `${folder}/rmr.yaml`);
    for (const [word, like] of Object.entries(LIKE)) line = line.replace(word, like);
    const { code, stderr } = await type(line);
    // Nothing is unknown to the command line: what is refused is refused for the state of this cluster, or for lack of a confirmation.
    expect(stderr, line).not.toMatch(/^error: /m);
    expect([0, 2, 4, 5, 8, 20], `${line}: ${stderr}`).toContain(code);
    if (code === 2) expect(stderr).toContain('has to be confirmed');
  }
});
