import { statSync } from 'node:fs';
import { afterAll, beforeAll, expect } from 'vitest';
import { succeeded } from './support/command.ts';
import { nbdScript } from './support/nbd-script.ts';
import { testNeeding } from './support/requirements.ts';
import { TestCluster } from './support/test-cluster.ts';

const test = testNeeding('python3-libnbd');

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start();
});

afterAll(async () => {
  await cluster.expectIdenticalMembers();
  await cluster.dispose();
});

/** A claim that a few lines of Python check; `h` is a connected handle, `size` the device's size. */
function claim(title: string, code: string): void {
  test(`libnbd: ${title}`, async () => {
    succeeded(await nbdScript(cluster.nbdUri, code));
  });
}

claim(
  'single bytes at odd offsets change nothing beside them',
  `
h.pwrite(b"\\xaa" * 1024, 128 * 1024 - 512)
for offset in (128 * 1024 - 1, 128 * 1024, 128 * 1024 + 1, 128 * 1024 - 512 + 7):
    h.pwrite(b"\\x01", offset)
expected = bytearray(b"\\xaa" * 1024)
for at in (511, 512, 513, 7):
    expected[at] = 1
assert h.pread(1024, 128 * 1024 - 512) == expected
`,
);

claim(
  'the first and the last byte of the device are ordinary bytes',
  `
for offset in (0, size - 1):
    h.pwrite(b"\\x77", offset)
    assert h.pread(1, offset) == b"\\x77"
`,
);

claim(
  'what reaches behind the end is refused, and the connection stays usable',
  `
beyond = [size, size - 1, size + 4096, 2**62, 2**63 - 4096]
for offset in beyond:
    expect_error(["EINVAL"], h.pread, 4096, offset)
    expect_error(["ENOSPC", "EINVAL"], h.pwrite, bytes(4096), offset)
    expect_error(["ENOSPC", "EINVAL"], h.zero, 4096, offset)
    expect_error(["EINVAL"], h.trim, 4096, offset)
    expect_error(["EINVAL"], h.cache, 4096, offset)
    expect_error(["EINVAL"], extents, h, 4096, offset)
assert len(h.pread(4096, size - 4096)) == 4096
`,
);

claim(
  'an offset so large that offset plus length wraps around is refused',
  `
for offset in (2**64 - 4096, 2**64 - 1, 2**63):
    expect_error(["EINVAL"], h.pread, 4096, offset)
    expect_error(["ENOSPC", "EINVAL"], h.pwrite, bytes(4096), offset)
h.flush()
`,
);

claim(
  'FUA is taken on write, write zeroes and trim, and a flush follows',
  `
h.pwrite(b"\\x31" * 8192, 4096, nbd.CMD_FLAG_FUA)
h.zero(4096, 4096, nbd.CMD_FLAG_FUA)
h.trim(4096, 2 * 1024 * 1024, nbd.CMD_FLAG_FUA)
h.flush()
assert h.pread(8192, 4096) == bytes(4096) + b"\\x31" * 4096
`,
);

test('libnbd: write zeroes with NO_HOLE reads as zeroes and keeps its space, a trim gives it back', async () => {
  const stores = cluster.file.storageNodes.map((node) => node.store ?? '');
  const blocks = (): number[] => stores.map((path) => statSync(path).blocks);
  succeeded(await nbdScript(cluster.nbdUri, 'h.pwrite(b"\\xff" * (4 << 20), 4 << 20); h.flush()'));
  const written = blocks();
  succeeded(
    await nbdScript(
      cluster.nbdUri,
      `
h.zero(4 << 20, 4 << 20, nbd.CMD_FLAG_NO_HOLE)
assert h.pread(4 << 20, 4 << 20) == bytes(4 << 20)
h.flush()
`,
    ),
  );
  expect(blocks().map((count, member) => count >= (written[member] as number))).toEqual([true, true]);
  succeeded(await nbdScript(cluster.nbdUri, 'h.trim(4 << 20, 4 << 20); h.flush(); assert h.pread(4 << 20, 4 << 20) == bytes(4 << 20)'));
  for (const [member, count] of blocks().entries()) expect(count).toBeLessThanOrEqual((written[member] as number) - (4 << 20) / 512);
});

claim(
  'write zeroes without NO_HOLE reads as zeroes, in part of a chunk too',
  `
h.pwrite(b"\\xff" * (1 << 20), 8 << 20)
h.zero(100001, (8 << 20) + 3)
assert h.pread(1 << 20, 8 << 20) == b"\\xff" * 3 + bytes(100001) + b"\\xff" * ((1 << 20) - 100004)
`,
);

claim(
  'fast zero either zeroes or says at once that it would be slow',
  `
h.pwrite(b"\\xee" * 65536, 12 << 20)
for offset, length in ((12 << 20, 65536), ((12 << 20) + 1, 4095)):
    try:
        h.zero(length, offset, nbd.CMD_FLAG_FAST_ZERO)
        assert h.pread(length, offset) == bytes(length)
    except nbd.Error as error:
        assert error.errno == "ENOTSUP", error.string
`,
);

claim(
  'a trimmed range reads as zeroes, its neighbours do not',
  `
h.pwrite(b"\\xdd" * (1 << 20), 16 << 20)
h.trim(300000, (16 << 20) + 100001)
data = h.pread(1 << 20, 16 << 20)
assert data[:100001] == b"\\xdd" * 100001
assert data[100001:400001] == bytes(300000)
assert data[400001:] == b"\\xdd" * ((1 << 20) - 400001)
`,
);

