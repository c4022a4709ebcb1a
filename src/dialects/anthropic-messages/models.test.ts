import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { rulesOf } from './models.ts'
import { wireId, wireName } from './names.ts'
import { structuredSchema } from './schema.ts'

suite('model names', () => {
  const manual = ['claude-3-7-sonnet-20250219', 'claude-3.7-sonnet', 'claude-opus-4-20250514', 'claude-opus-4-0']
  const budgets = [...manual, 'claude-sonnet-4@20250514', 'claude-opus-4-1-20250805', 'claude-haiku-4-5-20251001']
  const table: Readonly<Record<string, readonly string[]>> = {
    none: ['claude-3-haiku-20240307', 'claude-3-5-sonnet-latest', 'claude-2.1', 'claude-instant-1.2', 'claude-3-opus'],
    manual: [...budgets, 'us.anthropic.claude-sonnet-4-5-20250929-v1:0', 'claude-4-5-opus', 'glm-4.7', 'deepseek-chat'],
    both: ['claude-opus-4-6', 'claude-sonnet-4.6', 'anthropic/claude-sonnet-4-6'],
    adaptive: ['claude-opus-4-7', 'claude-opus-4.8-fast', 'claude-opus-5', 'claude-sonnet-5', 'claude-fable-5-1'],
  }
  for (const [thinking, models] of Object.entries(table)) {
    for (const model of models)
      test(`${model} thinks: ${thinking}`, () => assert.equal(rulesOf(model).thinking, thinking))
  }

  test('a Claude without a readable version, or with one to come, follows the newest', () => {
    for (const model of ['claude-latest', 'claude-mythos-preview', 'claude-novel-9', 'claude-opus-6-20270101']) {
      const rules = rulesOf(model)
      assert.deepEqual([rules.thinking, rules.fixedSampling, rules.structured], ['adaptive', true, true], model)
    }
  })

  test('who must think, and who refuses forced tools', () => {
    const of = (rule: 'mustThink' | 'forcedTools', models: readonly string[]) => models.map((m) => rulesOf(m)[rule])
    const models = ['claude-opus-5', 'claude-opus-5-5', 'claude-haiku-5-5', 'claude-fable-5', 'claude-fable-5-1']
    assert.deepEqual(of('mustThink', models), [false, true, false, true, true])
    assert.deepEqual(of('forcedTools', models), [true, false, true, true, false])
  })
})

suite('A63: names and ids', () => {
  test('what fits is left alone', () => {
    for (const name of ['get_weather', 'A-b_9', 'x'.repeat(128)]) assert.equal(wireName(name), name)
    assert.equal(wireId('toolu_01A09q90'), 'toolu_01A09q90')
  })

  test('what does not fit is replaced by something that does, always the same and never the same as another', () => {
    const names = ['a.b', 'a b', 'a_b!', 'x'.repeat(129), 'x'.repeat(130), 'naïve', '', '工具']
    const replaced = names.map(wireName)
    for (const name of replaced) assert.match(name, /^[a-zA-Z0-9_-]{1,128}$/)
    assert.equal(new Set(replaced).size, names.length)
    assert.deepEqual(names.map(wireName), replaced)
    assert.match(wireId('functions.get:0'), /^[a-zA-Z0-9_-]+$/)
    assert.match(wireId(''), /^[a-zA-Z0-9_-]+$/)
  })
})

suite('schemas for structured outputs', () => {
  const of = (schema: object) => {
    const lost: string[] = []
    return { schema: structuredSchema(schema as never, (keyword) => lost.push(keyword)), lost }
  }

  test('objects are closed, bounds move into the description, property names are never touched', () => {
    const properties = {
      pattern: { type: 'string', pattern: '^a' },
      $ref: { type: 'array', items: { type: 'integer' } },
    }
    assert.deepEqual(of({ type: 'object', properties, required: ['pattern'] }), {
      schema: {
        type: 'object',
        properties: { pattern: { type: 'string', description: '{"pattern":"^a"}' }, $ref: properties.$ref },
        required: ['pattern'],
        additionalProperties: false,
      },
      lost: ['pattern'],
    })
  })

  test('what is supported stays: formats, minItems of 1, unions, references, constants', () => {
    const kept = {
      type: 'object',
      properties: {
        when: { type: 'string', format: 'date-time', description: 'D' },
        list: { type: 'array', items: { $ref: '#/$defs/item' }, minItems: 1 },
        more: { type: 'array', items: { $ref: '#/$defs/item' } },
        either: { anyOf: [{ type: 'null' }, { enum: ['a', 1, null] }] },
        fixed: { const: 3 },
      },
      required: ['when'],
      additionalProperties: false,
      $defs: { item: { type: ['number', 'null'] } },
    }
    assert.deepEqual(of(kept), { schema: kept, lost: [] })
  })

  test('a schema whose meaning would be lost is not expressible', () => {
    const recursive = { $ref: '#/$defs/node', $defs: { node: { type: 'array', items: { $ref: '#/$defs/node' } } } }
    for (const schema of [
      {},
      { type: 'object' },
      { type: 'object', additionalProperties: { type: 'string' } },
      { type: 'object', properties: { a: {} } },
      { type: 'object', properties: { a: true } },
      { type: 'object', properties: {}, patternProperties: { '^x': { type: 'string' } } },
      { type: 'array' },
      { $ref: 'https://example.com/schema' },
      { $ref: '#/$defs/missing' },
      { $ref: '#/__proto__' },
      recursive,
    ]) {
      assert.deepEqual(of(schema), { schema: undefined, lost: [] }, JSON.stringify(schema))
    }
  })

  test('oneOf becomes anyOf', () => {
    assert.deepEqual(of({ oneOf: [{ type: 'string' }] }).schema, { anyOf: [{ type: 'string' }] })
  })
})
