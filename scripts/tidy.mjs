// `node scripts/tidy.mjs`: fails on what neither the linter nor the compiler sees. The rules are in lib/tidy.mjs.
import './lib/node-version.mjs';
import { tidy } from './lib/tidy.mjs';
import { ROOT } from './lib/workspace.mjs';

const { files, complaints } = tidy(ROOT);
for (const { where, message } of complaints) console.error(`${where}  ${message}`);
console.log(`tidy: ${files} files, ${complaints.length} complaints`);
if (complaints.length > 0) process.exit(1);
