import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { parseAdminAddress } from '@rmr/runtime/node';
import type { ClientNodeConfig } from './config.ts';

/** Addresses that stand for every address of the host: its own programs reach them on loopback. */
const EVERYWHERE: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** Where a program on the same host reaches a daemon that listens on `listen`; null: on a port that nobody knows beforehand. */
export function adminUrl(listen: string): string | null {
  const address = parseAdminAddress(listen);
  if (address === null || address.port === 0) return null;
  const host = EVERYWHERE[address.host] ?? address.host;
  return `tcp://${isIP(host) === 6 ? `[${host}]` : host}:${address.port}`;
}

/** The flags by which the commands for pools find a daemon with this configuration, wherever they are typed on its host. */
export function adminFlags(admin: ClientNodeConfig['admin']): string[] {
  const url = adminUrl(admin.listen);
  return [
    ...(url === null ? ['--admin', 'tcp://HOST:PORT'] : ['--admin', url]),
    ...(admin.tokenFile === undefined ? [] : ['--token-file', resolve(admin.tokenFile)]),
  ];
}

/** A command as it can be typed into a shell. */
export function commandLine(words: readonly string[]): string {
  return words.map((word) => (/^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ');
}
