import type { ObservedNode, OverviewHealth, OverviewLevel } from './overview.ts';

/** From best to worst. What can't be known ranks above `down`: nobody claims that it is down either. */
const SEVERITY: Record<OverviewLevel, number> = { healthy: 0, degraded: 1, unknown: 2, down: 3 };

function worse(left: OverviewLevel, right: OverviewLevel): OverviewLevel {
  return SEVERITY[left] >= SEVERITY[right] ? left : right;
}

/** What a daemon says of itself, as a sentence that others can follow. */
function asSentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function silence(node: ObservedNode): string {
  return node.pid === null ? `${node.name} is stopped.` : `${node.name} has not said how it is.`;
}

/**
 * The first line of the page. The client node knows best whether IO is served and with what redundancy; a storage node can
 * only make the picture worse. A daemon that does not answer is never taken to be well.
 */
export function overallHealth(nodes: readonly ObservedNode[]): OverviewHealth {
  const clients = nodes.filter((node) => node.role === 'client-node');
  if (nodes.length === 0) return { level: 'unknown', sentence: 'No node is known, so nothing can be said about any data.' };
  let level: OverviewLevel = 'healthy';
  const sentences: string[] = [];
  if (clients.length === 0) {
    level = 'unknown';
    sentences.push('No client node has answered, so nobody can say whether IO is served.');
  }
  for (const client of clients) {
    if (client.status) {
      level = worse(level, client.status.health.level);
      sentences.push(asSentence(client.status.health.sentence));
    } else {
      level = worse(level, client.pid === null ? 'down' : 'unknown');
      sentences.push(`${silence(client)} ${client.pid === null ? 'No IO is served.' : 'Whether IO is served is unknown.'}`);
    }
  }
  for (const node of nodes) {
    if (node.role === 'client-node') continue;
    if (!node.status) {
      level = worse(level, 'degraded');
      sentences.push(silence(node));
    } else if (node.status.health.level !== 'healthy') {
      level = worse(level, 'degraded');
      sentences.push(asSentence(`${node.name}: ${node.status.health.sentence}`));
    }
  }
  return { level, sentence: sentences.join(' ') };
}
