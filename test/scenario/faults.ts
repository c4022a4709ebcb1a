/**
 * The sixteen faults of providers: for each what is done to the gateway, what its client must see, and how often each
 * upstream may be called. One list, run by the tests and by `npm run failover-bench`, which prints it as a table.
 */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, type Running, runGateway, streamedText, until } from '../running/index.ts'

export type Mode = 'unstreamed' | 'streamed'

export interface Fault {
  readonly name: string
  readonly modes: readonly Mode[]
  /** Does the harm and asks; throws where the client sees anything but what it must. Returns what it saw. */
  run(gateway: Running, mode: Mode): Promise<string>
  /** The most calls of each upstream, over all that `run` asks. */
  readonly calls: Readonly<Record<string, number>>
}

const BOTH: readonly Mode[] = ['unstreamed', 'streamed']
const MODEL = 'gpt-4o-mini'
const keyOf = (upstream: string) => `Bearer sk-test-secret-${upstream}`

const ask = (gateway: Running, mode: Mode, more: object = {}): Promise<Answer> =>
  gateway.chat('r', 'What does the fox do?', { stream: mode === 'streamed', ...more })

const route = (gateway: Running, first: string, more: object = {}) =>
  gateway.admin('PUT', 'routes/r', {
    targets: [
      { upstream: 'one', model: `${MODEL}${first}` },
      { upstream: 'two', model: MODEL },
    ],
    ...more,
  })

/** The next calls of the first upstream go wrong. */
const break_ = (gateway: Running, behaviour: string, times = 1) =>
  gateway.upstream.script({ match: ({ headers }) => headers.authorization === keyOf('one'), behaviour, times })

/** A whole answer, and nothing that only looks like one. */
function whole(answer: Answer, mode: Mode, from: string): string {
  assert.equal(answer.status, 200, answer.text)
  assert.equal(answer.headers['x-stockyard-upstream'], from)
  if (mode === 'streamed') {
    assert.equal(answer.data.at(-1), '[DONE]', answer.text)
    assert.ok(streamedText(answer).length > 0)
    assert.ok(!answer.text.includes('"error"'))
  } else {
    assert.ok(answer.json.choices[0].message.content.length > 0)
    assert.equal(answer.json.choices[0].finish_reason, 'stop')
  }
  return `whole answer from ${from}`
}

/** A stream that had begun says that it failed, and never looks finished. */
function ended(answer: Answer, code: RegExp): string {
  assert.equal(answer.status, 200)
  assert.ok(streamedText(answer).length > 0, 'content had come')
  assert.ok(!answer.text.includes('[DONE]'), 'it does not look finished')
  assert.ok(!answer.text.includes('"finish_reason":"stop"'))
  const last = JSON.parse(answer.data.at(-1) as string) as { error?: { code?: string } }
  assert.match(last.error?.code ?? '', code)
  return `content, then the error ${last.error?.code}`
}

