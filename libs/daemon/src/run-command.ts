import { BoundedLog, type Logger } from '@rmr/runtime';
import { programVersion } from '@rmr/runtime/cli';
import { createLogger, ensurePoolThreads, type LogLevel, SocketTransport, SystemClock } from '@rmr/runtime/node';
import type { Command } from 'commander';
import type { z } from 'zod';
import { judgeAdmin } from './admin-server.ts';
import { loadConfig } from './config/config.ts';
import { addConfigOptions, configFlags } from './config/config-options.ts';
import { type Daemon, type DaemonHostOptions, hostDaemon } from './daemon-host.ts';

/** The time between two checks whether a summary of repeated log lines is due. */
const SUMMARIES_MS = 5_000;

/** The part of the configuration that all daemons have in common. */
export interface DaemonConfig {
  readonly name: string;
  readonly admin: DaemonHostOptions['admin'];
  readonly log: { readonly level: LogLevel };
  readonly transport: { readonly routes: ReadonlyMap<string, string> };
}

/** The things that a daemon gets from the process that hosts it. */
export interface DaemonSurroundings {
  readonly log: Logger;
  readonly version: string;
  /** Makes every connection to and from other nodes. It knows the configured routes. */
  readonly transport: SocketTransport;
}

/** The daemon that a program runs. */
export interface DaemonProgram<Schema extends z.ZodType<DaemonConfig>> {
  readonly role: DaemonHostOptions['role'];
  readonly schema: Schema;
  /** How many threads the daemon needs in libuv's pool. Left out: it makes do with those that there are. */
  readonly poolThreads?: (config: z.output<Schema>) => number;
  readonly start: (config: z.output<Schema>, surroundings: DaemonSurroundings) => Promise<Daemon>;
}

/** Adds `run`, the default command. It runs the daemon itself. */
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
    // The daemon starts before its admin interface does. So the admin part of the configuration is checked here, before anything is opened.
    judgeAdmin(config.admin);
    if (run.opts()['check'] === true) {
      process.stdout.write(`the configuration of ${daemon.role} ${config.name} is usable\n`);
      return;
    }
    const lines = new BoundedLog(createLogger(config.name, config.log.level), new SystemClock());
    const { log } = lines;
    const summaries = setInterval(() => lines.tick(), SUMMARIES_MS).unref();
    // Lines that were counted and not written yet are written now, also when the process ends early.
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
