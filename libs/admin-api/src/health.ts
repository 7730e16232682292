import type { Health, HealthLevel } from './status-common.ts';

const RANK: Readonly<Record<HealthLevel, number>> = { healthy: 0, degraded: 1, down: 2 };

/** The exit code with which a program tells a level of health. */
export const HEALTH_EXIT_CODES: Readonly<Record<HealthLevel, number>> = { healthy: 0, degraded: 20, down: 21 };

/** The health of a whole is that of its worst part; of several such parts, the first one. `sentence` is used when all parts are healthy. */
export function worstHealth(parts: readonly Health[], sentence: string): Health {
  let worst: Health = { level: 'healthy', sentence };
  for (const part of parts) {
    if (RANK[part.level] > RANK[worst.level]) worst = part;
  }
  return worst;
}
