import { threadsFor } from '@rmr/brmr';
import { addRunCommand } from '@rmr/daemon';
import { programVersion } from '@rmr/runtime/cli';
import { Command } from 'commander';
import { storageNodeConfigSchema } from './config.ts';
import { startDaemon } from './daemon.ts';
import { addStoreCommands } from './store-commands.ts';

/** Stores on the disks of a node that have their full share of threads. More of them share what there is. */
const STORES_AT_RUN_TIME = 16;

/** The command line of the storage node. */
export function buildProgram(): Command {
  const program = new Command('storage-node')
    .description('The daemon of the storage node: keeps one member of a pool per store and serves it to the compute client.')
    .version(programVersion(), '-V, --version')
    .helpCommand(false)
    .addHelpText('after', '\nThe flags of the daemon: storage-node run --help');
  addRunCommand(program, {
    role: 'storage-node',
    schema: storageNodeConfigSchema,
    // Each disk may hold up threads as a store does, and stores are made on disks while the daemon runs.
    poolThreads: ({ stores, disks }) => threadsFor(stores.length + disks.length + (disks.length === 0 ? 0 : STORES_AT_RUN_TIME)),
    start: startDaemon,
  });
  addStoreCommands(program);
  return program;
}
