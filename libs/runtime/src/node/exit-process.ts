import koffi from 'koffi';

/**
 * Ends the process, whatever its threads do. `process.exit` would wait for the threads of libuv's pool, and so for ever for a call to a disk
 * that hangs. A process that is being measured (a profile, coverage) ends with `process.exit` all the same, which writes the results.
 */
export function exitProcess(code: number = Number(process.exitCode ?? 0)): never {
  const measured = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].some((option) => /--(cpu|heap)-prof/.test(option));
  if (!measured && process.env['NODE_V8_COVERAGE'] === undefined) exit(code);
  process.exit(code);
}

/** Exit code of a process that found a bug in itself (EX_SOFTWARE of sysexits). */
export const EXIT_BUG = 70;

/** void _exit(int status) */
const exit = koffi.load(null).func('void _exit(int status)') as (status: number) => void;
