import { runCommandLine } from '@rmr/runtime/cli';
import { buildProgram } from './cli.ts';

await runCommandLine(buildProgram(), process.argv);
// After a clean end something may still be open, such as a descriptor of a dying connection. It must not keep the process alive.
process.exit();
