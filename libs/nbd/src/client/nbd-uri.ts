/**
 * NBD URIs, as the NBD project specifies them (NetworkBlockDevice/nbd, doc/uri.md): they name a server and one of its exports. This program speaks
 * no TLS, so URIs that ask for it are refused. So is every query parameter that is not known: to ignore one could mean something else
 * than what the person meant.
 */
import { OperationError } from '@rmr/runtime';
import { STRING_BYTES_MAX } from '../constants.ts';
import { encodeText } from '../wire/bytes.ts';

/** What an NBD URI says. */
export interface NbdUri {
  /** Where the server listens, as transports write it: `tcp://HOST:PORT` or `unix:/PATH`. */
  readonly address: string;
  /** May be empty: the server's default export. */
  readonly exportName: string;
}

/** The port that IANA has given to NBD. */
const DEFAULT_PORT = 10_809;

/** Whether a text is meant to be an NBD URI: it begins with one of the schemes. It may be a wrong one all the same. */
export function isNbdUri(text: string): boolean {
  return /^nbds?(\+[a-z]+)?:/i.test(text);
}

/** Reads an NBD URI. Error: INVALID_ARGUMENT, with what is wrong and what to write. */
export function parseNbdUri(text: string): NbdUri {
  const refuse = (why: string): never => {
    throw new OperationError('INVALID_ARGUMENT', `"${text}" ${why}; write nbd://HOST:PORT/EXPORT or nbd+unix:///EXPORT?socket=/PATH`);
  };
  const match = /^(nbds?(?:\+[a-z]+)?):\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?(#.*)?$/i.exec(text);
  if (match === null) return refuse('is not an NBD URI');
  const [, schemeText, authority = '', path = '', query, fragment] = match;
  const scheme = (schemeText as string).toLowerCase();
  if (scheme.startsWith('nbds')) return refuse('asks for TLS, which this program does not speak');
  if (scheme !== 'nbd' && scheme !== 'nbd+unix') return refuse(`has the scheme ${scheme}, which is not supported`);
  if (fragment !== undefined) return refuse('has a # in it, which has to be written as %23');
  const exportName = decoded(path) ?? refuse('has an export name that is not percent-encoded UTF-8');
  if (encodeText(exportName).length > STRING_BYTES_MAX) return refuse(`has an export name of more than ${STRING_BYTES_MAX} bytes`);
  const socket = socketOf(query, refuse);
  if (scheme === 'nbd+unix') {
    if (authority !== '') return refuse(`names the host "${authority}", which a unix socket has not: there have to be three slashes`);
    if (socket === null) return refuse('does not say which socket');
    if (!socket.startsWith('/')) return refuse(`names the socket "${socket}", which is not an absolute path`);
    return { address: `unix:${socket}`, exportName };
  }
  if (socket !== null) return refuse('names a socket: the scheme for that is nbd+unix');
  if (authority.includes('@')) return refuse('names a user, which only TLS has');
  const host = /^(\[[0-9A-Fa-f:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(authority);
  if (host === null) return refuse(authority === '' ? 'names no host' : `names "${authority}", which is not HOST or HOST:PORT`);
  const port = host[2] === undefined ? DEFAULT_PORT : Number(host[2]);
  if (port === 0 || port > 65_535) return refuse(`names the port ${port}, which does not exist`);
  return { address: `tcp://${(host[1] as string).toLowerCase()}:${port}`, exportName };
}

function socketOf(query: string | undefined, refuse: (why: string) => never): string | null {
  let socket: string | null = null;
  for (const parameter of (query ?? '').split('&')) {
    if (parameter === '') continue;
    const [key, ...rest] = parameter.split('=');
    if (key?.startsWith('tls-')) refuse(`has the parameter "${key}" of TLS, which this program does not speak`);
    if (key !== 'socket') refuse(`has the parameter "${key}", which is not known`);
    if (socket !== null) refuse('names two sockets');
    socket = decoded(rest.join('=')) ?? refuse('names a socket that is not percent-encoded UTF-8');
  }
  return socket;
}

/** Without percent-encoding; null when that is wrong, or the text has a NUL in it. */
function decoded(text: string): string | null {
  try {
    const result = decodeURIComponent(text);
    return result.includes('\0') ? null : result;
  } catch {
    return null;
  }
}
