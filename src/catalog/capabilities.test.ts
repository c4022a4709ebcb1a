import assert from 'node:assert/strict'
import { test } from 'node:test'
import { capabilitiesOf } from './capabilities.ts'
import { createCatalog } from './catalog.ts'

test('the longest family that fits the name counts, at a border between parts of the name', () => {
  const outputs: [string, number | undefined][] = [
    ['claude-sonnet-4-5-20250929', 64_000],
    ['claude-sonnet-4-20250514', 64_000],
    ['claude-opus-4-1-20250805', 32_000],
    ['claude-opus-4-20250514', 32_000],
    ['claude-opus-4-6', 128_000],
    ['claude-3-5-haiku-latest', 8_192],
    ['claude-3-haiku-20240307', 4_096],
    ['gpt-4', 8_192],
    ['gpt-4-0613', 8_192],
    ['gpt-4-1106-preview', 4_096],
    ['gpt-4o-mini', 16_384],
    ['gpt-4.1-mini', 32_768],
    ['gpt-5-mini', 128_000],
    ['gpt-5-chat-latest', 16_384],
    ['o1', 100_000],
    ['o1-mini-2024-09-12', 65_536],
    ['gemini-2.5-pro', 65_536],
    ['gemini-2.5-flash-image', 32_768],
  ]
  for (const [model, output] of outputs) assert.equal(capabilitiesOf(model).outputTokens, output, model)
})

test('a maker before the name and either spelling of a version make no difference', () => {
  const expected = capabilitiesOf('claude-opus-4-6')
  for (const name of ['anthropic/claude-opus-4.6', 'Claude-Opus-4-6', 'claude-opus-4.6@20260205']) {
    assert.equal(capabilitiesOf(name), expected, name)
  }
  assert.equal(capabilitiesOf('models/gemini-2.5-pro'), capabilitiesOf('gemini-2.5-pro'))
})

test('of a model or a version that nobody described nothing is known', () => {
  for (const name of ['', 'llama-3.3-70b', 'gpt-40', 'o10', 'claude-opus-4-9', 'gemini-3.99-pro', '__proto__', '/']) {
    assert.deepEqual(capabilitiesOf(name), {}, name)
  }
})

test('reasoning models of OpenAI refuse the old name of the output limit', () => {
  for (const name of ['o3', 'gpt-5', 'gpt-5.4-mini', 'gpt-6-sol']) {
    assert.ok(capabilitiesOf(name).refuses?.includes('max_tokens'), name)
  }
  for (const name of ['gpt-4o', 'gpt-5-chat-latest']) assert.equal(capabilitiesOf(name).refuses, undefined, name)
})

test('the catalog gives the output limit to those who must send one', () => {
  const catalog = createCatalog()
  assert.equal(catalog.outputLimitOf('claude-haiku-4-5'), 64_000)
  assert.equal(catalog.outputLimitOf('unheard-of'), undefined)
  assert.ok(catalog.priceOf('anthropic', 'claude-haiku-4-5', Date.now()))
})
