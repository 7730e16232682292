import { Command } from 'commander';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { OPERATION_ERRORS, OperationError, type OperationErrorCode } from '../../errors.ts';
import { EXIT_BUG } from '../exit-process.ts';
import { runCommandLine } from './index.ts';

let errors = '';
beforeEach(() => {
  errors = '';
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    errors += String(text);
    return true;
  });
  vi.spyOn(process.stdout, 'write').mockImplementation(() => true);
});
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

function program(action: () => void | Promise<void>): Command {
  const root = new Command('tool').version('1.2.3');
  root.command('work').action(action);
  return root;
}

async function exitCodeOf(root: Command, ...args: string[]): Promise<number> {
  process.exitCode = 0;
  await runCommandLine(root, ['node', 'tool', ...args]);
  const code = process.exitCode;
  process.exitCode = undefined;
  return Number(code);
}

test.each(Object.keys(OPERATION_ERRORS) as OperationErrorCode[])(
  '%s ends with the exit code of the table and its message',
  async (code) => {
    const exit = await exitCodeOf(
      program(() => {
        throw new OperationError(code, 'what failed, why, and what to do');
      }),
      'work',
    );
    expect(exit).toBe(OPERATION_ERRORS[code].exit);
    expect(errors).toBe('tool: what failed, why, and what to do\n');
  },
);

test('success, help and version end with 0, also below a command', async () => {
  expect(
    await exitCodeOf(
      program(() => {}),
      'work',
    ),
  ).toBe(0);
  expect(
    await exitCodeOf(
      program(() => {}),
      '--help',
    ),
  ).toBe(0);
  expect(
    await exitCodeOf(
      program(() => {}),
      'work',
      '--help',
    ),
  ).toBe(0);
  expect(
    await exitCodeOf(
      program(() => {}),
      '--version',
    ),
  ).toBe(0);
});

test('wrong usage ends with the code of INVALID_ARGUMENT and suggests what was meant', async () => {
  expect(
    await exitCodeOf(
      program(() => {}),
      'wrok',
    ),
  ).toBe(2);
  expect(errors).toContain('Did you mean work?');
  expect(
    await exitCodeOf(
      program(() => {}),
      'work',
      '--foo',
    ),
  ).toBe(2);
});

test('anything else is a bug, and shows where', async () => {
  const exit = await exitCodeOf(
    program(async () => {
      throw new TypeError('x is undefined');
    }),
    'work',
  );
  expect(exit).toBe(EXIT_BUG);
  expect(errors).toMatch(/^tool: a bug: TypeError: x is undefined\n\s+at /);
});
