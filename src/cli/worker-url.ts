/** Where the code of worker threads is: in the sources, beside the bundle, or inside the executable as assets. */
import { createRequire } from 'node:module'

export const workerUrl = (): URL => urlOf('worker.mjs', '../store/local/worker.ts')
export const programUrl = (): URL => urlOf('module-worker.mjs', '../module-worker.ts')
export const tokenUrl = (): URL => urlOf('token-worker.mjs', '../catalog/token-worker.ts')

function urlOf(asset: string, source: string): URL {
  const sea = createRequire(`file://${process.execPath}`)('node:sea') as {
    isSea(): boolean
    getAsset(name: string, encoding: string): string
  }
  if (!sea.isSea()) return new URL(import.meta.url.endsWith('.ts') ? source : `./${asset}`, import.meta.url)
  return new URL(`data:text/javascript;base64,${Buffer.from(sea.getAsset(asset, 'utf8')).toString('base64')}`)
}
