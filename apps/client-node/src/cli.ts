import { addRunCommand } from '@rmr/daemon';
import { programVersion } from '@rmr/runtime/cli';
import { Command } from 'commander';
import { clientNodeConfigSchema } from './config.ts';
import { startDaemon } from './daemon.ts';
import { addPoolCommands } from './pool-commands.ts';

/** The command line of the client node. */
export function buildProgram(): Command {
  const program = new Command('client-node')
    .description('The daemon of the compute client: maps pools that storage nodes mirror, and exports them as block devices over NBD.')
    .version(programVersion(), '-V, --version')
    .helpCommand(false)
    .addHelpText('after', '\nThe flags of the daemon: client-node run --help');
  addRunCommand(program, { role: 'client-node', schema: clientNodeConfigSchema, start: startDaemon });
  addPoolCommands(program);
  return program;
}
