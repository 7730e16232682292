import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, BlockList, isIP } from 'node:net';
import { type AdminService, adminRouter, type Caller, errorAnswer } from '@rmr/admin-api';
import { errorMessage, InvariantViolation, type Logger, OperationError } from '@rmr/runtime';
import { nodeHTTPRequestHandler } from '@trpc/server/adapters/node-http';
import { type AdminTokens, readTokens } from './admin-tokens.ts';
import { parseAdminAddress } from './config/config-values.ts';
import type { Metrics } from './metrics.ts';
import { limitQuietConnections } from './quiet-connections.ts';

/** A running admin interface. */
export interface AdminServer {
  /** The address that it listens on, with the port that was taken. */
  readonly url: string;
  /** Takes no more connections, and closes the idle ones. Resolves when the last connection has ended. */
  close(): Promise<void>;
}

/** The longest request body. No procedure takes more than a few names. */
const BODY_BYTES_MAX = 64 * 1024;
const HEADER_BYTES_MAX = 16 * 1024;
/** Connections at a time: enough for a few dashboards, a scraper and a person. More of them would mean a leak somewhere. */
const CONNECTIONS_MAX = 256;
/** Of these, connections on which no request is being answered. When there are more, the one that has been quiet for longest is closed. */
const QUIET_CONNECTIONS_MAX = 64;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_MS = 15_000;
/** How often the server checks the timeouts above. */
const TIMEOUTS_CHECKED_MS = 5_000;
/** Without tokens, anybody on this host that can connect may do everything. */
const LOCAL_CALLER: Caller = { name: 'local', role: 'admin' };

/** The admin interface's part of a configuration. */
export interface AdminConfig {
  /** `tcp://HOST:PORT`. Port 0 takes a free port. */
  readonly listen: string;
  /** The file that holds the bearer token, or several with a name and a role each (see `admin-tokens.ts`). Without it the interface listens on loopback addresses only. */
  readonly tokenFile?: string | undefined;
}

export interface AdminServerOptions extends AdminConfig {
  readonly service: AdminService;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/**
 * Serves `/trpc`, `/metrics`, `/healthz` and `/readyz`. The two probes answer anybody that can connect; they say whether the daemon
 * lives or is ready, and why it is not. The other two ask for the token where there is one. Throws INVALID_CONFIG or ADDRESS_IN_USE.
 */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const { address, tokens } = judgeAdmin(options);
  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: TIMEOUTS_CHECKED_MS,
    },
    (request, response) => {
      handle(options, tokens, request, response).catch((error: unknown) => {
        if (error instanceof InvariantViolation) crash(error);
        options.log.error('admin request failed', { url: request.url, why: errorMessage(error) });
        if (response.headersSent) response.destroy();
        else answer(response, 500, 'failed; the log of the daemon says why\n');
      });
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  limitQuietConnections(server, QUIET_CONNECTIONS_MAX);
  await listening(server, options.listen, address.host, address.port);
  const { port } = server.address() as AddressInfo;
  const url = `http://${isIP(address.host) === 6 ? `[${address.host}]` : address.host}:${port}`;
  options.log.info('admin interface listens', { url, token: tokens !== null });
  return {
    url,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
  };
}

/** Checks the configuration of the admin interface and reads the token's file. It does not listen yet. Throws INVALID_CONFIG. */
export function judgeAdmin({ listen, tokenFile }: AdminConfig): {
  readonly address: { readonly host: string; readonly port: number };
  /** Null: requests need no token. */
  readonly tokens: AdminTokens | null;
} {
  const address = parseAdminAddress(listen);
  if (address === null) throw new OperationError('INVALID_CONFIG', `admin.listen: "${listen}" is not an address; write tcp://HOST:PORT`);
  const tokens = tokenFile === undefined ? null : readTokens(tokenFile);
  if (tokens === null && !isLoopback(address.host)) {
    throw new OperationError(
      'INVALID_CONFIG',
      `admin.listen: ${listen} can be reached from other hosts; set admin.tokenFile, or listen on tcp://127.0.0.1:${address.port}`,
    );
  }
  return { address, tokens };
}

