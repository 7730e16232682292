import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { test } from 'vitest';

/** The interpreter that Debian's python3-libnbd belongs to; another one in PATH would not see the module. */
export const PYTHON = '/usr/bin/python3';

/** What is no program of its own. */
const FEATURES = {
  'python3-libnbd': () => succeeds(PYTHON, '-c', 'import nbd'),
  'fio nbd engine': () => succeeds('fio', '--enghelp=nbd'),
  'permission to mount': () => process.getuid?.() === 0 && succeeds('unshare', '--mount', 'true'),
  FUSE: () => accessible('/dev/fuse', constants.R_OK | constants.W_OK),
  'loop devices': () => process.getuid?.() === 0 && succeeds('losetup', '--find'),
  'ext4 in the kernel': () => kernelKnows('ext4'),
  'xfs in the kernel': () => kernelKnows('xfs'),
} as const;

/** A program in PATH, or one of the features above. */
export type Requirement = keyof typeof FEATURES | (string & {});

const answers = new Map<string, boolean>();

/** Whether this machine has it. Looked up once. */
export function available(requirement: Requirement): boolean {
  let answer = answers.get(requirement);
  if (answer === undefined) {
    const feature = (FEATURES as Readonly<Record<string, () => boolean>>)[requirement];
    answer = feature === undefined ? hasProgram(requirement) : feature();
    answers.set(requirement, answer);
  }
  return answer;
}

/** In CI nothing may be skipped: there, a test whose requirements are missing fails. */
const SKIPS_ALLOWED = !['true', '1'].includes(process.env['CI'] ?? '');

/**
 * `test`, for tests that need something of the machine. Where it is missing the test is skipped, and its title says
 * what it lacks.
 */
export function testNeeding(...requirements: readonly Requirement[]): typeof test {
  const missing = requirements.filter((requirement) => !available(requirement));
  if (missing.length === 0) return test;
  const lacking = `missing here: ${missing.join(', ')}`;
  const replacement = (title: string): void => {
    if (SKIPS_ALLOWED) test.skipIf(true)(`${title} [${lacking}]`, () => {});
    else {
      test(title, () => {
        throw new Error(`${lacking}; in CI no test may be skipped`);
      });
    }
  };
  return replacement as unknown as typeof test;
}

function hasProgram(name: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => accessible(join(folder, name), constants.X_OK));
}

function accessible(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

function succeeds(command: string, ...args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

function kernelKnows(fileSystem: string): boolean {
  const known = (): boolean => new RegExp(`^\\t${fileSystem}$`, 'm').test(readFileSync('/proc/filesystems', 'utf8'));
  return known() || (succeeds('modprobe', fileSystem) && known());
}
