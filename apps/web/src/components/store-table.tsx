import type { ServerPoolStatus } from '@rmr/admin-api';
import type { OverviewLevel } from '../cluster/overview.ts';
import { formatBytes, formatDuration, formatVersion } from './format.ts';
import { Badge } from './health-banner.tsx';

const POOL_LEVELS: Record<ServerPoolStatus['state'], OverviewLevel> = {
  EMPTY: 'unknown',
  REGISTERED: 'unknown',
  CREATED: 'unknown',
  NORMAL: 'healthy',
  NO_IO: 'degraded',
};

/** From whom a member pulls, or why it does not. */
function resyncText({ sync, waits }: ServerPoolStatus): string {
  const held = waits.map(({ requests, what }) => `${requests} ${requests === 1 ? 'request waits' : 'requests wait'} for ${what}`);
  if (sync.bytesLeft === 0) return held.join('; ') || 'nothing to pull';
  const sources = sync.sources.map((source) => source.name).join(', ');
  return [sync.reason === '' ? `${sync.state}${sources === '' ? '' : ` from ${sources}`}` : `stands still: ${sync.reason}`, ...held].join(
    '; ',
  );
}

/** What each storage node holds of each pool, and how it pulls what it has missed. */
export function StoreTable({ stores }: { stores: readonly { nodeName: string; pool: ServerPoolStatus }[] }) {
  return (
    <section className="panel">
      <h2>Stores</h2>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Node</th>
              <th scope="col">Pool</th>
              <th scope="col">State</th>
              <th scope="col">Version</th>
              <th scope="col" className="number">
                Size
              </th>
              <th scope="col" className="number">
                Left to pull
              </th>
              <th scope="col" className="number">
                Per second
              </th>
              <th scope="col" className="number">
                Ends in
              </th>
              <th scope="col">Resync</th>
              <th scope="col">Store</th>
              <th scope="col">Reason</th>
            </tr>
          </thead>
          <tbody>
            {stores.map(({ nodeName, pool }) => (
              <tr key={`${nodeName} ${pool.uuid}`}>
                <th scope="row">
                  {nodeName} <small>#{pool.memberId}</small>
                </th>
                <td>{pool.name}</td>
                <td>
                  <Badge level={POOL_LEVELS[pool.state]}>{pool.state}</Badge>
                </td>
                <td>{formatVersion(pool.version)}</td>
                <td className="number">{pool.store ? formatBytes(pool.store.sizeBytes) : '–'}</td>
                <td className="number">{formatBytes(pool.sync.bytesLeft)}</td>
                <td className="number">{pool.sync.bytesPerSecond === 0 ? '–' : formatBytes(pool.sync.bytesPerSecond)}</td>
                <td className="number">{pool.sync.etaSeconds === null ? '–' : formatDuration(pool.sync.etaSeconds)}</td>
                <td className="wide">{resyncText(pool)}</td>
                <td>{pool.store ? <code>{pool.store.path}</code> : 'none'}</td>
                <td className="wide">{pool.reason}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
