import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { countReport, summaryLine } from './test-report.mjs';
import { ROOT } from './workspace.mjs';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rmr-report-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface File {
  readonly status?: string;
  readonly message?: string;
  readonly tests?: readonly string[];
}

/** Counts a report with a file `x.test.ts` whose tests ended with the given states. */
function count(file: File, code: number) {
  const assertionResults = (file.tests ?? []).map((status, index) => ({ fullName: `test ${index}`, status }));
  const status = file.status ?? (assertionResults.some((result) => result.status === 'failed') ? 'failed' : 'passed');
  const path = join(folder, 'report.json');
  const testResults = [{ name: join(ROOT, 'x.test.ts'), status, message: file.message ?? '', assertionResults }];
  writeFileSync(path, JSON.stringify({ success: code === 0, testResults }));
  return countReport(path, { name: 'units', code });
}

test('passed, failed and skipped tests are counted by name', () => {
  expect(count({ tests: ['passed', 'failed', 'skipped', 'pending', 'todo', 'passed'] }, 1)).toEqual({
    passed: 2,
    failed: ['x.test.ts: test 1'],
    skipped: ['x.test.ts: test 2', 'x.test.ts: test 3', 'x.test.ts: test 4'],
  });
});

test.each([
  ['a file that can not be loaded', { status: 'failed', message: 'SyntaxError: x\n at y', tests: [] }, 1, 'x.test.ts: SyntaxError: x'],
  ['a file that fails besides its tests', { status: 'failed', tests: ['passed'] }, 1, 'x.test.ts: the file failed as a whole'],
  ['an error outside of any test', { tests: ['passed'] }, 1, 'units: an error outside of any test; code 1'],
  ['a run without any test', { tests: [] }, 0, 'units: no test ran'],
] as const)('%s is one failure', (_name, file, code, failure) => {
  expect(count(file, code).failed).toEqual([failure]);
});

test('a run that ended without a report is one failure', () => {
  expect(countReport(join(folder, 'none.json'), { name: 'units', code: 137 }).failed).toEqual([
    'units: no report; the run ended with code 137',
  ]);
});

test('in CI a skipped test counts as failed; elsewhere it is said', () => {
  const totals = { passed: 5, failed: ['a'], skipped: ['b', 'c'] };
  expect(summaryLine(totals, { ci: true })).toBe('5 passed, 3 failed');
  expect(summaryLine(totals, { ci: false })).toBe('5 passed, 1 failed, 2 skipped');
  expect(summaryLine({ passed: 5, failed: [], skipped: [] }, { ci: false })).toBe('5 passed, 0 failed');
});
