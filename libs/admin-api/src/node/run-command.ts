import { BoundedLog, type Logger } from '@rmr/runtime';
import { addConfigOptions, configFlags, programVersion } from '@rmr/runtime/cli';
import { createLogger, ensurePoolThreads, type LogLevel, loadConfig, SocketTransport, SystemClock } from '@rmr/runtime/node';
import type { Command } from 'commander';
import type { z } from 'zod';
import { judgeAdmin } from './admin-server.ts';
import { type Daemon, type DaemonHostOptions, hostDaemon } from './daemon-host.ts';

/** How often it is looked whether a summary of repeated log lines is due. */
const SUMMARIES_MS = 5_000;

/** What every daemon's configuration has. */
export interface DaemonConfig {
  readonly name: string;
  readonly admin: DaemonHostOptions['admin'];
  readonly log: { readonly level: LogLevel };
  readonly transport: { readonly routes: ReadonlyMap<string, string> };
}

/** What the process gives to a daemon. */
export interface DaemonSurroundings {
  readonly log: Logger;
  readonly version: string;
  /** For every connection to and from other nodes: it knows the configured routes. */
  readonly transport: SocketTransport;
}

/** Which daemon a program runs. */
export interface DaemonProgram<Schema extends z.ZodType<DaemonConfig>> {
  readonly role: DaemonHostOptions['role'];
  readonly schema: Schema;
  /** Threads that it needs in libuv's pool; left out: as many as there are. */
  readonly poolThreads?: (config: z.output<Schema>) => number;
  readonly start: (config: z.output<Schema>, surroundings: DaemonSurroundings) => Promise<Daemon>;
}

/** Adds `run`, the default command: the daemon itself. */
export function addRunCommand<Schema extends z.ZodType<DaemonConfig>>(program: Command, daemon: DaemonProgram<Schema>): void {
  const run = program
    .command('run', { isDefault: true })
    .summary('run the daemon (the default)')
    .description(
      'Runs the daemon in the foreground. Its configuration is a YAML or JSON file, environment variables over it, and flags over those. SIGTERM or SIGINT stops it gracefully, a second one at once. Logs are JSON lines on standard error.',
    )
    .option('-c, --config <file>', 'configuration file [RMR_CONFIG]')
    .option('--check', 'judge the whole configuration and end: 0 where the daemon could start with it, 2 with every problem where not');
  addConfigOptions(run, daemon.schema);
  run.action(async () => {
    const load = () =>
      loadConfig(daemon.schema, {
        filePath: (run.opts()['config'] as string | undefined) ?? process.env['RMR_CONFIG'],
        environment: process.env,
        flags: configFlags(run, daemon.schema),
      });
    const config = load();
    // The configuration is judged whole before anything is opened: the daemon itself comes before its admin interface.
    judgeAdmin(config.admin);
    if (run.opts()['check'] === true) {
      process.stdout.write(`the configuration of ${daemon.role} ${config.name} is usable\n`);
      return;
    }
    const lines = new BoundedLog(createLogger(config.name, config.log.level), new SystemClock());
    const { log } = lines;
    const summaries = setInterval(() => lines.tick(), SUMMARIES_MS).unref();
    // Also where the process ends early: what was counted is not lost.
    process.once('exit', () => lines.flush());
    if (daemon.poolThreads !== undefined) ensurePoolThreads(daemon.poolThreads(config), log);
    const version = programVersion();
    const transport = new SocketTransport();
    transport.setRoutes(config.transport.routes);
    await hostDaemon({
      name: config.name,
      role: daemon.role,
      version,
      admin: config.admin,
      log,
      start: () => daemon.start(config, { log, version, transport }),
      reload: () => transport.setRoutes(load().transport.routes),
    });
    clearInterval(summaries);
  });
}
