import { runCommandLine } from '@rmr/runtime/cli';
import { exitProcess } from '@rmr/runtime/node';
import { buildProgram } from './cli.ts';

await runCommandLine(buildProgram(), process.argv);
// After a clean end something may be left: a descriptor of a dying connection, or a call to a disk that hangs. It must not keep the
// process alive.
exitProcess();
