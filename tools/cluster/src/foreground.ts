import { formatSize } from '@rmr/runtime';
import { noteDeaths } from './changing.ts';
import { type ClusterState, clusterFileOf, layout, nodeNames, readState, runningProcess } from './cluster-state.ts';
import { down } from './commands.ts';
import { WEB_NAME } from './constants.ts';
import { describeDeath, type Launched } from './node-process.ts';
import { members } from './stores.ts';
import { waitFor } from './waiting.ts';

/** A terminal's Ctrl-C arrives from the terminal and once more from npm: within this time it is one wish, not two. */
const SAME_SIGNAL_MS = 1000;
/** How often it is looked whether another command has stopped the cluster. */
const WATCH_MS = 1000;

/** What people want to know of a cluster that has just come up. */
export function welcome(directory: string, state: ClusterState, created: boolean): string {
  const file = clusterFileOf(directory, state);
  const client = file.clientNodes.find((node) => node.pid !== null) ?? file.clientNode;
  const { chunkSizeBytes, sizeBytes } = state.options;
  const lines = [
    '',
    `${created ? 'A new cluster serves IO' : 'The cluster serves IO, with the data that it had'}: ${formatSize(sizeBytes)}, mirrored on ${members(state).length} storage node${members(state).length === 1 ? '' : 's'}, chunks of ${formatSize(chunkSizeBytes)}.`,
    '',
    `  NBD        ${client.nbdUri}`,
    ...(file.web === null ? [] : [`  Dashboard  ${file.web.url}`]),
    `  Try        nbdinfo '${client.nbdUri}'`,
    '',
    'Operate it from another terminal, in this folder:',
    ...['status', 'disk list', 'volume create web-01 --size 1GiB --replicas 2', 'volume show web-01'].map(
      (command) => `  npm run -s rmrctl -- --cluster ${layout.rmrctl(directory)} ${command}`,
    ),
    '',
    ...members(state).map((node) => `  ${node.name}  ${layout.store(directory, node.name)}`),
    `  Logs       ${layout.log(directory, '*')}`,
  ];
  return lines.join('\n');
}

/** Signals that end a command, one at a time. */
export interface Interrupts {
  /** Aborted by the first. */
  readonly signal: AbortSignal;
  /** Resolves at the first. */
  readonly first: Promise<void>;
  release(): void;
}

/** Takes SIGINT and SIGTERM. The second one ends this command as it is. */
export function takeInterrupts(): Interrupts {
  const controller = new AbortController();
  let resolveFirst = (): void => {};
  const first = new Promise<void>((resolve) => {
    resolveFirst = resolve;
  });
  let lastMs = Number.NEGATIVE_INFINITY;
  let count = 0;
  const onSignal = (): void => {
    const nowMs = performance.now();
    if (nowMs - lastMs < SAME_SIGNAL_MS) return;
    lastMs = nowMs;
    count++;
    if (count > 1) process.exit(1);
    controller.abort(new Error('interrupted'));
    resolveFirst();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    signal: controller.signal,
    first,
    release() {
      process.removeListener('SIGINT', onSignal);
      process.removeListener('SIGTERM', onSignal);
    },
  };
}

/** Stays until an interrupt, then stops the cluster; or until another command has stopped it. Says so when a node dies. */
export async function stay(
  directory: string,
  launched: readonly Launched[],
  interrupts: Interrupts,
  say: (line: string) => void,
): Promise<void> {
  let interrupted = false;
  void interrupts.first.then(() => {
    interrupted = true;
  });
  for (const process of launched) {
    process.child.ref();
    process.child.once('exit', () => {
      if (!interrupted) say(describeDeath(process));
    });
  }
  say('\nCtrl-C stops it and keeps the data.');
  let told = new Set<string>();
  for (;;) {
    await Promise.race([interrupts.first, waitFor(WATCH_MS, () => null)]);
    if (interrupted) break;
    const state = readState(directory);
    await noteDeaths(directory, state);
    const running = nodeNames(state).filter((name) => runningProcess(state, name) !== null);
    if (running.every((name) => name === WEB_NAME)) {
      say('Every daemon has stopped.');
      break;
    }
    for (const name of running) if (told.size > 0 && !told.has(name)) say(`${name} runs again.`);
    told = new Set(running);
  }
  for (const text of await down(directory, say)) say(text);
  say('Stopped. The data is kept.');
}
