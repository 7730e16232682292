import type { OverviewHealth, OverviewLevel } from '../cluster/overview.ts';

/** A sign besides the colour, so that the colour is not needed to tell them apart. */
const SIGNS: Record<OverviewLevel, string> = { healthy: '✓', degraded: '!', unknown: '?', down: '✕' };
const WORDS: Record<OverviewLevel, string> = { healthy: 'Healthy', degraded: 'Degraded', unknown: 'Unknown', down: 'Down' };

/** The first line of the page, read aloud when it changes. */
export function HealthBanner({ level, sentence }: OverviewHealth) {
  return (
    <section className={`banner ${level}`} role="status" aria-live="polite">
      <span className="sign" aria-hidden="true">
        {SIGNS[level]}
      </span>
      <p>
        <strong>{WORDS[level]}:</strong> {sentence}
      </p>
    </section>
  );
}

/** A state as a word in the colour of how serious it is. */
export function Badge({ level, children }: { level: OverviewLevel; children: string }) {
  return <span className={`badge ${level}`}>{children}</span>;
}
