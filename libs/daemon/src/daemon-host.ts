import type { AdminService } from '@rmr/admin-api';
import { errorMessage, type Logger } from '@rmr/runtime';
import { type AdminConfig, startAdminServer } from './admin-server.ts';
import { crashOnBugs, runUntilSignal, type Stoppable } from './daemon-process.ts';
import { Metrics, registerProcessMetrics } from './metrics.ts';

/** A daemon, as the process that hosts it sees it. */
export interface Daemon extends AdminService, Stoppable {
  /** Registers the daemon's own metrics. Called once. */
  registerMetrics(metrics: Metrics): void;
}

export interface DaemonHostOptions {
  readonly name: string;
  readonly role: 'storage-node' | 'client-node';
  readonly version: string;
  readonly admin: AdminConfig;
  readonly log: Logger;
  /** Brings the daemon up. It resolves when the listeners are open. The daemon may not be ready by then: see {@link AdminService.notReady}. */
  readonly start: () => Promise<Daemon>;
  /**
   * Called at SIGHUP. Reads the part of the configuration again that can change while the daemon runs. When it throws, the error is
   * logged, and nothing has changed.
   */
  readonly reload: () => void;
}

/** Runs a daemon and its admin interface until a signal has stopped both. When one of them can't start, it throws that error. */
export async function hostDaemon(options: DaemonHostOptions): Promise<void> {
  const { log } = options;
  crashOnBugs(log);
  log.info('starting', { role: options.role, version: options.version, node: process.version });
  process.on('SIGHUP', () => {
    try {
      options.reload();
      log.info('configuration read again');
    } catch (error) {
      log.error('configuration not read again: everything stays as it is', { why: errorMessage(error) });
    }
  });
  const daemon = await options.start();
  try {
    const metrics = new Metrics();
    registerProcessMetrics(metrics, options);
    daemon.registerMetrics(metrics);
    const admin = await startAdminServer({ ...options.admin, service: daemon, metrics, log });
    await runUntilSignal(
      {
        // The admin interface stops last, so that people can see what the daemon's stop waits for.
        async stop(graceful) {
          await daemon.stop(graceful);
          await admin.close();
        },
      },
      log,
    );
  } catch (error) {
    log.error('stopping: a part of the daemon failed', { why: errorMessage(error) });
    await daemon.stop(false);
    throw error;
  }
}
