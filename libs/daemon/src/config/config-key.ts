/** A key that can be given in the file, in the environment and as a flag. */
export interface ConfigKey {
  /** With dots between levels: `admin.listen`. */
  readonly key: string;
  readonly path: readonly string[];
  /** `RMR_ADMIN_LISTEN`. */
  readonly variable: string;
  /** `admin-listen`, without the dashes in front. */
  readonly flag: string;
  /** How the text of the key is read: the entries of a list are separated by commas, a structure is written as JSON or YAML. */
  readonly kind: KeyKind;
  readonly description: string;
}

export type KeyKind = 'text' | 'number' | 'boolean' | 'list' | 'structure';
