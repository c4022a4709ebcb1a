/**
 * Every secret of the gateway is a canary: after successes, failures and changes at the loudest log level, none of
 * them is anywhere it must not be, neither in clear nor in base64, hexadecimal or percent-encoding.
 */
import assert from 'node:assert/strict'
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { serve } from '../../src/serve.ts'
import { openStore } from '../../src/store/local/index.ts'
import { type Answer, exchange, until } from '../running/index.ts'
import { startUpstream } from '../upstream/index.ts'

const WORKER_URL = new URL('../../src/store/local/worker.ts', import.meta.url)
const MODEL = 'openai/gpt-4o-mini'

const SECRETS: Readonly<Record<string, string>> = {
  provider: 'sk-canary-Provider-7Hq2mZ0xW9pT4vKc',
  second: 'sk-canary-Second-k3Jd8sLq1Vb6Yn0R',
  replaced: 'sk-canary-Replaced-Zx5Cv7Bn3Mk9Lp1Q',
  environment: 'sk-canary-Environment-p9Lk2Jh7Gf4Ds1Aq',
  caller: 'sk-canary-Caller-u6Yt5Re4Wq3As2Df',
  admin: 'sk-sy-admin-canary-Qa1Zx9Sw2Ed8Vf7',
  proxy: 'sk-sy-proxy-canary-Rf5Tg4Bh3Yn2Uj',
  wrong: 'sk-canary-Wrong-Mn8Bv7Cx6Za5Sd4F',
  masterKey: '5f1c0a97e3d84b26a9f07c6d2e81b4350f9a7c6b5d4e3f2a1b0c9d8e7f6a5b4c',
}

/** How a secret may be written down. Base64 is looked for at each of its three alignments. */
function spellings(secret: string): string[] {
  const bytes = Buffer.from(secret)
  const base64 = [0, 1, 2].flatMap((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64')
    // Without the characters that its neighbors decide.
    return [text.replace(/=+$/, '').slice(shift === 0 ? 0 : 4, -2)]
  })
  const urls = base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'))
  const hex = bytes.toString('hex')
  return [...new Set([secret, encodeURIComponent(secret), ...base64, ...urls, hex, hex.toUpperCase()])]
}

function traces(place: string, text: string, secrets: Readonly<Record<string, string>>): string[] {
  return Object.entries(secrets).flatMap(([name, secret]) =>
    spellings(secret).flatMap((spelling) => (text.includes(spelling) ? [`${name} as ${spelling} in ${place}`] : [])),
  )
}

test('the search finds a secret in clear, in base64 at each alignment and in hexadecimal', () => {
  const secret = { key: SECRETS.provider as string }
  for (const encoding of ['utf8', 'base64', 'base64url', 'hex'] as const) {
    for (const before of ['', 'a', 'ab', 'abc']) {
      const text = Buffer.from(`${before}${secret.key} and more`).toString(encoding)
      assert.ok(traces('here', text, secret).length > 0, `${encoding} after "${before}"`)
    }
  }
  assert.deepEqual(traces('here', 'nothing', secret), [])
})

async function start(t: TestContext, dataDir: string, logTo: number, upstream: string) {
  const served = await serve({
    host: '127.0.0.1',
    port: 0,
    dataDir,
    logLevel: 'trace',
    logTo,
    workerUrl: WORKER_URL,
    environment: {
      STOCKYARD_ADMIN_KEY: SECRETS.admin,
      STOCKYARD_PROXY_KEY: SECRETS.proxy,
      STOCKYARD_MASTER_KEY: SECRETS.masterKey,
      GROQ_API_KEY: SECRETS.environment,
      GROQ_BASE_URL: `${upstream}/v1`,
    },
  })
  t.after(() => served.close(100))
  return served
}

