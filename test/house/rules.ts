/**
 * The rules of the house as functions from sources to complaints, so that the tests can also feed them what they must
 * catch. The table of imports is that of docs/architecture.md.
 */
import { posix } from 'node:path'
import { isTest, type Literal, lineOf, type Source } from './source.ts'

export type Rule = (sources: readonly Source[]) => string[]

/** For one file: offsets at which something is wrong, and what. */
function each(look: (source: Source) => Iterable<readonly [offset: number, complaint: string]>): Rule {
  return (sources) =>
    sources.flatMap((source) =>
      [...look(source)].map(([offset, complaint]) => `${source.path}:${lineOf(source, offset)}: ${complaint}`),
    )
}

/** The lists that npm run generate writes, the only way from http to modules, providers and dialects. */
const generatedLists = ['src/modules/index.ts', 'src/providers/index.ts', 'src/dialects/index.ts']

/** Room → rooms it may import from besides its own unit (see `unitOf`). */
const mayImport: Record<string, readonly string[]> = {
  core: ['core'],
  wire: ['wire', 'core'],
  catalog: ['catalog', 'core'],
  dialects: ['core', 'wire'],
  providers: ['core', 'wire'],
  modules: ['core'],
  store: ['store', 'core'],
  http: ['http', 'core', 'wire', 'generated lists'],
}
/** They know everyone, and only they know each other. */
const heads = ['main', 'cli']
/** A fact about the build rather than a room. */
const known = ['src/version.ts']

/** `src/core/x.ts` → core; a file directly under src belongs to main. */
export function roomOf(path: string): string {
  if (generatedLists.includes(path)) return 'generated lists'
  const parts = path.split('/')
  return parts.length > 2 ? (parts[1] as string) : 'main'
}

/** The folder or file that counts as one member of its room: `src/modules/cache`, `src/providers/groq`. */
function unitOf(path: string): string {
  return path
    .split('/')
    .slice(0, 3)
    .join('/')
    .replace(/(?:\.test)?\.ts$/, '')
}

export const importTable: Rule = each(function* (source) {
  const room = roomOf(source.path)
  if (heads.includes(room)) return
  if (room !== 'generated lists' && !(room in mayImport)) yield [0, `${room} is not a room of this house`]
  for (const { from, start } of source.imports) {
    if (from === undefined || !from.startsWith('.')) continue
    const target = posix.join(posix.dirname(source.path), from)
    const targetRoom = roomOf(target)
    // A test beside a source may take helpers from test/, never the other way round.
    if (!target.startsWith('src/')) {
      if (!isTest(source.path)) yield [start, `${target} is outside src`]
    } else if (room === 'generated lists') {
      if (posix.dirname(source.path) !== target.split('/').slice(0, 2).join('/'))
        yield [start, `may not import ${target}`]
    } else if (
      !known.includes(target) &&
      !(room === 'dialects' && /^src\/dialects\/[^/]+\/index\.ts$/.test(target)) &&
      unitOf(target) !== unitOf(source.path) &&
      !mayImport[room]?.includes(targetRoom)
    )
      yield [start, `${room} may not import ${target}`]
  }
})

export const importsWithExtension: Rule = each(function* (source) {
  for (const { from, start } of source.imports)
    if (from?.startsWith('.') && !/\.(?:ts|json)$/.test(from)) yield [start, `'${from}' does not name a file`]
})

const words = (pattern: RegExp, complaint: (word: string) => string) =>
  function* (source: Source): Generator<readonly [number, string]> {
    for (const match of source.code.matchAll(pattern)) yield [match.index, complaint(match[0].trim())]
  }

const inProduct = (source: Source, ...folders: string[]) =>
  !isTest(source.path) && folders.some((folder) => source.path.startsWith(folder))

/** A module's host gives it all that it may touch. */
const forbiddenToModules =
  /^(?:node:)?(?:http|https|http2|net|tls|dgram|dns|process|child_process|worker_threads|cluster|fs|sqlite|vm|inspector)(?:\/.*)?$|^(?:undici|fastify|kysely|pino|prom-client|commander)(?:\/.*)?$/
