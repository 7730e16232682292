// Child processes that don't outlive their parent, and signals that reach them. Node built-ins only.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';

/** @typedef {{ cwd?: string, env?: NodeJS.ProcessEnv }} Options */
/** @typedef {{ name: string, value: string }} Mark an environment variable */
/** @typedef {{ code: number, signal: NodeJS.Signals | null }} Exit */

const FORWARDED_SIGNALS = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);

/** A terminal's Ctrl-C reaches the whole group and npm forwards it once more: within this time it is one wish, not two. */
const SAME_SIGNAL_MS = 1000;

/** How long a stopped group may take to end by itself. */
const TERMINATE_GRACE_MS = 5000;

/**
 * Runs a program in the place of this one: same terminal, standard streams and environment; signals are passed on; this process
 * waits for it and ends as it ended.
 * @param {string} command
 * @param {string[]} args
 * @param {Options} [options]
 * @returns {Promise<never>}
 */
export function become(command, args, options = {}) {
  return new Promise(() => {
    /** @type {import('node:child_process').ChildProcess | undefined} */
    let child;
    let forwardedAtMs = Number.NEGATIVE_INFINITY;
    // Before the program exists: there is no moment in which a signal ends this process alone
    for (const signal of FORWARDED_SIGNALS) {
      process.on(signal, () => {
        if (performance.now() - forwardedAtMs < SAME_SIGNAL_MS) return;
        forwardedAtMs = performance.now();
        child?.kill(signal);
      });
    }
    child = spawn(command, args, { ...options, stdio: 'inherit' });
    child.on('error', (error) => {
      console.error(`${command} can't be started: ${error.message}`);
      process.exit(1);
    });
    child.on('exit', (code, signal) => process.exit(exitCode(code, signal)));
  });
}

/**
 * As a shell reports it: 128 + the signal's number where a signal ended the process.
 * @param {number | null} code
 * @param {NodeJS.Signals | null} signal
 */
function exitCode(code, signal) {
  return code ?? 128 + (signal ? constants.signals[signal] : 0);
}

/**
 * Starts the program, `"$@"`, under a watch: when the pipe at descriptor 3 reaches its end, the process that held the other end is
 * gone, and the whole group goes too, with everything that carries the mark `$0` in its environment (the watch itself does not). The
 * watch stands before the program starts, so that there is no moment without it.
 */
const watched = (/** @type {number} */ graceMs) => `
(
  read -r _ <&3
  trap '' TERM
  kill -TERM 0
  sleep ${graceMs / 1000}
  if [ "$0" != '-' ]; then
    for process in /proc/[0-9]*; do grep -qzxF "$0" "$process/environ" && kill -KILL "\${process#/proc/}"; done
  fi
  kill -KILL 0
) >/dev/null 2>&1 &
[ "$0" = '-' ] || exec env "$0" "$@" 3<&-
exec "$@" 3<&-
`;

/**
 * Runs a program to its end in a process group of its own. However this process ends, by a signal or by SIGKILL, the whole group
 * ends with it.
 * @param {string} command
 * @param {string[]} args
 * @param {Options & { stdio?: 'inherit' | 'capture', timeoutMs?: number, graceMs?: number, mark?: Mark }} [options] `capture` collects both outputs as text;
 *   `mark` is put into the environment, and what carries it ends with this process even if it has left the group
 * @returns {Promise<Exit & { output: string, timedOut: boolean }>}
 */
export function runGroup(command, args, options = {}) {
  const { stdio = 'inherit', timeoutMs, graceMs = TERMINATE_GRACE_MS, mark, cwd, env = process.env } = options;
  return new Promise((resolve) => {
    /** @type {number | undefined} */
    let group;
    let timedOut = false;
    // Before the program exists, so that a signal finds it or keeps it from starting
    /** @type {Map<NodeJS.Signals, () => void>} */
    const handlers = new Map();
    for (const signal of FORWARDED_SIGNALS) {
      const handler = () => {
        const exit = () => process.exit(exitCode(null, signal));
        if (group === undefined) exit();
        else terminateGroup(group, graceMs).then(exit);
      };
      handlers.set(signal, handler);
      process.once(signal, handler);
    }
    const stream = stdio === 'inherit' ? 'inherit' : 'pipe';
    /** @type {import('node:child_process').ChildProcess} */
    const child = spawn('sh', ['-c', watched(graceMs), mark ? `${mark.name}=${mark.value}` : '-', command, ...args], {
      cwd,
      env,
      stdio: ['ignore', stream, stream, 'pipe'],
      detached: true,
    });
    group = child.pid;
    /** @type {string[]} */
    const output = [];
    for (const source of [child.stdout, child.stderr]) source?.setEncoding('utf8').on('data', (text) => output.push(text));
    const expire = () => {
      timedOut = true;
      if (group !== undefined) terminateGroup(group, graceMs);
    };
    const timer = timeoutMs === undefined ? undefined : setTimeout(expire, timeoutMs);
    /** @param {Exit} exit */
    const finish = (exit) => {
      clearTimeout(timer);
      for (const [signal, handler] of handlers) process.off(signal, handler);
      resolve({ ...exit, output: output.join(''), timedOut });
    };
    child.on('error', (error) => {
      console.error(`sh can't be started: ${error.message}`);
      finish({ code: 127, signal: null });
    });
    child.on('exit', () => {
      if (group !== undefined) signalGroup(group, 'SIGKILL'); // the watch, and what the program left behind in its group
    });
    child.on('close', (code, signal) => {
      if (group !== undefined) finish({ code: exitCode(code, signal), signal });
    });
  });
}

/**
 * @param {number} group
 * @param {number} graceMs
 */
async function terminateGroup(group, graceMs) {
  signalGroup(group, 'SIGTERM');
  const deadlineMs = performance.now() + graceMs;
  while (signalGroup(group, 0) && performance.now() < deadlineMs) await new Promise((resolve) => setTimeout(resolve, 50));
  signalGroup(group, 'SIGKILL');
}

/**
 * @param {number} group
 * @param {NodeJS.Signals | 0} signal
 * @returns {boolean} false when the group has no process left
 */
function signalGroup(group, signal) {
  try {
    process.kill(-group, signal);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw error;
  }
}

/**
 * The processes whose environment holds the mark, however they were detached: that is how leftovers of a run are found.
 * Empty where there is no /proc.
 * @param {Mark} mark
 * @returns {{ pid: number, command: string }[]}
 */
export function processesWithEnvironment({ name, value }) {
  /** @type {{ pid: number, command: string }[]} */
  const found = [];
  let entries;
  try {
    entries = readdirSync('/proc');
  } catch {
    return found; // not Linux
  }
  const wanted = `${name}=${value}`;
  for (const entry of entries) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(wanted)) continue;
      found.push({ pid, command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() });
    } catch {
      // ended meanwhile, or another user's: not ours
    }
  }
  return found;
}
