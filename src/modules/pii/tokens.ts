/**
 * Where numbers and codes begin. Most detectors look for nothing else, so a text is gone through once for all of them, and
 * each looks only at places that have enough digits for it.
 */
export interface Tokens {
  /** Places in rising order. */
  readonly starts: readonly number[]
  /** How many digits follow each, through single separators. */
  readonly digits: readonly number[]
  /** How many of them stand at the beginning without any separator. */
  readonly runs: readonly number[]
  /** Whether a letter begins it. */
  readonly letters: readonly boolean[]
}

const REACH = 40
/** No detector asks for more. */
const ENOUGH = 12
const isDigit = (code: number): boolean => code >= 48 && code <= 57
const isLetter = (code: number): boolean => (code >= 65 && code <= 90) || (code >= 97 && code <= 122)
/** Space, parentheses, hyphen, dot, slash. */
const separates = (code: number): boolean =>
  code === 32 || code === 40 || code === 41 || code === 45 || code === 46 || code === 47

export function tokensOf(text: string): Tokens {
  const starts: number[] = []
  const digits: number[] = []
  const letters: boolean[] = []
  const runs: number[] = []
  const { length } = text
  for (let i = 0; i < length; ) {
    const code = text.charCodeAt(i)
    const letter = isLetter(code)
    if (!letter && !isDigit(code)) {
      i++
      continue
    }
    let end = i + 1
    let digit = !letter
    for (; end < length; end++) {
      const next = text.charCodeAt(end)
      if (isDigit(next)) digit = true
      else if (!isLetter(next) && next !== 95) break
    }
    const short = letter && !digit && end - i <= 4
    if (i > 0 && text.charCodeAt(i - 1) === 95) digit = false
    if (digit || (short && isDigit(text.charCodeAt(separates(text.charCodeAt(end)) ? end + 1 : end)))) {
      starts.push(i)
      digits.push(digitsFrom(text, i, letter))
      letters.push(letter)
      let run = i
      while (isDigit(text.charCodeAt(run))) run++
      runs.push(run - i)
    }
    i = end
  }
  return { starts, digits, runs, letters }
}

function digitsFrom(text: string, start: number, lettersToo: boolean): number {
  let digits = 0
  let gap = 0
  const end = Math.min(text.length, start + REACH)
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i)
    if (isDigit(code)) {
      if (++digits === ENOUGH) break
      gap = 0
    } else if (separates(code)) {
      if (++gap > 2) break
    } else if (isLetter(code)) {
      if (!lettersToo && digits === 0) break
      gap = 0
    } else if (code !== 95) break
  }
  return digits
}
