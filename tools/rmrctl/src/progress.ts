/** Shows an operation until it has ended: painted again in place on a terminal, one line for each change in a pipe. */
import type { OperationView } from '@rmr/admin-api';
import { AdvisedError, type ClusterNode, type Followed, follow, spanText } from '@rmr/cluster-view';
import { OPERATION_ERRORS, type OperationError, type OperationErrorCode } from '@rmr/runtime';
import { OperationFailure } from './failures.ts';
import { OPERATION_MARKS } from './marks.ts';
import type { Painter } from './painter.ts';
import { type Repaint, repaintOn } from './repaint.ts';
import type { Session } from './session.ts';
import { sizeText } from './words.ts';

/** Follows an operation. Rejects with its error if it fails or was cancelled, and with TIMEOUT if it goes on. */
export async function showOperation(
  session: Session,
  node: ClusterNode,
  operation: OperationView,
  timeoutMs?: number,
): Promise<OperationView> {
  const view = session.world.isTerminal.stderr ? new LiveView(session) : session.flags.output === 'table' ? new LineView(session) : null;
  view?.show({ operation, silence: null });
  const interrupted = new AbortController();
  const goesOn = (why: string): AdvisedError => {
    const wait = { sentence: 'Follow it:', action: { do: 'operation-wait', id: operation.id } } as const;
    return new AdvisedError('TIMEOUT', `${operation.kind} of ${operation.targetName} ${why}`, [wait], 'goes on');
  };
  const back = session.world.onInterrupt(() => interrupted.abort(goesOn('is not followed any more')));
  try {
    const ended = await follow(node, operation, { timeoutMs, signal: interrupted.signal, onChange: (followed) => view?.show(followed) });
    if (ended.state === 'SUCCEEDED') return ended;
    const { code = 'IO_ERROR', sentence = 'it did not succeed' } = ended.error ?? {};
    const known = code in OPERATION_ERRORS ? (code as OperationErrorCode) : 'IO_ERROR';
    const how = ended.state === 'CANCELLED' ? 'was cancelled' : 'failed';
    throw new OperationFailure(known, `${ended.kind} of ${ended.targetName} ${how}: ${sentence}`);
  } catch (error) {
    const { code } = error as OperationError;
    throw code === 'TIMEOUT' && !(error instanceof AdvisedError) && !(error instanceof OperationFailure)
      ? goesOn('has not ended in time')
      : error;
  } finally {
    view?.end();
    back();
  }
}

/** One line for each change, on standard output. */
class LineView {
  readonly #session: Session;
  #told = '';

  constructor(session: Session) {
    this.#session = session;
  }

  show({ operation, silence }: Followed): void {
    const { painter, world } = this.#session;
    const { step, stepNumber, steps, waitingFor, state } = operation;
    const what =
      silence !== null
        ? `the daemon does not answer and is asked again: ${silence}`
        : waitingFor === null
          ? step
          : `${step}: waits for ${waitingFor.what}`;
    const line = `${painter.mark(silence === null ? OPERATION_MARKS[state] : 'unknown')} ${stepNumber}/${steps} ${what}`;
    const ended = state === 'FAILED' || state === 'CANCELLED';
    if (line.slice(1) !== this.#told.slice(1) && !ended) world.stdout.write(`${line}\n`);
    this.#told = line;
  }

  end(): void {}
}

/** Painted in place on standard error: what is done, and a bar with rate, time left and reason. */
class LiveView {
  readonly #session: Session;
  readonly #screen: Repaint;
  readonly #done: string[] = [];
  #before: OperationView | null = null;
  #rate: Rate | null = null;
  #stepBeganMs: number;

  constructor(session: Session) {
    this.#session = session;
    this.#screen = repaintOn(session.world, 'stderr');
    this.#stepBeganMs = session.world.now();
  }

  show(followed: Followed): void {
    const { aside, world } = this.#session;
    const { operation } = followed;
    const nowMs = world.now();
    this.#rate = nextRate(this.#rate, operation, nowMs);
    const isNext = this.#before !== null && operation.stepNumber > this.#before.stepNumber;
    if (this.#before !== null && operation.error === null && (isNext || operation.state === 'SUCCEEDED')) {
      const seconds = ((nowMs - this.#stepBeganMs) / 1000).toFixed(1);
      this.#done.push(`${aside.mark('good')} ${this.#before.step}  ${aside.faint(`${seconds} s`)}`);
      this.#stepBeganMs = nowMs;
    }
    this.#before = operation;
    const lines = [...this.#done];
    if (operation.endedAt === null)
      lines.push(lineOf(aside, followed, this.#rate), aside.faint(`Ctrl-C leaves it running: rmrctl operation wait ${operation.id}`));
    this.#screen.paint(lines.join('\n'));
  }

  end(): void {
    this.#screen.paint(this.#done.join('\n'));
    this.#screen.done();
  }
}

/** How fast it goes, smoothed over the last few answers. */
interface Rate {
  readonly atMs: number;
  readonly done: number;
  /** Bytes, or whatever is counted, per second. Zero: not known yet. */
  readonly perSecond: number;
}

function nextRate(before: Rate | null, { progress }: OperationView, atMs: number): Rate | null {
  if (progress === null) return null;
  if (before === null || progress.done < before.done) return { atMs, done: progress.done, perSecond: 0 };
  const seconds = (atMs - before.atMs) / 1000;
  if (seconds < 0.3) return before;
  const now = (progress.done - before.done) / seconds;
  return { atMs, done: progress.done, perSecond: before.perSecond === 0 ? now : before.perSecond * 0.7 + now * 0.3 };
}

/** The step that runs, as one line that fits the terminal. */
export function lineOf(painter: Painter, { operation, silence }: Followed, rate: { readonly perSecond: number } | null): string {
  const { progress, step, waitingFor, state } = operation;
  if (silence !== null) return painter.lines(`${painter.mark('unknown')} `, `${step}: the daemon does not answer, and is asked again`);
  const mark = painter.mark(state === 'WAITING' ? 'waits' : state === 'QUEUED' ? 'idle' : 'moves');
  const why = waitingFor === null ? '' : `, waits for ${waitingFor.what}`;
  if (progress === null || progress.total === 0) return painter.lines(`${mark} `, `${step}${why}`);
  const text = (count: number): string =>
    progress.unit === 'bytes' ? sizeText(Math.round(count)) : `${Math.round(count)} ${progress.unit}`;
  const perSecond = rate?.perSecond ?? 0;
  const facts = [
    `${Math.floor((100 * progress.done) / progress.total)} %`,
    `${text(progress.done)} of ${text(progress.total)}`,
    ...(perSecond <= 0 ? [] : [`${text(perSecond)}/s`, `about ${spanText((progress.total - progress.done) / perSecond)}`]),
  ].join('   ');
  const cells = Math.min(28, Math.max(0, painter.look.width - step.length - facts.length - 7));
  const bar = Number.isFinite(painter.look.width) && cells < 8 ? '' : `${painter.bar(progress.done / progress.total, cells)}  `;
  return painter.lines(`${mark} `, `${step}  ${bar}${facts}${why}`);
}
