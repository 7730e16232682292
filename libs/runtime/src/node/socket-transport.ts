import { lstatSync, unlinkSync } from 'node:fs';
import { type AddressInfo, connect, createServer, isIP, type NetConnectOpts, type Server, type Socket } from 'node:net';
import type { ByteStream, ConnectAttempt, StreamListener, Transport } from '../stream.ts';
import { bindUnixSocket, restrictsAccess, type SocketAccess } from './socket-access.ts';
import { acceptedStream, onReadOptions, SocketStream } from './socket-stream.ts';

/** TCP and unix sockets of this host. */
export class SocketTransport implements Transport {
  readonly #resets: boolean;
  /** For some addresses, the one to connect to instead. */
  #routes: ReadonlyMap<string, string> = NO_ROUTES;
  /** The connected streams, each with the address that its caller asked for. */
  readonly #connected = new Map<SocketStream, string>();
  #access: SocketAccess = {};

  constructor(options: SocketOptions = {}) {
    this.#resets = options.resets === true;
  }

  /** Sets which users may connect to the unix sockets that are opened from now on. */
  setAccess(access: SocketAccess): void {
    this.#access = access;
  }

  /**
   * Sets the routes. From now on, a connection to a key of `routes` is made to its value: another host's view of the address,
   * a tunnel or a proxy. Connections whose route changes are destroyed, so that they are made again on the new route.
   */
  setRoutes(routes: ReadonlyMap<string, string>): void {
    const before = this.#routes;
    this.#routes = new Map(routes);
    for (const [stream, address] of [...this.#connected]) {
      if ((before.get(address) ?? address) !== (routes.get(address) ?? address)) stream.destroy('its route has changed');
    }
  }

  invalidAddress(address: string): string | null {
    if (parseSocketAddress(address) !== null) return null;
    return `"${address}" is not an address; write tcp://HOST:PORT or unix:/PATH (a path of at most ${UNIX_PATH_BYTES_MAX} bytes)`;
  }

  connect(address: string, onConnected: (stream: ByteStream) => void, onFailed: (reason: string) => void): ConnectAttempt {
    const route = this.#routes.get(address) ?? address;
    const target = parseSocketAddress(route);
    if (target === null) {
      let cancelled = false;
      setImmediate(() => {
        if (!cancelled) onFailed(this.invalidAddress(route) as string);
      });
      return {
        cancel() {
          cancelled = true;
        },
      };
    }
    let stream: SocketStream | null = null;
    const options = { ...target, onread: onReadOptions(() => stream) } as NetConnectOpts;
    const socket = connect(options);
    const failed = (error: Error & { code?: string }): void => onFailed(error.code ?? error.message);
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.removeListener('error', failed);
      socket.pause();
      const connected = new SocketStream(socket, address, 'path' in target, this.#resets);
      stream = connected;
      this.#connected.set(connected, address);
      socket.once('close', () => this.#connected.delete(connected));
      onConnected(connected);
      if ((this.#routes.get(address) ?? address) !== route) connected.destroy('its route has changed');
    });
    return {
      cancel() {
        if (stream !== null) return;
        socket.removeAllListeners();
        // A refusal may be on its way already; nobody waits for it any more.
        socket.on('error', ignore);
        socket.destroy();
      },
    };
  }

  listen(
    address: string,
    onConnection: (stream: ByteStream) => void,
    onListening: (listener: StreamListener) => void,
    onFailed: (code: string, reason: string) => void,
  ): void {
    const target = parseSocketAddress(address);
    if (target === null) {
      setImmediate(() => onFailed('EINVAL', this.invalidAddress(address) as string));
      return;
    }
    const server = createServer({ pauseOnConnect: true }, (socket: Socket) => {
      // The descriptor may be gone before we look.
      if (socket.destroyed) return;
      const peer = 'path' in target ? address : tcpAddress(socket.remoteAddress ?? '?', socket.remotePort ?? 0);
      onConnection(acceptedStream(socket, peer, 'path' in target));
    });
    const failed = (error: NodeJS.ErrnoException): void => {
      if (error.code === 'EADDRINUSE' && 'path' in target && !retried) {
        retried = true;
        removeIfDead(target.path, (removed) => (removed ? start() : onFailed('EADDRINUSE', `${address} is in use by another process`)));
        return;
      }
      onFailed(error.code ?? 'EIO', `cannot listen on ${address}: ${error.message}`);
    };
    const access = this.#access;
    /** The inode of the socket's file, if this class has made it: Node does not remove such a file. Null: Node made it and removes it. */
    let ownFile: number | null = null;
    const start = (): void => {
      if ('path' in target && restrictsAccess(access)) {
        try {
          const fd = bindUnixSocket(target.path, access);
          ownFile = lstatSync(target.path).ino;
          server.once('error', failed);
          server.listen({ fd });
        } catch (error) {
          setImmediate(failed, error as NodeJS.ErrnoException);
        }
        return;
      }
      server.once('error', failed);
      server.listen('path' in target ? { path: target.path } : { host: target.host, port: target.port });
    };
    let retried = false;
    server.once('listening', () => {
      server.removeAllListeners('error');
      // Out of descriptors while accepting: the connection is refused, the listener lives.
      server.on('error', ignore);
      onListening(listenerOf(server, target, address, ownFile));
    });
    start();
  }
}

/** The longest path a unix socket can have on Linux (sun_path, with its terminating zero). */
const UNIX_PATH_BYTES_MAX = 107;

const NO_ROUTES: ReadonlyMap<string, string> = new Map();

type SocketAddress = { readonly path: string } | { readonly host: string; readonly port: number };

/** `tcp://HOST:PORT` (IPv6 in brackets) or `unix:/PATH`. Null when it is neither. */
export function parseSocketAddress(address: string): SocketAddress | null {
  if (address.startsWith('unix:')) {
    const path = address.slice(5);
    return path.startsWith('/') && Buffer.byteLength(path) <= UNIX_PATH_BYTES_MAX ? { path } : null;
  }
  const match = /^tcp:\/\/(\[[0-9A-Fa-f:.]+\]|[^:/[\]]+):(\d{1,5})$/.exec(address);
  if (match === null || Number(match[2]) > 65535) return null;
  const host = (match[1] as string).replace(/^\[|\]$/g, '');
  return { host, port: Number(match[2]) };
}

/** The URL form of a host and a port. */
export function tcpAddress(host: string, port: number): string {
  return isIP(host) === 6 ? `tcp://[${host}]:${port}` : `tcp://${host}:${port}`;
}

/** How a transport deals with its sockets. */
export interface SocketOptions {
  /**
   * A TCP stream that is destroyed resets its connection. So what the kernel still had to send is dropped, where it would otherwise go on
   * trying to deliver it for minutes. For connections whose bytes must not arrive late. Default false.
   */
  readonly resets?: boolean;
}

/** `file` is the inode of the socket's file, which is removed when the listener closes. Null: Node removes the file. */
function listenerOf(server: Server, target: SocketAddress, address: string, file: number | null): StreamListener {
  return {
    address: 'path' in target ? address : tcpAddress(target.host, (server.address() as AddressInfo).port),
    close(onClosed) {
      server.close(() => onClosed?.());
      // The file at this path may belong to another process by now.
      if ('path' in target && file !== null && lstatSync(target.path, { throwIfNoEntry: false })?.ino === file) unlinkSync(target.path);
    },
  };
}

/** Removes a socket file on which nobody listens: it is left from a killed process. */
function removeIfDead(path: string, done: (removed: boolean) => void): void {
  const probe = connect({ path });
  probe.once('connect', () => {
    probe.destroy();
    done(false);
  });
  probe.once('error', (error: NodeJS.ErrnoException) => {
    probe.destroy();
    if (error.code !== 'ECONNREFUSED' || !lstatSync(path, { throwIfNoEntry: false })?.isSocket()) {
      done(false);
      return;
    }
    unlinkSync(path);
    done(true);
  });
}

function ignore(): void {}
