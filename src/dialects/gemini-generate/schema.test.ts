import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import * as JsonSchema from 'typebox/schema'
import { GatewayError } from '../../core/errors.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { parametersSchema, responseSchema } from './schema.ts'
import { isObject } from './vocabulary.ts'

const use = (weakened: (keyword: string) => void) => ({ title: 'The parameters of tool "f"', param: 'tools', weakened })

function converted(schema: JsonObject) {
  const weakened = new Set<string>()
  return {
    schema: responseSchema(
      schema,
      use((keyword) => weakened.add(keyword)),
    ),
    weakened: [...weakened].sort(),
  }
}

const KEYWORDS = new Set(
  'type format title description enum items prefixItems minItems maxItems minimum maximum anyOf properties additionalProperties required propertyOrdering'.split(
    ' ',
  ),
)
const TYPES = new Set('string number integer boolean array object null'.split(' '))

/** What Google documents for its JSON Schema fields, with every reference written out. */
function assertDocumented(schema: JsonValue | undefined, at = '#'): void {
  assert.ok(isObject(schema), `${at} is no object`)
  for (const name of Object.keys(schema)) assert.ok(KEYWORDS.has(name), `${at} has "${name}"`)
  const { type } = schema
  if (Array.isArray(type)) {
    assert.equal(type.length, 2, `${at} has several types`)
    assert.equal(type[1], 'null')
  }
  for (const name of Array.isArray(type) ? type : type === undefined ? [] : [type]) {
    assert.ok(TYPES.has(name as string), `${at} is of type ${String(name)}`)
  }
  if (schema.enum !== undefined) {
    assert.ok(Array.isArray(schema.enum) && schema.enum.length > 0)
    const wanted = type === 'string' ? 'string' : 'number'
    for (const value of schema.enum) assert.equal(typeof value, wanted, `${at} lists ${JSON.stringify(value)}`)
  }
  const properties = schema.properties ?? {}
  assert.ok(isObject(properties))
  for (const [name, value] of Object.entries(properties)) assertDocumented(value, `${at}/properties/${name}`)
  for (const name of (schema.required ?? []) as string[])
    assert.ok(Object.hasOwn(properties, name), `${at} requires ${name}`)
  for (const name of ['anyOf', 'prefixItems']) {
    const list: JsonValue | undefined = schema[name]
    if (list === undefined) continue
    assert.ok(Array.isArray(list))
    for (const [i, value] of list.entries()) assertDocumented(value, `${at}/${name}/${i}`)
  }
  if (schema.items !== undefined) assertDocumented(schema.items, `${at}/items`)
  if (typeof schema.additionalProperties !== 'boolean' && schema.additionalProperties !== undefined) {
    assertDocumented(schema.additionalProperties, `${at}/additionalProperties`)
  }
}

const S = { type: 'string' } as const
const N = { type: 'number' } as const
const I = { type: 'integer' } as const
const object = (properties: JsonObject, more: JsonObject = {}): JsonObject => ({ type: 'object', properties, ...more })

