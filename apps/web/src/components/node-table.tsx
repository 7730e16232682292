import type { ObservedNode } from '../cluster/overview.ts';
import { formatDuration } from './format.ts';
import { Badge } from './health-banner.tsx';

const ROLES = { 'client-node': 'client node', 'storage-node': 'storage node', unknown: 'unknown' } as const;

function StateBadge({ node }: { node: ObservedNode }) {
  if (node.status) return <Badge level={node.status.health.level}>{node.status.health.level}</Badge>;
  return node.pid === null ? <Badge level="down">stopped</Badge> : <Badge level="unknown">no answer</Badge>;
}

/** Every daemon, those that do not answer too. */
export function NodeTable({ nodes }: { nodes: readonly ObservedNode[] }) {
  return (
    <section className="panel">
      <h2>Nodes</h2>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Role</th>
              <th scope="col">State</th>
              <th scope="col" className="number">
                Process
              </th>
              <th scope="col">Up</th>
              <th scope="col">Version</th>
              <th scope="col">What it says</th>
            </tr>
          </thead>
          <tbody>
            {nodes.map((node) => (
              <tr key={node.admin}>
                <th scope="row">{node.name}</th>
                <td>{ROLES[node.role]}</td>
                <td>
                  <StateBadge node={node} />
                </td>
                <td className="number">{node.status?.node.pid ?? node.pid ?? '–'}</td>
                <td>{node.status ? formatDuration(node.status.node.uptimeSeconds) : '–'}</td>
                <td>{node.status?.node.version ?? '–'}</td>
                <td className="wide">{node.status?.health.sentence ?? node.error}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
