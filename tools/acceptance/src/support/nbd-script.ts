import { type Outcome, runProgram } from './command.ts';
import { PYTHON } from './requirements.ts';

/** Runs Python code with libnbd's handle `h` connected to `uri`, and the device's `size`. */
export function nbdScript(uri: string, code: string): Promise<Outcome> {
  return runProgram(PYTHON, ['-', uri], { input: `${PRELUDE}\n${code}` });
}

/** What every script starts with: a connected handle `h`, and a way to demand an error. */
const PRELUDE = `
import errno, nbd, sys

def connect(uri=sys.argv[1]):
    handle = nbd.NBD()
    handle.add_meta_context("base:allocation")
    # The server is tested, not libnbd: let everything through to it.
    handle.set_strict_mode(0)
    handle.connect_uri(uri)
    return handle

def expect_error(names, function, *arguments):
    try:
        function(*arguments)
    except nbd.Error as error:
        assert error.errno in names, f"expected {names}, got {error.errno}: {error.string}"
        return
    raise AssertionError(f"expected {names}, but it succeeded")

def extents(handle, count, offset):
    found = []
    def collect(context, start, entries, error):
        if context == "base:allocation":
            found.extend(zip(entries[0::2], entries[1::2]))
    handle.block_status(count, offset, collect)
    return found

h = connect()
size = h.get_size()
`;
