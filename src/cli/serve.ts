/** `stockyard serve`: starts the gateway, says where everything is, and stops it in order. */
import { readFileSync } from 'node:fs'
import { applyFile } from '../http/admin/configuration.ts'
import { type Served, serve } from '../serve.ts'
import { startFailure } from './start-failure.ts'
import { fail, portOf } from './words.ts'
import { programUrl, tokenUrl, workerUrl } from './worker-url.ts'

export interface ServeFlags {
  readonly host: string
  readonly port: string
  readonly dataDir: string
  readonly config?: string
  readonly trustedProxies?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly maxConnections: string
  readonly uploadLimit: string
  readonly logLevel: string
  readonly durability: 'process' | 'power-loss'
}

/** Names that are kept for later: set today, they would be silently ignored, so they refuse the start. */
const RESERVED = ['STOCKYARD_STORE_URL', 'STOCKYARD_CACHE_URL'] as const

export async function runServe(flags: ServeFlags): Promise<void> {
  for (const name of RESERVED) {
    if (process.env[name]) fail(`${name} is set, but running on a cluster's store is not built yet. Unset it to start.`)
  }
  const port = portOf(flags.port)
  if (!/^[1-9]\d{0,6}$/.test(flags.maxConnections)) fail(`--max-connections ${flags.maxConnections} is no number`)
  if (!/^[1-9]\d{0,14}$/.test(flags.uploadLimit)) fail(`--upload-limit ${flags.uploadLimit} is no number of bytes`)
  if ((flags.tlsCert === undefined) !== (flags.tlsKey === undefined)) fail('--tls-cert and --tls-key go together.')
  let served: Served
  try {
    const tls = tlsFiles(flags)
    served = await serve({
      host: flags.host,
      port,
      dataDir: flags.dataDir,
      workerUrl: workerUrl(),
      programUrl: programUrl(),
      tokenUrl,
      logLevel: flags.logLevel,
      durability: flags.durability,
      fatal: (error) => fail(`the store cannot go on: ${error.message}`),
      environment: process.env,
      ...(flags.trustedProxies ? { trustedProxies: flags.trustedProxies.split(',').map((one) => one.trim()) } : {}),
      ...(tls ? { tls } : {}),
      maxConnections: Number(flags.maxConnections),
      uploadLimitBytes: Number(flags.uploadLimit),
    })
    if (flags.config) {
      const { parse } = await import('yaml')
      const text = readFileSync(flags.config, 'utf8')
      const changes = await applyFile(served.gateway, parse(text), flags.config, 'file')
      console.log(`applied ${flags.config}: ${changes.length} ${changes.length === 1 ? 'change' : 'changes'}`)
    }
  } catch (error) {
    fail(startFailure(error as Error, flags))
  }

  let stopping = false
  const stop = (): void => {
    if (stopping) process.exit(1)
    stopping = true
    served.close().then(
      () => process.exit(0),
      (error: Error) => fail(error.message),
    )
  }
  process.on('SIGHUP', () => {
    try {
      const tls = tlsFiles(flags)
      if (tls) served.reloadTls(tls)
    } catch (error) {
      // Half of a renewed pair, or no file at all: what serves goes on serving.
      console.error(`stockyard: the certificate was not reloaded: ${(error as Error).message}`)
    }
  })
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  // Last: whoever reads it may stop us at once.
  console.log(banner(served, flags))
}

function tlsFiles({ tlsCert, tlsKey }: ServeFlags) {
  return tlsCert && tlsKey ? { cert: readFileSync(tlsCert), key: readFileSync(tlsKey) } : undefined
}

function banner({ url, gateway, identity, newAdminKey, adminKeyFile }: Served, flags: ServeFlags): string {
  const upstreams = [...gateway.snapshot.upstreams.values()].filter((u) => u.owner !== 'built-in')
  const found = upstreams.map((u) => `${u.id} (${u.owner})`).join(', ')
  const lines = [
    '',
    `  Stockyard listens on ${url}`,
    '',
    `  API        ${url}/v1`,
    `  Admin API  ${url}/api`,
    `  Data       ${flags.dataDir}`,
    `  Upstreams  ${found || 'none yet: set OPENAI_API_KEY (or another) and start again; "mock/echo" always answers'}`,
  ]
  if (newAdminKey)
    lines.push(`  Admin key  ${newAdminKey}`, `             shown once; kept for the commands in ${adminKeyFile}`)
  if (identity.distrust) {
    lines.push('', '  Something forwards to this port: callers on this machine are not trusted by themselves.')
  }
  if (!identity.proxyKeySet && flags.host !== '127.0.0.1' && flags.host !== 'localhost' && flags.host !== '::1') {
    lines.push('', '  It can be reached from elsewhere, and no proxy key is set: only local callers are answered.')
  }
  return `${lines.join('\n')}\n`
}
