import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { parseAdminAddress } from '@rmr/daemon';
import type { ClientNodeConfig } from './config.ts';

/** Listen addresses that stand for every address of the host, and the loopback address at which programs of that host reach each. */
const EVERYWHERE: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** The URL at which a program of the same host reaches a daemon that listens on `listen`. Null: the port is not known before the start. */
export function adminUrl(listen: string): string | null {
  const address = parseAdminAddress(listen);
  if (address === null || address.port === 0) return null;
  const host = EVERYWHERE[address.host] ?? address.host;
  return `tcp://${isIP(host) === 6 ? `[${host}]` : host}:${address.port}`;
}

/** The flags with which a command for pools finds the daemon that has this configuration, from any directory of its host. */
export function adminFlags(admin: ClientNodeConfig['admin']): string[] {
  const url = adminUrl(admin.listen);
  return [
    ...(url === null ? ['--admin', 'tcp://HOST:PORT'] : ['--admin', url]),
    ...(admin.tokenFile === undefined ? [] : ['--token-file', resolve(admin.tokenFile)]),
  ];
}

/** The words of a command, quoted so that it can be typed into a shell. */
export function commandLine(words: readonly string[]): string {
  return words.map((word) => (/^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ');
}
