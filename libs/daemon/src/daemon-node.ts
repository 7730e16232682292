// The node that a daemon is: its world, its identity, the sessions' options and the listeners.
import type { NodeIdentity } from '@rmr/admin-api';
import { type ByteStream, OperationError, type StreamListener, type World } from '@rmr/runtime';
import { createSystemWorld, type SocketTransport } from '@rmr/runtime/node';
import type { TransportConfig } from './config/daemon-schema.ts';
import { type HostIdentity, type HostIdentityOptions, loadHostIdentity } from './host-identity.ts';
import type { DaemonSurroundings } from './run-command.ts';

/** The node that this process is, since its start. */
export class DaemonNode {
  readonly world: World;
  readonly host: HostIdentity;
  readonly sessionOptions: NodeSessionOptions;
  readonly #listeners: StreamListener[] = [];
  readonly #transport: SocketTransport;
  readonly #version: string;
  readonly #startedMs: number;
  readonly #startedAt: string;

  /** Throws INVALID_CONFIG when the identity of this host can't be read or kept. */
  constructor(config: DaemonNodeConfig, { log, transport, version }: DaemonSurroundings) {
    this.world = createSystemWorld(log);
    this.host = loadHostIdentity(config);
    this.#transport = transport;
    this.#version = version;
    this.#startedMs = this.world.clock.nowMs();
    this.#startedAt = new Date(this.world.clock.wallMs()).toISOString();
    this.sessionOptions = {
      local: this.host,
      payloadChecksum: config.transport.payloadChecksum,
      heartbeatIntervalMs: config.transport.heartbeatInterval,
      deadAfterMs: config.transport.deadAfter,
    };
  }

  identity(): NodeIdentity {
    const { hostName: name, hostUuid, bootId, incarnation } = this.host;
    const uptimeSeconds = (this.world.clock.nowMs() - this.#startedMs) / 1000;
    return { name, hostUuid, bootId, incarnation, version: this.#version, pid: process.pid, startedAt: this.#startedAt, uptimeSeconds };
  }

  /**
   * Listens on the addresses of a key of the configuration, such as `nbd.listen`. Resolves when all are open. When one can't be, it
   * rejects with ADDRESS_IN_USE or INVALID_CONFIG, which name the key; those opened before stay open until {@link closeListeners}.
   */
  async listen(key: string, addresses: readonly string[], accept: (stream: ByteStream) => void): Promise<void> {
    for (const address of addresses) {
      const listener = await new Promise<StreamListener>((resolve, reject) => {
        this.#transport.listen(address, accept, resolve, (code, reason) =>
          reject(new OperationError(code === 'EADDRINUSE' ? 'ADDRESS_IN_USE' : 'INVALID_CONFIG', `${key}: ${reason}`)),
        );
      });
      this.#listeners.push(listener);
    }
  }

  /** The addresses that are listened on, with the ports that were taken. */
  get addresses(): readonly string[] {
    return this.#listeners.map(({ address }) => address);
  }

  /** Nobody is accepted any more. */
  closeListeners(): void {
    for (const listener of this.#listeners) listener.close();
  }
}

/** The part of a daemon's configuration that {@link DaemonNode} needs. */
export interface DaemonNodeConfig extends HostIdentityOptions {
  readonly transport: TransportConfig;
}

/** What all sessions of a node have in common, whichever part of the node opens them. */
export interface NodeSessionOptions {
  readonly local: HostIdentity;
  readonly payloadChecksum: boolean;
  readonly heartbeatIntervalMs: number;
  readonly deadAfterMs: number;
}
