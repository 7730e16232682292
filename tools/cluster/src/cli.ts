import { resolve } from 'node:path';
import { formatSize, OperationError, parseDuration } from '@rmr/runtime';
import { programVersion } from '@rmr/runtime/cli';
import { Command } from 'commander';
import * as commands from './commands.ts';
import { DEFAULTS } from './constants.ts';
import { stay, takeInterrupts, welcome } from './foreground.ts';
import { parseUpFlags, type UpFlags } from './options.ts';
import { report } from './report.ts';
import { statusTable } from './status-table.ts';
import { up } from './up.ts';

interface DirectoryFlag {
  readonly dir: string;
}

/** The command line of the tool. */
export function buildProgram(): Command {
  const program = new Command('cluster')
    .description(
      'Runs a whole cluster on this host: storage nodes with stores in files, a client node that exports their pool over NBD, and the web application. For demonstrations, tests and benchmarks.',
    )
    .version(programVersion(), '-V, --version')
    .helpCommand(false);
  addUp(program);
  addLifeCycle(program);
  addPartitions(program);
  addQuestions(program);
  return program;
}

function addUp(program: Command): void {
  withDirectory(program.command('up'))
    .summary('create or reopen a cluster')
    .description(
      'Creates a cluster in the directory, or reopens the one that is there, and returns once IO is served. Without --detach it stays in the foreground, and Ctrl-C stops the cluster. Options belong to a cluster for ever: ones that contradict it are refused.',
    )
    .option('--storage-nodes <number>', `storage nodes (default: ${DEFAULTS.storageNodes})`)
    .option('--replicas <number>', `members of the pool, one per storage node (default: ${DEFAULTS.replicas})`)
    .option(
      '--client-nodes <number>',
      `client nodes; up starts the first, the others are rivals to start by name (default: ${DEFAULTS.clientNodes})`,
    )
    .option('--size <size>', `size of the block device (default: ${formatSize(DEFAULTS.sizeBytes).replace(' ', '')})`)
    .option(
      '--chunk-size <size>',
      `unit in which missed writes are tracked (default: ${formatSize(DEFAULTS.chunkSizeBytes).replace(' ', '')})`,
    )
    .option('--transport <tcp|unix>', `between client and storage nodes (default: ${DEFAULTS.transport})`)
    .option('--paths <number>', `connections per session (default: ${DEFAULTS.paths})`)
    .option('--nbd-socket <path>', 'serve NBD on this unix socket (default: one of the directory)')
    .option('--nbd-port <number>', 'serve NBD on this TCP port of 127.0.0.1')
    .option('--quorum <policy>', 'none or majority: with majority IO waits unless most members have recorded which members are in sync')
    .option('--witness', 'a storage node more, without data, which votes')
    .option('--volatile-cache', 'stores keep what was not flushed in a cache that dies with their storage node')
    .option(
      '--return-hold <duration>',
      "how long IO is held for a member that returns; none is failed for being slow then (default: the daemon's)",
    )
    .option('--resync-rate <size>', "bytes per second that a storage node pulls at most to catch up (default: the daemon's)")
    .option('--no-web', 'leave the web application out')
    .option('--detach', 'return once IO is served, and leave the cluster running')
    .action(async (flags: UpFlags & DirectoryFlag & { readonly web: boolean; readonly detach?: true }) => {
      const directory = resolve(flags.dir);
      const asked = parseUpFlags(flags);
      const interrupts = takeInterrupts();
      const startedMs = performance.now();
      const progress = (step: string): void => say(`${((performance.now() - startedMs) / 1000).toFixed(1).padStart(5)} s  ${step}`);
      try {
        const { state, launched, created } = await up({ directory, asked, web: flags.web, progress, signal: interrupts.signal });
        say(welcome(directory, state, created));
        if (flags.detach !== true) await stay(directory, launched, interrupts, say);
      } catch (error) {
        if (!interrupts.signal.aborted || error !== interrupts.signal.reason) throw error;
        say('Interrupted: what was started is stopped again.');
        process.exitCode = 130;
      } finally {
        interrupts.release();
      }
    });
}

