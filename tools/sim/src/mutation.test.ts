import { join } from 'node:path';
import { transformSync } from 'esbuild';
import { expect, test } from 'vitest';
import { edit, type Mutant, ruleOf } from './mutant.ts';
import { MUTANTS } from './mutants/index.ts';
import { applyEdit, applyEdits, selectMutants } from './mutation.ts';

const ROOT = join(import.meta.dirname, '../../..');

/** Marks of docs/protocol.md. */
const MARKS = 23;

test.each(MUTANTS)('mutant "$name" fits the code as it is, and changes it', ({ name, edits, settings = [] }) => {
  const before = applyEdits(settings, name, ROOT);
  const after = applyEdits([...settings, ...edits], name, ROOT);
  expect(edits.length).toBeGreaterThan(0);
  for (const { file } of edits) {
    expect(after.get(file)).not.toBe(before.get(file));
    // Private names that the code has outgrown are errors of syntax.
    transformSync(after.get(file) as string, { loader: 'ts' });
  }
});

test('every mark has a mutant, and no two mutants have the same name', () => {
  for (let mark = 1; mark <= MARKS; mark++) expect(selectMutants(MUTANTS, `◆${mark}`), `◆${mark}`).not.toHaveLength(0);
  expect(new Set(MUTANTS.map((mutant) => mutant.name)).size).toBe(MUTANTS.length);
});

test('a mutant that the code has outgrown is an error that names it', () => {
  const change = edit('x.ts', 'a', 'b');
  expect(() => applyEdit(change, 'outgrown', 'nothing here')).toThrow(/outgrown.*0 times in x.ts/);
  expect(() => applyEdit(change, 'outgrown', 'aa')).toThrow(/2 times/);
});

test('mutants are chosen by mark, by rule, or by name', () => {
  const mutant = (mark: number | undefined, rule: string, name: string): Mutant => ({
    ...(mark === undefined ? {} : { mark }),
    rule,
    name,
    edits: [],
    seeds: 1,
  });
  const all = [mutant(2, 'W3', 'one'), mutant(12, 'V5', 'two'), mutant(undefined, 'I1', 'a Flush')];
  expect(selectMutants(all, '2').map(ruleOf)).toEqual(['W3 ◆2']);
  expect(selectMutants(all, '◆12').map(ruleOf)).toEqual(['V5 ◆12']);
  expect(selectMutants(all, 'w3').map(ruleOf)).toEqual(['W3 ◆2']);
  expect(selectMutants(all, 'flush').map(ruleOf)).toEqual(['I1']);
  expect(selectMutants(all, '')).toHaveLength(3);
});
