/**
 * What content modules cost in CPU, without sockets: a request of one kilobyte with ten entities hidden, and the stages of a
 * stream of a hundred chunks, with module `pii` on for ten entities; and how much text all its detectors go through. What
 * leaving the relay costs is not in it.
 */
import type { Exchange } from '../src/core/exchange.ts'
import type { Host, Stage } from '../src/core/module.ts'
import type { ReplyEvent } from '../src/core/reply.ts'
import type { ChatRequest } from '../src/core/request.ts'
import { parseStrict } from '../src/core/settings.ts'
import { ENTITIES } from '../src/modules/pii/entities.ts'
import { finder } from '../src/modules/pii/find.ts'
import pii from '../src/modules/pii/index.ts'

const TEN = ['EMAIL', 'PHONE', 'CARD', 'IBAN', 'IP', 'US_SSN', 'API_KEY', 'JWT', 'SECRET', 'DATE_OF_BIRTH']
const ROUNDS = 3_000

/** Microseconds of this process for each run of the work. */
function cost(work: () => void, rounds = ROUNDS): number {
  for (let i = 0; i < rounds / 3; i++) work()
  const before = process.cpuUsage()
  for (let i = 0; i < rounds; i++) work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / rounds
}

const words = 'The quick brown fox jumps over the lazy dog and thinks about what to say next, as it often does. '
const text = `${words.repeat(9)}Write to jane@example.com or +1 212 555 0123 about card 4111 1111 1111 1111.`.slice(
  0,
  1_024,
)

function exchange(): Exchange {
  const body = Buffer.from(JSON.stringify({ model: 'm', messages: [{ role: 'user', content: text }] }))
  const request: ChatRequest = {
    operation: 'chat',
    model: 'm',
    stream: true,
    messages: [{ role: 'user', parts: [{ type: 'text', text }] }],
  }
  const json = JSON.parse(body.toString())
  return {
    body,
    json,
    operation: 'chat',
    trace: [],
    keepReplyBytes: 0,
    request: () => request,
    principal: { scope: 'a' },
  } as unknown as Exchange
}

/** Lines to print. */
export async function contentCosts(): Promise<string[]> {
  const host = {
    mode: 'enforce',
    memory: new Map(),
    metrics: { counter: () => ({ add() {} }) },
    secret: () => 'a secret of this bench',
  } as unknown as Host
  const entities = Object.fromEntries(ENTITIES.filter((e) => !TEN.includes(e)).map((e) => [e, 'off']))
  const hooks = await pii.start(host, parseStrict(pii.settings, { entities, replies: true }))
  const x = exchange()
  const request = cost(() => {
    x.trace.length = 0
    void hooks.transform?.(x, x.request())
  })
  const chunks = 100
  const events = words
    .repeat(8)
    .split(/(?= )/)
    .slice(0, chunks)
    .map((piece): ReplyEvent => ({ type: 'text-delta', part: 0, text: piece }))
  const streamed = cost(() => {
    const stage = hooks.stream?.(x) as Stage
    for (const event of events) stage.push(event)
    stage.end?.()
  }, ROUNDS / 10)
  const { detectors } = await import('../src/modules/pii/detectors/index.ts')
  const find = finder(detectors)
  const long = text.repeat(500)
  const whole = cost(() => void find(long), 10)
  return [
    `pii itself, all ${detectors.length} detectors: ${(long.length / whole).toFixed(1)} MB/s on one core, three finds in each kilobyte (goal: at least 5)`,
    `pii itself, ten entities: ${request.toFixed(0)} µs of CPU for a 1 KB chat (goal: at most 250)`,
    `pii itself, ten entities: ${(streamed / chunks).toFixed(1)} µs of CPU for each chunk of a stream of ${chunks} (goal: at most 10)`,
  ]
}

if (import.meta.main) for (const line of await contentCosts()) console.log(line)
