/**
 * A client node hands a volume over to another one that asks for it (C4): it unmaps the volume, as an operator would have it, by an
 * operation. So the volume is forgotten here durably before the other node gets it, and a crash in between changes nothing of that.
 */
import { isUnfinished, type OperationRunner } from '@rmr/operations';
import type { HandoverWish } from '@rmr/rmr';
import { type Logger, OperationError } from '@rmr/runtime';
import type { VolumeHost } from './volume-host.ts';
import { usedProblem } from './volume-operations.ts';

/** Where a volume is handed over. */
export interface HandoverParts {
  readonly host: VolumeHost;
  readonly runner: Pick<OperationRunner, 'list' | 'submit'>;
  readonly log: Logger;
}

/** Begins to hand the volume over, unless it is being handed over. Returns why it is not; empty: it is. */
export function handOver(
  { host, runner, log }: HandoverParts,
  { uuid, name }: { readonly uuid: string; readonly name: string },
  { clientName, evenIfInUse }: HandoverWish,
): string {
  const unfinished = runner.list().find(({ target, state }) => target === uuid && isUnfinished(state));
  if (unfinished?.kind === 'volume-unmap') return '';
  if (unfinished !== undefined) return `the operation ${unfinished.kind} (${unfinished.id}) has not ended there`;
  const problem = evenIfInUse ? null : usedProblem(host, uuid, name);
  if (problem !== null) return problem.message;
  log.info('a volume is handed over to another client node, which asks for it', { pool: name, to: clientName });
  const input = { poolUuid: uuid, name, evenIfConnected: evenIfInUse };
  runner.submit({ kind: 'volume-unmap', target: uuid, targetName: name, requestedBy: clientName, requestId: null, input }, (result) => {
    if (result instanceof OperationError)
      log.error('a volume could not be handed over', { pool: name, to: clientName, why: result.message });
  });
  return '';
}
