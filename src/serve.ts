/** Puts the parts together and runs them: store, gateway, wire, doors; and takes them down in order. */
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Server as TlsServer } from 'node:tls'
import { pino } from 'pino'
import { createCatalog } from './catalog/catalog.ts'
import { createTokenCounter } from './catalog/token-counter.ts'
import { addressList } from './core/addresses.ts'
import { failure } from './core/errors.ts'
import type { Exchange, Principal } from './core/exchange.ts'
import { createGateway, type Gateway } from './core/gateway.ts'
import { createAskInside } from './core/inner.ts'
import { createReplay } from './core/kept.ts'
import type { Module } from './core/module.ts'
import { type Pipeline, record } from './core/pipeline.ts'
import { createSettlement } from './core/settlement.ts'
import type { Snapshot } from './core/snapshot.ts'
import { createThoughts } from './core/thoughts.ts'
import { type RunningExchange, Underway } from './core/underway.ts'
import { dialects as dialectList } from './dialects/index.ts'
import { createAttempts } from './http/admin/attempts.ts'
import { adminApi, hiddenPaths } from './http/admin/index.ts'
import type { AdminStore } from './http/admin/route.ts'
import { createSignIns } from './http/admin/sign-in.ts'
import { PING_MS, STALL_MS } from './http/answer.ts'
import { type DataPlaneParts, dataPlane } from './http/data-plane.ts'
import { createExplain } from './http/explain.ts'
import { assertReady, createMetrics, health, targetMetrics } from './http/health.ts'
import { createIdentity, fingerprint, type Identity } from './http/identity.ts'
import { ownKey } from './http/key.ts'
import { models } from './http/models.ts'
import { shapeOf } from './http/native.ts'
import { createServer, type Route } from './http/server.ts'
import { modules as moduleList } from './modules/index.ts'
import { providers } from './providers/index.ts'
import { type LocalStore, openStore, type UsageKey } from './store/local/index.ts'
import { VERSION } from './version.ts'
import { withEcho } from './wire/echo.ts'
import { createEgress } from './wire/egress.ts'
import { createWire } from './wire/index.ts'
import { openOutlet } from './wire/outlet.ts'

export interface ServeOptions {
  readonly host: string
  readonly port: number
  readonly dataDir: string
  readonly workerUrl: URL | string
  /** Where programs of modules run; beside the sources unless told. */
  readonly programUrl?: URL | string
  /** A function, because in the executable it is the thread's whole code. */
  readonly tokenUrl?: () => URL
  readonly logLevel: string
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer }
  readonly bodyLimitBytes?: number
  /** Of forms (files, sound), which go on as they come. */
  readonly uploadLimitBytes?: number
  /** Addresses and ranges of forwarding proxies whose word about the caller's address counts. */
  readonly trustedProxies?: readonly string[]
  /** How long a client may take nothing of its answer; a minute unless told. */
  readonly stallMs?: number
  /** Between the signs of life of a silent stream; a quarter of a minute unless told. */
  readonly pingMs?: number
  /** One more is answered 503. */
  readonly maxConnections?: number
  readonly headersTimeoutMs?: number
  readonly requestTimeoutMs?: number
  /** What an acknowledged ledger row survives: the end of the process (default), or of the power. */
  readonly durability?: 'process' | 'power-loss'
  /** The disk lost what it had accepted: the process must end with an error. */
  readonly fatal?: (error: Error) => void
  /** Besides the product's own: what tests bring along. */
  readonly extraModules?: readonly Module[]
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly batchesMs?: number
  /** Where log lines go; standard error unless told. */
  readonly logTo?: number
}

export interface Served {
  readonly url: string
  readonly gateway: Gateway
  readonly identity: Identity
  /** Made on this start, so it is shown once. */
  readonly newAdminKey: string | undefined
  readonly adminKeyFile: string
  /** The server's own table of what it answers. */
  readonly routes: readonly Route[]
  /** New connections get this certificate; running ones keep theirs. Throws if it is none. */
  reloadTls(tls: { readonly cert: Buffer; readonly key: Buffer }): void
  /** Ends running exchanges after the grace, and gives everything back. */
  close(graceMs?: number): Promise<void>
}

