import { OperationError } from '@rmr/runtime';
import { type ClusterState, readState, runningProcess, writeState } from './cluster-state.ts';
import { LOCK_TIMEOUT_MS } from './constants.ts';
import { withDirectoryLock } from './directory-lock.ts';

/** Does `work` with the state of the cluster, alone, and writes the state afterwards: stopped daemons have no pid then. */
export async function changing<Result>(
  directory: string,
  work: (state: ClusterState) => Promise<Result>,
  lockTimeoutMs = LOCK_TIMEOUT_MS,
): Promise<Result> {
  readState(directory);
  return await withDirectoryLock(
    directory,
    async () => {
      const state = readState(directory);
      try {
        return await work(state);
      } finally {
        for (const name of Object.keys(state.processes)) if (runningProcess(state, name) === null) delete state.processes[name];
        writeState(directory, state);
      }
    },
    lockTimeoutMs,
  );
}

/** Takes the pids of daemons that died by themselves out of the cluster file, unless another command is at work: it will do so. */
export async function noteDeaths(directory: string, state: ClusterState): Promise<void> {
  if (Object.keys(state.processes).every((name) => runningProcess(state, name) !== null)) return;
  try {
    await changing(directory, async () => {}, 0);
  } catch (error) {
    if (!(error instanceof OperationError && error.code === 'CONFLICT')) throw error;
  }
}
