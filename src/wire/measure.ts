/** How much text is in a JSON event, told from its bytes without parsing it. */

const QUOTE = 0x22
const BACKSLASH = 0x5c

/**
 * The UTF-8 length of the string behind the first of these keys that is there, its escapes counted as what they stand
 * for. A key in full with its quotes cannot stand inside a string, where its quotes would be escaped.
 */
export function textBytes(bytes: Buffer, keys: readonly Buffer[]): number {
  for (const key of keys) {
    let at = bytes.indexOf(key)
    if (at < 0) continue
    at += key.length
    while (isBetween(bytes[at])) at++
    if (bytes[at] === QUOTE) return stringBytes(bytes, at + 1)
  }
  return 0
}

/** White space or the colon between a key and its value. */
const isBetween = (byte: number | undefined): boolean => byte === 0x3a || byte === 0x20 || byte === 0x09

function stringBytes(bytes: Buffer, start: number): number {
  const close = bytes.indexOf(QUOTE, start)
  const escaped = bytes.indexOf(BACKSLASH, start)
  if (close >= 0 && (escaped < 0 || escaped > close)) return close - start
  let sum = 0
  for (let at = start; at < bytes.length && bytes[at] !== QUOTE; ) {
    if (bytes[at] !== BACKSLASH) {
      sum++
      at++
    } else if (bytes[at + 1] !== 0x75) {
      sum++
      at += 2
    } else {
      const code = Number.parseInt(bytes.toString('latin1', at + 2, at + 6), 16)
      // Half of a surrogate pair: the pair is four bytes.
      sum += code < 0x80 ? 1 : code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 2 : 3
      at += 6
    }
  }
  return sum
}
