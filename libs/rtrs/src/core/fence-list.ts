import type { ClientPath } from './client-path.ts';

/**
 * The fences of a session that wait for their confirmation (I10). Their number is bounded by the requests in flight:
 * only a path that took requests with it needs one.
 */
export class FenceList {
  readonly #fences: Fence[] = [];

  get count(): number {
    return this.#fences.length;
  }

  add(pathId: number, deadlineMs: number, carrier: ClientPath): void {
    this.#fences.push({ pathId, deadlineMs, carrier });
  }

  /** The server has confirmed the fence of this path. False: no such fence was asked for. */
  remove(pathId: number): boolean {
    const at = this.#fences.findIndex((fence) => fence.pathId === pathId);
    if (at < 0) return false;
    this.#fences.splice(at, 1);
    return true;
  }

  /** Whether the fence of this path is awaited. */
  has(pathId: number): boolean {
    return this.#fences.some((fence) => fence.pathId === pathId);
  }

  /** The fences that `lost` carried are carried by `next` from now on; returns their path numbers, to be asked for again. */
  recarry(lost: ClientPath, next: ClientPath): number[] {
    const pathIds: number[] = [];
    for (const fence of this.#fences) {
      if (fence.carrier !== lost) continue;
      fence.carrier = next;
      pathIds.push(fence.pathId);
    }
    return pathIds;
  }

  /** A fence that is overdue, or null. */
  overdue(nowMs: number): Fence | null {
    for (const fence of this.#fences) if (nowMs >= fence.deadlineMs) return fence;
    return null;
  }

  clear(): void {
    this.#fences.length = 0;
  }
}

/** The fence of a lost path. The server has not yet confirmed that nothing of that path executes any more. */
export interface Fence {
  readonly pathId: number;
  readonly deadlineMs: number;
  /** The path that carries the question. */
  carrier: ClientPath;
}
