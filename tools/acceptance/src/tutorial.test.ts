import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { runProgram, describe as whole } from './support/command.ts';
import { CLUSTER_TOOL, RMRCTL } from './support/paths.ts';
import { testNeeding } from './support/requirements.ts';
import { clusterTool, newFolder } from './support/test-cluster.ts';

/**
 * docs/tutorial.md, command by command: what its blocks of commands say is typed into one shell, in order, and each line of the block below
 * has to be in what they print.
 */

interface Step {
  /** The line of the document in which the commands begin. */
  readonly line: number;
  readonly commands: string;
  /** The lines that the document shows below, in order. */
  readonly shown: readonly string[];
}

/** The tutorial takes a minute here, and longer beside other work. */
const TUTORIAL_MS_MAX = 10 * 60_000;

let folder: string;

beforeEach(() => {
  folder = newFolder('rmr-tutorial-');
});

afterEach(async () => {
  await clusterTool('down', '--dir', join(folder, '.rmr'));
  rmSync(folder, { recursive: true, force: true });
});

/** The commands of the document, each with what is shown below it. */
function stepsOf(text: string): Step[] {
  const steps: Step[] = [];
  for (const { 1: kind, 2: body, index } of text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)) {
    const line = text.slice(0, index).split('\n').length;
    if (kind === 'sh') steps.push({ line, commands: body as string, shown: [] });
    else {
      const last = steps.pop();
      if (last === undefined || last.shown.length > 0) throw new Error(`line ${line}: nothing that would print this stands above it`);
      steps.push({ ...last, shown: (body as string).trimEnd().split('\n') });
    }
  }
  return steps;
}

/** The line as a pattern: `…` stands for anything, and columns may be as wide as they are. */
function patternOf(line: string): RegExp {
  const parts = line.trim().split('…');
  const literal = (part: string): string => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/ +/g, ' +');
  return new RegExp(`^\\s*${parts.map(literal).join('.*')}\\s*$`);
}

/** A line that is shown and is not printed, or not in this order; null: there is none. */
function missing(shown: readonly string[], printed: readonly string[]): string | null {
  let at = 0;
  for (const line of shown) {
    const found = printed.findIndex((each, index) => index >= at && patternOf(line).test(each));
    if (found < 0) return line;
    at = found + 1;
  }
  return null;
}

/** An `npm` that runs the built programs of the repository, with the cluster in the folder in which it is called. */
function writeNpm(): string {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const script = `#!/bin/bash
case "$1 $2 $3" in
  "start -- "*) shift 2; exec node ${CLUSTER_TOOL} up --dir .rmr --detach --no-web "$@" ;;
  "run -s cluster") shift 4; exec node ${CLUSTER_TOOL} "$@" ;;
  "run -s rmrctl") shift 4; exec node ${RMRCTL} "$@" ;;
esac
echo "the tutorial calls npm $*, which its test does not know" >&2
exit 1
`;
  writeFileSync(join(bin, 'npm'), script);
  chmodSync(join(bin, 'npm'), 0o755);
  return bin;
}

testNeeding(
  'nbdcopy',
  'nbdinfo',
  'fio',
  'jq',
)(
  'every command of the tutorial works, and prints what stands below it',
  async () => {
    const steps = stepsOf(readFileSync(new URL('../../../docs/tutorial.md', import.meta.url), 'utf8'));
    expect(steps.length).toBeGreaterThan(10);
    const mark = (index: number): string => `=== step ${index}`;
    const script = ['set -eo pipefail', 'shopt -s expand_aliases', `cd '${folder}'`, `PATH='${writeNpm()}':"$PATH"`];
    for (const [index, { commands }] of steps.entries()) script.push(`echo '${mark(index)}'`, commands);
    script.push(`echo '${mark(steps.length)}'`);
    const outcome = await runProgram('bash', ['-c', script.join('\n')], { server: true });
    const printed = outcome.stdout.split(/^=== step \d+\n/m).slice(1);
    const reached = steps[printed.length - 1];
    expect(outcome.code, `the commands from line ${reached?.line} on failed: ${whole(outcome)}`).toBe(0);
    for (const [index, { line, shown }] of steps.entries()) {
      const lines = (printed[index] as string).split('\n');
      expect(missing(shown, lines), `not printed by the commands of line ${line}, which print:\n${printed[index]}`).toBeNull();
    }
  },
  TUTORIAL_MS_MAX,
);
