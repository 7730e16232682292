import { errorMessage, type Logger } from '@rmr/runtime';
import { EXIT_BUG, exitProcess } from '@rmr/runtime/node';

/** A thing that runs until it is told to stop. */
export interface Stoppable {
  /**
   * Stops it. `graceful`: requests that execute finish, and accepted data is flushed. Not `graceful`: it stops at once. Called once with
   * true, and then perhaps once with false.
   */
  stop(graceful: boolean): Promise<void>;
}

/** Makes a bug end the process, with its stack in the log. A restart is safe; going on after a bug is not. */
export function crashOnBugs(log: Logger): void {
  const crash = (thrown: unknown): void => {
    log.error('crashed: a bug', { why: errorMessage(thrown), stack: thrown instanceof Error ? thrown.stack : undefined });
    exitProcess(EXIT_BUG);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
}

/**
 * Resolves when the daemon has been stopped by SIGTERM or SIGINT. The first signal stops it gracefully, the second one at once. A third
 * signal, or a stop that fails, ends the process as it is.
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
      log.info(signals === 1 ? 'stopping: requests that execute finish first' : 'stopping at once', { signal });
      daemon.stop(signals === 1).then(finish, reject);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}