const MOST_CONNECTIONS = 20_000
/** How often batches that are not over are looked at, whether anybody asks or not. */
const BATCHES_MS = 60_000
const BODY_LIMIT = 32 * 1024 * 1024
const UPLOAD_LIMIT = 512 * 1024 * 1024
/** Ended exchanges are recorded together, these many at the most, after at most this long. */
const MOST_HELD = 16
const RECORD_MS = 20

export async function serve(options: ServeOptions): Promise<Served> {
  const undo: (() => Promise<unknown>)[] = []
  try {
    return await start(options, undo)
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }
}

/** `undo` takes what must be given back if a later step fails. */
async function start(options: ServeOptions, undo: (() => Promise<unknown>)[]): Promise<Served> {
  const log = pino({ level: options.logLevel, base: null }, pino.destination({ fd: options.logTo ?? 2, sync: true }))
  const say = {
    debug: (message: string, facts: object = {}) => log.debug(facts, message),
    info: (message: string, facts: object = {}) => log.info(facts, message),
    warn: (message: string, facts: object = {}) => log.warn(facts, message),
    error: (message: string, facts: object = {}) => log.error(facts, message),
  }
  const now = Date.now
  const modules = [...(moduleList as unknown as readonly Module[]), ...(options.extraModules ?? [])]
  const store = await openStore({
    dataDir: options.dataDir,
    log: say,
    workerUrl: options.workerUrl,
    programUrl: options.programUrl ?? new URL('./module-worker.ts', import.meta.url),
    ...(options.fatal ? { fatal: options.fatal } : {}),
    ...(options.durability ? { durability: options.durability } : {}),
    tables: Object.fromEntries(modules.flatMap((m) => (m.tables ? [[m.id, m.tables]] : []))),
    ...(options.environment.STOCKYARD_MASTER_KEY ? { masterKey: options.environment.STOCKYARD_MASTER_KEY } : {}),
  })
  undo.push(() => store.close())
  const { registry, metrics, count } = createMetrics()
  const dialects = new Map(dialectList.map((d) => [d.id, d]))
  const egress = withEcho(createEgress({ environment: options.environment }))
  const wire = createWire(egress)
  const catalog = createCatalog()
  const counter = createTokenCounter(options.tokenUrl ?? (() => new URL('./catalog/token-worker.ts', import.meta.url)))
  undo.push(() => counter.close())
  const gateway = await createGateway({
    store,
    catalog,
    modules,
    providers,
    metrics,
    egress,
    replay: createReplay(wire, dialects),
    askInside: (x, by, asked) => inside(x, by, asked),
    openOutlet,
    log: say,
    environment: options.environment,
    outside: {
      egress,
      variable: (name) => options.environment[name],
      file: (path) => readFile(path, 'utf8'),
    },
    now,
  })

  const pepper = pepperOf(store)
  const key = adminKeyOf(store, options, pepper)
  let port = options.port
  let draining = false
  const trusted = options.trustedProxies
    ? { trustedProxies: addressList(options.trustedProxies, '--trusted-proxies') }
    : {}
  const identity = createIdentity({
    store,
    pepper,
    port: () => port,
    now,
    ...trusted,
    warn: (message) => say.warn(message),
  })
  if (options.environment.STOCKYARD_PROXY_KEY && store.facts.get('proxy-key') === undefined) {
    identity.setProxyKey(options.environment.STOCKYARD_PROXY_KEY, 'environment')
  }

  const ids = requestIds()
  const recorder = createRecorder(
    (hook, error) => say.warn('a record was dropped', { hook, error: String(error) }),
    count,
  )
  const running = new Underway<RunningExchange>()
  const bodyLimitBytes = options.bodyLimitBytes ?? BODY_LIMIT
  const routes: Route[] = []
  const app = createServer({
    routes,
    bodyLimitBytes,
    dialects,
    shapeAt(id) {
      const upstream = gateway.snapshot.upstreams.get(id)
      return upstream && shapeOf(upstream, dialects)
    },
    nextId: ids,
    hidden: hiddenPaths(gateway),
    ...trusted,
    ...(options.tls ? { tls: options.tls } : {}),
    maxConnections: options.maxConnections ?? MOST_CONNECTIONS,
    ...(options.headersTimeoutMs ? { headersTimeoutMs: options.headersTimeoutMs } : {}),
    ...(options.requestTimeoutMs ? { requestTimeoutMs: options.requestTimeoutMs } : {}),
  })
  const settlement = createSettlement({
    egress,
    ledger: store.ledger,
    objects: store.objects,
    jobs: new Map(dialectList.flatMap(({ id, endpoints }) => (endpoints?.jobs ? [[id, endpoints.jobs]] : []))),
    snapshot: () => gateway.snapshot,
    now,
    warn: say.warn,
  })
  const looking = setInterval(() => void settlement.look(), options.batchesMs ?? BATCHES_MS)
  undo.push(async () => clearInterval(looking))
  const signIns = providers.flatMap(({ signIn }) => (signIn ? [signIn.token] : []))
  const doors: DataPlaneParts = {
    gateway,
    identity,
    bodyLimitBytes,
    uploadLimitBytes: Math.max(options.uploadLimitBytes ?? UPLOAD_LIMIT, bodyLimitBytes),
    running,
    nextId: ids,
    draining: () => draining,
    stallMs: options.stallMs ?? STALL_MS,
    pingMs: options.pingMs ?? PING_MS,
    ports: {
      wire,
      dialects,
      thoughts: createThoughts(),
      ledger: store.ledger,
      objects: store.objects,
      settlement,
      outputLimitOf: catalog.outputLimitOf,
      isSignIn: (key) => signIns.some((token) => token.test(key)),
      now,
      pins: gateway.health.pins,
      background: running,
      counter,
      version: VERSION,
      over: recorder.over,
      fault: (what, error) =>
        say.error(`fault in ${what}`, { error: error instanceof Error ? error.stack : String(error) }),
    },
  }
  const inside = createAskInside({
    engine: doors.ports,
    dialect: 'openai-chat',
    running,
    snapshot: () => gateway.snapshot,
  })
  models(app, gateway, identity)
  dataPlane(app, doors)
  ownKey(app, gateway, identity, now)
  const trouble = () => store.ledger.trouble
  targetMetrics(registry, gateway, now)
  health(app, { gateway, identity, registry, draining: () => draining, port: () => port, trouble })
  const cut = (of: (principal: Principal) => boolean): number => {
    let ended = 0
    running.each(({ controller, x }) => {
      if (!x.principal || !of(x.principal)) return
      controller.abort(failure('revoked'))
      ended++
    })
    return ended
  }
  adminApi(
    app,
    {
      gateway,
      identity,
      store: adminStoreOf(store),
      version: VERSION,
      startedAt: now(),
      now,
      nextId: ids,
      explain: createExplain(doors),
      egress,
      signIns: createSignIns(),
      attempts: createAttempts(now),
      cut,
      ready: () => assertReady({ gateway, draining: () => draining, trouble }),
    },
    () => port,
  )

  await app.listen({ host: options.host, port: options.port })
  port = (app.server.address() as AddressInfo).port
  const shown =
    options.host === '0.0.0.0' || options.host === '::'
      ? 'localhost'
      : options.host.includes(':')
        ? `[${options.host}]`
        : options.host

  let closing: Promise<void> | undefined
  const close = async (graceMs: number): Promise<void> => {
    draining = true
    const closed = app.close()
    const deadline = performance.now() + graceMs
    while (running.size > 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20))
    running.each(({ controller }) => controller.abort(failure('shutting_down')))
    while (running.size > 0 && performance.now() < deadline + 5_000)
      await new Promise((resolve) => setTimeout(resolve, 20))
    app.server.closeAllConnections()
    await closed
    // Whoever was cut off is booked, too, before the ledger closes.
    while (running.size > 0 && performance.now() < deadline + 10_000)
      await new Promise((resolve) => setTimeout(resolve, 20))
    await recorder.flush()
    clearInterval(looking)
    await gateway.close()
    await egress.close()
    await counter.close()
    await store.close()
  }
  return {
    url: `${options.tls ? 'https' : 'http'}://${shown}:${port}`,
    gateway,
    identity,
    newAdminKey: key.made,
    adminKeyFile: key.file,
    routes,
    reloadTls: (tls) => (app.server as unknown as TlsServer).setSecureContext({ ...tls }),
    close: (graceMs = 30_000) => {
      closing ??= close(graceMs)
      return closing
    },
  }
}

