import { readFileSync, writeFileSync } from 'node:fs';
import { clientNodeConfigSchema } from '@rmr/client-node/config';
import { configReference } from '@rmr/daemon';
import { storageNodeConfigSchema } from '@rmr/storage-node/config';
import { expect, test } from 'vitest';

const PATH = new URL('../../../docs/configuration.md', import.meta.url);

test.each([
  ['client-node', clientNodeConfigSchema],
  ['storage-node', storageNodeConfigSchema],
])(
  'docs/configuration.md has every key of %s as its schema has it; to update it: UPDATE_DOCS=1 npx vitest run --root tools/cluster config-reference',
  (name, schema) => {
    const begin = `<!-- The keys of ${name}: from its schema. -->\n\n`;
    const end = `\n\n<!-- The end of the keys of ${name}. -->`;
    const text = readFileSync(PATH, 'utf8');
    const from = text.indexOf(begin) + begin.length;
    const to = text.indexOf(end);
    expect(from).toBeGreaterThan(begin.length);
    expect(to).toBeGreaterThanOrEqual(from);
    const reference = configReference(schema);
    if (process.env['UPDATE_DOCS'] === '1') writeFileSync(PATH, text.slice(0, from) + reference + text.slice(to));
    else expect(text.slice(from, to)).toBe(reference);
    const rows = reference.split('\n').slice(2);
    expect(
      rows.filter((row) => / \| {2}\|$/.test(row)),
      'keys that nobody has described',
    ).toEqual([]);
  },
);
