import { errorMessage } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { exitProcess } from './exit-process.ts';

/** Exit code of a process that found a bug in itself (EX_SOFTWARE of sysexits). */
export const EXIT_BUG = 70;

/** Something that runs until it is told to stop. */
export interface Stoppable {
  /** `graceful`: what executes finishes, what was accepted is flushed. Else: at once. Called once with true, then perhaps once with false. */
  stop(graceful: boolean): Promise<void>;
}

/** Makes a bug end the process with its stack in the log: a restart is safe, going on is not. */
export function crashOnBugs(log: Logger): void {
  const crash = (thrown: unknown): void => {
    log.error('crashed: a bug', { why: errorMessage(thrown), stack: thrown instanceof Error ? thrown.stack : undefined });
    exitProcess(EXIT_BUG);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
}

/**
 * Resolves when the daemon has been stopped by SIGTERM or SIGINT. The first signal stops it gracefully, the second at
 * once; a third, or a stop that fails, ends the process as it is.
 */
export function runUntilSignal(daemon: Stoppable, log: Logger): Promise<void> {
  return new Promise((resolve, reject) => {
    let signals = 0;
    const finish = (): void => {
      process.removeListener('SIGTERM', onSignal);
      process.removeListener('SIGINT', onSignal);
      log.info('stopped');
      resolve();
    };
    const onSignal = (signal: NodeJS.Signals): void => {
      signals++;
      if (signals > 2) exitProcess(1);
      log.info(signals === 1 ? 'stopping: what executes finishes first' : 'stopping at once', { signal });
      daemon.stop(signals === 1).then(finish, reject);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}