export const FAULTS: readonly Fault[] = [
  {
    name: '429 with Retry-After in seconds, in milliseconds and as a date',
    modes: BOTH,
    calls: { one: 6, two: 0 },
    async run(gateway, mode) {
      const waited: number[] = []
      for (const [behaviour, least] of [
        ['status=429,retry-after=1', 950],
        ['status=429,retry-after-ms=400', 380],
        [`status=429,retry-after=${encodeURIComponent(new Date(Date.now() + 3_000).toUTCString())}`, 0],
      ] as const) {
        await gateway.admin('POST', 'health/targets/reset')
        break_(gateway, behaviour)
        const began = performance.now()
        whole(await ask(gateway, mode), mode, 'one')
        const ms = performance.now() - began
        assert.ok(ms >= least, `${behaviour}: ${ms} ms`)
        waited.push(Math.round(ms))
      }
      return `waited as told, then whole answers (${waited.join(', ')} ms)`
    },
  },
  {
    name: '500 once',
    modes: BOTH,
    calls: { one: 2, two: 0 },
    async run(gateway, mode) {
      break_(gateway, 'status=500')
      return whole(await ask(gateway, mode), mode, 'one')
    },
  },
  {
    name: '503 storm',
    modes: BOTH,
    calls: { one: 11, two: 30 },
    async run(gateway, mode) {
      await route(gateway, '+status=503')
      for (let i = 0; i < 30; i++) whole(await ask(gateway, mode), mode, 'two')
      return '30 whole answers from two; one is soon left alone'
    },
  },
  {
    name: 'slow first token',
    modes: BOTH,
    calls: { one: 1, two: 1 },
    async run(gateway, mode) {
      await route(gateway, mode === 'streamed' ? '+first=20000' : '+delay=20000', {
        timeouts: { firstContentMs: 400, headersUnstreamedMs: 400 },
      })
      const began = performance.now()
      const seen = whole(await ask(gateway, mode), mode, 'two')
      assert.ok(performance.now() - began < 5_000)
      return seen
    },
  },
  {
    name: 'silent provider',
    modes: BOTH,
    calls: { one: 1, two: 1 },
    async run(gateway, mode) {
      await route(gateway, '+hang-headers', { timeouts: { headersStreamedMs: 400, headersUnstreamedMs: 400 } })
      return whole(await ask(gateway, mode), mode, 'two')
    },
  },
  {
    name: 'cut stream before content',
    modes: BOTH,
    calls: { one: 2, two: 1 },
    async run(gateway, mode) {
      await route(gateway, mode === 'streamed' ? '+truncate' : '+half-close')
      return whole(await ask(gateway, mode), mode, 'two')
    },
  },
  {
    name: 'cut stream after content',
    modes: ['streamed'],
    calls: { one: 1, two: 0 },
    async run(gateway, mode) {
      await route(gateway, '+chunks=9+truncate=5')
      return ended(await ask(gateway, mode), /upstream_incomplete/)
    },
  },
  {
    name: 'stalled stream',
    modes: BOTH,
    calls: { one: 1, two: 1 },
    async run(gateway, mode) {
      await route(gateway, mode === 'streamed' ? '+chunks=9+stall=5' : '+stall=0', { timeouts: { idleMs: 400 } })
      const answer = await ask(gateway, mode)
      return mode === 'streamed' ? ended(answer, /upstream_timeout/) : whole(answer, mode, 'two')
    },
  },
  {
    name: 'error event inside a 200 stream',
    modes: ['streamed'],
    calls: { one: 2, two: 1 },
    async run(gateway, mode) {
      await route(gateway, '+inband-error')
      return whole(await ask(gateway, mode), mode, 'two')
    },
  },
  {
    name: '200 with an HTML error page',
    modes: BOTH,
    calls: { one: 2, two: 1 },
    async run(gateway, mode) {
      await route(gateway, '+html')
      return whole(await ask(gateway, mode), mode, 'two')
    },
  },
  {
    name: 'truncated JSON body',
    modes: BOTH,
    calls: { one: 2, two: 1 },
    async run(gateway, mode) {
      await route(gateway, '+bad-json')
      return whole(await ask(gateway, mode), mode, 'two')
    },
  },
  {
    name: 'revoked key among good keys',
    modes: BOTH,
    calls: { revoked: 1, good: 6 },
    async run(gateway, mode) {
      await gateway.admin('PUT', 'upstreams/pool', {
        provider: 'openai',
        baseUrl: `${gateway.upstream.url}/v1`,
        credentials: [
          { id: 'revoked', secret: 'sk-test-secret-revoked', weight: 1e9 },
          { id: 'good', secret: 'sk-test-secret-good' },
        ],
      })
      await gateway.admin('PUT', 'routes/r', { targets: [{ upstream: 'pool', model: MODEL }] })
      const match = ({ headers }: { headers: Record<string, string> }) => headers.authorization === keyOf('revoked')
      gateway.upstream.script({ match, behaviour: 'status=401', times: 100 })
      for (let i = 0; i < 6; i++) whole(await ask(gateway, mode), mode, 'pool')
      return '6 whole answers; the revoked key is asked once'
    },
  },
  {
    name: 'quota exhausted at one upstream',
    modes: BOTH,
    calls: { one: 1, two: 4 },
    async run(gateway, mode) {
      await route(gateway, '+status=429+error-code=insufficient_quota')
      for (let i = 0; i < 4; i++) whole(await ask(gateway, mode), mode, 'two')
      return '4 whole answers from two; one is asked once'
    },
  },
  {
    name: 'content-filter refusal',
    modes: BOTH,
    calls: { one: 1, two: 0 },
    async run(gateway, mode) {
      await route(gateway, '+status=400+error-code=content_filter+error-message=flagged')
      const answer = await ask(gateway, mode)
      assert.equal(answer.status, 400, answer.text)
      assert.equal(answer.json.error.code, 'content_filter')
      return 'the refusal, as a 400'
    },
  },
  {
    name: 'context too long',
    modes: BOTH,
    calls: { one: 1, two: 1 },
    async run(gateway, mode) {
      await gateway.admin('PUT', 'routes/r', {
        targets: [{ upstream: 'one', model: `${MODEL}+status=400+error-code=context_length_exceeded` }],
        fallbacks: { contextWindow: [`two/${MODEL}`] },
      })
      return whole(await ask(gateway, mode), mode, 'two')
    },
  },
  {
    name: 'primary recovers',
    modes: BOTH,
    calls: { one: 15, two: 60 },
    async run(gateway, mode) {
      await gateway.admin('PUT', 'modules/breakers', {
        mode: 'enforce',
        settings: { minimumCalls: 3, cooldownMs: 500 },
      })
      let isBroken = true
      gateway.upstream.script({
        match: ({ headers }) => isBroken && headers.authorization === keyOf('one'),
        behaviour: 'status=503',
        times: Number.POSITIVE_INFINITY,
      })
      for (let i = 0; i < 6; i++) whole(await ask(gateway, mode), mode, 'two')
      isBroken = false
      await until(async () => {
        await sleep(50)
        return (await ask(gateway, mode)).headers['x-stockyard-upstream'] === 'one'
      }, 'the first is asked again')
      for (let i = 0; i < 3; i++) whole(await ask(gateway, mode), mode, 'one')
      return 'two meanwhile, one again after its rest'
    },
  },
]

