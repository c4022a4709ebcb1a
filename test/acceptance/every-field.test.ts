/**
 * A canary in every string of every shape, one leaf at a time: of requests, as OpenAI's published description, and samples of
 * Anthropic's and Google's, spell them; and of recorded answers of all vendors. A request's canary is seen, an answer's is
 * hidden by module `pii` and stops at a guardrail, or never reaches the client. What is left alone stands in a list.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { Refusal } from '../../src/core/errors.ts'
import type { Exchange } from '../../src/core/exchange.ts'
import type { Host, Stage } from '../../src/core/module.ts'
import type { ReplyEvent } from '../../src/core/reply.ts'
import type { JsonObject, JsonValue } from '../../src/core/request.ts'
import { parseStrict } from '../../src/core/settings.ts'
import { eachText } from '../../src/core/texts.ts'
import { dialects } from '../../src/dialects/index.ts'
import guardrails from '../../src/modules/guardrails/index.ts'
import pii from '../../src/modules/pii/index.ts'
import {
  noRecordings,
  readBody,
  readStream,
  recordings,
  streamOf,
  writtenBody,
  writtenStream,
} from '../replay/replay.ts'

const CANARY = 'see jane.canary@example.com there'
const dialectOf = (id: string) => {
  const dialect = dialects.find((each) => each.id === id)
  assert.ok(dialect, id)
  return dialect
}

type Path = readonly (string | number)[]
interface Leaf {
  /** Where it stands, without numbers, with the type of each object. */
  readonly shape: string
  readonly path: Path
}
function leavesOf(value: JsonValue, path: Path = [], shape = ''): Leaf[] {
  if (typeof value === 'string') return [{ shape, path }]
  if (Array.isArray(value)) return value.flatMap((item: JsonValue, i) => leavesOf(item, [...path, i], `${shape}/*`))
  if (value === null || typeof value !== 'object') return []
  const { type } = value as JsonObject
  const kind = typeof type === 'string' ? `(${type})` : ''
  return Object.entries(value).flatMap(([name, field]) =>
    field === undefined ? [] : leavesOf(field, [...path, name], `${shape}${kind}/${name}`),
  )
}
function withCanary(value: JsonValue, path: Path): JsonValue {
  const [key, ...rest] = path
  if (key === undefined) return CANARY
  if (Array.isArray(value)) {
    return value.map((item: JsonValue, i) => (i === key ? withCanary(item, rest) : item))
  }
  return { ...(value as JsonObject), [key]: withCanary((value as JsonObject)[key] as JsonValue, rest) }
}

const host = {
  mode: 'enforce',
  memory: new Map(),
  metrics: { counter: () => ({ add() {} }) },
  secret: () => 'a secret of this test',
  refuse(code: string): never {
    throw new Refusal('test', code, { status: 400, blame: 'client', retry: 'never', message: code })
  },
} as unknown as Host

// --- answers ----------------------------------------------------------------------------------------------------

/** Folders of recordings, by the dialect that their vendors speak, and whether its events have names. */
const SOURCES: readonly (readonly [pattern: string, dialect: string, named?: true])[] = [
  ['{alibaba,deepseek,groq,mistral,moonshotai,openai-compatible,togetherai,xai}/*', 'openai-chat'],
  ['openai/*', 'openai-chat'],
  ['{openai,azure,open-responses,xai}/**/*', 'openai-responses', true],
  ['anthropic/*', 'anthropic-messages', true],
  ['google/*', 'gemini-generate'],
  ['amazon-bedrock/*', 'bedrock-converse'],
  ['cohere/*', 'cohere-chat'],
]

/** What a program reads: names of functions, ids, models, words of the format, seals, and the caller's own definitions. */
const LEFT_OF_ANSWERS =
  /\/(?:id|\w*_id|\w*Id|name|namespace|model|modelVersion|type|signature|thoughtSignature|encrypted_content|stop_reason|finish_?[rR]eason|object|status|role|service_tier|system_fingerprint)$|\/tools\/\*/

function through(stage: Stage, events: readonly ReplyEvent[]): readonly ReplyEvent[] {
  return [...events.flatMap((event) => stage.push(event)), ...(stage.end?.() ?? [])]
}

/** Empty where it is no JSON. */
function parsed(texts: readonly string[]): JsonValue[] {
  try {
    return texts.map((one) => JSON.parse(one) as JsonValue)
  } catch {
    return []
  }
}