claim(
  'cache changes nothing',
  `
h.pwrite(b"\\xcc" * 4096, 20 << 20)
h.cache(1 << 20, 20 << 20)
assert h.pread(4096, 20 << 20) == b"\\xcc" * 4096
`,
);

claim(
  'block status describes every byte, and one extent when one is asked for',
  `
h.trim(2 << 20, 24 << 20)
h.pwrite(b"\\x99" * (256 * 1024), (24 << 20) + 512 * 1024)
offset = 0
while offset < size:
    found = extents(h, min(size - offset, 1 << 30), offset)
    assert found, f"no extent at {offset}"
    offset += sum(length for length, flags in found)
assert offset >= size
found = extents(h, 4096, (24 << 20) + 512 * 1024)
assert found[0][1] == 0, found
one = []
h.block_status(2 << 20, 24 << 20, lambda context, start, entries, error: one.extend(entries), nbd.CMD_FLAG_REQ_ONE)
assert len(one) == 2 and one[0] <= 2 << 20, one
`,
);

claim(
  'a read that may not be fragmented comes in one piece',
  `
h.pwrite(b"\\x12" * (1 << 20), 28 << 20)
pieces = []
data = h.pread_structured(1 << 20, 28 << 20, lambda piece, offset, status, error: pieces.append((offset, len(piece))), nbd.CMD_FLAG_DF)
assert data == b"\\x12" * (1 << 20)
assert len(pieces) == 1, pieces
`,
);

claim(
  '32 MiB go through in one request',
  `
import random
data = random.Random(5).randbytes(32 << 20)
h.pwrite(data, 1)
assert h.pread(32 << 20, 1) == data
`,
);

claim(
  'an empty request is answered, whatever the answer, and the connection goes on',
  `
for function, arguments in ((h.pread, (0, 0)), (h.pwrite, (b"", 0)), (h.trim, (0, 0)), (h.zero, (0, 0))):
    try:
        function(*arguments)
    except nbd.Error as error:
        assert error.errno == "EINVAL", error.string
h.flush()
`,
);

claim(
  'what one connection was told is written, another one reads',
  `
other = connect()
for generation in range(200):
    data = generation.to_bytes(2, "little") * 2048
    h.pwrite(data, generation * 4096)
    assert other.pread(4096, generation * 4096) == data
assert h.can_multi_conn()
other.flush()
`,
);

claim(
  'a thousand requests in flight are all answered',
  `
done = []
def finished(error):
    done.append(error)
    return 1
for i in range(500):
    h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(bytes([i % 251]) * 4096)), (i * 7919 % 8000) * 4096, finished)
    h.aio_pread(nbd.Buffer(4096), (i * 104729 % 8000) * 4096, finished)
while len(done) < 1000:
    assert h.poll(30000) > 0, f"{len(done)} answered"
assert not any(done)
`,
);

claim(
  'a connection that dies amid its requests does not disturb another',
  `
for turn in range(20):
    dying = connect()
    for i in range(64):
        dying.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(b"\\x66" * 65536)), (48 << 20) + i * 65536)
    dying.poll(0)
    h.pwrite(bytes([turn]) * 4096, 40 << 20)
    del dying
    assert h.pread(4096, 40 << 20) == bytes([turn]) * 4096
`,
);

claim(
  'options are negotiated: list, info, an unknown export, then the right one',
  `
from urllib.parse import urlparse
uri = sys.argv[1]
name = urlparse(uri).path[1:]
def opened():
    handle = nbd.NBD()
    handle.set_opt_mode(True)
    handle.connect_uri(uri)
    return handle
handle = opened()
names = []
handle.opt_list(lambda listed, description: names.append(listed))
assert name in names, names
handle.set_export_name("there-is-no-such-export")
expect_error(["ENOENT"], handle.opt_info)
expect_error(["ENOENT"], handle.opt_go)
handle.set_export_name(name)
handle.add_meta_context("base:allocation")
handle.add_meta_context("no:such-context")
contexts = []
handle.opt_list_meta_context(lambda listed: contexts.append(listed))
assert contexts == ["base:allocation"], contexts
handle.opt_info()
assert handle.get_size() == size
handle.opt_go()
assert handle.can_meta_context("base:allocation")
assert not handle.can_meta_context("no:such-context")
assert len(handle.pread(512, 0)) == 512
handle.shutdown()
aborted = opened()
aborted.opt_abort()
`,
);

claim(
  'simple replies and EXPORT_NAME serve a client that knows nothing newer',
  `
old = nbd.NBD()
old.set_request_structured_replies(False)
old.set_handshake_flags(nbd.HANDSHAKE_FLAG_FIXED_NEWSTYLE)
old.connect_uri(sys.argv[1])
old.pwrite(b"\\x21" * 4096, 4096)
assert old.pread(4096, 4096) == b"\\x21" * 4096
assert not old.get_structured_replies_negotiated()
ancient = nbd.NBD()
ancient.set_request_structured_replies(False)
ancient.set_handshake_flags(0)
ancient.connect_uri(sys.argv[1])
assert ancient.get_size() == size
assert ancient.pread(4096, 4096) == b"\\x21" * 4096
`,
);
