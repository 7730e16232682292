import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, closeSync, constants, openSync } from 'node:fs';
import { connect } from 'node:net';
import { delimiter, join } from 'node:path';
import { OperationError } from '@rmr/runtime';
import type { Cleanup } from './cleanup.ts';

/** How long a peer may take to answer on its socket. Generous: nothing here depends on it. */
const SERVER_START_MS_MAX = 20_000;
/** How often a socket that is not there yet is tried. */
const SERVER_POLL_MS = 5;
/** How long a process may take to obey SIGTERM before it gets SIGKILL. */
const STOP_MS_MAX = 5_000;
/** The first bytes of every NBD server. */
const NBD_GREETING = 'NBDMAGIC';

/** The path of a program, or null when it is not installed. */
export function findProgram(name: string): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  for (const folder of folders) {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return join(folder, name);
    } catch {
      // Not in this folder.
    }
  }
  return null;
}

/** Runs a program to its end and returns its standard output. An exit code other than 0 is an error that carries its words. */
export function runToEnd(command: string, args: readonly string[], signal?: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...(signal ? { signal } : {}) });
    let output = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    child.once('error', reject);
    child.once('close', (code, killedBy) => {
      if (code === 0) resolve(output);
      else
        reject(new OperationError('IO_ERROR', `${command} ${args.join(' ')} ended with ${killedBy ?? code}: ${(errors || output).trim()}`));
    });
  });
}

/** A program that runs beside what is measured. */
export interface BackgroundProcess {
  readonly child: ChildProcess;
  /** Ends it and returns when it is gone; it may have ended by itself. */
  stop(): Promise<void>;
}

/** Starts a program whose words go to `logPath`. It is stopped by `cleanup` at the latest. */
export function startBackground(command: string, args: readonly string[], logPath: string, cleanup: Cleanup): BackgroundProcess {
  const log = openSync(logPath, 'a');
  const child = spawn(command, args, { stdio: ['ignore', log, log] });
  closeSync(log);
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const stop = (): Promise<void> => stopChild(child, ended);
  cleanup.add(`stop ${command}`, stop);
  return { child, stop };
}

/** A running NBD server that this benchmark started. */
export interface Server {
  readonly pid: number;
  /** Milliseconds from the start of the process to its first answer. */
  readonly startUpMs: number;
  stop(): Promise<void>;
}

/** Starts an NBD server on a unix socket and waits until it greets. It is stopped by `cleanup` at the latest. */
export async function startServer(
  command: string,
  args: readonly string[],
  socketPath: string,
  logPath: string,
  cleanup: Cleanup,
  signal: AbortSignal,
): Promise<Server> {
  const startedMs = performance.now();
  const { child, stop } = startBackground(command, args, logPath, cleanup);
  while (!(await greets(socketPath))) {
    signal.throwIfAborted();
    if (child.pid === undefined || child.exitCode !== null || performance.now() - startedMs > SERVER_START_MS_MAX) {
      throw new OperationError('UNAVAILABLE', `${command} ${args.join(' ')} does not answer on ${socketPath}; see ${logPath}`);
    }
    await new Promise((resolve) => setTimeout(resolve, SERVER_POLL_MS));
  }
  return { pid: child.pid as number, startUpMs: performance.now() - startedMs, stop };
}

async function stopChild(child: ChildProcess, ended: Promise<void>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
  await ended;
  clearTimeout(timer);
}

function greets(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path: socketPath });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(SERVER_START_MS_MAX, () => end(false));
    socket.once('data', (bytes) => end(bytes.toString('latin1').startsWith(NBD_GREETING)));
    socket.once('error', () => end(false));
    socket.once('close', () => end(false));
  });
}
