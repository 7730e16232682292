import { runCommandLine } from '@rmr/runtime/cli';
import { buildProgram } from './cli.ts';

/**
 * Threads for what may wait for a disk: cold reads, flushes, allocation. All disks share them, so there are more than
 * Node's default of 4: one disk that stalls holds two at most (see docs/store-io.md). Read when the first is used.
 */
process.env['UV_THREADPOOL_SIZE'] ??= '16';

await runCommandLine(buildProgram(), process.argv);
// What is left open after a clean end, such as a descriptor of a dying connection, must not keep the process.
process.exit();
