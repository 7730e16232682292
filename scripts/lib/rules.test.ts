import { expect, test } from 'vitest';
import { RULES_DOCUMENT, ruleComplaints } from './rules.mjs';

const DOCUMENT = ['# Rules', '#### W1: overlap', 'By W1 …', '| I1 | **Durable.** | |', '| ◆2 | W1 | a step |'].join('\n');
const CITED = ['libs/rmr/src/a.ts', '// W1, and I1 by ◆2'] as const;

function complaints(document: string, ...files: (readonly [path: string, text: string])[]): string[] {
  return ruleComplaints(document, new Map(files)).map(({ where, message }) => `${where} ${message}`);
}

test('rules that are defined by a heading or a row, and cited, are accepted', () => {
  expect(complaints(DOCUMENT, CITED)).toEqual([]);
});

test.each([
  ['in a comment', 'libs/rmr/src/b.ts', '\n/** Kept here: W2. */', 2, 'W2'],
  ['in an assertion', 'apps/x/src/b.ts', "assert(x, 'V9: no');", 1, 'V9'],
  ['in the title of a test', 'tools/sim/src/b.test.ts', "test('W1, L12: …')", 1, 'L12'],
  ['in a range', 'libs/rmr/src/b.ts', '// W1–W3', 1, 'W3'],
  ['as a step mark', 'libs/rmr/src/b.tsx', '// W1 (◆3)', 1, '◆3'],
  ['as the mark of a mutant', 'tools/sim/src/mutants/b.ts', '{\n  mark: 7,\n}', 2, '◆7'],
])('a rule is found that is cited %s and not defined', (_how, path, text, line, name) => {
  expect(complaints(DOCUMENT, CITED, [path, text])).toEqual([`${path}:${line} cites ${name}, which ${RULES_DOCUMENT} does not define`]);
});

test.each([
  ['a longer word', 'libs/rmr/src/b.ts', "const W3C = 'IW5', V100, $R7, x.C4, L4.tail;"],
  ['another letter', 'libs/rmr/src/b.ts', '// S3, X5'],
  ['a number of something else', 'libs/rmr/src/b.ts', '  mark: 7,'],
  ['text that is no code', 'docs/b.md', 'by W77'],
  ['code of the scripts', 'scripts/b.mjs', '// W77'],
])('%s is no citation', (_name, path, text) => {
  expect(complaints(DOCUMENT, CITED, [path, text])).toEqual([]);
});

test('a rule is found that is defined and not cited; that the document itself speaks of it is not enough', () => {
  expect(complaints(`${DOCUMENT}\n#### W4: dirty chunks\n|W5| no row |\nW6: no heading\n`, CITED)).toEqual([
    `${RULES_DOCUMENT}:6 defines W4, which no code cites`,
  ]);
});

test('a rule that is defined twice is found', () => {
  expect(complaints(`${DOCUMENT}\n## I1: once more`, CITED)).toEqual([`${RULES_DOCUMENT}:6 I1 is defined twice`]);
});
