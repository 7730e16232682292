import type { World } from '@rmr/runtime';
import { MEMBERS_MAX, QUEUE_DEPTH_DEFAULT, SLOW_LEG_FACTOR_DEFAULT, SLOW_LEG_FOR_MS_DEFAULT } from '../../constants.ts';
import { IoEngine } from './io/io-engine.ts';
import type { IoEngineHost } from './io/io-engine-host.ts';
import { ReadPolicy } from './io/read-policy.ts';
import type { Leg } from './legs/leg.ts';
import { LegHoldUps } from './legs/leg-hold-ups.ts';
import type { PoolClientOptions } from './pool-client-types.ts';

/** The engine of a pool as its options want it. It waits for legs. */
export function poolEngine(world: World, host: IoEngineHost, legs: readonly Leg[], options: PoolClientOptions): IoEngine {
  const { queueDepth = QUEUE_DEPTH_DEFAULT, legSlowFactor = SLOW_LEG_FACTOR_DEFAULT, legSlowForMs = SLOW_LEG_FOR_MS_DEFAULT } = options;
  const inFlight = new Int32Array(MEMBERS_MAX);
  const preferred = options.members.findIndex((member) => member.memberId === options.preferredMemberId);
  const readPolicy = new ReadPolicy(options.readPolicy ?? 'min-inflight', inFlight, Math.max(0, preferred));
  const engine = new IoEngine(world, host, legs, queueDepth, readPolicy, inFlight);
  engine.holdUps = new LegHoldUps({ slowFactor: legSlowFactor, slowForMs: legSlowForMs });
  return engine;
}
