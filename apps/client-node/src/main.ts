import { runCommandLine } from '@rmr/runtime/cli';
import { buildProgram } from './cli.ts';

await runCommandLine(buildProgram(), process.argv);
// What is left open after a clean end, such as a descriptor of a dying connection, must not keep the process.
process.exit();
