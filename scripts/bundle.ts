/**
 * Bundles the product: `dist/bundle`, what `npm start` runs, with one file for the start and others for what is loaded when
 * it is needed; and for the executable one file for the product and one for each of its threads, since there is nothing
 * else to load from. The sources, some two thousand files, take four times as long to start.
 */
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type OutputChunk, rolldown } from 'rolldown'

const root = resolve(import.meta.dirname, '..')
const MAIN = 'src/main.ts'
const KEPT_MS = 30 * 86_400_000
/** Name of the file → source. Each is a thread of its own. */
export const WORKERS: Readonly<Record<string, string>> = {
  'worker.mjs': 'src/store/local/worker.ts',
  'module-worker.mjs': 'src/module-worker.ts',
  'token-worker.mjs': 'src/catalog/token-worker.ts',
}

/**
 * Makes `dist/bundle` anew. A gateway that runs from the last one may still have to load a part of it, so what has another
 * name now stays for a month; the main file, whose age is what counts, comes last.
 */
export async function bundle(): Promise<void> {
  const folder = join(root, 'dist/bundle')
  const named = Object.entries({ ...WORKERS, 'main.mjs': MAIN }).map(([file, source]) => [file.slice(0, -4), source])
  const chunks = await chunksOf(Object.fromEntries(named), true)
  mkdirSync(folder, { recursive: true })
  for (const { fileName, code } of chunks.sort((a, b) => Number(a.name === 'main') - Number(b.name === 'main'))) {
    const made = join(folder, `.${process.pid}`)
    writeFileSync(made, code)
    renameSync(made, join(folder, fileName))
  }
  for (const name of readdirSync(folder)) {
    const { mtimeMs } = statSync(join(folder, name))
    if (name.endsWith('.mjs') && mtimeMs < Date.now() - KEPT_MS) rmSync(join(folder, name), { force: true })
  }
}

/** Everything that a source needs, in one text; the files that went in are added to `sources`. */
export async function bundleOne(source: string, sources: Set<string>): Promise<string> {
  const [chunk, ...more] = await chunksOf({ one: source }, false)
  if (chunk === undefined || more.length > 0) throw new Error(`${source}: more than one file came out`)
  for (const id of chunk.moduleIds) sources.add(id)
  // A dynamic import that was put inside names the file itself.
  const missing = [...chunk.imports, ...chunk.dynamicImports].filter(
    (id) => id !== chunk.fileName && process.getBuiltinModule(id) === undefined,
  )
  if (missing.length > 0) throw new Error(`${source} would still load ${missing.join(', ')}`)
  return chunk.code
}

async function chunksOf(input: Record<string, string>, codeSplitting: boolean): Promise<OutputChunk[]> {
  const build = await rolldown({
    input,
    cwd: root,
    platform: 'node',
    onwarn: (warning) => {
      throw new Error(warning.message)
    },
    transform: { define: { 'process.env.NODE_ENV': '"production"' } },
  })
  try {
    const { output } = await build.generate({
      format: 'esm',
      codeSplitting,
      entryFileNames: '[name].mjs',
      chunkFileNames: '[name]-[hash].mjs',
      // Not minified: it would save 10 % of the start and take the names out of every stack trace that users send.
      minify: false,
    })
    return output.map((chunk) => {
      if (chunk.type !== 'chunk') throw new Error(`${chunk.fileName} is no code`)
      return { ...chunk, code: `${asAscii(chunk.code)}\n` }
    })
  } finally {
    await build.close()
  }
}

/** V8 keeps a source of ASCII in one byte for each character, any other in two, for as long as the process runs. */
function asAscii(code: string): string {
  if (/\bString\.raw`[^`]*[^\p{ASCII}]/u.test(code)) throw new Error('raw text that is not ASCII cannot be escaped')
  return code.replace(/[^\p{ASCII}]/gu, (character) =>
    [...Array(character.length).keys()]
      .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
      .join(''),
  )
}

if (import.meta.main) {
  await bundle().catch((error: Error) => {
    console.error(`bundle: ${error.message}`)
    process.exit(1)
  })
}
