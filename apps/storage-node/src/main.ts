import { runCommandLine } from '@rmr/runtime/cli';
import { exitProcess } from '@rmr/runtime/node';
import { buildProgram } from './cli.ts';

await runCommandLine(buildProgram(), process.argv);
// What is left after a clean end must not keep the process: a descriptor of a dying connection, or a call to a disk that hangs.
exitProcess();
