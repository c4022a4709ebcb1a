/** The arguments of a call are JSON as text: rules see what its escapes mean, and finds are mapped back to how it is written. */

export interface Read {
  readonly text: string
  /** Where a position of the text stands in what was written. */
  written(position: number): number
}

const same = (position: number): number => position
const PLAIN: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f' }
const ESCAPE = /\\(?:u([0-9a-fA-F]{4})|(.))/gs

export function readEscapes(json: string): Read {
  if (!json.includes('\\')) return { text: json, written: same }
  let text = ''
  let read = 0
  // Every escape is one character of the text: after it, what was written is so much further.
  const after: number[] = []
  const shift: number[] = []
  for (const { index, 0: found, 1: code, 2: char = '' } of json.matchAll(ESCAPE)) {
    text += json.slice(read, index)
    text += code === undefined ? (PLAIN[char] ?? char) : String.fromCharCode(Number.parseInt(code, 16))
    read = index + found.length
    after.push(text.length)
    shift.push(read - text.length)
  }
  text += json.slice(read)
  return {
    text,
    written(position) {
      let low = 0
      let high = after.length
      while (low < high) {
        const middle = (low + high) >> 1
        if ((after[middle] as number) <= position) low = middle + 1
        else high = middle
      }
      return position + (low === 0 ? 0 : (shift[low - 1] as number))
    },
  }
}

/** Whether a JSON text that stood in a string (or not) still does at its end. */
export function inString(json: string, before: boolean): boolean {
  let within = before
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i)
    if (code === 92 && within) i++
    else if (code === 34) within = !within
  }
  return within
}
