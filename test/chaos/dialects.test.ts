/**
 * Each fault of an upstream, in each format it may speak, as each client sees it, streamed and not: before the first content
 * the next target answers in its place, after it the stream ends in an error of the client's own format, and never looks
 * finished. `npm run test:long` has more faults.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Answer, type Running, runGateway, until } from '../running/index.ts'
import type { Row } from '../upstream/index.ts'
import { attemptsIn } from './spawned.ts'

const TEXT = 'tell me a long story about the quick brown fox'
const UPSTREAMS: Readonly<Record<string, string>> = {
  openai: 'gpt-4o-mini',
  custom: 'gpt-4o-mini',
  anthropic: 'claude-haiku-4-5',
  gemini: 'gemini-2.5-flash',
}

interface Client {
  ask(gateway: Running, model: string, stream: boolean): Promise<Answer>
  /** How its answers look when they are whole: the last event of a stream, and a body. */
  readonly lastEvent: RegExp
  body(json: Answer['json']): boolean
  /** What stands in a stream only when it has been finished, and its last event after a failure. */
  readonly finished: RegExp
  readonly failed: RegExp
}

const contents = [{ role: 'user', parts: [{ text: TEXT }] }]
const gemini = (query: string): Client => ({
  ask: (gateway, model, stream) =>
    gateway.send(`/v1beta/models/${model}:${stream ? `streamGenerateContent${query}` : 'generateContent'}`, {
      contents,
    }),
  lastEvent: /"finishReason":"STOP"/,
  body: (json) => json.candidates[0].finishReason === 'STOP',
  finished: /"finishReason"/,
  failed: /^\{"error":/,
})

const CLIENTS: Readonly<Record<string, Client>> = {
  'chat completions': {
    ask: (gateway, model, stream) => gateway.chat(model, TEXT, { stream }),
    lastEvent: /^\[DONE\]$/,
    body: (json) => json.choices[0].finish_reason === 'stop',
    finished: /\[DONE\]|"finish_reason":"/,
    failed: /^\{"error":/,
  },
  completions: {
    ask: (gateway, model, stream) => gateway.send('/v1/completions', { model, prompt: TEXT, stream }),
    lastEvent: /^\[DONE\]$/,
    body: (json) => json.choices[0].finish_reason === 'stop',
    finished: /\[DONE\]|"finish_reason":"/,
    failed: /^\{"error":/,
  },
  responses: {
    ask: (gateway, model, stream) => gateway.send('/v1/responses', { model, input: TEXT, stream }),
    lastEvent: /^\{"type":"response\.completed"/,
    body: (json) => json.status === 'completed',
    finished: /response\.completed/,
    failed: /^\{"type":"(?:error|response\.failed)"/,
  },
  messages: {
    ask: (gateway, model, stream) =>
      gateway.send('/v1/messages', { model, max_tokens: 99, stream, messages: [{ role: 'user', content: TEXT }] }),
    lastEvent: /"message_stop"/,
    body: (json) => json.stop_reason === 'end_turn',
    finished: /message_stop|"stop_reason":"/,
    failed: /^\{"type":"error"/,
  },
  generateContent: gemini('?alt=sse'),
  'generateContent as an array': gemini(''),
}

/** The stream's payloads, of server-sent events or of one array. */
const eventsOf = (answer: Answer): readonly string[] =>
  Array.isArray(answer.json) ? answer.json.map((each: unknown) => JSON.stringify(each)) : answer.data

const isLong = process.env.STOCKYARD_LONG !== undefined
const STREAMED = [
  'status=503',
  'html',
  'truncate',
  'reset',
  'half-close',
  'inband-error',
  'garbage=http',
  'bad-json',
  'stall=0',
]
const UNSTREAMED = ['status=503', 'html', 'reset=1', 'half-close', 'bad-json', 'stall=0']
const MORE = [
  'status=500',
  'status=529',
  'status=429',
  'status=401',
  'status=402',
  'status=403',
  'status=404',
  'status=408',
  'html-error',
  'half-close=0',
  'reset=0',
  'hang-headers',
  'oversized-header=2m',
  'nested-encoding',
  'redirect=http://127.0.0.1:9/',
]
const MORE_STREAMED = ['first=20000', 'oversized-line=64m']
const MORE_UNSTREAMED = ['gzip-bomb=512m', 'endless', 'truncate', 'garbage']
const AFTER = ['truncate=5', 'reset=5', 'half-close=5', 'stall=5', 'inband-error=5']

const before = (stream: boolean): readonly string[] =>
  stream
    ? [...STREAMED, ...(isLong ? [...MORE, ...MORE_STREAMED] : [])]
    : [...UNSTREAMED, ...(isLong ? [...MORE, ...MORE_UNSTREAMED] : [])]

async function running(t: Parameters<typeof runGateway>[0], upstream: string): Promise<Running> {
  const gateway = await runGateway(t, { upstreams: { first: upstream, second: 'openai' } })
  await gateway.admin('PUT', 'modules/breakers', { mode: 'off' })
  const settings = { firstBackoffMs: 1, maxBackoffMs: 2, attemptsPerTarget: 1 }
  await gateway.admin('PUT', 'modules/failover', { mode: 'enforce', settings })
  return gateway
}

async function route(gateway: Running, name: string, model: string): Promise<void> {
  const timeouts = { headersStreamedMs: 1_000, headersUnstreamedMs: 2_000, firstContentMs: 1_500, idleMs: 1_000 }
  await gateway.admin('PUT', `routes/${name}`, {
    targets: [
      // The first alone has to be quick: a machine that is busy with all of these may hold up the second.
      { upstream: 'first', model, timeouts },
      { upstream: 'second', model: 'gpt-4o-mini' },
    ],
  })
}

for (const [upstream, model] of Object.entries(UPSTREAMS)) {
  for (const stream of [false, true]) {
    test(`A71, A45: faults of ${upstream} before content, ${stream ? 'streamed' : 'unstreamed'}: every client gets a whole answer`, async (t) => {
      const gateway = await running(t, upstream)
      const faults = before(stream)
      for (const [n, fault] of faults.entries()) await route(gateway, `r${n}`, `${model}+${fault}`)
      const asked = faults.flatMap((fault, n) =>
        Object.entries(CLIENTS).map(async ([name, { ask, lastEvent, body }]) => {
          const answer = await ask(gateway, `r${n}`, stream)
          const what = `${fault}, ${name}: ${answer.status} ${answer.text.slice(0, 300)}`
          assert.equal(answer.status, 200, what)
          assert.equal(answer.headers['x-stockyard-upstream'], 'second', what)
          if (stream) assert.match(eventsOf(answer).at(-1) ?? '', lastEvent, what)
          else assert.ok(body(answer.json), what)
        }),
      )
      await Promise.all(asked)
    })
  }

  test(`A72, A44: faults of ${upstream} after content: every client is told so in its own format`, async (t) => {
    const gateway = await running(t, upstream)
    for (const [n, fault] of AFTER.entries()) await route(gateway, `r${n}`, `${model}+chunks=12+pace=10+${fault}`)
    const asked = AFTER.flatMap((fault, n) =>
      Object.entries(CLIENTS).map(async ([name, { ask, finished, failed }]) => {
        const answer = await ask(gateway, `r${n}`, true)
        // What this upstream cannot be asked at all, the other one was.
        if (answer.headers['x-stockyard-upstream'] === 'second') return
        const what = `${fault}, ${name}: ${answer.status} ${answer.text.slice(-500)}`
        assert.equal(answer.status, 200, what)
        assert.ok(eventsOf(answer).length > 1, what)
        assert.match(eventsOf(answer).at(-1) ?? '', failed, what)
        assert.doesNotMatch(answer.text, finished, what)
      }),
    )
    await Promise.all(asked)
  })

  test(`hedging: for a slow ${upstream} a second target answers every client, or the first after all; no call is left open`, async (t) => {
    const gateway = await running(t, upstream)
    const settings = { percentile: 50, minDelayMs: 30, maxShare: 1 }
    await gateway.admin('PUT', 'modules/hedging', { mode: 'enforce', settings })
    await gateway.admin('PUT', 'routes/slow', {
      targets: [
        { upstream: 'first', model },
        { upstream: 'second', model: 'gpt-4o-mini' },
      ],
    })
    const isFirst = ({ headers }: Row): boolean => Object.values(headers).some((value) => /secret-first/.test(value))
    const speaks = Object.entries(CLIENTS).filter(([name]) => name !== 'completions' || model.startsWith('gpt'))
    for (const [slow, quick, clients] of [
      ['never', 'ok', speaks],
      // One fails while the other is awaited.
      ['delay=150,status=500', 'delay=200', speaks.slice(0, 2)],
      // Whoever comes second in the end, its call is ended, too.
      ['delay=150', 'never', speaks.slice(-2)],
      ['delay=250', 'status=500', speaks.slice(1, 3)],
    ] as const) {
      // What is usual is what was lately.
      for (let i = 0; i < 12; i++) assert.equal((await gateway.chat('slow', TEXT)).status, 200)
      for (const stream of [false, true]) {
        const never = stream ? 'delay=5,first=20000' : 'delay=20000'
        for (const [name, { ask, lastEvent, body }] of clients) {
          gateway.upstream.reset()
          gateway.upstream.script({ match: isFirst, behaviour: slow === 'never' ? never : slow })
          gateway.upstream.script({ match: (row) => !isFirst(row), behaviour: quick === 'never' ? never : quick })
          const answer = await ask(gateway, 'slow', stream)
          const what = `${slow}, ${quick}, ${name}${stream ? ', streamed' : ''}: ${answer.status} ${answer.text.slice(-300)}`
          assert.equal(answer.status, 200, what)
          const expected = quick === 'ok' || slow.includes('status') ? 'second' : 'first'
          // The head of a stream says it; which one it was is certain where the other gives no answer.
          if (slow === 'never' || quick === 'never')
            assert.equal(answer.headers['x-stockyard-upstream'], expected, what)
          if (stream) assert.match(eventsOf(answer).at(-1) ?? '', lastEvent, what)
          else assert.ok(body(answer.json), what)
        }
      }
    }
    await until(() => attemptsIn(gateway.dataDir).every(({ outcome }) => outcome), 'every call is closed')
    const lost = attemptsIn(gateway.dataDir).filter(({ outcome }) => outcome === 'cancelled').length
    assert.ok(lost >= 2 * speaks.length, `${lost} calls were let go of`)
  })

  test(`A72: an answer of ${upstream} that breaks off goes on elsewhere, whole and once, in every client's format`, async (t) => {
    const gateway = await running(t, upstream)
    await gateway.admin('PUT', 'routes/broken', {
      continuations: 1,
      targets: [
        { upstream: 'first', model: `${model}+text=Once%20upon%20a%20time%20there%20was+chunks=12+truncate=9` },
        { upstream: 'second', model: 'gpt-4o-mini+text=nothing%20at%20all.', continues: true },
      ],
    })
    for (const [name, { ask, lastEvent, finished }] of Object.entries(CLIENTS)) {
      // Which is no conversation that another one could take up.
      if (name === 'completions') continue
      const answer = await ask(gateway, 'broken', true)
      const events = eventsOf(answer)
      const what = `${name}: ${answer.text.slice(-900)}`
      assert.match(events.at(-1) ?? '', lastEvent, what)
      // A text that is said in deltas and said whole once more at the end is one text.
      const deltas = name === 'responses' ? events.filter((event) => event.includes('output_text.delta')) : events
      const said = deltas.map((event) => /"(?:text|content|delta)":"((?:[^"\\]|\\.)*)"/.exec(event)?.[1] ?? '').join('')
      assert.match(said, /^Once [a-z ]*nothing at all\.$/, what)
      const ends = events.filter((event) => finished.test(event) && !event.startsWith('[DONE]'))
      assert.ok(ends.length >= 1 && ends.length <= 2, what)
    }
  })
}