test('T91: whatever string of a recorded answer a canary stands in, it is hidden, and it stops at a guardrail', {
  skip: noRecordings,
}, async () => {
  const hides = await pii.start(host, parseStrict(pii.settings, { replies: true, action: 'mask' }))
  const rules = [{ id: 'it', type: 'regex', on: 'reply', patterns: ['jane\\.canary'] }]
  const guards = await guardrails.start(host, parseStrict(guardrails.settings, { rules }))
  const seen = new Set<string>()
  const carried = new Set<string>()
  for (const [pattern, id, named] of SOURCES) {
    const dialect = dialectOf(id)
    const clients = new Set(['openai-chat', 'anthropic-messages', ...(dialect.client ? [id] : [])])
    for (const { kind, payloads, text } of recordings(pattern)) {
      const read = (values: readonly JsonValue[]): readonly ReplyEvent[] | undefined => {
        const told = values.map((value) => JSON.stringify(value))
        const event = named ? { event: (data: string) => (JSON.parse(data) as { type: string }).type } : {}
        try {
          return kind === 'body' ? readBody(dialect, told[0] ?? '') : readStream(dialect, [streamOf(told, event)])
        } catch {
          // Another vendor's format, or a format that does not take such a value.
          return undefined
        }
      }
      const values = parsed(kind === 'stream' ? payloads : [text])
      if ((read(values) ?? []).length < 3) continue
      for (const [i, value] of values.entries()) {
        for (const { shape, path } of leavesOf(value)) {
          const where = `${id} ${kind} ${shape}`
          if (seen.has(where) || LEFT_OF_ANSWERS.test(shape)) continue
          seen.add(where)
          const events = read(values.with(i, withCanary(value, path)))
          if (!events) continue
          const x = {
            stream: kind === 'stream',
            operation: 'chat',
            trace: [],
            keepReplyBytes: 0,
            principal: { scope: 'a' },
            request: () => ({ operation: 'chat', messages: [] }),
          } as unknown as Exchange
          const reaches = (list: readonly ReplyEvent[], client: string): boolean => {
            const to = dialectOf(client)
            return (kind === 'stream' ? writtenStream(to, list) : JSON.stringify(writtenBody(to, list))).includes(
              'canary',
            )
          }
          const masked = through(hides.stream?.(x) as Stage, events)
          let passed: readonly ReplyEvent[] = []
          try {
            passed = through(guards.stream?.(x) as Stage, events)
          } catch (error) {
            if (!(error instanceof Refusal)) throw error
          }
          for (const client of clients) {
            if (reaches(events, client)) carried.add(where)
            assert.ok(!reaches(masked, client), `module pii leaves ${where} for ${client}`)
            assert.ok(!reaches(passed, client), `a guardrail does not see ${where} for ${client}`)
          }
        }
      }
    }
  }
  assert.ok(seen.size > 300 && carried.size > 200, `${carried.size} of ${seen.size}`)
})

// --- requests ---------------------------------------------------------------------------------------------------

const SPECIFICATION = resolve(process.env.STOCKYARD_FIXTURES ?? '../shared', 'specs/openai-openapi.yaml')
const noSpecification = existsSync(SPECIFICATION) ? false : `no ${SPECIFICATION} (set STOCKYARD_FIXTURES)`

/** Names of functions and models, ids, and bytes. */
const LEFT_OF_REQUESTS =
  /\/(?:id|\w*_id|\w*Id|name|model|type|role|mimeType|media_type|signature|thoughtSignature|data|file_data|image_url|file_url|mode|language)$/
/** Bytes and addresses of the published schemas are given as such further down. */

interface Schema {
  readonly $ref?: string
  readonly allOf?: readonly Schema[]
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly type?: string | readonly string[]
  readonly enum?: readonly JsonValue[]
  readonly const?: JsonValue
  readonly minimum?: number
}

/** Samples of a published schema: each with the canary in one place, and as little else as it allows. */
class Samples {
  readonly #api: JsonObject

  constructor(api: JsonObject) {
    this.#api = api
  }

  of(path: string): Generator<[shape: string, body: JsonValue]> {
    const at = ['paths', path, 'post', 'requestBody', 'content', 'application/json', 'schema']
    return this.#variants(
      at.reduce<JsonValue>((o, key) => (o as JsonObject)[key] as JsonValue, this.#api) as Schema,
      '',
      [],
    )
  }

