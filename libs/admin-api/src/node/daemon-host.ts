import { errorMessage, type Logger } from '@rmr/runtime';
import { crashOnBugs, runUntilSignal, type Stoppable } from '@rmr/runtime/node';
import type { AdminService } from '../router.ts';
import { type AdminConfig, startAdminServer } from './admin-server.ts';
import { Metrics, registerProcessMetrics } from './metrics.ts';

/** What a daemon is to the process that hosts it. */
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
  /** Brings the daemon up: its listeners are open when it resolves. It need not be ready: see {@link AdminService.notReady}. */
  readonly start: () => Promise<Daemon>;
  /** Reads again what can change while it runs; called at SIGHUP. What it throws is logged, and nothing has changed then. */
  readonly reload: () => void;
}

/** Runs a daemon and its admin interface until a signal has stopped both. Throws what starting them failed with. */
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
        // The admin interface answers to the last: it is how people see what a stop waits for.
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
