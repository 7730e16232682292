import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdirSync, openSync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { ENV_PREFIX } from '@rmr/daemon';
import { OperationError } from '@rmr/runtime';
import { LOG_TAIL_LINES, STOP_AT_ONCE_MS, STOP_GRACE_MS } from './constants.ts';
import { identifyProcess, type ProcessIdentity, processState, signalProcess } from './process-identity.ts';
import { waitFor } from './waiting.ts';

const LOG_TAIL_BYTES = 64 * 1024;

/** How a process is to be started. */
export interface LaunchPlan {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly directory: string;
  readonly logPath: string;
}

/** A process that was started by this command. */
export interface Launched {
  readonly name: string;
  readonly identity: ProcessIdentity;
  readonly child: ChildProcess;
  readonly logPath: string;
}

/**
 * Starts a program that outlives this command: in a session of its own, with its output appended to its log. Variables
 * of our prefix are not passed on, so that what somebody exported for one daemon does not reach all.
 */
export async function launch(plan: LaunchPlan): Promise<Launched> {
  mkdirSync(dirname(plan.logPath), { recursive: true });
  const log = openSync(plan.logPath, 'a', 0o640);
  try {
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith(ENV_PREFIX));
    const child = spawn(process.execPath, [plan.program, ...plan.args], {
      cwd: plan.directory,
      detached: true,
      stdio: ['ignore', log, log],
      env: Object.fromEntries(inherited),
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.unref();
    // A process that was started can't lose its entry before its parent has waited for it.
    const identity = identifyProcess(child.pid as number);
    if (identity === null) throw new OperationError('IO_ERROR', `${plan.name} ended at once; its log is ${plan.logPath}`);
    return { name: plan.name, identity, child, logPath: plan.logPath };
  } catch (error) {
    if (error instanceof OperationError) throw error;
    throw new OperationError('IO_ERROR', `${plan.name} cannot be started: ${(error as Error).message}`, { cause: error });
  } finally {
    closeSync(log);
  }
}

/** What to say when a process has ended that should not have: how, and the last lines of its log. */
export function describeDeath(launched: Launched): string {
  const { exitCode, signalCode } = launched.child;
  const how = signalCode === null ? `ended with exit code ${exitCode ?? 'unknown'}` : `was ended by ${signalCode}`;
  return `${launched.name} ${how}. The last lines of ${launched.logPath}:\n${logTail(launched.logPath)}`;
}

/** The last lines of a log, indented. */
export function logTail(path: string): string {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.alloc(Math.min(size, LOG_TAIL_BYTES));
    readSync(file, bytes, 0, bytes.length, size - bytes.length);
    const lines = bytes.toString('utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES);
    return lines.map((line) => `  ${line}`).join('\n');
  } finally {
    closeSync(file);
  }
}

/** Ends a process with SIGKILL and waits until it is gone. False when it was gone already. */
export async function killProcess(identity: ProcessIdentity): Promise<boolean> {
  if (!signalProcess(identity, 'SIGKILL')) return false;
  await gone(identity, STOP_AT_ONCE_MS);
  return true;
}

/**
 * Stops a process gracefully; one that takes too long is told to stop at once, and in the end killed. Returns how it
 * went, or null when it was gone already.
 */
export async function stopProcess(identity: ProcessIdentity): Promise<'stopped' | 'stopped at once' | 'killed' | null> {
  const state = processState(identity);
  if (state === 'gone') return null;
  signalProcess(identity, 'SIGTERM');
  if (state === 'paused') signalProcess(identity, 'SIGCONT');
  if (await gone(identity, STOP_GRACE_MS)) return 'stopped';
  signalProcess(identity, 'SIGTERM');
  if (await gone(identity, STOP_AT_ONCE_MS)) return 'stopped at once';
  await killProcess(identity);
  return 'killed';
}

async function gone(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  return (await waitFor(timeoutMs, () => (processState(identity) === 'gone' ? true : null))) ?? false;
}
