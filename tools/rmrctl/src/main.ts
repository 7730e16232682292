import { runCommandLine } from '@rmr/runtime/cli';
import { buildProgram } from './cli.ts';

await runCommandLine(buildProgram(), process.argv);
// Pooled connections to daemons must not keep the command.
process.exit();