function addLifeCycle(program: Command): void {
  withDirectory(program.command('down'))
    .description('Stop everything and keep the data.')
    .action(async ({ dir }: DirectoryFlag) => {
      for (const text of await commands.down(resolve(dir), say)) say(text);
    });
  withDirectory(program.command('kill <node...>'))
    .description('Kill nodes with SIGKILL, at one moment.')
    .action(async (nodes: string[], { dir }: DirectoryFlag) => await commands.kill(resolve(dir), nodes));
  withDirectory(program.command('start <node...>'))
    .description('Start nodes again, with the identity that they had; or a client node that never ran.')
    .action(async (nodes: string[], { dir }: DirectoryFlag) => await commands.start(resolve(dir), nodes));
  withDirectory(program.command('power-cycle <node...>'))
    .description('Kill nodes at one moment and start them as after a power loss: on another boot. "all": every daemon.')
    .action(async (nodes: string[], { dir }: DirectoryFlag) => void (await commands.powerCycle(resolve(dir), nodes)));
  withDirectory(program.command('pause <node>'))
    .description('Pause a node with SIGSTOP.')
    .action(async (node: string, { dir }: DirectoryFlag) => await commands.pauseNode(resolve(dir), node));
  withDirectory(program.command('resume <node>'))
    .description('Let a paused node go on, with SIGCONT.')
    .action(async (node: string, { dir }: DirectoryFlag) => await commands.resumeNode(resolve(dir), node));
}

function addPartitions(program: Command): void {
  withDirectory(program.command('partition <a> <b>'))
    .description('Cut the connections between two nodes, and keep new ones from being made.')
    .action(async (a: string, b: string, { dir }: DirectoryFlag) => await commands.setPartition(resolve(dir), a, b, true));
  withDirectory(program.command('heal <a> <b>'))
    .description('Let two nodes connect again.')
    .action(async (a: string, b: string, { dir }: DirectoryFlag) => await commands.setPartition(resolve(dir), a, b, false));
}

function addQuestions(program: Command): void {
  withDirectory(program.command('wait'))
    .description('Wait until IO is served, or with --healthy until every member is in sync and has pulled what it missed.')
    .option('--healthy', 'wait for full redundancy')
    .option('--converged', 'wait until every member is in sync and nobody knows of anything that one of them has missed')
    .option('--timeout <duration>', 'give up after this time', '60s')
    .action(async (flags: DirectoryFlag & { readonly healthy?: true; readonly converged?: true; readonly timeout: string }) => {
      const timeoutMs = parseDuration(flags.timeout);
      const wait =
        flags.converged === true ? commands.waitUntilConverged : flags.healthy === true ? commands.waitUntilHealthy : commands.waitUntilUp;
      await wait(resolve(flags.dir), timeoutMs);
    });
  withDirectory(program.command('checksum'))
    .description(
      "Print the SHA-256 of every member's data, as NAME<TAB>DIGEST, after a flush where the cluster runs. Exit code 1 when they differ.",
    )
    .action(async ({ dir }: DirectoryFlag) => {
      const digests = await commands.checksum(resolve(dir), (text) => say(`warning: ${text}`));
      for (const { name, sha256 } of digests) process.stdout.write(`${name}\t${sha256}\n`);
      if (new Set(digests.map((digest) => digest.sha256)).size > 1) process.exitCode = 1;
    });
  withDirectory(program.command('status'))
    .description('Show how the cluster is. Exit code 0: healthy, 20: degraded, 21: down.')
    .option('--output <table|json>', 'form of the output: json has everything that the nodes say', 'table')
    .option('--json', 'the same as --output json')
    .action(async (flags: DirectoryFlag & { readonly output: string; readonly json?: true }) => {
      if (flags.output !== 'table' && flags.output !== 'json') {
        throw new OperationError('INVALID_ARGUMENT', `--output "${flags.output}": write table or json`);
      }
      const json = flags.json === true || flags.output === 'json';
      const found = await report(resolve(flags.dir));
      process.stdout.write(json ? `${JSON.stringify(found, null, 2)}\n` : statusTable(found));
      process.exitCode = found.exitCode;
    });
}

function withDirectory(command: Command): Command {
  return command.option('--dir <dir>', "the cluster's directory", '.rmr');
}

/** Standard output is for what other programs read. */
function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
