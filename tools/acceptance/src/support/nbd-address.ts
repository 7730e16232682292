import { parseNbdUri } from '@rmr/cluster';

/** The same place as QEMU's block layer wants it with `--image-opts`. */
export function qemuImageOptions(uri: string): string {
  const address = parseNbdUri(uri);
  const server =
    'path' in address.socket
      ? `server.type=unix,server.path=${address.socket.path}`
      : `server.type=inet,server.host=${address.socket.host},server.port=${address.socket.port}`;
  return `driver=nbd,export=${address.export},${server}`;
}
