import { readFileSync, writeFileSync } from 'node:fs';
import { configReference } from '@rmr/runtime/node';
import { expect, test } from 'vitest';
import { clientNodeConfigSchema } from './config.ts';

const PATH = new URL('../../../docs/configuration.md', import.meta.url);
const BEGIN = '<!-- The keys of client-node: from its schema. -->\n\n';
const END = '\n\n<!-- The end of the keys of client-node. -->';

test('docs/configuration.md has every key of client-node as its schema has it; to update it: UPDATE_DOCS=1 npx vitest run --root apps/client-node config-reference', () => {
  const text = readFileSync(PATH, 'utf8');
  const from = text.indexOf(BEGIN) + BEGIN.length;
  const to = text.indexOf(END);
  expect(from).toBeGreaterThan(BEGIN.length);
  expect(to).toBeGreaterThanOrEqual(from);
  const reference = configReference(clientNodeConfigSchema);
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(PATH, text.slice(0, from) + reference + text.slice(to));
  else expect(text.slice(from, to)).toBe(reference);
  expect(
    reference
      .split('\n')
      .slice(2)
      .filter((row) => / \| {2}\|$/.test(row)),
    'keys that nobody has described',
  ).toEqual([]);
});
