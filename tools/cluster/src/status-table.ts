import { type ClientPoolStatus, describeResync, type IoWait, type LegStatus, type ServerPoolStatus } from '@rmr/admin-api';
import { formatSize } from '@rmr/runtime';
import type { ClusterReport } from './report.ts';

/** How a cluster is, for people: the verdict, the nodes, the members with their resync, what is not as it should be, and what IO waits for. */
export function statusTable(report: StatusView): string {
  const { health, nodes, partitions } = report;
  const blocks = [
    [`${health.level}: ${health.sentence}`],
    columns(nodes.map((node) => [node.name, node.state, String(node.pid ?? '-').padStart(7), node.health.sentence])),
    memberLines(report),
    [
      ...doubtLines(report),
      ...waitLines(report),
      ...partitions.map(([a, b]) => `${a} and ${b} are cut off from one another; "cluster heal ${a} ${b}" lets them connect`),
    ],
  ];
  const text = blocks.filter((lines) => lines.length > 0).map((lines) => lines.join('\n'));
  return `${text.join('\n\n')}\n`;
}

interface Named {
  readonly node: { readonly name: string };
}

/** What the table needs of a report. */
export interface StatusView extends Pick<ClusterReport, 'health' | 'nodes' | 'partitions'> {
  readonly client: {
    readonly pools: readonly (Pick<ClientPoolStatus, 'uuid'> & {
      readonly legs: readonly Pick<LegStatus, 'memberId' | 'name' | 'state' | 'dirtyBytes'>[];
    })[];
  } | null;
  readonly clients: readonly (Named & {
    readonly pools: readonly (Pick<ClientPoolStatus, 'waits' | 'differences'> & {
      readonly legs: readonly Pick<LegStatus, 'rolledBack'>[];
    })[];
  })[];
  readonly storage: readonly (Named & {
    readonly pools: readonly Pick<ServerPoolStatus, 'uuid' | 'memberId' | 'state' | 'sync' | 'waits'>[];
  })[];
}

/** One line per member: what the client node knows of its leg, and what the storage node says of its store. */
function memberLines({ client, storage }: StatusView): string[] {
  const pools = new Map(client?.pools.map((pool) => [pool.uuid, pool.legs]));
  for (const { pools: stored } of storage) for (const { uuid } of stored) if (!pools.has(uuid)) pools.set(uuid, []);
  const rows: string[][] = [];
  for (const [uuid, legs] of pools) {
    const stores = new Map(
      storage.flatMap(({ node, pools: stored }) =>
        stored.filter((pool) => pool.uuid === uuid).map((pool) => [pool.memberId, { name: node.name, pool }] as const),
      ),
    );
    const memberIds = new Set([...legs.map((leg) => leg.memberId), ...stores.keys()]);
    for (const memberId of [...memberIds].sort((a, b) => a - b)) {
      const leg = legs.find((each) => each.memberId === memberId);
      const store = stores.get(memberId);
      const missed = leg?.dirtyBytes ?? store?.pool.sync.bytesLeft;
      rows.push([
        String(memberId),
        leg?.name ?? store?.name ?? '-',
        leg?.state ?? '-',
        store?.pool.state ?? '-',
        missed === undefined ? '-' : formatSize(missed),
        store === undefined ? '-' : describeResync(store.pool.sync) || '-',
      ]);
    }
  }
  return rows.length === 0 ? [] : columns([['MEMBER', 'NODE', 'LEG', 'STORE', 'MISSED', 'RESYNC'], ...rows]);
}

/** Members whose stores are not what they were, and where the configuration differs from what the pool has recorded, as each client node says. */
function doubtLines({ clients }: StatusView): string[] {
  return clients.flatMap(({ node: { name }, pools }) =>
    pools.flatMap(({ legs, differences }) => [
      ...legs.flatMap(({ rolledBack }) => (rolledBack === null ? [] : [`${name}: ${rolledBack}`])),
      ...differences.map(({ what, remedy }) => `${name}: the configuration differs from what the pool has recorded: ${what}. ${remedy}`),
    ]),
  );
}

/** What IO waits for, as each node says. */
function waitLines({ clients, storage }: StatusView): string[] {
  const line = (node: string, { what, since, requests, remedy }: IoWait): string => {
    const waiting = `${node}: ${requests} request${requests === 1 ? '' : 's'} wait${requests === 1 ? 's' : ''} since ${since} for ${what}`;
    return remedy === undefined ? waiting : `${waiting}. ${remedy}`;
  };
  return [...clients, ...storage].flatMap(({ node, pools }) => pools.flatMap(({ waits }) => waits.map((wait) => line(node.name, wait))));
}

/** Lines whose columns are as wide as what is in them. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) for (const [index, text] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, text.length);
  return rows.map((row) =>
    row
      .map((text, index) => text.padEnd(widths[index] as number))
      .join('  ')
      .trimEnd(),
  );
}
