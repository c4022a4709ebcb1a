/**
 * `npm start`: runs the bundle of the sources, made anew when a source is newer, or the sources themselves where nothing
 * can be bundled (an install without the development dependencies, a folder that cannot be written).
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { enableCompileCache, flushCompileCache } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const root = resolve(import.meta.dirname, '..')
const bundle = join(root, 'dist/bundle/main.mjs')
/** What goes into the bundle. A file that went away changes its folder. */
const SOURCES = ['src', 'test/upstream', 'scripts/bundle.ts', 'package-lock.json']

const changedAt = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
function newest(path) {
  const at = changedAt(path)
  if (!statSync(path).isDirectory()) return at
  return readdirSync(path, { withFileTypes: true }).reduce((latest, entry) => {
    const inside = join(path, entry.name)
    return Math.max(latest, entry.isDirectory() ? newest(inside) : changedAt(inside))
  }, at)
}

const fresh = () => changedAt(bundle) > Math.max(...SOURCES.map((path) => newest(join(root, path))))
if (!fresh()) spawnSync(process.execPath, [join(root, 'scripts/bundle.ts')], { stdio: 'ignore' })
const main = fresh() ? bundle : join(root, 'src/main.ts')
enableCompileCache(join(root, 'dist/bundle/compiled'))
await import(pathToFileURL(main).href)
// Written now: a process that is killed writes nothing on its way out.
flushCompileCache()
