import type { Mutant } from '../mutant.ts';
import { MARKED } from './marks.ts';
import { OTHERS } from './others.ts';
import { SLOW } from './slow-legs.ts';
import { STORES } from './stores.ts';

export const MUTANTS: readonly Mutant[] = [...MARKED, ...OTHERS, ...SLOW, ...STORES];