async function handle(
  options: AdminServerOptions,
  tokens: AdminTokens | null,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '/').split('?', 1)[0] as string;
  response.setHeader('cache-control', 'no-store');
  response.setHeader('x-content-type-options', 'nosniff');
  if (path === '/healthz' || path === '/readyz') {
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, 'use GET\n');
    const waiting = path === '/healthz' ? null : options.service.notReady();
    const notice = path === '/healthz' || waiting !== null ? null : (options.service.notice?.() ?? null);
    return waiting === null
      ? answer(response, 200, notice === null ? 'ok\n' : `ok: ${notice}\n`)
      : answer(response, 503, `not ready: ${waiting}\n`);
  }
  const caller = callerOf(tokens, request);
  if ('http' in caller) {
    const refusal = caller;
    options.log.warn('admin request refused', { peer: request.socket.remoteAddress, url: path.slice(0, 100), why: refusal.why });
    if (refusal.http === 401) response.setHeader('www-authenticate', 'Bearer');
    return answer(response, refusal.http, `${refusal.why}\n`);
  }
  if (path === '/metrics') {
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, 'use GET\n');
    return answer(response, 200, await options.metrics.text(), options.metrics.contentType);
  }
  if (path.startsWith('/trpc/')) {
    return nodeHTTPRequestHandler({
      router: adminRouter,
      path: path.slice('/trpc/'.length),
      req: request,
      res: response,
      maxBodySize: BODY_BYTES_MAX,
      createContext: () => Promise.resolve({ service: options.service, caller }),
      responseMeta: ({ errors }) => {
        const http = errors[0] === undefined ? null : errorAnswer(errors[0]).http;
        return http === null ? {} : { status: http };
      },
      onError: ({ error, path: procedure }) => {
        if (error.cause instanceof InvariantViolation) crash(error.cause);
        if (errorAnswer(error).code === null) {
          options.log.error('admin procedure failed', { procedure, why: error.message, stack: (error.cause ?? error).stack });
        }
      },
    });
  }
  return answer(response, 404, 'unknown path; there are /trpc, /metrics, /healthz and /readyz\n');
}

/** Whoever sent the request, or why the request is refused. */
function callerOf(tokens: AdminTokens | null, request: IncomingMessage): Caller | { readonly http: number; readonly why: string } {
  if (tokens !== null) {
    const match = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '');
    const caller = tokens.callerOf(match?.[1] ?? '');
    return caller ?? { http: 401, why: 'send a bearer token of this daemon in the authorization header' };
  }
  // Without a token, anybody that can connect may act. A web page in a local browser can connect too. Two checks keep browsers out:
  // the host name has to be one of loopback, as a foreign name can be made to point here; and no origin may be sent, as browsers do.
  const host = (request.headers.host ?? '').replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  if (!isLoopback(host)) return { http: 403, why: 'without a token this daemon answers only to loopback names' };
  if (request.headers.origin !== undefined) return { http: 403, why: 'without a token this daemon does not answer web pages' };
  return LOCAL_CALLER;
}

function answer(response: ServerResponse, http: number, body: string, contentType = 'text/plain; charset=utf-8'): void {
  response.writeHead(http, { 'content-type': contentType, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

/** Ends the process because of a bug that showed while a request was answered. Bugs elsewhere end it too. */
function crash(bug: InvariantViolation): void {
  setImmediate(() => {
    throw bug;
  });
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Whether `host` is a loopback address or the name `localhost`. */
export function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true;
  const family = isIP(host);
  return family !== 0 && LOOPBACK.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

function listening(server: Server, listen: string, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const code = error.code === 'EADDRINUSE' ? 'ADDRESS_IN_USE' : 'INVALID_CONFIG';
      const why =
        error.code === 'EADDRINUSE'
          ? `something listens there already ("ss -ltnp" shows what): stop it, or choose another port`
          : error.message;
      reject(new OperationError(code, `admin.listen: cannot listen on ${listen}: ${why}`, { cause: error }));
    });
    server.listen(port, host, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}
