import type { ClientPoolStatus, LegStatus } from '@rmr/admin-api';
import type { OverviewLevel } from '../cluster/overview.ts';
import { formatBytes, formatCount, formatTime, formatVersion } from './format.ts';
import { Badge } from './health-banner.tsx';

const LEG_LEVELS: Record<LegStatus['state'], OverviewLevel> = {
  CREATED: 'unknown',
  NORMAL: 'healthy',
  FAILED: 'degraded',
  RECONNECTING: 'degraded',
  REMOVING: 'unknown',
};

function Fact({ term, children }: { term: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{term}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** One device as its compute client sees it: is IO served, with which members, and what does it wait for. */
export function PoolPanel({ pool, nbdUri }: { pool: ClientPoolStatus; nbdUri: string | null }) {
  const names = new Map(pool.legs.map((leg) => [leg.memberId, leg.name]));
  const otherWaits = pool.waits.filter((wait) => wait.what !== pool.waitingFor?.what);
  const inSync = pool.version?.inSync.map((member) => names.get(member) ?? `member ${member}`) ?? [];
  return (
    <section className="panel">
      <h2>
        {pool.name} <Badge level={pool.health.level}>{pool.state}</Badge>
      </h2>
      <p className="reason">{pool.reason}</p>
      {pool.waitingFor && (
        <p className="waiting">
          Waiting since {formatTime(pool.waitingFor.since)} for {pool.waitingFor.what}. {pool.waitingFor.remedy}
        </p>
      )}
      {pool.lost && (
        <p className="waiting">
          {formatBytes(pool.lost.bytes)} are lost, as no member has them: reads fail until their chunks are written whole.{' '}
          <Places of={pool.lost} />
        </p>
      )}
      {pool.unreadable && (
        <p className="waiting">
          No disk can read {formatBytes(pool.unreadable.bytes)}: reads fail until their chunks are written whole.{' '}
          <Places of={pool.unreadable} />
        </p>
      )}
      {pool.withoutCleanCopy && (
        <p className="waiting">
          Chunk {formatCount(pool.withoutCleanCopy.firstChunk)} and perhaps others are clean on {pool.withoutCleanCopy.holders} alone: IO on
          them waits.
        </p>
      )}
      {otherWaits.map((wait) => (
        <p key={wait.what} className="waiting">
          {formatCount(wait.requests)} {wait.requests === 1 ? 'request waits' : 'requests wait'} since {formatTime(wait.since)} for{' '}
          {wait.what}. {wait.remedy}
        </p>
      ))}
      {pool.legs.map(
        (leg) =>
          leg.rolledBack !== null && (
            <p key={leg.memberId} className="waiting">
              {leg.rolledBack}.
            </p>
          ),
      )}
      {pool.differences.map(({ what, remedy }) => (
        <p key={what} className="waiting">
          The configuration differs from what the pool has recorded: {what}. {remedy}
        </p>
      ))}
      <dl className="facts">
        <Fact term="Device">{nbdUri === null ? 'not known here' : <code>{nbdUri}</code>}</Fact>
        <Fact term="Size">{pool.sizeBytes === null ? 'no store has told it' : formatBytes(pool.sizeBytes)}</Fact>
        <Fact term="In-sync set">{inSync.length === 0 ? 'none' : inSync.join(', ')}</Fact>
        <Fact term="Map version">{formatVersion(pool.version)}</Fact>
        <Fact term="Client epoch">{pool.epoch ?? '–'}</Fact>
        <Fact term="Chunk">{pool.chunkSizeBytes === null ? '–' : formatBytes(pool.chunkSizeBytes)}</Fact>
        <Fact term="Written">
          {formatBytes(pool.io.writtenBytes)} in {formatCount(pool.io.writes)} writes
        </Fact>
        <Fact term="Read">
          {formatBytes(pool.io.readBytes)} in {formatCount(pool.io.reads)} reads
        </Fact>
        <Fact term="In flight">
          {formatCount(pool.io.inFlight)} of {formatCount(pool.queueDepth)}
          {pool.waitingIo > 0 ? `, ${formatCount(pool.waitingIo)} held` : ''}
        </Fact>
        <Fact term="Errors">{formatCount(pool.io.errors)}</Fact>
      </dl>
      <h3>Legs</h3>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Member</th>
              <th scope="col">State</th>
              <th scope="col">Since</th>
              <th scope="col" className="number">
                Missed
              </th>
              <th scope="col" className="number">
                In flight
              </th>
              <th scope="col">Reason</th>
            </tr>
          </thead>
          <tbody>
            {pool.legs.map((leg) => (
              <tr key={leg.memberId}>
                <th scope="row">
                  {leg.name} <small>#{leg.memberId}</small>
                </th>
                <td>
                  <Badge level={LEG_LEVELS[leg.state]}>{leg.state}</Badge>
                </td>
                <td>{formatTime(leg.since)}</td>
                <td className="number">{leg.dirtyBytes === null ? '–' : formatBytes(leg.dirtyBytes)}</td>
                <td className="number">{formatCount(leg.inFlight)}</td>
                <td className="wide">
                  {leg.waitingFor === null
                    ? leg.reason
                    : `${leg.reason}; since ${formatTime(leg.waitingFor.since)} it waits for ${leg.waitingFor.what}${leg.waitingFor.remedy === undefined ? '' : `. ${leg.waitingFor.remedy}`}`}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** Where data lies that can't be read: as much as the status names. */
function Places({ of: { bytes, ranges } }: { of: NonNullable<ClientPoolStatus['lost']> }) {
  const places = ranges.map(({ offsetBytes, lengthBytes }) => `${formatCount(offsetBytes)} (${formatBytes(lengthBytes)})`).join(', ');
  const named = ranges.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  return `They lie at byte ${places}${named < bytes ? ' and beyond' : ''}.`;
}