/** Name → schema, what becomes of it, and what is reported. */
const CORPUS: Readonly<Record<string, readonly [JsonObject, JsonValue, readonly string[]]>> = {
  'plain string': [S, S, []],
  'upper-case type': [{ type: 'STRING' }, S, []],
  'unknown type': [{ type: 'file' }, {}, ['type']],
  anything: [{}, {}, []],
  'title and description': [{ ...S, title: 't', description: 'd' }, { ...S, title: 't', description: 'd' }, []],
  'annotations go in silence': [
    { ...S, $schema: 'x', $id: 'y', $comment: 'z', default: '', examples: ['a'], deprecated: true, 'x-order': 1 },
    S,
    [],
  ],
  'known format': [{ ...S, format: 'date-time' }, { ...S, format: 'date-time' }, []],
  'unknown format': [{ ...S, format: 'email' }, S, ['format']],
  'string bounds': [{ ...S, minLength: 1, maxLength: 2, pattern: '^a' }, S, ['maxLength', 'minLength', 'pattern']],
  'number bounds': [{ ...N, minimum: 0, maximum: 1 }, { ...N, minimum: 0, maximum: 1 }, []],
  'open bounds of whole numbers': [
    { ...I, exclusiveMinimum: 0, exclusiveMaximum: 10 },
    { ...I, minimum: 1, maximum: 9 },
    [],
  ],
  'open bounds of numbers': [{ ...N, exclusiveMinimum: 0 }, { ...N, minimum: 0 }, ['exclusiveMinimum']],
  'open bounds of draft 4': [{ ...N, minimum: 3, exclusiveMinimum: true }, { ...N, minimum: 3 }, ['exclusiveMinimum']],
  multiples: [{ ...I, multipleOf: 5 }, I, ['multipleOf']],
  'string enum': [{ ...S, enum: ['a', 'b'] }, { ...S, enum: ['a', 'b'] }, []],
  'enum without a type': [{ enum: ['a', 'b'] }, { ...S, enum: ['a', 'b'] }, []],
  'number enum': [{ enum: [1, 2] }, { ...I, enum: [1, 2] }, []],
  'fraction enum': [{ ...N, enum: [0.5] }, { ...N, enum: [0.5] }, []],
  'mixed enum': [
    { enum: ['a', 1] },
    {
      anyOf: [
        { ...S, enum: ['a'] },
        { ...I, enum: [1] },
      ],
    },
    [],
  ],
  'nullable enum': [
    { type: ['string', 'null'], enum: ['a', null] },
    { anyOf: [{ ...S, enum: ['a'] }, { type: 'null' }] },
    [],
  ],
  'boolean enum': [{ enum: [true, false] }, { type: 'boolean' }, []],
  'const string': [{ const: 'a' }, { ...S, enum: ['a'] }, []],
  'const boolean': [{ const: true }, { type: 'boolean' }, ['enum']],
  'const null': [{ const: null }, { type: 'null' }, []],
  'const object': [{ const: { a: 1 } }, { type: 'object' }, ['enum']],
  'nullable by type': [{ type: ['string', 'null'] }, { type: ['string', 'null'] }, []],
  'nullable by keyword': [{ ...S, nullable: true }, { type: ['string', 'null'] }, []],
  'null first': [{ type: ['null', 'integer'] }, { type: ['integer', 'null'] }, []],
  'several types': [
    { type: ['string', 'integer', 'null'], minimum: 1 },
    { anyOf: [S, { ...I, minimum: 1 }, { type: 'null' }] },
    [],
  ],
  'optional of pydantic': [
    { anyOf: [S, { type: 'null' }], default: null, title: 'City' },
    { title: 'City', anyOf: [S, { type: 'null' }] },
    [],
  ],
  'nullable union': [{ anyOf: [S, N], nullable: true }, { anyOf: [S, N, { type: 'null' }] }, []],
  'oneOf is anyOf': [{ oneOf: [S, N] }, { anyOf: [S, N] }, []],
  'a union of one': [{ description: 'd', anyOf: [{ ...S, description: 'inner' }] }, { ...S, description: 'd' }, []],
  'two unions': [{ anyOf: [S, N], oneOf: [S, I] }, { anyOf: [S, N] }, ['anyOf']],
  'union beside a type': [{ type: ['string', 'number'], anyOf: [S, N] }, { anyOf: [S, N] }, ['type']],
  'allOf merges': [
    { allOf: [object({ a: S }, { required: ['a'] }), object({ b: N }, { required: ['b'] })] },
    object({ a: S, b: N }, { required: ['a', 'b'] }),
    [],
  ],
  'allOf of one property': [
    { allOf: [object({ a: { ...N, minimum: 1 } }), object({ a: { ...N, maximum: 2 } })] },
    object({ a: { ...N, minimum: 1, maximum: 2 } }),
    [],
  ],
  'allOf narrows bounds': [
    { allOf: [{ ...N, minimum: 1 }, { type: 'integer', minimum: 3, maximum: 9 }, { maximum: 5 }] },
    { ...I, minimum: 3, maximum: 5 },
    [],
  ],
  'allOf that contradicts': [{ allOf: [S, N] }, S, ['allOf']],
  'allOf narrows an enum': [{ allOf: [{ enum: ['a', 'b'] }, { enum: ['b', 'c'] }] }, { ...S, enum: ['b'] }, []],
  'allOf with a reference and words beside it': [
    { allOf: [{ $ref: '#/$defs/a' }], description: 'mine', $defs: { a: { ...S, description: 'theirs' } } },
    { ...S, description: 'mine' },
    [],
  ],
  conditions: [
    object({ a: S }, { if: {}, else: {}, not: {}, dependentRequired: {} }),
    object({ a: S }),
    ['dependentRequired', 'else', 'if', 'not'],
  ],
  array: [
    { type: 'array', items: S, minItems: 1, maxItems: 3, uniqueItems: true },
    { type: 'array', items: S, minItems: 1, maxItems: 3 },
    ['uniqueItems'],
  ],
  'array of anything': [{ type: 'array' }, { type: 'array' }, []],
  'array without its type': [{ items: S }, { type: 'array', items: S }, []],
  tuple: [{ type: 'array', prefixItems: [S, N], items: false }, { type: 'array', prefixItems: [S, N] }, ['items']],
  'tuple of old': [{ type: 'array', items: [S, N] }, { type: 'array', prefixItems: [S, N] }, []],
  contains: [{ type: 'array', contains: S }, { type: 'array' }, ['contains']],
  'object without its type': [{ properties: { a: S } }, object({ a: S }), []],
  'closed object': [
    object({ a: S }, { additionalProperties: false }),
    object({ a: S }, { additionalProperties: false }),
    [],
  ],
  map: [
    { type: 'object', additionalProperties: { ...N, multipleOf: 2 } },
    { type: 'object', additionalProperties: N },
    ['multipleOf'],
  ],
  'open object': [{ type: 'object', additionalProperties: true }, { type: 'object', additionalProperties: true }, []],
  'closed beside other properties': [
    { ...object({ a: S }, { additionalProperties: false }), allOf: [object({ b: S })] },
    object({ a: S, b: S }, { additionalProperties: false }),
    ['additionalProperties'],
  ],
  'names by pattern': [
    { type: 'object', patternProperties: { '^a': S }, propertyNames: S, minProperties: 1 },
    { type: 'object' },
    ['minProperties', 'patternProperties', 'propertyNames'],
  ],
  'required without a property': [
    object({ a: S }, { required: ['a', 'b'] }),
    object({ a: S }, { required: ['a'] }),
    ['required'],
  ],
  ordering: [
    object({ a: S, b: S }, { propertyOrdering: ['b', 'x', 'a'] }),
    object({ a: S, b: S }, { propertyOrdering: ['b', 'a'] }),
    [],
  ],
  'properties true and false': [object({ a: true, b: false }), object({ a: {}, b: {} }), ['false']],
  'A62: a property called ref': [
    object({ ref: S, $ref: S, type: S, title: N, properties: object({ enum: S }) }, { required: ['$ref'] }),
    object({ ref: S, $ref: S, type: S, title: N, properties: object({ enum: S }) }, { required: ['$ref'] }),
    [],
  ],
  'A62: a property called like a lost keyword': [
    object({ pattern: S, not: S, $defs: S, allOf: N, default: I }),
    object({ pattern: S, not: S, $defs: S, allOf: N, default: I }),
    [],
  ],
  'A62: a default called $ref': [{ ...S, default: { $ref: '#/nowhere' } }, S, []],
  reference: [object({ a: { $ref: '#/$defs/a' } }, { $defs: { a: S } }), object({ a: S }), []],
  'reference of old': [object({ a: { $ref: '#/definitions/a' } }, { definitions: { a: S } }), object({ a: S }), []],
  'reference to a property': [object({ a: S, b: { $ref: '#/properties/a' } }), object({ a: S, b: S }), []],
  'reference with escapes': [
    object({ a: { $ref: '#/$defs/x~1y%20z~0' } }, { $defs: { 'x/y z~': S } }),
    object({ a: S }),
    [],
  ],
  'reference by anchor': [
    object({ a: { $ref: '#here' } }, { $defs: { a: { ...S, $anchor: 'here' } } }),
    object({ a: S }),
    [],
  ],
  'reference with the id': [
    { $id: 'https://e.x/s', ...object({ a: { $ref: 'https://e.x/s#/$defs/a' } }, { $defs: { a: S } }) },
    object({ a: S }),
    [],
  ],
  'nested $defs': [
    object(
      { a: { $ref: '#/$defs/a' } },
      {
        $defs: {
          a: { $ref: '#/$defs/b/$defs/c' },
          b: { $defs: { c: { type: 'array', items: { $ref: '#/$defs/d' } } } },
          d: N,
        },
      },
    ),
    object({ a: { type: 'array', items: N } }),
    [],
  ],
  'one definition twice is no recursion': [
    object(
      { a: { $ref: '#/$defs/a' }, b: { $ref: '#/$defs/b' } },
      { $defs: { a: S, b: object({ c: { $ref: '#/$defs/a' } }) } },
    ),
    object({ a: S, b: object({ c: S }) }),
    [],
  ],
  'a mixin used inside what uses it is no recursion': [
    {
      allOf: [{ $ref: '#/$defs/a' }, object({ x: { $ref: '#/$defs/b' } })],
      $defs: { a: object({ n: N }), b: object({ y: { $ref: '#/$defs/a' } }) },
    },
    object({ n: N, x: object({ y: object({ n: N }) }) }),
    [],
  ],
  'union of objects by a tag': [
    {
      oneOf: [object({ k: { const: 'a' } }), object({ k: { const: 'b' }, n: { $ref: '#/$defs/n' } })],
      discriminator: { propertyName: 'k' },
      $defs: { n: { ...I, exclusiveMinimum: 0 } },
    },
    { anyOf: [object({ k: { ...S, enum: ['a'] } }), object({ k: { ...S, enum: ['b'] }, n: { ...I, minimum: 1 } })] },
    [],
  ],
}

