/** What the tests with libnbd run in its Python binding. */

/** Every command, with its flags and errors. Arguments: structured|simple, and the URIs of the exports vol, ro and sectors. */
export const COMMANDS_PY = `
import errno, sys, nbd

structured = sys.argv[1] == 'structured'

def connect(uri):
    h = nbd.NBD()
    h.set_request_structured_replies(structured)
    h.set_strict_mode(0)
    if structured:
        h.add_meta_context('base:allocation')
    h.connect_uri(uri)
    assert h.get_structured_replies_negotiated() == structured
    return h

def fails(name, action):
    try:
        action()
    except nbd.Error as e:
        assert e.errnum == getattr(errno, name), (name, e)
        return
    raise AssertionError('no ' + name)

h = connect(sys.argv[2])
size = h.get_size()
data = bytes(range(256)) * 1000
h.pwrite(data, 12345, nbd.CMD_FLAG_FUA)
assert h.pread(len(data), 12345) == data
h.flush(nbd.CMD_FLAG_FUA)
h.cache(4096, 0)
h.trim(65536, 0, nbd.CMD_FLAG_FUA)
assert h.pread(12345, 0) == bytes(12345)
h.zero(65536, 65536)
h.zero(65536, 65536, nbd.CMD_FLAG_FUA | nbd.CMD_FLAG_NO_HOLE)
h.zero(65536, 65536, nbd.CMD_FLAG_FAST_ZERO)
fails('ENOTSUP', lambda: h.zero(4096, 0, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE))
fails('EINVAL', lambda: h.pread(1, size))
fails('ENOSPC', lambda: h.pwrite(b'x', size))
fails('ENOSPC', lambda: h.zero(2, size - 1))
fails('EINVAL', lambda: h.trim(2, size - 1))
fails('EINVAL', lambda: h.cache(2, size - 1))
fails('EINVAL', lambda: h.pread(0, 0))

# Thousands of requests under way, answered in any order.
cookies = []
for i in range(3000):
    buf = nbd.Buffer.from_bytearray(bytearray([i % 251]) * 512)
    cookies.append(h.aio_pwrite(buf, 1048576 + i * 512))
while h.aio_in_flight() > 0:
    h.poll(-1)
for c in cookies:
    assert h.aio_command_completed(c)
assert h.pread(3000 * 512, 1048576) == b''.join(bytes([i % 251]) * 512 for i in range(3000))

big = bytes([7]) * (32 * 1024 * 1024)
h.pwrite(big, 4097)
assert h.pread(len(big), 4097) == big

if structured:
    chunks = []
    def chunk(buf, offset, status, err):
        chunks.append((offset, len(buf), status))
    h.trim(1048576, 0)
    h.pwrite(b'y' * 300000, 131072)
    got = h.pread_structured(1048576, 0, chunk)
    assert got == bytes(131072) + b'y' * 300000 + bytes(1048576 - 431072)
    assert len(chunks) > 1 and any(c[2] == nbd.READ_HOLE for c in chunks), chunks
    chunks.clear()
    assert h.pread_structured(1048576, 0, chunk, nbd.CMD_FLAG_DF) == got
    assert chunks == [(0, 1048576, nbd.READ_DATA)], chunks
    runs = []
    def extent(context, offset, entries, err):
        assert context == 'base:allocation'
        runs.extend(zip(entries[::2], entries[1::2]))
    h.block_status(1048576, 0, extent)
    assert runs[0] == (131072, 3) and runs[1][1] == 0 and sum(r[0] for r in runs) == 1048576, runs
    runs.clear()
    h.block_status(1048576, 0, extent, nbd.CMD_FLAG_REQ_ONE)
    assert runs == [(131072, 3)], runs
    fails('EINVAL', lambda: h.block_status(2, size - 1, extent))
h.shutdown()

ro = connect(sys.argv[3])
assert ro.is_read_only() and ro.is_rotational()
fails('EPERM', lambda: ro.pwrite(b'x' * 512, 0))
fails('EPERM', lambda: ro.zero(512, 0))
fails('EPERM', lambda: ro.trim(512, 0))
assert ro.pread(512, 0) == bytes(512)
ro.flush()
ro.shutdown()

sectors = connect(sys.argv[4])
assert sectors.get_block_size(nbd.SIZE_MINIMUM) == 512
fails('EINVAL', lambda: sectors.pread(511, 0))
fails('EINVAL', lambda: sectors.pwrite(b'x' * 512, 1))
sectors.pwrite(b's' * 1024, 512)
assert sectors.pread(1024, 512) == b's' * 1024
sectors.shutdown()
print('done')
`;

