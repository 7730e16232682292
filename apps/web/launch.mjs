// `node dist/main.mjs`: starts the built web application. Copied there by the build; needs the repository's node_modules or the image's.
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const USAGE = `Usage: node dist/main.mjs [--host ADDRESS] [--port PORT] [--cluster-file FILE] [--admin-urls URL,URL] [--token-file FILE]

Shows the state of a cluster as a web page. /healthz answers while this process serves.

  --host ADDRESS       address to listen on; default 127.0.0.1, or RMR_WEB_HOST
  --port PORT          port to listen on; default 3000, or PORT
  --cluster-file FILE  where the daemons are; or RMR_CLUSTER_FILE
  --admin-urls URL,…   admin addresses, in the place of a cluster file; or RMR_ADMIN_URLS
  --token-file FILE    bearer token of the daemons' admin interfaces; or RMR_ADMIN_TOKEN_FILE
  --help, --version

There is no login yet: whoever reaches the page sees the cluster. Keep it on loopback, or behind something that asks who it is.
`;

/** @param {string} message */
function fail(message) {
  process.stderr.write(`web: ${message}\n`);
  process.exit(1);
}

function parse() {
  try {
    const options = /** @type {const} */ ({
      host: { type: 'string', default: process.env['RMR_WEB_HOST'] ?? '127.0.0.1' },
      port: { type: 'string', default: process.env['PORT'] ?? '3000' },
      'cluster-file': { type: 'string' },
      'admin-urls': { type: 'string' },
      'token-file': { type: 'string' },
      help: { type: 'boolean', default: false },
      version: { type: 'boolean', default: false },
    });
    return parseArgs({ options }).values;
  } catch (error) {
    return fail(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  }
}

/**
 * Next reports a port that is taken with a stack trace; this says it in words.
 * @param {string} host
 * @param {number} port
 * @returns {Promise<void>}
 */
function checkFree(host, port) {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve()));
  });
}

const values = parse();
if (values?.help) {
  process.stdout.write(USAGE);
} else if (values?.version) {
  process.stdout.write(`${process.env['RMR_VERSION'] ?? 'unknown'}\n`);
} else if (values) {
  const port = Number(values.port);
  if (!/^\d+$/.test(values.port) || port < 1 || port > 65_535) fail(`--port is "${values.port}"; it is a number from 1 to 65535`);
  try {
    await checkFree(values.host, port);
  } catch (error) {
    fail(`can't listen on ${values.host} port ${port}: ${error instanceof Error ? error.message : error}. Choose another with --port`);
  }
  Object.assign(process.env, { HOSTNAME: values.host, PORT: String(port), NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' });
  if (values['cluster-file']) process.env['RMR_CLUSTER_FILE'] = values['cluster-file'];
  if (values['admin-urls']) process.env['RMR_ADMIN_URLS'] = values['admin-urls'];
  if (values['token-file']) process.env['RMR_ADMIN_TOKEN_FILE'] = values['token-file'];
  await import(join(dirname(fileURLToPath(import.meta.url)), 'app/server.js'));
}
