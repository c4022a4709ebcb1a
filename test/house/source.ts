/**
 * Reads TypeScript well enough to tell code from comments and strings. TypeScript 7 has no compiler API, and the rules
 * of the house need only this: what a file imports, which words its code uses, which strings it holds.
 */
import { globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

export const root = resolve(import.meta.dirname, '../..')

export interface Source {
  /** Relative to the repository, with forward slashes. */
  readonly path: string
  /** The file with comments and the contents of strings replaced by spaces; offsets and lines stay. */
  readonly code: string
  readonly literals: readonly Literal[]
  readonly imports: readonly Import[]
}

export interface Literal {
  /** Offset of the opening quote. */
  readonly start: number
  /** Offset behind the closing quote. */
  readonly end: number
  /** A template's holes are written as `${}`. */
  readonly text: string
  readonly holes: boolean
}

export interface Import {
  /** `./x.ts` as written; undefined when it is computed at run time. */
  readonly from: string | undefined
  readonly start: number
}

/** Every TypeScript file of the product; tests beside the sources are marked by their name. */
export function readSources(): Source[] {
  return globSync('src/**/*.ts', { cwd: root })
    .map((path) => path.replaceAll('\\', '/'))
    .sort()
    .map((path) => readSource(path, readFileSync(join(root, path), 'utf8')))
}

export function isTest(path: string): boolean {
  return path.endsWith('.test.ts')
}

export function lineOf(source: Source, offset: number): number {
  return source.code.slice(0, offset).split('\n').length
}

export function readSource(path: string, text: string): Source {
  const code = text.split('')
  const literals: Literal[] = []
  const blank = (from: number, to: number) => {
    for (let at = from; at < to; at += 1) if (code[at] !== '\n') code[at] = ' '
  }
  let at = 0

  /** Reads code until the end of the file or, inside a template's hole, until its closing brace. */
  const readCode = (inHole: boolean) => {
    let depth = 0
    while (at < text.length) {
      const char = text[at] as string
      if (text.startsWith('//', at)) {
        const end = text.indexOf('\n', at)
        blank(at, end < 0 ? text.length : end)
        at = end < 0 ? text.length : end
      } else if (text.startsWith('/*', at)) {
        const end = text.indexOf('*/', at + 2)
        blank(at, end < 0 ? text.length : end + 2)
        at = end < 0 ? text.length : end + 2
      } else if (char === "'" || char === '"') readQuoted(char)
      else if (char === '`') readTemplate()
      else if (char === '/' && startsPattern(code, at)) readPattern()
      else {
        if (char === '{') depth += 1
        if (char === '}') {
          if (inHole && depth === 0) return
          depth -= 1
        }
        at += 1
      }
    }
  }
  const readQuoted = (quote: string) => {
    const start = at
    for (at += 1; at < text.length && text[at] !== quote && text[at] !== '\n'; at += 1) if (text[at] === '\\') at += 1
    blank(start + 1, at)
    at += 1
    literals.push({ start, end: at, text: text.slice(start + 1, at - 1), holes: false })
  }
  const readTemplate = () => {
    const start = at
    let content = ''
    let holes = false
    at += 1
    while (at < text.length && text[at] !== '`') {
      if (text.startsWith('${', at)) {
        holes = true
        content += '${}'
        at += 2
        readCode(true)
        at += 1
      } else {
        const length = text[at] === '\\' ? 2 : 1
        content += text.slice(at, at + length)
        blank(at, at + length)
        at += length
      }
    }
    at += 1
    literals.push({ start, end: at, text: content, holes })
  }
  const readPattern = () => {
    const start = at
    let inClass = false
    for (at += 1; at < text.length && text[at] !== '\n' && (inClass || text[at] !== '/'); at += 1) {
      if (text[at] === '\\') at += 1
      else if (text[at] === '[') inClass = true
      else if (text[at] === ']') inClass = false
    }
    blank(start + 1, at)
    at += 1
  }

  readCode(false)
  literals.sort((a, b) => a.start - b.start)
  const blanked = code.join('')
  return { path, code: blanked, literals, imports: readImports(blanked, literals) }
}

/** Whether a slash begins a regular expression: it does where a value is expected. */
function startsPattern(code: readonly string[], at: number): boolean {
  let before = at - 1
  while (before >= 0 && /\s/.test(code[before] as string)) before -= 1
  if (before < 0 || /[([{,;:=!&|?+\-*%~^<>}]/.test(code[before] as string)) return true
  let start = before
  while (start >= 0 && /[\w$]/.test(code[start] as string)) start -= 1
  return /^(?:return|typeof|case|in|of|do|else|void|await|yield|throw)$/.test(
    code.slice(start + 1, before + 1).join(''),
  )
}

function readImports(code: string, literals: readonly Literal[]): Import[] {
  const textAt = new Map(literals.map((literal) => [literal.start, literal]))
  const imports: Import[] = []
  const statement = /(?<![.\w$])(?:import|export)\b(?:\s+type\b)?(?:\s*[\w$*{][\w$\s,{}*]*?\bfrom)?\s*(?=['"])/g
  for (const match of code.matchAll(statement)) {
    const literal = textAt.get(match.index + match[0].length)
    if (literal) imports.push({ from: literal.text, start: match.index })
  }
  for (const match of code.matchAll(/(?<![.\w$])import\s*\(\s*/g)) {
    const literal = textAt.get(match.index + match[0].length)
    const isWhole = literal !== undefined && !literal.holes && /^\s*[,)]/.test(code.slice(literal.end))
    imports.push({ from: isWhole ? literal.text : undefined, start: match.index })
  }
  // A worker or a file named relative to this one is a dependency too.
  for (const match of code.matchAll(/(?<![.\w$])(?:require|import\.meta\.resolve)\s*\(\s*/g)) {
    const literal = textAt.get(match.index + match[0].length)
    imports.push({ from: literal?.holes === false ? literal.text : undefined, start: match.index })
  }
  return imports.sort((a, b) => a.start - b.start)
}
