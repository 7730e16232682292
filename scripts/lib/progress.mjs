// Steps with their elapsed time: a line that counts on a terminal, a plain line per step elsewhere.

const FRAME_MS = 100;

/** @param {number} startedMs */
function elapsed(startedMs) {
  return `${((performance.now() - startedMs) / 1000).toFixed(1)} s`;
}

/**
 * Runs one step and shows its name, its time and how it ended. What it throws passes through.
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} action
 * @returns {Promise<T>}
 */
export async function step(name, action) {
  const terminal = process.stdout.isTTY === true;
  const startedMs = performance.now();
  /** @param {string} mark */
  const line = (mark) => `${terminal ? '\r\x1b[2K' : ''}${mark} ${name}  ${elapsed(startedMs)}`;
  const timer = terminal ? setInterval(() => process.stdout.write(line('…')), FRAME_MS) : undefined;
  if (!terminal) console.log(`… ${name}`);
  try {
    const result = await action();
    clearInterval(timer);
    console.log(line('✓'));
    return result;
  } catch (error) {
    clearInterval(timer);
    console.log(line('✗'));
    throw error;
  }
}
