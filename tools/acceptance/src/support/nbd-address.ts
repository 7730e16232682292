/** Where an NBD URI leads. */
export interface NbdAddress {
  readonly export: string;
  readonly socket: { readonly path: string } | { readonly host: string; readonly port: number };
}

/** Takes `nbd+unix:///EXPORT?socket=PATH` and `nbd://HOST:PORT/EXPORT` apart. */
export function parseNbdUri(uri: string): NbdAddress {
  const url = new URL(uri);
  const name = decodeURIComponent(url.pathname.replace(/^\//, ''));
  if (url.protocol === 'nbd+unix:') {
    const path = url.searchParams.get('socket');
    if (path === null) throw new Error(`${uri} names no socket`);
    return { export: name, socket: { path } };
  }
  if (url.protocol !== 'nbd:') throw new Error(`${uri} is no NBD URI`);
  return { export: name, socket: { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || 10809) } };
}

/** The same place as QEMU's block layer wants it with `--image-opts`. */
export function qemuImageOptions(uri: string): string {
  const address = parseNbdUri(uri);
  const server =
    'path' in address.socket
      ? `server.type=unix,server.path=${address.socket.path}`
      : `server.type=inet,server.host=${address.socket.host},server.port=${address.socket.port}`;
  return `driver=nbd,export=${address.export},${server}`;
}
