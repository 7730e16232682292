// Totals of a test run, from the reports that vitest writes.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { ROOT } from './workspace.mjs';

/**
 * @typedef {object} Totals
 * @property {number} passed
 * @property {string[]} failed by name
 * @property {string[]} skipped by name
 */

/**
 * @typedef {object} VitestReport
 * @property {boolean} success
 * @property {{ name: string, status: string, message?: string, assertionResults: { fullName: string, status: string }[] }[]} testResults
 */

/**
 * Counts a report. What no single test stands for counts as one failure: a file that can't be loaded, an error outside of
 * tests, a run that ended without a report.
 * @param {string} path of vitest's JSON report
 * @param {{ name: string, code: number }} run how the process ended
 * @returns {Totals}
 */
export function countReport(path, run) {
  /** @type {VitestReport} */
  let report;
  try {
    report = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return { passed: 0, failed: [`${run.name}: no report; the run ended with code ${run.code}`], skipped: [] };
  }
  /** @type {Totals} */
  const totals = { passed: 0, failed: [], skipped: [] };
  for (const file of report.testResults) {
    const name = relative(ROOT, file.name);
    for (const { fullName, status } of file.assertionResults) {
      if (status === 'passed') totals.passed++;
      else if (status === 'failed') totals.failed.push(`${name}: ${fullName}`);
      else totals.skipped.push(`${name}: ${fullName}`);
    }
    const accounted = file.assertionResults.some(({ status }) => status === 'failed');
    if (file.status === 'failed' && !accounted)
      totals.failed.push(`${name}: ${file.message?.split('\n')[0] || 'the file failed as a whole'}`);
  }
  if (run.code !== 0 && totals.failed.length === 0) totals.failed.push(`${run.name}: an error outside of any test; code ${run.code}`);
  if (totals.passed === 0 && totals.failed.length === 0) totals.failed.push(`${run.name}: no test ran`);
  return totals;
}

/**
 * The last line of a run. In CI a skipped test is a failed one.
 * @param {Totals} totals
 * @param {{ ci: boolean }} options
 */
export function summaryLine(totals, options) {
  const failed = totals.failed.length + (options.ci ? totals.skipped.length : 0);
  const line = `${totals.passed} passed, ${failed} failed`;
  return !options.ci && totals.skipped.length > 0 ? `${line}, ${totals.skipped.length} skipped` : line;
}