export const modulesTouchNothing: Rule = each(function* (source) {
  if (!inProduct(source, 'src/modules/')) return
  for (const { from, start } of source.imports)
    if (from !== undefined && forbiddenToModules.test(from)) yield [start, `a module may not import ${from}`]
  const reach =
    /(?<![.\w$])fetch\s*\(|(?<![.\w$])(?:https?\.(?:request|get)|net\.|tls\.|WebSocket|EventSource|globalThis|global\.)|(?<![.\w$])process\b(?!\s*[:(])/g
  yield* words(reach, (word) => `a module may not reach for ${word}`)(source)
})

/** Web classes cost a factor of six where bytes pass; a type of our own with such a name is not meant. */
export const noWebClasses: Rule = each(function* (source) {
  if (!inProduct(source, 'src/core/', 'src/wire/', 'src/dialects/', 'src/http/data-plane')) return
  yield* words(/(?<![.\w$])fetch\s*\(/g, () => 'no fetch where bytes pass')(source)
  const classes = /(?<![.\w$])(?:Request|Response|ReadableStream|WritableStream|TransformStream)\b(?!\s*[:?])/g
  for (const match of source.code.matchAll(classes)) {
    const own = new RegExp(
      `\\b(?:interface|type|class|const|function)\\s+${match[0]}\\b|\\bimport\\b[^'"\`;]*\\b${match[0]}\\b[^'"\`;]*\\bfrom\\b`,
    )
    if (!own.test(source.code)) yield [match.index, `no web ${match[0]} where bytes pass`]
  }
})

/** Ids that are also plain words, or the product's own. */
const plainWords = ['custom', 'mock']
export const providersOnlyAtHome: Rule = (sources) => {
  const ids = new Set(
    sources
      .map((source) => source.path.match(/^src\/providers\/([^/]+)\.ts$/)?.[1])
      .filter((id) => id !== undefined && id !== 'index' && !isTest(`${id}.ts`) && !plainWords.includes(id)),
  )
  return each(function* (source) {
    if (isTest(source.path) || /^src\/(?:providers|catalog)\//.test(source.path)) return
    const specifiers = new Set(source.imports.map((each) => each.from))
    const examples = examplesIn(source.code)
    for (const literal of source.literals)
      if (
        ids.has(literal.text) &&
        !specifiers.has(literal.text) &&
        !examples.some(([from, to]) => from < literal.start && literal.start < to)
      )
        yield [literal.start, `the provider '${literal.text}' is named outside its own file`]
  })(sources)
}

/** Where values of `example:` properties begin and end: they are documentation, read by people and by OpenAPI. */
function examplesIn(code: string): (readonly [from: number, to: number])[] {
  return [...code.matchAll(/(?<![.\w$])examples?\s*:\s*(?=[[{])/g)].map((match) => {
    const from = match.index + match[0].length
    let depth = 0
    let to = from
    do {
      if ('[{('.includes(code[to] as string)) depth += 1
      if (']})'.includes(code[to] as string)) depth -= 1
      to += 1
    } while (depth > 0 && to < code.length)
    return [from, to]
  })
}

export const namesSaySomething: Rule = (sources) =>
  sources
    .map((source) => source.path)
    .filter((path) =>
      path
        .slice('src/'.length)
        .split(/[/.\-_]|(?<=[a-z])(?=[A-Z])/)
        .some((word) => /^(?:utils?|helpers?|commons?|managers?|services?|misc)$/i.test(word)),
    )
    .map((path) => `${path}: this name does not say what is in there`)

/** Beginnings of SQL; more than the verb, because `DELETE /v1/files/…` and "update it" are not SQL. */
const sql = [
  /^\s*(?:explain\s[\s\S]*)?select\b[\s\S]*\bfrom\b/i,
  /^\s*(?:insert\b[\s\S]*|replace\s+)\binto\b/i,
  /^\s*update\b[\s\S]*\bset\b/i,
  /^\s*delete\s+from\b/i,
  /^\s*(?:create|drop|alter)\s+(?:(?:temp|temporary|unique|virtual)\s+)*(?:table|index|view|trigger)\b/i,
  /^\s*with\s+(?:recursive\s+)?[\w${}"]+\s*(?:\([^)]*\)\s*)?as\s*(?:materialized\s*)?\(/i,
  /^\s*(?:attach\b[\s\S]*\bas|vacuum\s+into)\b/i,
]
export const noBuiltSql: Rule = each(function* (source) {
  if (isTest(source.path)) return
  const at = new Map(source.literals.map((literal) => [literal.start, literal]))
  for (const literal of source.literals) {
    if (!sql.some((beginning) => beginning.test(literal.text))) continue
    // Kysely's tag turns every hole into a bound parameter.
    const isBound = /(?<![.\w$])sql\s*(?:<[^;`]*>)?\s*$/.test(
      source.code.slice(Math.max(0, literal.start - 400), literal.start),
    )
    if (literal.holes && !isBound) yield [literal.start, 'SQL with a value written into it: bind a parameter']
    else if (joined(source, literal, at)) yield [literal.start, 'SQL put together from pieces: bind a parameter']
  }
  for (const match of source.code.matchAll(/(?<![.\w$])sql\s*\.\s*raw\s*\(\s*(?=[^'"\s])/g))
    yield [match.index, `${match[0].trim()}…) writes a value into SQL`]
})

/** Whether the text is added to something that is not itself written out here. */
function joined(source: Source, literal: Literal, at: ReadonlyMap<number, Literal>): boolean {
  let end = literal.end
  for (;;) {
    const after = source.code.slice(end).match(/^\s*\+\s*/)
    if (!after) return /^\s*\.\s*concat\s*\(/.test(source.code.slice(end))
    const next = at.get(end + after[0].length)
    if (next === undefined || next.holes) return true
    end = next.end
  }
}

export const nothingIsExecuted: Rule = each(function* (source) {
  if (isTest(source.path)) return
  for (const { from, start } of source.imports) {
    if (from === undefined) yield [start, 'what is loaded must be written here, not computed']
    else if (/^(?:node:)?(?:child_process|vm|cluster|repl|inspector)(?:\/.*)?$/.test(from)) yield [start, `no ${from}`]
  }
  const ways =
    /(?<![.\w$])eval\s*\(|\bnew\s+Function\b|(?<![.\w$])Function\s*\(|\beval\s*:\s*true\b|\.dlopen\s*\(|\.loadExtension\s*\(|\ballowExtension\s*:\s*true\b|\.execve\s*\(|\bprocess\s*\.\s*binding\b/g
  yield* words(ways, (word) => `nothing is executed here: ${word}`)(source)
})
