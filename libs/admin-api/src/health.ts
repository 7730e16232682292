import type { Health, HealthLevel } from './status-common.ts';

const RANK: Readonly<Record<HealthLevel, number>> = { healthy: 0, degraded: 1, down: 2 };

/** Exit code that a program shows for a state of health. */
export const HEALTH_EXIT_CODES: Readonly<Record<HealthLevel, number>> = { healthy: 0, degraded: 20, down: 21 };

/** The health of the whole: the worst of its parts, in the words of the first such part. `sentence` is for when all are healthy. */
export function worstHealth(parts: readonly Health[], sentence: string): Health {
  let worst: Health = { level: 'healthy', sentence };
  for (const part of parts) {
    if (RANK[part.level] > RANK[worst.level]) worst = part;
  }
  return worst;
}
