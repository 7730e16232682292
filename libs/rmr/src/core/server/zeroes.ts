/** Whether all bytes are zero, so that a hole does as well. */
export function isZero(data: Uint8Array): boolean {
  if (data.byteOffset % 4 !== 0 || data.length % 4 !== 0) return data.every((byte) => byte === 0);
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
  for (let i = 0; i < words.length; i++) if (words[i] !== 0) return false;
  return true;
}
