import { errorMessage } from '@rmr/runtime';

/** What has to be undone at the end, however the end comes. The last thing done is the first undone. */
export class Cleanup {
  readonly #steps: { readonly what: string; readonly undo: () => Promise<void> | void }[] = [];

  add(what: string, undo: () => Promise<void> | void): void {
    this.#steps.push({ what, undo });
  }

  /** Undoes everything. A step that fails is reported and does not keep the others from running. True when all succeeded. */
  async run(): Promise<boolean> {
    let clean = true;
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (error) {
        clean = false;
        console.error(`bench: could not ${step.what}: ${errorMessage(error)}`);
      }
    }
    return clean;
  }
}
