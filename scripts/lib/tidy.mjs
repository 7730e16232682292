// What neither the linter nor the compiler sees. Each rule is a function from a file, or from the workspace, to complaints.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { RULES_DOCUMENT, ruleComplaints } from './rules.mjs';
import { isSourceFile, isTestFile } from './source-files.mjs';
import { listProjects } from './workspace.mjs';

/** Longer files hold more than one idea. */
export const LINES_MAX = 700;

/** Spelled so that these rules don't find themselves. */
const UNFINISHED = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|')})\\b`);
const FOCUSED = /\b(test|it|describe|suite)(\.\w+)*\.only\s*\(/;
/** A stand-in, shown in the report, for tests that can't run here: its title ends with the reason in brackets. */
const STAND_IN = /\.skip\s*\(.*\(.+\)['"`]\s*,\s*\(\)\s*=>\s*\{\}\)/;
const SKIPPED = /\b(test|it|describe|suite)(\.\w+)*\.(skip|todo|fails)\s*\(|\bx(it|describe|test)\s*\(/;
const SKIPPED_WITHOUT_REASON = /\.skip\s*\(\s*\)/;
const UNSEEDED_RANDOM = /\bMath\.random\b|\bcrypto\.(randomUUID|getRandomValues|randomBytes)\b/;
const MACHINE_PATH = new RegExp(`(^|[\\s'"\`(=:])/(${['work', 'root', 'farm', 'home'].join('|')})/[\\w.]`);
const REGISTRY_ADDRESS = /"resolved":\s*"(https?|git)/;
const MARKDOWN_LINK = /\[[^\]]*\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g;
const TEXT_FILE = /(\.(ts|tsx|mts|mjs|js|json|md|ya?ml|css|sh|html|txt|py|toml|ini|conf|service)|Dockerfile|\.ci\/run)$/;

/** @typedef {{ where: string, message: string }} Complaint */

/**
 * @param {string} root absolute folder of a git checkout
 * @returns {{ files: number, complaints: Complaint[] }}
 */
export function tidy(root) {
  const files = trackedFiles(root);
  const complaints = [];
  /** @type {Map<string, string>} */
  const texts = new Map();
  for (const path of files) if (TEXT_FILE.test(path)) texts.set(path, readFileSync(join(root, path), 'utf8'));
  for (const [path, text] of texts) complaints.push(...fileComplaints(root, path, text));
  complaints.push(...ruleComplaints(texts.get(RULES_DOCUMENT) ?? '', texts));
  complaints.push(...projectComplaints(root));
  return { files: files.length, complaints };
}

/**
 * Files that git knows or would add, as far as they exist.
 * @param {string} root
 */
function trackedFiles(root) {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  const output = execFileSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20 });
  return [...new Set(output.split('\0'))].filter((path) => path !== '' && existsSync(join(root, path))).sort();
}

/**
 * @param {string} root
 * @param {string} path
 * @param {string} text
 * @returns {Complaint[]}
 */
export function fileComplaints(root, path, text) {
  const lines = text.split('\n');
  if (path.endsWith('package-lock.json')) return matches(path, lines, REGISTRY_ADDRESS, 'holds a download address');
  const complaints = matches(path, lines, MACHINE_PATH, 'holds a path of one machine');
  if (path.endsWith('.md')) complaints.push(...brokenLinks(root, path, lines), ...brokenDiagrams(path, lines));
  if (!isSourceFile(path)) return complaints;
  complaints.push(...matches(path, lines, UNFINISHED, 'is unfinished'));
  if (lines.length > LINES_MAX) complaints.push({ where: path, message: `has ${lines.length} lines; the most is ${LINES_MAX}` });
  if (isTestFile(path)) {
    complaints.push(...matches(path, lines, FOCUSED, 'runs this test alone'));
    const tests = lines.map((line) => (STAND_IN.test(line) ? '' : line));
    complaints.push(...matches(path, tests, SKIPPED, 'skips a test for good: use skipIf with the tool that it needs'));
    complaints.push(...matches(path, lines, SKIPPED_WITHOUT_REASON, 'skips a test without a reason'));
  } else if (/^libs\/[^/]+\/src\/(?!node\/)/.test(path)) {
    complaints.push(...matches(path, lines, UNSEEDED_RANDOM, 'draws random numbers that no seed repeats: take Random from outside'));
  }
  return complaints;
}

/**
 * @param {string} path
 * @param {string[]} lines
 * @param {RegExp} pattern
 * @param {string} message
 * @returns {Complaint[]}
 */
function matches(path, lines, pattern, message) {
  const complaints = [];
  for (const [index, line] of lines.entries()) {
    const found = pattern.exec(line);
    if (found) complaints.push({ where: `${path}:${index + 1}`, message: `"${found[0].trim()}" ${message}` });
  }
  return complaints;
}

/**
 * The anchors of a document's headings, as GitHub makes them.
 * @param {string} text
 * @returns {Set<string>}
 */
export function anchorsOf(text) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  const anchors = new Set();
  for (const [, heading = ''] of text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.*)$/gm)) {
    const words = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .trim()
      .toLowerCase();
    const anchor = words.replace(/[^\p{L}\p{N}_ -]/gu, '').replaceAll(' ', '-');
    const count = counts.get(anchor) ?? 0;
    counts.set(anchor, count + 1);
    anchors.add(count === 0 ? anchor : `${anchor}-${count}`);
  }
  return anchors;
}

