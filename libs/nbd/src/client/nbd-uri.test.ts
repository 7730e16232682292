import { expect, test } from 'vitest';
import { isNbdUri, parseNbdUri } from './nbd-uri.ts';

test.each([
  ['nbd://example.com:10809/export', 'tcp://example.com:10809', 'export'],
  ['nbd://Example.com/disk', 'tcp://example.com:10809', 'disk'],
  ['nbd://example.com/', 'tcp://example.com:10809', ''],
  ['nbd://example.com', 'tcp://example.com:10809', ''],
  ['nbd://example.com//disk', 'tcp://example.com:10809', '/disk'],
  ['nbd://example.com/hello%20world', 'tcp://example.com:10809', 'hello world'],
  ['NBD://[::1]:99/a/b', 'tcp://[::1]:99', 'a/b'],
  ['nbd+unix:///disk?socket=/run/nbd.sock', 'unix:/run/nbd.sock', 'disk'],
  ['nbd+unix://?socket=/run/a%20b.sock', 'unix:/run/a b.sock', ''],
])('%s is %s with the export "%s"', (uri, address, exportName) => {
  expect(isNbdUri(uri)).toBe(true);
  expect(parseNbdUri(uri)).toEqual({ address, exportName });
});

test.each([
  ['nbds://host/a', 'asks for TLS'],
  ['nbds+unix:///a?socket=/s', 'asks for TLS'],
  ['nbd+vsock:///a', 'has the scheme nbd+vsock, which is not supported'],
  ['nbd:/host', 'is not an NBD URI'],
  ['nbd:///a', 'names no host'],
  ['nbd://host:0/a', 'names the port 0'],
  ['nbd://host:65536/a', 'names the port 65536'],
  ['nbd://ho:st:1/a', 'names "ho:st:1"'],
  ['nbd://me@host/a', 'names a user'],
  ['nbd://host/a?socket=/s', 'the scheme for that is nbd+unix'],
  ['nbd://host/a?tls-type=psk', 'the parameter "tls-type" of TLS'],
  ['nbd://host/a?x=1', 'has the parameter "x", which is not known'],
  ['nbd://host/a#b', 'has a # in it'],
  ['nbd://host/%ff', 'has an export name that is not percent-encoded UTF-8'],
  ['nbd://host/a%00b', 'has an export name that is not percent-encoded UTF-8'],
  [`nbd://host/${'a'.repeat(4097)}`, 'has an export name of more than 4096 bytes'],
  ['nbd+unix:///a', 'does not say which socket'],
  ['nbd+unix:///a?socket=s', 'which is not an absolute path'],
  ['nbd+unix:///a?socket=/s&socket=/t', 'names two sockets'],
  ['nbd+unix://host/a?socket=/s', 'there have to be three slashes'],
])('%s is refused: it %s', (uri, why) => {
  expect(isNbdUri(uri)).toBe(true);
  expect(() => parseNbdUri(uri)).toThrow(why);
});

test('paths are no URIs', () => {
  for (const path of ['/dev/nbd0', 'nbd', '/srv/nbd:x', './nbd:']) expect(isNbdUri(path)).toBe(false);
});
