// The bearer tokens of a daemon's admin interface: whoever sends one has its name and its role.
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Caller, ROLES, type Role } from '@rmr/admin-api';
import { errorMessage, OperationError } from '@rmr/runtime';

/** The tokens that a daemon knows. It keeps their digests alone. */
export class AdminTokens {
  readonly #known: readonly (Caller & { readonly digest: Uint8Array })[];

  constructor(known: readonly (Caller & { readonly digest: Uint8Array })[]) {
    this.#known = known;
  }

  /** Whoever has this token; null: nobody. Every known token is compared, so that the time taken says nothing. */
  callerOf(token: string): Caller | null {
    const given = digest(token);
    let found: Caller | null = null;
    for (const { name, role, digest: known } of this.#known) if (timingSafeEqual(given, known)) found = { name, role };
    return found;
  }
}

/** A token that is shorter than this, in characters, could be guessed. */
const TOKEN_LENGTH_MIN = 16;
/** The file has a line for each token; so many lines are more than people and programs that one daemon serves. */
const TOKEN_FILE_BYTES_MAX = 16 * 1024;
const TOKENS_MAX = 64;
const TOKEN_LENGTH_MAX = 4096;
const LINE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63})\s+(\S+)\s+sha256:([0-9a-fA-F]{64})$/;

/**
 * Reads a token file. It holds either one line with a token, whose sender is an admin; or a line `NAME ROLE sha256:DIGEST` for each token,
 * with blank lines and lines that begin with `#` between them. Throws INVALID_CONFIG.
 */
export function readTokens(path: string): AdminTokens {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new OperationError('INVALID_CONFIG', `admin.tokenFile: cannot read ${path}: ${errorMessage(error)}`, { cause: error });
  }
  if (text.length > TOKEN_FILE_BYTES_MAX) throw invalid(path, `is longer than ${TOKEN_FILE_BYTES_MAX} bytes`);
  const lines = text.split('\n').map((line, index) => ({ number: index + 1, text: line.trim() }));
  const entries = lines.filter((line) => line.text !== '' && !line.text.startsWith('#'));
  const [first] = entries;
  if (entries.length === 1 && first !== undefined && !/\s/.test(first.text)) {
    if (first.text.length < TOKEN_LENGTH_MIN || first.text.length > TOKEN_LENGTH_MAX) throw invalid(path, 'does not hold a token');
    return new AdminTokens([{ name: 'token', role: 'admin', digest: digest(first.text) }]);
  }
  if (entries.length === 0) throw invalid(path, 'does not hold a token');
  if (entries.length > TOKENS_MAX) throw invalid(path, `holds more than ${TOKENS_MAX} tokens`);
  const names = new Set<string>();
  return new AdminTokens(
    entries.map(({ number, text: line }) => {
      const match = LINE.exec(line);
      if (match === null) throw invalid(path, `has a line ${number} that is no token`);
      const [, name = '', role = '', hex = ''] = match;
      if (!ROLES.includes(role as Role)) throw invalid(path, `has the role "${role}" in line ${number}; roles are ${ROLES.join(', ')}`);
      if (names.has(name)) throw invalid(path, `has the name "${name}" a second time, in line ${number}`);
      names.add(name);
      return { name, role: role as Role, digest: Buffer.from(hex, 'hex') };
    }),
  );
}

function invalid(path: string, what: string): OperationError {
  return new OperationError(
    'INVALID_CONFIG',
    `admin.tokenFile: ${path} ${what}; write one line with a token of at least ${TOKEN_LENGTH_MIN} characters, for example from "openssl rand -hex 32", or for each token a line "NAME ROLE sha256:DIGEST", where "printf %s TOKEN | sha256sum" gives the digest and ROLE is ${ROLES.join(', ')}`,
  );
}

/** The digest of a token. All digests have one length: `timingSafeEqual` needs that, and the length of tokens stays secret. */
function digest(token: string): Uint8Array {
  return createHash('sha256').update(token).digest();
}