/**
 * Links to files of the repository, and to headings in them, that aren't there.
 * @param {string} root
 * @param {string} path
 * @param {string[]} lines
 */
function brokenLinks(root, path, lines) {
  const complaints = [];
  let inCode = false;
  for (const [index, line] of lines.entries()) {
    if (line.trimStart().startsWith('```')) inCode = !inCode;
    if (inCode) continue;
    for (const [, target] of line.matchAll(MARKDOWN_LINK)) {
      if (/^[a-z][a-z+.-]*:/i.test(target)) continue;
      const [file = '', anchor] = target.split('#').map(decodeURIComponent);
      const found = file === '' ? path : join(dirname(path), file);
      const where = `${path}:${index + 1}`;
      if (file !== '' && !existsSync(join(root, found))) complaints.push({ where, message: `links to ${file}, which is not there` });
      else if (anchor !== undefined && found.endsWith('.md')) {
        const text = found === path ? lines.join('\n') : readFileSync(join(root, found), 'utf8');
        if (!anchorsOf(text).has(anchor))
          complaints.push({ where, message: `links to the heading #${anchor} of ${found}, which is not there` });
      }
    }
  }
  return complaints;
}

/**
 * Diagrams that can't be drawn: a semicolon ends a statement of Mermaid, in a message or a note as well.
 * @param {string} path
 * @param {string[]} lines
 */
function brokenDiagrams(path, lines) {
  const complaints = [];
  let inDiagram = false;
  for (const [index, line] of lines.entries()) {
    if (line.startsWith('```')) inDiagram = line === '```mermaid';
    else if (inDiagram && line.includes(';')) complaints.push({ where: `${path}:${index + 1}`, message: 'has a semicolon in a diagram' });
  }
  return complaints;
}

/**
 * What every project has.
 * @param {string} root
 */
function projectComplaints(root) {
  const complaints = [];
  for (const { name, folder, manifest } of listProjects(root)) {
    for (const file of ['README.md', 'tsconfig.json']) {
      if (!existsSync(join(root, folder, file))) complaints.push({ where: folder, message: `${name} has no ${file}` });
    }
    if (!manifest.nx?.tags?.length) complaints.push({ where: `${folder}/package.json`, message: `${name} has no nx.tags` });
    for (const script of ['lint', 'typecheck', 'test']) {
      if (!manifest.scripts?.[script]) complaints.push({ where: `${folder}/package.json`, message: `${name} has no script "${script}"` });
    }
    for (const [dependency, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
      if (dependency.startsWith('@rmr/') ? version === '*' : /^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) continue;
      complaints.push({
        where: `${folder}/package.json`,
        message: `${dependency} is "${version}": npm packages are pinned exactly, projects are "*"`,
      });
    }
  }
  return complaints;
}
