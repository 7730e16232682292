import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { GLOSSARY, unknownNames, wordsTwice } from './glossary.mjs';
import { isSourceFile, listFiles } from './source-files.mjs';

const ROOT = join(import.meta.dirname, '../..');

test('every name in the glossary is in the code, and every word is explained once', () => {
  const document = readFileSync(join(ROOT, GLOSSARY), 'utf8');
  const code = ['apps', 'libs', 'tools'].flatMap((group) =>
    listFiles(join(ROOT, group))
      .filter(isSourceFile)
      .map((path) => readFileSync(join(ROOT, group, path), 'utf8')),
  );
  expect(unknownNames(document, code, (path) => existsSync(join(ROOT, path)))).toEqual([]);
  expect(wordsTwice(document)).toEqual([]);
});

test('a name that is only a part of another one, and one that is no path, are found; text beside the tables is not read', () => {
  const document = ['| **leg** | a way | `Leg`, `map-check` |', '| **side** | a copy | `Le`, `docs/x.md`, `docs/y.md` |', 'by `Legs`'].join(
    '\n',
  );
  const code = ["class Leg {}\ncall({ op: 'map-check' });"];
  expect(unknownNames(document, code, (path) => path === 'docs/x.md')).toEqual(['Le', 'docs/y.md']);
});

test('a word that is explained twice is found', () => {
  expect(wordsTwice('| **leg** | a way | |\n| **legs** | ways | |\n| **leg** | a limb | |')).toEqual(['**leg**']);
});