describe('A62: schemas become the documented subset', () => {
  for (const [name, [schema, expected, reported]] of Object.entries(CORPUS)) {
    test(name, () => {
      const before = JSON.stringify(schema)
      const { schema: result, weakened } = converted(schema)
      assert.deepEqual(result, expected)
      assert.deepEqual(weakened, reported)
      assertDocumented(result)
      assert.equal(JSON.stringify(schema), before, 'the given schema is left as it was')
    })
  }

  test('the corpus is large enough', () => assert.ok(Object.keys(CORPUS).length >= 60))
})

describe('A62: what cannot be written out is a clear error', () => {
  const refused: Readonly<Record<string, readonly [JsonObject, RegExp]>> = {
    'a list': [object({ next: { $ref: '#' } }), /refers to itself through "#"/],
    'a tree': [
      object(
        { root: { $ref: '#/$defs/node' } },
        { $defs: { node: object({ children: { type: 'array', items: { $ref: '#/$defs/node' } } }) } },
      ),
      /refers to itself through "#\/\$defs\/node"/,
    ],
    'two that refer to each other': [
      object(
        { a: { $ref: '#/$defs/a' } },
        { $defs: { a: object({ b: { $ref: '#/$defs/b' } }), b: object({ a: { $ref: '#/$defs/a' } }) } },
      ),
      /refers to itself/,
    ],
    'through allOf and anyOf': [
      { $ref: '#/$defs/a', $defs: { a: { anyOf: [S, { allOf: [{ $ref: '#/$defs/a' }] }] } } },
      /refers to itself/,
    ],
    'a missing definition': [
      object({ a: { $ref: '#/$defs/none' } }),
      /refers to "#\/\$defs\/none", which is not in the schema/,
    ],
    'another document': [object({ a: { $ref: 'https://example.com/s.json' } }), /not in the schema/],
    'a prototype': [object({ a: { $ref: '#/constructor' } }), /not in the schema/],
    'a dynamic reference': [object({ a: { $dynamicRef: '#x' } }), /dynamic reference/],
  }
  for (const [name, [schema, message]] of Object.entries(refused)) {
    test(name, () => {
      assert.throws(
        () => converted(schema),
        (error) =>
          error instanceof GatewayError &&
          error.kind.status === 400 &&
          error.details.param === 'tools' &&
          message.test(error.message) &&
          error.message.startsWith('The parameters of tool "f"'),
      )
    })
  }

  test('T58: references that double at every step, and endless nesting, stop early', () => {
    const $defs = Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [
        `d${i}`,
        object({ a: { $ref: `#/$defs/d${i + 1}` }, b: { $ref: `#/$defs/d${i + 1}` } }),
      ]),
    )
    const before = process.threadCpuUsage()
    assert.throws(() => converted({ $ref: '#/$defs/d0', $defs: { ...$defs, d40: S } }), /nodes once its references/)
    let deep: JsonObject = S
    for (let i = 0; i < 10_000; i++) deep = { type: 'array', items: deep }
    assert.throws(() => converted(deep), /nested more than/)
    const { user, system } = process.threadCpuUsage(before)
    assert.ok(user + system < 2_000_000)
  })

  test('T58: __proto__ is a property like any other', () => {
    const schema = JSON.parse('{"type":"object","properties":{"__proto__":{"type":"string"}},"required":["__proto__"]}')
    assert.equal(
      JSON.stringify(converted(schema).schema),
      '{"type":"object","properties":{"__proto__":{"type":"string"}},"required":["__proto__"]}',
    )
    assert.equal(({} as { type?: unknown }).type, undefined)
  })
})

