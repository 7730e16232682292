import type { ServerPoolStatus } from '@rmr/admin-api';
import type { OverviewLevel } from '../cluster/overview.ts';
import { formatBytes, formatVersion } from './format.ts';
import { Badge } from './health-banner.tsx';

const POOL_LEVELS: Record<ServerPoolStatus['state'], OverviewLevel> = {
  EMPTY: 'unknown',
  REGISTERED: 'unknown',
  CREATED: 'unknown',
  NORMAL: 'healthy',
  NO_IO: 'degraded',
};

/** What each storage node holds of each pool. */
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
