/** Every text of a request is seen, in its place, and nothing that is not text is touched. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChatRequest, JsonValue } from './request.ts'
import { eachText, mapTexts, namesTwice, type Place, tokenNumbers } from './texts.ts'

const base64 = Buffer.from('The text of a document').toString('base64')
const request: ChatRequest = {
  operation: 'chat',
  model: 'm',
  stream: false,
  endUser: 'the end user',
  messages: [
    { role: 'system', parts: [{ type: 'text', text: 'rules' }] },
    {
      role: 'user',
      name: 'who',
      parts: [
        { type: 'text', text: 'question', rest: { x: { note: 'beside' } } },
        { type: 'image', source: { kind: 'url', url: 'https://a.example/i.png' } },
        { type: 'file', name: 'cv.txt', source: { kind: 'data', mediaType: 'text/plain', base64 } },
        { type: 'file', name: 'a.pdf', source: { kind: 'data', mediaType: 'application/pdf', base64: 'AAAA' } },
        { type: 'opaque', dialect: 'x', value: { type: 'odd', deep: [{ said: 'deep inside' }] } },
      ],
    },
    {
      role: 'assistant',
      parts: [
        { type: 'reasoning', text: 'thinking', signature: 'AbC' },
        { type: 'tool-call', id: 'call_1', name: 'f', arguments: '{"a":"argument","n":12,"b":[true,"more"]}' },
      ],
    },
    {
      role: 'tool',
      parts: [{ type: 'tool-result', id: 'call_1', content: [{ type: 'text', text: 'result' }] }],
    },
  ],
  tools: [{ name: 'f', description: 'described', parameters: { description: 'described inside' } }],
  rest: { x: { metadata: { k: 'metadata' }, schema: { title: 'shape' }, prediction: { content: 'guess' } } },
}

test('A84: every text is seen once, in its place', () => {
  const seen: [string, Place][] = []
  eachText(request, (text, place) => seen.push([text, place]))
  assert.deepEqual(Object.fromEntries(seen), {
    rules: 'system',
    question: 'user',
    beside: 'user',
    'https://a.example/i.png': 'user',
    'cv.txt': 'file-name',
    'The text of a document': 'user',
    'a.pdf': 'file-name',
    'deep inside': 'user',
    who: 'user',
    thinking: 'assistant',
    argument: 'tool-arguments',
    '12': 'tool-arguments',
    more: 'tool-arguments',
    result: 'tool-result',
    'the end user': 'end-user',
    metadata: 'other',
    guess: 'other',
    shape: 'tools',
    described: 'tools',
    'described inside': 'tools',
  })
  assert.equal(seen.length, 20)
})

test('nothing changed is the same object; what changed is changed alone', () => {
  assert.equal(
    mapTexts(request, (text) => text),
    request,
  )
  const changed = mapTexts(request, (text) => text.toUpperCase(), false) as ChatRequest
  assert.equal(changed.messages[2]?.parts[1]?.type, 'tool-call')
  assert.deepEqual(changed.messages[2]?.parts[1], {
    type: 'tool-call',
    id: 'call_1',
    name: 'f',
    arguments: '{"a":"ARGUMENT","n":12,"b":[true,"MORE"]}',
  })
  assert.equal(changed.tools, request.tools)
  const document = changed.messages[1]?.parts[2]
  assert.deepEqual(document?.type === 'file' && document.source, {
    kind: 'data',
    mediaType: 'text/plain',
    base64: Buffer.from('THE TEXT OF A DOCUMENT').toString('base64'),
  })
  assert.deepEqual(changed.messages[1]?.parts[3], { ...request.messages[1]?.parts[3], name: 'A.PDF' })
})

test('A84: legacy completions, embeddings, and operations that travel whole', () => {
  const seenIn = (asked: object): string[] => {
    const seen: string[] = []
    eachText(asked as ChatRequest, (text) => seen.push(text))
    return seen
  }
  assert.deepEqual(
    seenIn({ operation: 'completion', model: 'm', stream: false, rest: { x: { prompt: ['a', 'b'] } } }),
    ['a', 'b'],
  )
  assert.deepEqual(
    seenIn({ operation: 'embeddings', model: 'm', stream: false, input: ['a', [1, 2]], encoding: 'float' }),
    ['a'],
  )
  assert.deepEqual(seenIn({ operation: 'unheard-of', model: 'm', body: { prompt: 'draw me' } }), ['draw me'])
  assert.equal(
    tokenNumbers({ operation: 'embeddings', model: 'm', stream: false, input: [[1]], encoding: 'float' }),
    'input',
  )
  assert.equal(
    tokenNumbers({ operation: 'completion', model: 'm', stream: false, rest: { x: { prompt: [1, 2] } } }),
    'prompt',
  )
  assert.equal(tokenNumbers(request), undefined)
})

test('T81: a field that is named twice, however deep, is found', () => {
  const twice = (text: string) => namesTwice(text, JSON.parse(text) as JsonValue)
  for (const text of ['{"a":1,"a":2}', '[{"b":{"c":"x", "c" : "y"}}]', '{"a\\\\":1,"a\\\\":2}'])
    assert.ok(twice(text), text)
  for (const text of ['{}', '[]', '"a"', '{"a":"b:c","d":["\\":",{"a":1}]}', '{"x":"\\\\\\\\","y":":"}']) {
    assert.ok(!twice(text), text)
  }
})