  #resolved(schema: Schema): Schema {
    let at = schema
    while (at.$ref !== undefined) {
      const names = at.$ref.slice(2).split('/')
      at = names.reduce<JsonValue>((o, key) => (o as JsonObject)[key] as JsonValue, this.#api) as Schema
    }
    if (!at.allOf) return at
    const { allOf, ...own } = at
    const properties: Record<string, Schema> = { ...own.properties }
    const required = [...(own.required ?? [])]
    let whole: Schema = own
    for (const part of allOf.map((each) => this.#resolved(each))) {
      whole = Object.assign({}, whole, part)
      Object.assign(properties, part.properties)
      required.push(...(part.required ?? []))
    }
    return { ...whole, properties, required }
  }

  #least(schema: Schema, depth = 0): JsonValue {
    const known = this.#resolved(schema)
    if (known.const !== undefined) return known.const
    if (known.enum) return known.enum[0] as JsonValue
    const type = typeOf(known)
    const [branch] = known.anyOf ?? known.oneOf ?? []
    if (known.properties || type === 'object') {
      if (depth > 6) return {}
      const fields = (known.required ?? []).map((name) => [
        name,
        this.#least(known.properties?.[name] ?? {}, depth + 1),
      ])
      return { ...(branch ? (this.#least(branch, depth + 1) as JsonObject) : {}), ...Object.fromEntries(fields) }
    }
    if (branch) return this.#least(branch, depth + 1)
    if (type === 'array') return depth > 6 ? [] : [this.#least(known.items ?? {}, depth + 1)]
    if (type === 'string') return 'x'
    if (type === 'number' || type === 'integer') return known.minimum ?? 1
    return type === 'boolean' ? false : null
  }

  *#variants(schema: Schema, shape: string, above: readonly string[]): Generator<[string, JsonValue]> {
    if (above.length > 14 || (schema.$ref !== undefined && above.includes(schema.$ref))) return
    const within = schema.$ref === undefined ? above : [...above, schema.$ref]
    const known = this.#resolved(schema)
    if (known.const !== undefined || known.enum) return
    for (const branch of known.anyOf ?? known.oneOf ?? []) yield* this.#variants(branch, shape, [...within, ''])
    const type = typeOf(known)
    if (known.properties && Object.keys(known.properties).length > 0) {
      const { anyOf: _, oneOf: __, ...alone } = known
      const least = this.#least(alone) as JsonObject
      for (const [name, field] of Object.entries(known.properties)) {
        for (const [at, value] of this.#variants(field, `${shape}/${name}`, within))
          yield [at, { ...least, [name]: value }]
      }
    } else if (type === 'object') yield [`${shape}/+`, { anything: CANARY }]
    else if (type === 'array') {
      for (const [at, value] of this.#variants(known.items ?? {}, `${shape}/*`, within)) yield [at, [value]]
    } else if (type === 'string') yield [shape, CANARY]
  }
}
const typeOf = ({ type }: Schema): string | undefined =>
  typeof type === 'object' ? type.find((each) => each !== 'null') : (type as string | undefined)

/** Whether a content module sees the canary; undefined where the request is refused. */
function isSeen(dialect: string, body: JsonValue): boolean | undefined {
  let seen = false
  try {
    const request = dialectOf(dialect).client?.readRequest(JSON.parse(JSON.stringify(body)) as JsonObject)
    assert.ok(request)
    eachText(request, (text) => {
      if (text.includes('canary')) seen = true
    })
  } catch {
    return undefined
  }
  return seen
}

for (const [path, dialect, least] of [
  ['/chat/completions', 'openai-chat', { model: 'm' }],
  ['/responses', 'openai-responses', { model: 'm', input: 'x' }],
  ['/completions', 'openai-completions', { model: 'm', prompt: 'x' }],
  ['/embeddings', 'openai-embeddings', { model: 'm', input: 'x' }],
] as const) {
  test(`T91: ${path}: whatever string of the published request a canary stands in, it is seen`, {
    skip: noSpecification,
  }, () => {
    const counts = new Map<string, number>()
    const refused = new Set<string>()
    const seen = new Set<string>()
    for (const [shape, body] of new Samples(published()).of(path)) {
      const count = counts.get(shape) ?? 0
      counts.set(shape, count + 1)
      // The same place by many ways.
      if (count > 12 || LEFT_OF_REQUESTS.test(shape)) continue
      const found = isSeen(dialect, { ...least, ...(body as JsonObject) })
      assert.notEqual(found, false, `${shape}: ${JSON.stringify(body)}`)
      ;(found ? seen : refused).add(shape)
    }
    const never = [...refused].filter((shape) => !seen.has(shape))
    assert.ok(never.length <= counts.size / 8, `refused: ${never.join(', ')}`)
  })
}
let read: JsonObject | undefined
function published(): JsonObject {
  read ??= parse(readFileSync(SPECIFICATION, 'utf8'), { maxAliasCount: -1 }) as JsonObject
  return read
}

const text = { type: 'text', text: 'x' }
const SAMPLES: Readonly<Record<string, JsonObject>> = {
  'anthropic-messages': {
    model: 'm',
    max_tokens: 10,
    system: [{ ...text, cache_control: { type: 'ephemeral' } }],
    metadata: { user_id: 'x' },
    stop_sequences: ['x'],
    container: 'x',
    mcp_servers: [{ type: 'url', url: 'x', name: 'n', authorization_token: 'x' }],
    tools: [
      {
        name: 'f',
        description: 'x',
        input_schema: { type: 'object', properties: { a: { type: 'string', description: 'x', enum: ['x'] } } },
        input_examples: [{ a: 'x' }],
      },
      {
        type: 'web_search_20250305',
        name: 'web_search',
        allowed_domains: ['x'],
        user_location: { type: 'approximate', city: 'x' },
      },
    ],
    messages: [
      {
        role: 'user',
        content: [
          { ...text, citations: [{ type: 'char_location', cited_text: 'x', document_title: 'x', document_index: 0 }] },
          { type: 'image', source: { type: 'url', url: 'x' } },
          { type: 'document', title: 'x', context: 'x', source: { type: 'text', media_type: 'text/plain', data: 'x' } },
          { type: 'document', source: { type: 'content', content: [text] } },
          { type: 'search_result', source: 'x', title: 'x', content: [text] },
        ],
      },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'x', signature: 's' },
          text,
          { type: 'tool_use', id: 't', name: 'f', input: { a: 'x', deep: [{ er: 'x' }] } },
          { type: 'server_tool_use', id: 's', name: 'web_search', input: { query: 'x' } },
          {
            type: 'web_search_tool_result',
            tool_use_id: 's',
            content: [{ type: 'web_search_result', title: 'x', url: 'x', page_age: 'x' }],
          },
        ],
      },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't', content: [text] }] },
    ],
  },
  'gemini-generate': {
    model: 'm',
    systemInstruction: { parts: [{ text: 'x' }] },
    cachedContent: 'x',
    labels: { a: 'x' },
    generationConfig: {
      stopSequences: ['x'],
      responseMimeType: 'application/json',
      responseSchema: { type: 'OBJECT', description: 'x', properties: { a: { type: 'STRING', enum: ['x'] } } },
    },
    tools: [
      {
        functionDeclarations: [
          {
            name: 'f',
            description: 'x',
            parameters: { type: 'OBJECT', properties: { a: { type: 'STRING', description: 'x' } } },
          },
        ],
      },
    ],
    contents: [
      {
        role: 'user',
        parts: [
          { text: 'x' },
          { fileData: { mimeType: 'text/plain', fileUri: 'x' } },
          { inlineData: { mimeType: 'text/plain', data: 'x' } },
        ],
      },
      {
        role: 'model',
        parts: [
          { text: 'x', thought: true },
          { functionCall: { id: 'i', name: 'f', args: { a: 'x', deep: [{ er: 'x' }] } } },
          { executableCode: { language: 'PYTHON', code: 'x' } },
          { codeExecutionResult: { outcome: 'OUTCOME_OK', output: 'x' } },
        ],
      },
      {
        role: 'user',
        parts: [{ functionResponse: { id: 'i', name: 'f', response: { result: 'x', deep: [{ er: 'x' }] } } }],
      },
    ],
  },
}
for (const [dialect, sample] of Object.entries(SAMPLES)) {
  test(`T91: ${dialect}: whatever string of a request a canary stands in, it is seen`, () => {
    assert.notEqual(isSeen(dialect, sample), undefined, 'the sample itself is good')
    const leaves = leavesOf(sample)
    let seen = 0
    for (const { shape, path } of leaves) {
      const isText = /\((?:text|content)\)\/data$/.test(shape)
      if (LEFT_OF_REQUESTS.test(shape) && !isText) continue
      const found = isSeen(dialect, withCanary(sample, path))
      assert.notEqual(found, false, shape)
      if (found) seen++
    }
    assert.ok(seen > 15, `${seen} of ${leaves.length}`)
  })
}

test('T91: what is in documents and addresses is seen, however it is written', () => {
  const written = Buffer.from(CANARY)
  for (const part of [
    { type: 'image_url', image_url: { url: `https://x.example/?q=${CANARY}` } },
    { type: 'image_url', image_url: { url: `data:image/svg+xml,<svg>${CANARY}</svg>` } },
    { type: 'image_url', image_url: { url: `data:image/svg+xml;base64,${written.toString('base64')}` } },
    { type: 'file', file: { filename: 'a.txt', file_data: `data:text/plain;base64,${written.toString('base64')}` } },
    { type: 'file', file: { filename: 'a.txt', file_data: `data:;base64,${written.toString('base64')}` } },
    {
      type: 'file',
      file: { filename: 'a.csv', file_data: `data:application/octet-stream;base64,${written.toString('base64')}` },
    },
    { type: 'file', file: { filename: `${CANARY}.pdf`, file_data: 'data:application/pdf;base64,JVBERi0xLjc=' } },
  ]) {
    const body = { model: 'm', messages: [{ role: 'user', content: [part] }] }
    assert.equal(isSeen('openai-chat', body), true, JSON.stringify(part))
  }
})
