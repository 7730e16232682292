import type { OperationError } from '@rmr/runtime';
import { SILENT_LOGGER } from '@rmr/runtime';
import { expect, test } from 'vitest';
import { MEMBER_ANSWER_MS } from '../../constants.ts';
import { identityOf, memberOf, POLICY, POOL } from '../../testing/scripted-pool.ts';
import { ScriptedSession } from '../../testing/scripted-session.ts';
import type { ProbeResult } from '../../wire/control-message.ts';
import { Leg } from './leg.ts';
import { Membership, type MembershipHost } from './membership-operations.ts';

const PROBE: ProbeResult = {
  poolHandle: 9,
  state: 'REGISTERED',
  identity: { ...identityOf(4, 8, 4096), witness: false },
  features: { fastPunch: true, fastZero: true, extents: true },
  promise: null,
  version: null,
  members: [],
  policy: POLICY,
  volatileLost: false,
};

test.each([
  ['its node answers', (session: ScriptedSession) => session.next('probe').answer(PROBE)],
  ['its node does not answer in time', (_session: ScriptedSession, membership: Membership) => membership.tick(MEMBER_ANSWER_MS)],
])('a leg that an assembly has dropped while its member was being added is dropped no second time: %s', (_name, then) => {
  const session = new ScriptedSession();
  const leg = new Leg(0, memberOf(4), session.shared, SILENT_LOGGER, () => 0);
  const changes: string[] = [];
  const host: Partial<MembershipHost> = {
    poolUuid: POOL,
    versions: { members: [memberOf(1)], policy: POLICY } as unknown as MembershipHost['versions'],
    nowMs: () => 0,
    serving: () => false,
    legs: () => [],
    addLeg: () => leg,
    // The table of leg states refuses a second removal.
    takeOut: (_leg, to, why) => leg.setState(to, why),
    dropLeg: () => {},
    change: () => void changes.push('change'),
  };
  const membership = new Membership(host as MembershipHost);
  let error: OperationError | null = null;
  membership.add(memberOf(4), (ended) => {
    error = ended;
  });
  membership.tick(0);
  leg.setState('REMOVING', 'the pool was assembled anew');
  then(session, membership);
  expect(error).toMatchObject({ code: 'UNAVAILABLE' });
  expect(changes).toEqual([]);
});
