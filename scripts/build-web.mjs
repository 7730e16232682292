// `node ../../scripts/build-web.mjs`: the build of apps/web.
import './lib/node-version.mjs';
import { buildWeb } from './lib/web-build.mjs';

const { ok } = await buildWeb({ stdio: 'inherit' });
if (!ok) process.exit(1);
