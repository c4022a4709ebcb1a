/** Usage as real vendors reported it, priced to an amount that was computed by hand from their price pages. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { formatDollars } from '../core/money.ts'
import { costOf, type Usage } from '../core/usage.ts'
import { PRICE_DATA } from './price-data.ts'
import { createPriceList } from './prices.ts'

const RECORDED = join(process.env.STOCKYARD_FIXTURES ?? '../shared', 'fixtures/recorded')
const list = createPriceList(PRICE_DATA)
const at = Date.parse('2026-11-23T12:00:00Z')

type Report = Record<string, number> & Record<string, Record<string, number>>

function fromAnthropic(usage: Report): Usage {
  const written: Record<string, number> = usage.cache_creation ?? {
    ephemeral_5m_input_tokens: usage.cache_creation_input_tokens ?? 0,
  }
  return {
    source: 'provider',
    input: usage.input_tokens ?? 0,
    cacheRead: usage.cache_read_input_tokens ?? 0,
    cacheWrite5m: written.ephemeral_5m_input_tokens ?? 0,
    cacheWrite1h: written.ephemeral_1h_input_tokens ?? 0,
    output: usage.output_tokens ?? 0,
    calls: { web_search: usage.server_tool_use?.web_search_requests ?? 0 },
  }
}

/** Chat and Responses name the same counts differently. Input includes what was cached, output includes reasoning. */
function fromOpenAi(usage: Report): Usage {
  const details = usage.prompt_tokens_details ?? usage.input_tokens_details
  const cached = details?.cached_tokens ?? (usage.cached_tokens as number | undefined) ?? 0
  const output = usage.completion_tokens ?? usage.output_tokens ?? 0
  const reasoning = (usage.completion_tokens_details ?? usage.output_tokens_details)?.reasoning_tokens ?? 0
  const input = (usage.prompt_tokens ?? usage.input_tokens ?? 0) - cached
  return { source: 'provider', input, cacheRead: cached, output: output - reasoning, reasoning }
}

const fromGemini = (usage: Report): Usage => ({
  source: 'provider',
  input: usage.promptTokenCount ?? 0,
  output: usage.candidatesTokenCount ?? 0,
  reasoning: usage.thoughtsTokenCount ?? 0,
})

interface Golden {
  readonly file: string
  readonly catalog: string
  readonly read: (usage: Report) => Usage
  /** Dollars; the sum that gives it stands above. */
  readonly dollars: string
}

const GOLDEN: readonly Golden[] = [
  // 12 × 3 + 29 × 15 dollars per million
  { file: 'anthropic/anthropic-text.json', catalog: 'anthropic', read: fromAnthropic, dollars: '0.000471' },
  // 27,118 × 3 + 600 × 15, and 2 searches at a cent
  {
    file: 'anthropic/anthropic-web-search-tool.1.json',
    catalog: 'anthropic',
    read: fromAnthropic,
    dollars: '0.110354',
  },
  // 51 × 5 + 1,699 × 25: thinking is a part of the output
  {
    file: 'anthropic/anthropic-claude-opus-5-reasoning-high.1.json',
    catalog: 'anthropic',
    read: fromAnthropic,
    dollars: '0.04273',
  },
  // 9 × 2 + (28 + 244) × 12: thoughts are counted apart from the output
  { file: 'google/google-text.json', catalog: 'google-ai', read: fromGemini, dollars: '0.003282' },
  // 9 × 2 + (29 + 282) × 12
  { file: 'google/google-reasoning.json', catalog: 'google-ai', read: fromGemini, dollars: '0.00375' },
  // 14 × 1.5 + 16 × 2
  { file: 'openai/completion/openai-completion-text.json', catalog: 'openai', read: fromOpenAi, dollars: '0.000053' },
  // (3,700 − 2,560) × 0.25 + 2,560 × 0.025 + 741 × 2
  { file: 'openai/responses/openai-file-search-tool.1.json', catalog: 'openai', read: fromOpenAi, dollars: '0.001831' },
  // (20 − 10) × 0.95 + 10 × 0.16 + 30 × 4
  { file: 'moonshotai/moonshotai-reasoning.json', catalog: 'moonshotai', read: fromOpenAi, dollars: '0.0001311' },
  // 17 × 0.29 + 649 × 0.59
  { file: 'groq/groq-reasoning.json', catalog: 'groq', read: fromOpenAi, dollars: '0.00038784' },
]

function priced(model: string, catalog: string, usage: Usage): string {
  const price = list.priceOf(catalog, model, at)
  assert.ok(price, `${catalog}/${model} is unpriced`)
  return formatDollars(costOf(usage, price))
}

function recording(t: TestContext, file: string): string | undefined {
  const path = join(RECORDED, file)
  if (existsSync(path)) return readFileSync(path, 'utf8')
  t.skip(`no recording at ${path}`)
  return undefined
}

for (const { file, catalog, read, dollars } of GOLDEN) {
  test(`A23: ${file} costs $${dollars}`, (t) => {
    const text = recording(t, file)
    if (text === undefined) return
    const body = JSON.parse(text)
    assert.equal(priced(body.model ?? body.modelVersion, catalog, read(body.usage ?? body.usageMetadata)), dollars)
  })
}

test('A23: a stream that wrote and read the cache costs each bucket once', (t) => {
  const text = recording(t, 'anthropic/anthropic-code-execution-20260120-prompt-cache.1.chunks.txt')
  if (text === undefined) return
  const events = text.split('\n').flatMap((line) => (line ? [JSON.parse(line)] : []))
  const { model } = events.find((event) => event.type === 'message_start').message
  const { usage } = events.findLast((event) => event.type === 'message_delta')
  // 6 × 2 + 6,289 × 0.2 + 3,337 × 2.5 + 198 × 10
  assert.equal(priced(model, 'anthropic', fromAnthropic(usage)), '0.0115923')
})
