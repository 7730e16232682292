'use client';

import { useEffect, useState } from 'react';
import type { Overview } from '../cluster/overview.ts';
import { formatTime } from './format.ts';
import { HealthBanner } from './health-banner.tsx';
import { NodeTable } from './node-table.tsx';
import { PoolPanel } from './pool-panel.tsx';
import { ResyncTable } from './resync-table.tsx';
import { StoreTable } from './store-table.tsx';

const REFRESH_MS = 2000;
const ANSWER_TIMEOUT_MS = 8000;

async function fetchOverview(): Promise<Overview> {
  const response = await fetch('/api/overview', { cache: 'no-store', signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
  if (!response.ok) throw new Error(`the dashboard answered ${response.status}`);
  return response.json();
}

/** Shows the cluster and keeps what it shows fresh; what it can't refresh it no longer vouches for. */
export function LiveOverview({ initial }: { initial: Overview }) {
  const [overview, setOverview] = useState(initial);
  const [lost, setLost] = useState(false);

  useEffect(() => {
    let stopped = false;
    let timer: ReturnType<typeof setTimeout>;
    async function refresh() {
      try {
        const next = await fetchOverview();
        if (stopped) return;
        setOverview(next);
        setLost(false);
      } catch {
        if (!stopped) setLost(true); // shown as such, and tried again
      }
      if (!stopped) timer = setTimeout(refresh, REFRESH_MS);
    }
    timer = setTimeout(refresh, REFRESH_MS);
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, []);

  const { health, nodes, nbdUri, observedAt } = overview;
  const statuses = nodes.flatMap(({ status }) => (status ? [status] : []));
  const pools = statuses.flatMap((status) => (status.role === 'client-node' ? status.pools : []));
  const stores = statuses.flatMap((status) =>
    status.role === 'storage-node' ? status.pools.map((pool) => ({ nodeName: status.node.name, pool })) : [],
  );
  return (
    <>
      <header className="bar">
        <h1>RMR</h1>
        <p>replicated block storage</p>
      </header>
      <main>
        {lost ? (
          <HealthBanner
            level="unknown"
            sentence={`The connection to the dashboard is lost. What follows is as of ${formatTime(observedAt)} and may no longer be true.`}
          />
        ) : (
          <HealthBanner {...health} />
        )}
        {pools.map((pool) => (
          <PoolPanel key={pool.uuid} pool={pool} nbdUri={nbdUri} />
        ))}
        <ResyncTable stores={stores} />
        {nodes.length > 0 && <NodeTable nodes={nodes} />}
        {stores.length > 0 && <StoreTable stores={stores} />}
      </main>
      <footer className="bar">
        <p>
          As of <time dateTime={observedAt}>{formatTime(observedAt)}</time>, asked again every {REFRESH_MS / 1000} s
        </p>
      </footer>
    </>
  );
}