function pepperOf(store: LocalStore): string {
  const known = store.secrets.open('stockyard', 'pepper')
  if (known !== undefined) return known
  const made = randomBytes(32).toString('base64url')
  store.secrets.seal('stockyard', 'pepper', made)
  return made
}

/** Keys that stand in documentation all over the world. */
const KNOWN_KEYS = new Set(['sk-1234', 'admin', 'password', 'changeme', 'secret', 'stockyard'])

function adminKeyOf(store: LocalStore, options: ServeOptions, pepper: string) {
  const file = join(options.dataDir, 'admin.key')
  const given = options.environment.STOCKYARD_ADMIN_KEY
  if (given !== undefined && (given.length < 12 || KNOWN_KEYS.has(given))) {
    throw failure('invalid_request', {
      problem: 'STOCKYARD_ADMIN_KEY is too short or a well-known default; choose at least 12 random characters.',
    })
  }
  const remember = (key: string, action: string): void =>
    store.facts.set('admin-key', { fingerprint: fingerprint(pepper, key) }, { actor: 'system', action })
  if (given !== undefined) {
    const known = store.facts.get('admin-key') as { fingerprint?: string } | undefined
    if (known?.fingerprint !== fingerprint(pepper, given)) remember(given, 'admin-key.from-environment')
    return { file, made: undefined }
  }
  if (store.facts.get('admin-key') !== undefined && existsSync(file)) {
    const kept = readFileSync(file, 'utf8').trim()
    const known = store.facts.get('admin-key') as { fingerprint?: string }
    if (known.fingerprint === fingerprint(pepper, kept)) return { file, made: undefined }
  }
  const made = `sk-sy-admin_${randomBytes(24).toString('base64url')}`
  writeFileSync(file, `${made}\n`, { mode: 0o600 })
  remember(made, 'admin-key.make')
  return { file, made }
}

