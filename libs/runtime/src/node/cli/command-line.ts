import { type Command, CommanderError } from 'commander';
import { errorMessage, OPERATION_ERRORS, OperationError } from '../../errors.ts';
import { EXIT_BUG } from '../exit-process.ts';

/** The version that was built in, or `development` when run from its sources. */
export function programVersion(): string {
  return process.env['RMR_VERSION'] ?? 'development';
}

/**
 * Runs a program and sets the exit code. It is 0 for success; the code of the table for an {@link OperationError}; that of
 * INVALID_ARGUMENT for wrong usage; and {@link EXIT_BUG}, with a stack, for anything else. The process is not ended here.
 */
export async function runCommandLine(program: Command, argv: readonly string[]): Promise<void> {
  throwInPlaceOfExit(program);
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    process.exitCode = printError(program.name(), error);
  }
}

/** Says on standard error what went wrong, and returns the exit code for it. */
export function printError(programName: string, thrown: unknown): number {
  if (thrown instanceof CommanderError) {
    // The command library has written its message itself, or was asked for help or the version.
    return thrown.exitCode === 0 ? 0 : OPERATION_ERRORS.INVALID_ARGUMENT.exit;
  }
  if (thrown instanceof OperationError) {
    process.stderr.write(`${programName}: ${thrown.message}\n`);
    return OPERATION_ERRORS[thrown.code].exit;
  }
  const stack = thrown instanceof Error ? thrown.stack : undefined;
  process.stderr.write(`${programName}: a bug: ${stack ?? errorMessage(thrown)}\n`);
  return EXIT_BUG;
}

function throwInPlaceOfExit(command: Command): void {
  command.exitOverride();
  command.showSuggestionAfterError();
  for (const child of command.commands) throwInPlaceOfExit(child);
}
