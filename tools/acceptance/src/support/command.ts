import { spawn } from 'node:child_process';

/** How a program ended. */
export interface Outcome {
  readonly command: string;
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that still runs. */
export interface Running {
  readonly pid: number;
  /** What it has written so far. */
  stdout(): string;
  stderr(): string;
  signal(name: NodeJS.Signals): void;
  readonly ended: Promise<Outcome>;
}

/** Debian keeps mkfs, losetup and their kind where not every PATH leads. */
const ENVIRONMENT = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };

/** A program that hangs is killed after this; no test waits for it on purpose. */
const PROGRAM_MS_MAX = 120_000;
/** The same for what serves a whole test. */
const SERVER_MS_MAX = 600_000;

/** How a program is started. */
export interface ProgramOptions {
  readonly input?: string;
  /** It runs for as long as the test does. */
  readonly server?: boolean;
}

/** Starts a program, its standard input closed. */
export function startProgram(command: string, args: readonly string[], options: ProgramOptions = {}): Running {
  const msMax = options.server === true ? SERVER_MS_MAX : PROGRAM_MS_MAX;
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env: ENVIRONMENT });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  // A program may end without reading what it was given.
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  const guard = setTimeout(() => {
    stderr += `\n[killed after ${msMax} ms]`;
    child.kill('SIGKILL');
  }, msMax);
  const ended = new Promise<Outcome>((resolve, reject) => {
    child.once('error', (error) => {
      clearTimeout(guard);
      reject(error);
    });
    child.once('close', (code) => {
      clearTimeout(guard);
      resolve({ command: [command, ...args].join(' '), code, stdout, stderr });
    });
  });
  return {
    pid: child.pid ?? -1,
    stdout: () => stdout,
    stderr: () => stderr,
    signal: (name) => void child.kill(name),
    ended,
  };
}

/** Runs a program to its end, whatever its exit code. */
export function runProgram(command: string, args: readonly string[], options: ProgramOptions = {}): Promise<Outcome> {
  return startProgram(command, args, options).ended;
}

/** Runs a program that has to succeed; returns its standard output. */
export async function run(command: string, ...args: readonly string[]): Promise<string> {
  return succeeded(await runProgram(command, args)).stdout;
}

/** Fails with all that the program said unless it ended with 0. */
export function succeeded(outcome: Outcome): Outcome {
  if (outcome.code !== 0) throw new Error(describe(outcome));
  return outcome;
}

/** Everything about an outcome, for the message of a failed test. */
export function describe(outcome: Outcome): string {
  return `${outcome.command}\nended with ${outcome.code ?? 'a signal'}\n${outcome.stdout}\n${outcome.stderr}`;
}