/** Unique across restarts: a random prefix for this run, and a counter. */
function requestIds(): () => string {
  const prefix = `req_${randomBytes(6).toString('base64url').replace(/[-_]/g, '0')}`
  let n = 0
  return () => {
    n++
    return `${prefix}${n.toString(36).padStart(6, '0')}`
  }
}

function createRecorder(dropped: (hook: string, error: unknown) => void, count: (x: Exchange) => void) {
  // Not a Map by pipeline: its outgrown tables would keep what was in them (core/underway.ts).
  let waiting: { readonly pipeline: Pipeline; readonly ended: Exchange[] }[] = []
  let held = 0
  let timer: NodeJS.Timeout | undefined
  const flush = async (): Promise<void> => {
    clearTimeout(timer)
    timer = undefined
    held = 0
    const batches = waiting
    waiting = []
    for (const { pipeline, ended } of batches) await record(pipeline, ended, dropped)
  }
  return {
    over(x: Exchange, snapshot: Snapshot): void {
      count(x)
      const pipeline = x.pipeline ?? snapshot.pipeline
      if (pipeline.record.length === 0) return
      const batch = waiting.at(-1)
      if (batch?.pipeline === pipeline) batch.ended.push(x)
      else waiting.push({ pipeline, ended: [x] })
      if (++held >= MOST_HELD) void flush()
      else timer ??= setTimeout(flush, RECORD_MS)
    },
    flush,
  }
}

function adminStoreOf(store: LocalStore): AdminStore {
  return {
    usage: ({ groupBy, ...asked }) => store.query.usage({ ...asked, groupBy: groupBy as UsageKey[] }),
    rows: (question) => store.query.exported(question),
    unpriced: () => store.query.unpriced(),
    reprice: (selection, price, actor) => store.query.reprice(selection, price, actor),
    backup: (toDir) => store.backup(toDir),
    rotateMasterKey: (key, dryRun) => store.secrets.rotate(key, { actor: 'admin', dryRun }),
    health: () => store.health(),
  }
}
