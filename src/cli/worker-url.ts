/** Where the store's worker is: a file beside the sources, or an asset inside the executable. */
import { createRequire } from 'node:module'

export function workerUrl(): URL {
  const sea = createRequire(`file://${process.execPath}`)('node:sea') as {
    isSea(): boolean
    getAsset(name: string, encoding: string): string
  }
  if (!sea.isSea()) return new URL('../store/local/worker.ts', import.meta.url)
  return new URL(`data:text/javascript;base64,${Buffer.from(sea.getAsset('worker.mjs', 'utf8')).toString('base64')}`)
}
