import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { anchorsOf, fileComplaints, LINES_MAX, tidy } from './tidy.mjs';

let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'rmr-tidy-'));
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

function complaints(path: string, text: string): string[] {
  return fileComplaints(root, path, text).map(({ where, message }) => `${where} ${message}`);
}

// Put together from halves, so that this file itself stays tidy
const joined = (...parts: string[]) => parts.join('');

test.each([
  ['a mark of unfinished work', 'libs/rmr/src/a.ts', joined('// TO', 'DO later'), 'is unfinished'],
  ['a focused test', 'libs/rmr/src/a.test.ts', joined('test.on', "ly('x', () => {})"), 'runs this test alone'],
  ['a focused suite', 'libs/rmr/src/a.test.ts', joined('describe.concurrent.on', "ly('x', () => {})"), 'runs this test alone'],
  ['a skipped test', 'libs/rmr/src/a.test.ts', joined('it.sk', "ip('x', () => {})"), 'skips a test for good'],
  ['a test to be written', 'libs/rmr/src/a.test.ts', joined('test.to', "do('x')"), 'skips a test for good'],
  ['a skip without a reason', 'libs/rmr/src/a.test.ts', joined('context.sk', 'ip()'), 'without a reason'],
  ['unseeded random numbers in a core', 'libs/rmr/src/core/a.ts', 'const x = Math.random();', 'no seed repeats'],
  ['a random UUID in a core', 'libs/rmr/src/core/a.ts', 'const x = crypto.randomUUID();', 'no seed repeats'],
  ['a path of one machine', 'docs/a.md', joined('see /ro', 'ot/x.txt'), 'path of one machine'],
  ['a download address in the lock file', 'package-lock.json', '      "resolved": "https://registry.example/x.tgz",', 'download address'],
  ['a link to a file that is not there', 'docs/a.md', 'see [this](../missing.md#part)', 'is not there'],
  ['a link to a heading that is not there', 'docs/a.md', 'see [this](#part)', 'the heading #part of docs/a.md, which is not there'],
])('%s is found', (_name, path, line, message) => {
  expect(complaints(path, `first line\n${line}\n`)).toEqual([expect.stringMatching(new RegExp(`^${path}:2 .*${message}`))]);
});

test.each([
  ['a test that needs a tool', 'libs/rmr/src/a.test.ts', "test.skipIf(!has('nbdinfo'))('x', () => {})"],
  ['a stand-in with its reason', 'libs/rmr/src/a.test.ts', joined('test.sk', "ip('loop device (there is no losetup)', () => {})")],
  ['a skip that names its tool', 'libs/rmr/src/a.test.ts', "context.skip('needs nbdinfo')"],
  ['random numbers in an adapter', 'libs/rmr/src/node/a.ts', 'const x = Math.random();'],
  ['random numbers in a test', 'libs/rmr/src/a.test.ts', 'const x = Math.random();'],
  ['a link to the web', 'docs/a.md', 'see [this](https://example.org/missing.md)'],
  ['a link to a part of the same file', 'docs/a.md', '## Part\nsee [this](#part)'],
  ['a link in an example', 'docs/a.md', '```\n[this](missing.md)\n```'],
  ['a path of every machine', 'docs/a.md', 'see /proc/self/status'],
])('%s is accepted', (_name, path, line) => {
  expect(complaints(path, `${line}\n`)).toEqual([]);
});

test('a link to a file that is there is accepted', () => {
  mkdirSync(join(root, 'docs'), { recursive: true });
  writeFileSync(join(root, 'docs/b.md'), '# B\n## A `part`, and more');
  expect(complaints('docs/a.md', '[b](b.md#a-part-and-more) and [b](../docs/b.md)')).toEqual([]);
  expect(complaints('docs/a.md', '[b](b.md#part)')).toEqual(['docs/a.md:1 links to the heading #part of docs/b.md, which is not there']);
});

test('a semicolon in a diagram is found, and accepted elsewhere', () => {
  const text = '```mermaid\nsequenceDiagram\n  A->>B: this; that\n```\n```ts\na();\n```\nb; c\n';
  expect(complaints('docs/a.md', text)).toEqual(['docs/a.md:3 has a semicolon in a diagram']);
});

test('headings have the anchors that GitHub gives them', () => {
  const text = '# W1: overlap\n## How to …\n### `last_io`\n```\n# none\n```\n## [Läufe](x.md) ×2\n## How to …\n';
  expect([...anchorsOf(text)]).toEqual(['w1-overlap', 'how-to-', 'last_io', 'läufe-2', 'how-to--1']);
});

test('a file at the limit of lines is accepted, one beyond it is found', () => {
  expect(complaints('libs/rmr/src/a.ts', 'x\n'.repeat(LINES_MAX - 1))).toEqual([]);
  expect(complaints('libs/rmr/src/a.ts', 'x\n'.repeat(LINES_MAX))).toEqual([expect.stringContaining(`has ${LINES_MAX + 1} lines`)]);
});

test('a project without README, tsconfig, tags, scripts or with a loose version is found; ignored files are not read', () => {
  const checkout = mkdtempSync(join(root, 'checkout-'));
  execFileSync('git', ['init', '-q', checkout]);
  writeFileSync(join(checkout, 'package.json'), JSON.stringify({ workspaces: ['libs/*'] }));
  writeFileSync(join(checkout, '.gitignore'), 'dist/\n');
  mkdirSync(join(checkout, 'libs/x/dist'), { recursive: true });
  writeFileSync(join(checkout, 'libs/x/dist/a.ts'), joined('// TO', 'DO'));
  writeFileSync(join(checkout, 'libs/x/package.json'), JSON.stringify({ name: '@rmr/x', dependencies: { zod: '^4.0.0' } }));
  expect(tidy(checkout).complaints.map(({ message }) => message)).toEqual([
    '@rmr/x has no README.md',
    '@rmr/x has no tsconfig.json',
    '@rmr/x has no nx.tags',
    '@rmr/x has no script "lint"',
    '@rmr/x has no script "typecheck"',
    '@rmr/x has no script "test"',
    'zod is "^4.0.0": npm packages are pinned exactly, projects are "*"',
  ]);
});