export interface Run {
  readonly fault: string
  readonly mode: Mode
  readonly seen: string
  readonly calls: Readonly<Record<string, number>>
  readonly ms: number
}

/** In a gateway of its own. Throws where it is not as it must be. */
export async function runFault(t: Pick<TestContext, 'after'>, fault: Fault, mode: Mode): Promise<Run> {
  const gateway = await runGateway(t, { upstreams: { one: 'openai', two: 'openai' } })
  await route(gateway, '')
  const began = performance.now()
  const seen = await fault.run(gateway, mode)
  const ms = Math.round(performance.now() - began)
  const calls: Record<string, number> = {}
  for (const { headers } of gateway.upstream.ledger.rows) {
    const name = String(headers.authorization).replace(keyOf(''), '')
    calls[name] = (calls[name] ?? 0) + 1
  }
  for (const [name, most] of Object.entries(fault.calls)) {
    assert.ok((calls[name] ?? 0) <= most, `${name} was called ${calls[name]} times, and ${most} are the most`)
  }
  for (const name of Object.keys(calls)) assert.ok(name in fault.calls, `${name} was called`)
  const attempts = (await gateway.usage()).reduce((sum, row) => sum + Number(row.attempts), 0)
  const made = Object.values(calls).reduce((sum, n) => sum + n, 0)
  assert.equal(attempts, made, 'each call is booked once')
  return { fault: fault.name, mode, seen, calls, ms }
}
