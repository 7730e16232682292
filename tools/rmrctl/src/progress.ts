/** Shows an operation until it has ended: painted again in place on a terminal, one line for each change in a pipe. */
import type { OperationView } from '@rmr/admin-api';
import { type ClusterNode, type Followed, follow } from '@rmr/cluster-view';
import { OperationError, type OperationErrorCode } from '@rmr/runtime';
import { createLogUpdate } from 'log-update';
import { type Painter, sizeText, spanText } from './terminal.ts';

/** Follows an operation. Rejects with its error if it fails or was cancelled. Progress goes to standard error, results don't. */
export async function showOperation(
  painter: Painter,
  node: ClusterNode,
  operation: OperationView,
  quiet: boolean,
  timeoutMs?: number,
): Promise<OperationView> {
  const live = painter.look.live && !quiet ? createLogUpdate(process.stderr) : null;
  const done: string[] = [];
  let told = '';
  let before = operation;
  let rate: Rate | null = null;
  const show = (followed: Followed): void => {
    const { operation: now } = followed;
    rate = nextRate(rate, now);
    if (now.stepNumber !== before.stepNumber && now.error === null) done.push(`${painter.mark('good')} ${before.step}`);
    before = now;
    const line = lineOf(painter, followed, rate);
    if (live !== null) live([...done, line].join('\n'));
    else if (!quiet) {
      const plain = `${now.stepNumber}/${now.steps} ${now.step}${now.waitingFor === null ? '' : `: waits for ${now.waitingFor.what}`}`;
      if (plain !== told) process.stderr.write(`${plain}\n`);
      told = plain;
    }
  };
  show({ operation, silence: null });
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort(leftRunning(operation));
  process.once('SIGINT', interrupt);
  try {
    const ended = await follow(node, operation, { timeoutMs, signal: interrupted.signal, onChange: show });
    if (live !== null) {
      if (ended.state === 'SUCCEEDED') done.push(`${painter.mark('good')} ${ended.step}`);
      live(done.join('\n'));
    }
    if (ended.state === 'SUCCEEDED') return ended;
    const { code = 'IO_ERROR', sentence = 'it did not succeed' } = ended.error ?? {};
    const undone = ended.state === 'CANCELLED' ? 'was cancelled' : 'failed';
    throw new OperationError(code as OperationErrorCode, `${ended.kind} of ${ended.targetName} ${undone}: ${sentence}`);
  } finally {
    live?.done();
    process.off('SIGINT', interrupt);
  }
}

function leftRunning({ id }: OperationView): OperationError {
  return new OperationError('TIMEOUT', `the operation goes on; follow it with: rmrctl operation wait ${id}`);
}

/** How fast it goes, smoothed over the last few answers. */
interface Rate {
  readonly atMs: number;
  readonly done: number;
  readonly perSecond: number;
}

function nextRate(before: Rate | null, { progress }: OperationView): Rate | null {
  if (progress === null) return null;
  const atMs = performance.now();
  if (before === null || progress.done < before.done) return { atMs, done: progress.done, perSecond: 0 };
  const seconds = (atMs - before.atMs) / 1000;
  if (seconds < 0.3) return before;
  const now = (progress.done - before.done) / seconds;
  return { atMs, done: progress.done, perSecond: before.perSecond === 0 ? now : before.perSecond * 0.7 + now * 0.3 };
}

function lineOf(painter: Painter, { operation, silence }: Followed, rate: Rate | null): string {
  const { progress, step, waitingFor, state } = operation;
  if (silence !== null) return `${painter.mark('unknown')} ${step}: the daemon does not answer, and is asked again (${silence})`;
  if (progress !== null && progress.total > 0) {
    const share = progress.done / progress.total;
    const speed = rate === null || rate.perSecond === 0 ? '' : `   ${sizeText(Math.round(rate.perSecond))}/s`;
    const eta = rate === null || rate.perSecond === 0 ? '' : `   about ${spanText((progress.total - progress.done) / rate.perSecond)}`;
    return `${painter.mark('moves')} ${step}  ${painter.bar(share)}  ${Math.floor(share * 100)} %   ${sizeText(progress.done)} of ${sizeText(progress.total)}${speed}${eta}`;
  }
  if (state === 'WAITING' && waitingFor !== null) return `${painter.mark('waits')} ${step}: waits for ${waitingFor.what}`;
  return `${painter.mark('moves')} ${step}`;
}
