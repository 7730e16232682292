/** The command line: its global flags, its nouns and verbs, and how it ends. */
import { OPERATION_ERRORS, OperationError } from '@rmr/runtime';
import { printError, programVersion } from '@rmr/runtime/cli';
import { Command, CommanderError, Option } from 'commander';
import { addCompletion } from './commands/completion.ts';
import { addContext } from './commands/context.ts';
import { addLooking } from './commands/looking.ts';
import { addMember, addResync } from './commands/member.ts';
import { addOperation } from './commands/operation.ts';
import { addVolume } from './commands/volume.ts';
import { exitCodeOf, failureText } from './failures.ts';
import { lookOf, Painter } from './painter.ts';
import type { Surroundings } from './surroundings.ts';

const DESCRIPTION =
  'Operates a cluster: volumes, members, disks, resync, operations. The first line of "rmrctl status" says whether the data is safe, the second what to do.';

export function buildProgram(world: Surroundings): Command {
  const program = new Command('rmrctl')
    .description(DESCRIPTION)
    .version(programVersion(), '-V, --version')
    .helpCommand(false)
    .option('--cluster <file>', 'cluster file that names the daemons (default: $RMR_CLUSTER, the context in use, ./rmr.yaml)')
    .option('--context <name>', 'a cluster that was added with "context add"')
    .addOption(new Option('-o, --output <form>', 'form of the answer').choices(['table', 'json', 'yaml']).default('table'))
    .option('--ascii', 'marks and bars in ASCII')
    .option('--uuids', 'show UUIDs beside names')
    .addHelpText('after', '\nExample:\n  rmrctl status');
  addLooking(program, world);
  addVolume(program, world);
  addMember(program, world);
  addResync(program, world);
  addOperation(program, world);
  addContext(program, world);
  addCompletion(program, world);
  prepare(program, world);
  return program;
}

/** What commands do not hand on to those below them. */
function prepare(command: Command, world: Surroundings): void {
  command
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: command.parent !== null })
    .configureOutput({
      writeOut: (text) => world.stdout.write(text),
      writeErr: (text) => world.stderr.write(text),
      getOutHelpWidth: () => world.columns,
      getErrHelpWidth: () => world.columns,
    });
  for (const child of command.commands) prepare(child, world);
}

/** Runs a command line, without the names of the program. Sets the exit code; never rejects. */
export async function run(world: Surroundings, args: readonly string[]): Promise<void> {
  try {
    await buildProgram(world).parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) world.setExitCode(error.exitCode === 0 ? 0 : OPERATION_ERRORS.INVALID_ARGUMENT.exit);
    else if (error instanceof OperationError) {
      const painter = new Painter(lookOf(world, 'stderr', args.includes('--ascii')));
      world.stderr.write(`${failureText(painter, error)}\n`);
      world.setExitCode(exitCodeOf(error));
    } else world.setExitCode(printError('rmrctl', error));
  }
}