/** The negotiation. Argument: the URI of the export vol. */
export const OPTIONS_PY = `
import sys, nbd

h = nbd.NBD()
h.set_opt_mode(True)
h.set_full_info(True)
h.connect_uri(sys.argv[1])
names = []
assert h.opt_list(lambda name, description: names.append((name, description))) == 4
assert names[0] == ('vol', 'a volume for tests'), names

h.set_export_name('nosuch')
try:
    h.opt_info()
    raise AssertionError('an export that does not exist')
except nbd.Error:
    pass

h.set_export_name('vol')
h.opt_info()
assert h.get_canonical_export_name() == 'vol'
assert h.get_export_description() == 'a volume for tests'
contexts = []
h.add_meta_context('base:')
h.add_meta_context('x-nosuch:thing')
assert h.opt_list_meta_context(contexts.append) == 1 and contexts == ['base:allocation'], contexts
h.clear_meta_contexts()
h.add_meta_context('base:allocation')
h.opt_go()
assert h.can_meta_context('base:allocation')
h.shutdown()

# EXPORT_NAME, as old clients do: a name after a failure, and ABORT.
h = nbd.NBD()
h.set_opt_mode(True)
h.connect_uri(sys.argv[1])
h.opt_abort()

# Without fixed newstyle there is only EXPORT_NAME; with and without its padding.
for flags in (0, nbd.HANDSHAKE_FLAG_NO_ZEROES):
    h = nbd.NBD()
    h.set_handshake_flags(flags)
    h.connect_uri(sys.argv[1])
    assert h.get_protocol() == 'newstyle'
    assert not h.get_structured_replies_negotiated()
    h.pwrite(b'old', 5)
    assert h.pread(3, 5) == b'old'
    h.shutdown()
print('done')
`;

/** Several connections to one export. Argument: its URI. */
export const CONNECTIONS_PY = `
import sys, nbd

handles = []
for i in range(8):
    h = nbd.NBD()
    h.connect_uri(sys.argv[1])
    assert h.can_multi_conn()
    handles.append(h)
for i, h in enumerate(handles):
    h.pwrite(bytes([i + 1]) * 4096, i * 4096)
handles[0].flush()
for i, h in enumerate(handles):
    other = (i + 3) % 8
    assert h.pread(4096, other * 4096) == bytes([other + 1]) * 4096
# One dies without a word; the others go on.
del handles[0]
for h in handles:
    h.flush()
    h.shutdown()
print('done')
`;

/** Writes until the server ends; prints a line when it is busy. Argument: the URI of an export of 64 MiB. */
export const BUSY_PY = `
import errno, sys, nbd

h = nbd.NBD()
h.connect_uri(sys.argv[1])
outcomes = []
def done(error):
    outcomes.append(error.value)
    return 1
try:
    for i in range(10000000):
        h.aio_pwrite(nbd.Buffer(65536), (i % 512) * 65536, completion=done)
        while h.aio_in_flight() >= 32:
            h.poll(-1)
        if i == 1000:
            print('busy', flush=True)
except nbd.Error:
    pass
# What was answered was done, or refused because of the shutdown; what was not is lost with the connection.
assert outcomes.count(0) > 900
assert set(outcomes) <= {0, errno.ESHUTDOWN, errno.ENOTCONN}, set(outcomes)
`;
