/**
 * Cached input through the whole product: each vendor's way of counting becomes the same disjoint buckets, each with a
 * price of its own, streamed and not, and the sum is the vendor's invoice.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Running, runGateway } from '../running/index.ts'

/** Dollars per million, all different, so that no bucket can pass for another. */
const RATES = { input: '3', cacheRead: '0.3', cacheWrite5m: '3.75', cacheWrite1h: '6', output: '15', reasoning: '17' }
/** The same in nano-dollars for one token. */
const NANOS: Readonly<Record<string, bigint>> = {
  input: 3_000n,
  cacheRead: 300n,
  cacheWrite5m: 3_750n,
  cacheWrite1h: 6_000n,
  output: 15_000n,
  reasoning: 17_000n,
}

const LONG = 'a text that is worth keeping '.repeat(400)

interface Sum {
  readonly tokens: Readonly<Record<string, number>>
  readonly costUsd: string
  readonly estimated: number
}

async function sumOf(gateway: Running): Promise<Sum> {
  const rows = await gateway.usage('upstream')
  assert.equal(rows.length, 1)
  return rows[0] as unknown as Sum
}

/** Nano-dollars of a decimal string of dollars. */
function nanos(dollars: string): bigint {
  const [whole = '0', part = ''] = dollars.split('.')
  return BigInt(whole) * 1_000_000_000n + BigInt(part.padEnd(9, '0'))
}

function invoiced(tokens: Readonly<Record<string, number>>): bigint {
  return Object.entries(tokens).reduce((sum, [bucket, n]) => {
    if (n === 0) return sum
    const rate = NANOS[bucket]
    assert.ok(rate !== undefined, `nobody priced ${bucket}`)
    return sum + BigInt(n) * rate
  }, 0n)
}

const price = (gateway: Running, name: string) =>
  gateway.admin('PUT', `prices/${encodeURIComponent(name)}`, { prices: [{ rates: RATES }] })

for (const stream of [false, true]) {
  const how = stream ? 'streamed' : 'unstreamed'

  test(`A23: OpenAI, ${how}: cached tokens are taken out of the input, which includes them`, async (t) => {
    const gateway = await runGateway(t)
    await price(gateway, 'openai/gpt-4o-mini+cached=1000+usage-input=2500+usage-output=40')
    const model = 'openai/gpt-4o-mini+cached=1000+usage-input=2500+usage-output=40'
    const answer = await gateway.chat(model, LONG, { stream })
    assert.equal(answer.status, 200, answer.text)
    const { tokens, costUsd, estimated } = await sumOf(gateway)
    assert.equal(tokens.input, 1_500)
    assert.equal(tokens.cacheRead, 1_000)
    assert.equal(Number(tokens.output) + Number(tokens.reasoning), 40)
    assert.equal(estimated, 0)
    // 1,500 × 3 + 1,000 × 0.3 + 40 × 15
    assert.equal(costUsd, '0.0054')
    if (!stream) assert.equal(answer.headers['x-stockyard-cost-usd'], costUsd)
  })

  test(`A23: Anthropic, ${how}: what is written to a cache and read from it stands beside the input`, async (t) => {
    const gateway = await runGateway(t, { upstreams: { anthropic: 'anthropic' } })
    await price(gateway, 'anthropic/claude-haiku-4-5')
    const ask = (ttl: string) =>
      gateway.send('/v1/chat/completions', {
        model: 'anthropic/claude-haiku-4-5',
        stream,
        max_tokens: 50,
        messages: [
          {
            role: 'system',
            content: [{ type: 'text', text: `${ttl} ${LONG}`, cache_control: { type: 'ephemeral', ttl } }],
          },
          { role: 'user', content: 'hello' },
        ],
      })
    for (const ttl of ['5m', '5m', '1h', '1h']) assert.equal((await ask(ttl)).status, 200)
    const { rows } = gateway.upstream.ledger
    const sum = (pick: (row: (typeof rows)[number]) => number) => rows.reduce((all, row) => all + pick(row), 0)
    const { tokens, costUsd, estimated } = await sumOf(gateway)
    const written = Number(tokens.cacheWrite5m) + Number(tokens.cacheWrite1h)
    assert.ok(Number(tokens.cacheWrite5m) > 1_000 && Number(tokens.cacheWrite1h) > 1_000, JSON.stringify(tokens))
    assert.equal(
      written,
      sum((row) => row.cacheWriteTokens),
    )
    assert.equal(
      tokens.cacheRead,
      sum((row) => row.cacheReadTokens),
    )
    assert.equal(
      tokens.input,
      sum((row) => row.inputTokens - row.cacheReadTokens - row.cacheWriteTokens),
    )
    assert.equal(
      tokens.output,
      sum((row) => row.outputTokens),
    )
    assert.equal(estimated, 0)
    assert.equal(nanos(costUsd), invoiced(tokens))
  })

  test(`A23: Gemini, ${how}: cached tokens are taken out of the prompt, which includes them`, async (t) => {
    const gateway = await runGateway(t, { upstreams: { gemini: 'gemini' } })
    const name = 'gemini-2.5-flash+cached=1000+usage-input=2500+usage-output=40'
    await price(gateway, `gemini/${name}`)
    const answer = await gateway.chat(`gemini/${name}`, LONG, { stream })
    assert.equal(answer.status, 200, answer.text)
    const { tokens, costUsd } = await sumOf(gateway)
    assert.equal(tokens.input, 1_500)
    assert.equal(tokens.cacheRead, 1_000)
    assert.equal(nanos(costUsd), invoiced(tokens))
  })
}
