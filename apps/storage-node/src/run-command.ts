import { hostDaemon } from '@rmr/admin-api/node';
import { addConfigOptions, configFlags, programVersion } from '@rmr/runtime/cli';
import { createLogger, loadConfig, SocketTransport } from '@rmr/runtime/node';
import type { Command } from 'commander';
import { storageNodeConfigSchema } from './config.ts';
import { startDaemon } from './daemon.ts';

/** Adds `run`, the default command: the daemon itself. */
export function addRunCommand(program: Command): void {
  const run = program
    .command('run', { isDefault: true })
    .summary('run the daemon (the default)')
    .description(
      'Runs the daemon in the foreground. Its configuration is a YAML or JSON file, environment variables over it, and flags over those. SIGTERM or SIGINT stops it gracefully, a second one at once. Logs are JSON lines on standard error.',
    )
    .option('-c, --config <file>', 'configuration file [RMR_CONFIG]');
  addConfigOptions(run, storageNodeConfigSchema);
  run.action(async () => {
    const load = () =>
      loadConfig(storageNodeConfigSchema, {
        filePath: (run.opts()['config'] as string | undefined) ?? process.env['RMR_CONFIG'],
        environment: process.env,
        flags: configFlags(run, storageNodeConfigSchema),
      });
    const config = load();
    const log = createLogger(config.name, config.log.level);
    const version = programVersion();
    const transport = new SocketTransport();
    transport.setRoutes(config.transport.routes);
    await hostDaemon({
      name: config.name,
      role: 'storage-node',
      version,
      admin: config.admin,
      log,
      start: () => startDaemon(config, { log, version, transport }),
      reload: () => transport.setRoutes(load().transport.routes),
    });
  });
}
