import { OperationError, type Transport } from '@rmr/runtime';
import type { PathPolicy, RtrsClientOptions } from '../client-types.ts';
import {
  DEAD_AFTER_MS,
  DRAIN_TIMEOUT_MS,
  HANDSHAKE_TIMEOUT_MS,
  HEARTBEAT_INTERVAL_MS,
  HEARTBEAT_INTERVAL_MS_MAX,
  HEARTBEAT_INTERVAL_MS_MIN,
  PATHS_MAX,
  PAYLOAD_BYTES_MAX,
  PAYLOAD_BYTES_MIN,
  QUEUE_DEPTH_MAX,
  RECONNECT_MS_MAX,
  RECONNECT_MS_MIN,
} from '../constants.ts';
import { invalidIdentity, type PeerIdentity } from '../identity.ts';

/** {@link RtrsClientOptions} with its defaults filled in. */
export type ResolvedClientOptions = Required<RtrsClientOptions>;

const POLICIES: readonly PathPolicy[] = ['round-robin', 'min-inflight', 'min-latency'];

/** Checks the options and fills in defaults. Throws INVALID_CONFIG with the option's name. */
export function resolveClientOptions(options: RtrsClientOptions, transport: Transport): ResolvedClientOptions {
  const resolved: ResolvedClientOptions = {
    local: options.local,
    addresses: [...options.addresses],
    pathPolicy: options.pathPolicy ?? 'min-inflight',
    queueDepth: options.queueDepth,
    maxPayloadBytes: options.maxPayloadBytes,
    payloadChecksum: options.payloadChecksum,
    heartbeatIntervalMs: options.heartbeatIntervalMs ?? HEARTBEAT_INTERVAL_MS,
    deadAfterMs: options.deadAfterMs ?? DEAD_AFTER_MS,
    handshakeTimeoutMs: options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS,
    reconnectMsMin: options.reconnectMsMin ?? RECONNECT_MS_MIN,
    reconnectMsMax: options.reconnectMsMax ?? RECONNECT_MS_MAX,
    drainTimeoutMs: options.drainTimeoutMs ?? DRAIN_TIMEOUT_MS,
  };
  checkSessionOptions(resolved);
  if (!POLICIES.includes(resolved.pathPolicy)) throw invalid('pathPolicy', `is not one of ${POLICIES.join(', ')}`);
  if (resolved.addresses.length < 1 || resolved.addresses.length > PATHS_MAX) {
    throw invalid('addresses', `has ${resolved.addresses.length} entries; give one per path, 1 to ${PATHS_MAX}`);
  }
  for (const address of resolved.addresses) {
    const reason = transport.invalidAddress(address);
    if (reason !== null) throw invalid('addresses', `: ${reason}`);
  }
  checkRange('reconnectMsMin', resolved.reconnectMsMin, 1, resolved.reconnectMsMax);
  checkRange('drainTimeoutMs', resolved.drainTimeoutMs, 1, Number.MAX_SAFE_INTEGER);
  return resolved;
}

/** The part that clients and servers have in common. */
export function checkSessionOptions(options: {
  readonly local: PeerIdentity;
  readonly queueDepth: number;
  readonly maxPayloadBytes: number;
  readonly heartbeatIntervalMs: number;
  readonly deadAfterMs: number;
  readonly handshakeTimeoutMs: number;
}): void {
  const identity = invalidIdentity(options.local);
  if (identity !== null) throw invalid('local', `: ${identity}`);
  checkRange('queueDepth', options.queueDepth, 1, QUEUE_DEPTH_MAX);
  checkRange('maxPayloadBytes', options.maxPayloadBytes, PAYLOAD_BYTES_MIN, PAYLOAD_BYTES_MAX);
  checkRange('heartbeatIntervalMs', options.heartbeatIntervalMs, HEARTBEAT_INTERVAL_MS_MIN, HEARTBEAT_INTERVAL_MS_MAX);
  checkRange('deadAfterMs', options.deadAfterMs, options.heartbeatIntervalMs * 2, Number.MAX_SAFE_INTEGER);
  checkRange('handshakeTimeoutMs', options.handshakeTimeoutMs, 1, Number.MAX_SAFE_INTEGER);
}

export function checkRange(name: string, value: number, min: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < min || value > max)
    throw invalid(name, `is ${value}; it must be a whole number from ${min} to ${max}`);
}

function invalid(name: string, what: string): OperationError {
  return new OperationError('INVALID_CONFIG', `RTRS option ${name} ${what}`);
}
