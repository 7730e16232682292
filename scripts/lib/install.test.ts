import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { whyInstall } from './install.mjs';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'rmr-install-'));
  mkdirSync(join(root, 'node_modules'));
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

type Packages = Record<string, { version?: string; link?: boolean; optional?: boolean }>;

const LOCKED: Packages = {
  '': { version: '0.1.0' },
  'libs/rtrs': { version: '0.1.0' },
  'node_modules/@rmr/rtrs': { link: true },
  'node_modules/zod': { version: '4.6.7' },
  'node_modules/@esbuild/win32-x64': { version: '1.0.0', optional: true },
};
const INSTALLED: Packages = { 'node_modules/@rmr/rtrs': { link: true }, 'node_modules/zod': { version: '4.6.7' } };

function write(locked: Packages | string, installed?: Packages | string): void {
  const text = (packages: Packages | string) => (typeof packages === 'string' ? packages : JSON.stringify({ packages }));
  writeFileSync(join(root, 'package-lock.json'), text(locked));
  if (installed !== undefined) writeFileSync(join(root, 'node_modules/.package-lock.json'), text(installed));
}

test('nothing has to be installed when everything for this platform is there', () => {
  write(LOCKED, INSTALLED);
  expect(whyInstall(root)).toBeNull();
});

test.each([
  ['nothing is installed', undefined, 'not installed yet'],
  ['an installation was cut off', '{"packages": {', 'not installed yet'],
  ['a package is missing', { 'node_modules/@rmr/rtrs': { link: true } }, 'node_modules/zod is missing'],
  ['a project is not linked', { 'node_modules/zod': { version: '4.6.7' } }, 'node_modules/@rmr/rtrs is missing'],
  ['a package is of another version', { ...INSTALLED, 'node_modules/zod': { version: '4.0.0' } }, 'is 4.0.0, wanted is 4.6.7'],
  ['an optional package is of another version', { ...INSTALLED, 'node_modules/@esbuild/win32-x64': { version: '0.9.0' } }, 'is 0.9.0'],
])('packages are installed when %s', (_name, installed, why) => {
  write(LOCKED, installed);
  expect(whyInstall(root)).toContain(why);
});

test('a damaged lock file is an error that says what to do', () => {
  write('{', INSTALLED);
  expect(() => whyInstall(root)).toThrow('git checkout package-lock.json');
});