test('A18, T77: no secret of the gateway is in its logs, files, answers, metrics or traces', async (t) => {
  const upstream = await startUpstream()
  const root = mkdtempSync(join(tmpdir(), 'stockyard-canaries-'))
  const dataDir = join(root, 'data')
  const logFile = join(root, 'log')
  const logTo = openSync(logFile, 'w')
  t.after(async () => {
    await upstream.close()
    closeSync(logTo)
    rmSync(root, { recursive: true, force: true })
  })
  const served = await start(t, dataDir, logTo, upstream.url)
  const answers: string[] = []
  const keep = (answer: Answer): Answer => {
    answers.push(JSON.stringify(answer.headers), answer.text)
    return answer
  }
  const admin = async (method: string, path: string, body?: unknown) =>
    keep(await exchange(`${served.url}/api/${path}`, method, body, { authorization: `Bearer ${SECRETS.admin}` }))
  const chat = async (model: string, more: object = {}, headers: Record<string, string> = {}) =>
    keep(
      await exchange(
        `${served.url}/v1/chat/completions`,
        'POST',
        { model, messages: [{ role: 'user', content: 'hello' }], ...more },
        headers,
      ),
    )

  const upstreamOf = (secret: string | undefined, more: object = {}) => ({
    provider: 'openai',
    baseUrl: `${upstream.url}/v1`,
    credentials: [{ id: 'main', secret }],
    ...more,
  })
  await admin('PUT', 'modules/logs', { mode: 'enforce', settings: { bodies: true } })
  await admin('PUT', 'upstreams/openai', upstreamOf(SECRETS.replaced))
  await admin('PUT', 'upstreams/openai', upstreamOf(SECRETS.provider))
  await admin('PUT', 'upstreams/own', upstreamOf(SECRETS.second, { callerKeys: true }))
  await admin('PUT', 'upstreams/gone', upstreamOf(SECRETS.second, { baseUrl: 'http://127.0.0.1:1/v1' }))
  await admin('PUT', 'upstreams/anthropic', {
    provider: 'anthropic',
    baseUrl: upstream.url,
    credentials: [{ id: 'main', secret: SECRETS.second }],
  })
  await admin('PUT', 'upstreams/gemini', {
    provider: 'gemini',
    baseUrl: upstream.url,
    credentials: [{ id: 'main', secret: SECRETS.second }],
  })
  // Refused changes that hold a secret in a right or a wrong place.
  await admin('PUT', 'upstreams/bad', upstreamOf(SECRETS.second, { provider: 'nobody' }))
  await admin('PUT', 'upstreams/bad', upstreamOf(SECRETS.second, { baseUrl: 'ftp://x' }))
  await admin('PUT', 'upstreams/bad', { provider: 'openai', credentials: [{ id: 'no id', secret: SECRETS.second }] })
  await admin('PUT', 'upstreams/bad', { provider: 'openai', credentials: SECRETS.second })
  await admin('PUT', 'upstreams/bad?dry=1', upstreamOf(SECRETS.second))
  await admin('POST', 'config/plan', { configuration: { upstreams: { bad: upstreamOf(SECRETS.second) } } })
  await admin('POST', 'config/apply', { configuration: { upstreams: { bad: upstreamOf(SECRETS.second) } } })
  await admin('PUT', 'proxy-key', { key: 'short' })

  const behaviours =
    'ok,status=400,status=401,status=403+echo-key,status=429,status=500,echo-key,html,garbage=http,reset,truncate=1,inband-error=1,bad-json,redirect=http%3A%2F%2F127.0.0.1%3A1,set-cookie'
  for (const behaviour of behaviours.split(',')) {
    for (const stream of [false, true]) await chat(`${MODEL}+${behaviour}`, { stream })
  }
  for (const model of [
    'anthropic/claude-haiku-4-5',
    'gemini/gemini-2.5-flash',
    'groq/llama-3.3-70b-versatile',
    'gone/x',
  ]) {
    await chat(model)
    await chat(`${model}+echo-key`)
  }
  const caller = { authorization: `Bearer ${SECRETS.caller}` }
  await chat('own/gpt-4o-mini', {}, caller)
  await chat('own/gpt-4o-mini+echo-key', {}, caller)
  await chat(MODEL, {}, { authorization: `Bearer ${SECRETS.proxy}` })
  await chat(MODEL, {}, { 'x-api-key': SECRETS.proxy as string, origin: 'https://elsewhere.example' })
  for (const headers of [{ authorization: `Bearer ${SECRETS.wrong}` }, { 'x-api-key': SECRETS.wrong as string }]) {
    await chat(MODEL, {}, { ...headers, origin: 'https://elsewhere.example' })
    keep(await exchange(`${served.url}/api/upstreams`, 'GET', undefined, headers))
  }
  keep(await exchange(`${served.url}/api/session`, 'POST', { key: SECRETS.wrong }))
  const session = await exchange(`${served.url}/api/session`, 'POST', { key: SECRETS.admin })
  const token = /=([^;]+)/.exec(String(session.headers['set-cookie']?.[0]))?.[1] ?? ''
  assert.ok(token.length > 20)

  const { paths } = (await admin('GET', 'openapi.json')).json
  for (const [path, methods] of Object.entries(paths as Record<string, object>)) {
    if ('get' in methods && !path.includes('{')) await admin('GET', path.replace(/^\/api\//, ''))
  }
  for (const id of ['openai', 'own', 'gone', 'anthropic', 'gemini']) await admin('GET', `upstreams/${id}`)
  const { revisions } = (await admin('GET', 'revisions')).json
  for (const { id } of revisions) await admin('GET', `revisions/${id}`)
  await until(async () => (await admin('GET', 'logs?limit=200')).json.entries.length > 40, 'the log is written')
  for (const { requestId } of (await admin('GET', 'logs?limit=200')).json.entries) {
    await admin('GET', `logs/${requestId}`)
  }
  for (const path of ['/metrics', '/health/live', '/health/ready', '/v1/models', '/console', '/nothing']) {
    keep(await exchange(served.url + path, 'GET'))
  }

  // It ends local trust, which the log says; so it comes last.
  await chat(MODEL, {}, { authorization: `Bearer ${SECRETS.wrong}`, 'x-forwarded-for': SECRETS.caller as string })

  const sent = upstream.ledger.rows.map((row) => row.headers.authorization ?? row.headers['x-api-key'] ?? '')
  assert.ok(sent.includes(`Bearer ${SECRETS.provider}`), 'the secrets were in use')
  assert.ok(sent.includes(`Bearer ${SECRETS.caller}`), 'the caller’s own too')
  assert.ok(!sent.some((value) => value.includes(SECRETS.proxy as string) || value.includes(SECRETS.admin as string)))
  await served.close(100)

  // What only the store knows, and must keep to itself.
  const quiet = { debug() {}, info() {}, warn() {}, error() {} }
  const store = await openStore({
    dataDir,
    log: quiet,
    tables: {},
    workerUrl: WORKER_URL,
    ballastBytes: 0,
    masterKey: SECRETS.masterKey as string,
  })
  const pepper = store.secrets.open('stockyard', 'pepper') ?? ''
  await store.close()
  assert.ok(pepper.length > 20)

  const secrets = { ...SECRETS, pepper, token }
  const found: string[] = []
  for (const [n, text] of answers.entries()) found.push(...traces(`answer ${n}: ${text.slice(0, 300)}`, text, secrets))
  const log = readFileSync(logFile, 'latin1')
  assert.ok(log.length > 0, 'the log says something')
  found.push(...traces('the log', log, secrets))
  const files = readdirSync(dataDir)
  assert.ok(files.includes('logs.db') && files.includes('ledger.db') && files.includes('stockyard.db'))
  for (const name of files) found.push(...traces(name, readFileSync(join(dataDir, name), 'latin1'), secrets))
  assert.deepEqual(found, [])
})
