import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { buildBundle, isBundleFresh } from './bundles.mjs';
import { ROOT } from './workspace.mjs';

// Inside of the repository, where bundles and their packages are
let project: string;
let folder: string;

beforeEach(() => {
  mkdirSync(join(ROOT, '.cache'), { recursive: true });
  project = mkdtempSync(join(ROOT, '.cache/bundle-'));
  folder = relative(ROOT, project);
  mkdirSync(join(project, 'src'));
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'x', version: '1.2.3' }));
  writeFileSync(join(project, 'src/part.ts'), 'export const part: string = "part";\n');
  writeFileSync(join(project, 'src/main.ts'), 'import { part } from "./part.ts";\nconsole.log(part, process.env["RMR_VERSION"]);\n');
});

afterEach(() => rmSync(project, { recursive: true, force: true }));

function touch(path: string): void {
  utimesSync(path, new Date(), new Date(Date.now() + 5000));
}

test('a bundle runs by itself and knows its version', async () => {
  await buildBundle(folder);
  const { stdout } = await promisify(execFile)(process.execPath, [join(project, 'dist/main.mjs')], { cwd: '/' });
  expect(stdout).toMatch(/^part 1\.2\.3(\+g[0-9a-f]+(-dirty)?)?\n$/);
  expect(readFileSync(join(project, 'dist/main.mjs.map'), 'utf8')).toContain('src/part.ts');
});

test('a bundled CommonJS package finds require, __filename and __dirname', async () => {
  writeFileSync(join(project, 'src/old.cjs'), 'module.exports = [typeof require("node:fs").readFileSync, __filename, __dirname];\n');
  writeFileSync(join(project, 'src/main.ts'), 'import old from "./old.cjs";\nconsole.log(JSON.stringify(old));\n');
  await buildBundle(folder);
  const { stdout } = await promisify(execFile)(process.execPath, [join(project, 'dist/main.mjs')]);
  expect(JSON.parse(stdout)).toEqual(['function', join(project, 'dist/main.mjs'), join(project, 'dist')]);
});

test('a bundle is fresh until one of its inputs changes', async () => {
  expect(isBundleFresh(folder)).toBe(false);
  await buildBundle(folder);
  expect(isBundleFresh(folder)).toBe(true);
  touch(join(project, 'src/part.ts'));
  expect(isBundleFresh(folder)).toBe(false);
  await buildBundle(folder);
  expect(isBundleFresh(folder)).toBe(true);
});

test.each([
  ['an input is removed', () => rmSync(join(project, 'src/part.ts'))],
  ['the manifest changes', () => touch(join(project, 'package.json'))],
  ['the bundle is removed', () => rmSync(join(project, 'dist/main.mjs'))],
  ['its stamp is cut off', () => writeFileSync(join(project, 'dist/inputs.json'), '{')],
])('a bundle is stale when %s', async (_name, change) => {
  await buildBundle(folder);
  change();
  expect(isBundleFresh(folder)).toBe(false);
});

test('sources that do not compile leave the old bundle and an error', async () => {
  await buildBundle(folder);
  const before = readFileSync(join(project, 'dist/main.mjs'), 'utf8');
  writeFileSync(join(project, 'src/part.ts'), 'export const part: = ;\n');
  await expect(buildBundle(folder)).rejects.toThrow('part.ts');
  expect(readFileSync(join(project, 'dist/main.mjs'), 'utf8')).toBe(before);
  expect(isBundleFresh(folder)).toBe(false);
});
