import type { ServerPoolStatus } from '@rmr/admin-api';
import { formatBytes, formatDuration } from './format.ts';

/** From whom a member pulls or why it does not, and which requests wait for it. */
function whatItDoes({ sync, waits }: ServerPoolStatus): string {
  const sources = sync.sources.map((source) => source.name).join(', ');
  const pulls =
    sync.reason === ''
      ? `${sync.state}${sources === '' ? '' : ` from ${sources}`}`
      : `stands still: ${withRemedy(sync.reason, sync.remedy)}`;
  const held = waits.map(
    ({ requests, what, remedy }) => `${requests} ${requests === 1 ? 'request waits' : 'requests wait'} for ${withRemedy(what, remedy)}`,
  );
  return [pulls, ...held].join('; ');
}

function withRemedy(what: string, remedy: string | undefined): string {
  return remedy === undefined ? what : `${what}. ${remedy}`;
}

/** The members that pull what they have missed, and what waits for it. Nothing while there is nothing to pull. */
export function ResyncTable({ stores }: { stores: readonly { nodeName: string; pool: ServerPoolStatus }[] }) {
  const busy = stores.filter(({ pool }) => pool.sync.bytesLeft > 0 || pool.waits.length > 0);
  if (busy.length === 0) return null;
  return (
    <section className="panel">
      <h2>Resync</h2>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Node</th>
              <th scope="col">Pool</th>
              <th scope="col" className="number">
                Left to pull
              </th>
              <th scope="col" className="number">
                Per second
              </th>
              <th scope="col" className="number">
                Ends in
              </th>
              <th scope="col">What it does</th>
            </tr>
          </thead>
          <tbody>
            {busy.map(({ nodeName, pool }) => (
              <tr key={`${nodeName} ${pool.uuid}`}>
                <th scope="row">
                  {nodeName} <small>#{pool.memberId}</small>
                </th>
                <td>{pool.name}</td>
                <td className="number">{formatBytes(pool.sync.bytesLeft)}</td>
                <td className="number">{pool.sync.bytesPerSecond === 0 ? '–' : formatBytes(pool.sync.bytesPerSecond)}</td>
                <td className="number">{pool.sync.etaSeconds === null ? '–' : formatDuration(pool.sync.etaSeconds)}</td>
                <td className="wide">{whatItDoes(pool)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
