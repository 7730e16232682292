/** Which mark stands for which state. */
import type { OperationView } from '@rmr/admin-api';
import type { MemberPicture, NoteMark, Overview, VolumeState } from '@rmr/cluster-view';
import type { Mark } from './painter.ts';

export const VOLUME_MARKS: Readonly<Record<VolumeState, Mark>> = {
  ...{ healthy: 'good', degraded: 'degraded', down: 'down', unmapped: 'idle', unknown: 'unknown' },
};

export const LEVEL_MARKS: Readonly<Record<Overview['level'], Mark>> = {
  ...{ healthy: 'good', degraded: 'degraded', down: 'down', unknown: 'unknown' },
};

export const NOTE_MARKS: Readonly<Record<NoteMark, Mark>> = {
  ...{ failed: 'down', waits: 'waits', degraded: 'degraded', moves: 'moves', idle: 'idle', unknown: 'unknown' },
};

export const OPERATION_MARKS: Readonly<Record<OperationView['state'], Mark>> = {
  ...{ QUEUED: 'idle', RUNNING: 'moves', WAITING: 'waits', SUCCEEDED: 'good', FAILED: 'down', CANCELLED: 'idle' },
};

/** A member in one word, with its mark. */
export function memberState({ maintenance, inSync, dirtyBytes, connected, storeProblem, state }: MemberPicture): readonly [Mark, string] {
  if (maintenance) return ['idle', 'maintenance'];
  if (inSync) return dirtyBytes === 0 ? ['good', 'in sync'] : ['moves', 'catching up'];
  if (storeProblem !== null) return ['down', 'no store'];
  return connected ? ['degraded', state.toLowerCase()] : ['down', 'out'];
}
