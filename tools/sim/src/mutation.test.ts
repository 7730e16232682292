import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MUTANTS } from './mutants.ts';
import { mutate } from './mutation.ts';

const ROOT = join(import.meta.dirname, '../../..');

test.each(MUTANTS)('mutant "$name" fits the code as it is, and changes it', (mutant) => {
  const source = readFileSync(join(ROOT, mutant.file), 'utf8');
  expect(mutate(mutant, source)).not.toBe(source);
});

test('a mutant that the code has outgrown is an error that names it', () => {
  const mutant = { name: 'outgrown', rule: 'W1', file: 'x.ts', find: 'a', replace: 'b', seeds: 1 };
  expect(() => mutate(mutant, 'nothing here')).toThrow(/outgrown.*0 times in x.ts/);
  expect(() => mutate(mutant, 'aa')).toThrow(/2 times/);
});
