const ENCODER = new TextEncoder();
const DECODER = new TextDecoder('utf-8', { fatal: true });

/** The UTF-8 bytes of a text. */
export function encodeText(text: string): Uint8Array {
  return ENCODER.encode(text);
}

/** The text in `length` bytes at `offset`, or null when it is not UTF-8 or leaves the buffer. */
export function decodeText(bytes: Uint8Array, offset: number, length: number): string | null {
  if (offset + length > bytes.length) return null;
  try {
    return DECODER.decode(bytes.subarray(offset, offset + length));
  } catch {
    return null;
  }
}
