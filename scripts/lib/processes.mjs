// Child processes that don't outlive their parent, and signals that reach them. Node built-ins only.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';

/** @typedef {{ cwd?: string, env?: NodeJS.ProcessEnv }} Options */
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
    const child = spawn(command, args, { ...options, stdio: 'inherit' });
    let forwardedAtMs = Number.NEGATIVE_INFINITY;
    for (const signal of FORWARDED_SIGNALS) {
      process.on(signal, () => {
        if (performance.now() - forwardedAtMs < SAME_SIGNAL_MS) return;
        forwardedAtMs = performance.now();
        child.kill(signal);
      });
    }
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
 * Runs a program to its end in a process group of its own. However this process ends, by a signal or by SIGKILL, the whole group
 * ends with it.
 * @param {string} command
 * @param {string[]} args
 * @param {Options & { stdio?: 'inherit' | 'capture', timeoutMs?: number }} [options] `capture` collects both outputs as text
 * @returns {Promise<Exit & { output: string, timedOut: boolean }>}
 */
export function runGroup(command, args, options = {}) {
  const { stdio = 'inherit', timeoutMs, ...rest } = options;
  return new Promise((resolve) => {
    const stream = stdio === 'inherit' ? 'inherit' : 'pipe';
    /** @type {import('node:child_process').ChildProcess} */
    const child = spawn(command, args, { ...rest, stdio: ['ignore', stream, stream], detached: true });
    /** @type {string[]} */
    const output = [];
    for (const source of [child.stdout, child.stderr]) source?.setEncoding('utf8').on('data', (text) => output.push(text));
    let timedOut = false;
    const guard = child.pid === undefined ? undefined : guardGroup(child.pid);
    const timer = timeoutMs === undefined ? undefined : setTimeout(expire, timeoutMs);
    function expire() {
      timedOut = true;
      if (child.pid !== undefined) terminateGroup(child.pid);
    }
    /** @type {Map<NodeJS.Signals, () => void>} */
    const handlers = new Map();
    for (const signal of FORWARDED_SIGNALS) {
      const handler = () => {
        if (child.pid !== undefined) terminateGroup(child.pid).then(() => process.exit(exitCode(null, signal)));
      };
      handlers.set(signal, handler);
      process.once(signal, handler);
    }
    /** @param {Exit} exit */
    const finish = (exit) => {
      clearTimeout(timer);
      for (const [signal, handler] of handlers) process.off(signal, handler);
      if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL'); // what it left behind in its group
      guard?.kill('SIGKILL');
      resolve({ ...exit, output: output.join(''), timedOut });
    };
    child.on('error', (error) => {
      output.push(`${command} can't be started: ${error.message}\n`);
      if (stdio === 'inherit') console.error(output.at(-1));
      finish({ code: 127, signal: null });
    });
    child.on('close', (code, signal) => {
      if (child.pid !== undefined) finish({ code: exitCode(code, signal), signal });
    });
  });
}

/**
 * A process that ends the group when this process is gone: its standard input, a pipe from here, reaches its end then.
 * @param {number} group
 */
function guardGroup(group) {
  const script = `read -r _; kill -TERM -- -${group} 2>/dev/null && sleep ${TERMINATE_GRACE_MS / 1000} && kill -KILL -- -${group} 2>/dev/null`;
  const guard = spawn('sh', ['-c', script], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  guard.on('error', (error) => console.error(`no guard over process group ${group}: ${error.message}`));
  guard.unref();
  return guard;
}

/** @param {number} group */
async function terminateGroup(group) {
  signalGroup(group, 'SIGTERM');
  const deadlineMs = performance.now() + TERMINATE_GRACE_MS;
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
 * The processes whose environment holds `NAME=VALUE`, however they were detached: that is how leftovers of a run are found.
 * Empty where there is no /proc.
 * @param {string} name
 * @param {string} value
 * @returns {{ pid: number, command: string }[]}
 */
export function processesWithEnvironment(name, value) {
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