describe('parameters', () => {
  const parameters = (schema: JsonObject) =>
    parametersSchema(
      schema,
      use(() => {}),
    )
  test('a tool that takes nothing has none', () => {
    assert.equal(parameters({ type: 'object', properties: {} }), undefined)
    assert.equal(parameters({ type: 'object', properties: {}, additionalProperties: false, $schema: 'x' }), undefined)
    assert.equal(parameters({}), undefined)
  })
  test('anything goes is said', () => {
    assert.deepEqual(parameters({ type: 'object', additionalProperties: true }), {
      type: 'object',
      additionalProperties: true,
    })
  })
  test('the root is an object, also where it may be null or does not say', () => {
    assert.deepEqual(parameters({ properties: { a: S } }), object({ a: S }))
    assert.deepEqual(parameters({ type: ['object', 'null'], properties: { a: S } }), object({ a: S }))
    assert.deepEqual(parameters({ anyOf: [object({ a: S }), object({ b: S })] }), {
      type: 'object',
      anyOf: [object({ a: S }), object({ b: S })],
    })
  })
  test('any other root is refused', () =>
    assert.throws(() => parameters({ type: 'string' }), /must be a JSON Schema of type "object"/))
})

/** Random schemas that say their types, over few names so that references and properties meet. */
const name = fc.constantFrom('a', 'b', '$ref', 'type')
const scalar: fc.Arbitrary<JsonObject> = fc.oneof(
  fc.record({ type: fc.constantFrom('string', 'number', 'integer', 'boolean', 'null') }),
  fc.record({ type: fc.constant('string'), minLength: fc.integer({ min: 0, max: 2 }) }),
  fc.record({
    type: fc.constantFrom('number', 'integer'),
    minimum: fc.integer({ min: -2, max: 2 }),
    exclusiveMaximum: fc.integer({ min: 0, max: 4 }),
  }),
  fc.record({ enum: fc.uniqueArray(fc.constantFrom('x', 'y', 1, 2.5, null, true, false), { minLength: 1 }) }),
  fc.record({ const: fc.constantFrom('x', 1, null, true) }),
  fc.record({ type: fc.constant(['string', 'null']), enum: fc.constant(['x', null, 1]) }),
  fc.record({ $ref: fc.constantFrom('#/$defs/p', '#/$defs/q') }),
)
const { schema: randomSchema } = fc.letrec<{ schema: JsonObject }>((tie) => ({
  schema: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.record(
      {
        type: fc.constantFrom('object', ['object', 'null']),
        properties: fc.dictionary(name, tie('schema'), { maxKeys: 3 }),
        required: fc.uniqueArray(name, { maxLength: 2 }),
        additionalProperties: fc.oneof(fc.boolean(), tie('schema')),
        minProperties: fc.constant(1),
      },
      { requiredKeys: ['type', 'properties'] },
    ),
    fc.record(
      {
        type: fc.constant('array'),
        items: tie('schema'),
        minItems: fc.integer({ min: 0, max: 2 }),
        uniqueItems: fc.boolean(),
      },
      { requiredKeys: ['type'] },
    ),
    fc.record({ type: fc.constant('array'), prefixItems: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }) }),
    fc.record({ anyOf: fc.array(tie('schema'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ allOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }) }),
    fc.record({
      type: fc.constantFrom(['string', 'integer'], ['object', 'array', 'null']),
      minimum: fc.constant(1),
      properties: fc.constant({ a: { type: 'string' } }),
    }),
  ) as fc.Arbitrary<JsonObject>,
}))
const leaf = fc.constantFrom<JsonValue>(null, true, false, 'x', 'y', '', 'long', -3, 0, 1, 2, 2.5, 4)
const { value: randomValue } = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    leaf,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(name, tie('value'), { maxKeys: 3 }) as fc.Arbitrary<JsonObject>,
  ),
}))

test('A62: random schemas are never made stricter, and are made looser only where that is reported', () => {
  const $defs = { p: { type: 'integer', minimum: 0 }, q: object({ a: { $ref: '#/$defs/p' } }, { required: ['a'] }) }
  fc.assert(
    fc.property(randomSchema, fc.array(randomValue, { minLength: 1, maxLength: 12 }), (body, values) => {
      const schema = { ...body, $defs }
      const { schema: result, weakened } = converted(schema)
      assertDocumented(result)
      for (const value of values) {
        const before = JsonSchema.Check(schema, value)
        const after = JsonSchema.Check(result, value)
        if (before) assert.ok(after, `${JSON.stringify(value)} was allowed`)
        else if (weakened.length === 0)
          assert.ok(!after, `${JSON.stringify(value)} was not allowed, and nothing was reported`)
      }
    }),
    { numRuns: 2_000 },
  )
})
