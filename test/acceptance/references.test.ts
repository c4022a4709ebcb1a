/**
 * What a request names at its vendor is its caller's, in every dialect and by every way of naming it: a stranger's is 404, one's
 * own passes to where it is, and what was never ours (public addresses, a caller's own data with such words) passes untouched.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Answer, runGateway } from '../running/index.ts'

const OTHER = { authorization: 'Bearer sk-the-other-tenant-of-this-test' }
type Headers = Record<string, string>

async function start(t: Parameters<typeof runGateway>[0]) {
  const gateway = await runGateway(t, {
    upstreams: { openai: 'openai', two: 'openai', anthropic: 'anthropic', gemini: 'gemini' },
  })
  await gateway.admin('PUT', 'proxy-key', { key: OTHER.authorization.slice('Bearer '.length) })
  const calls = () => gateway.upstream.ledger.rows.length
  /** Refused, and nobody was asked. */
  const isForeign = async (answer: Promise<Answer>) => {
    const before = calls()
    const { status, text } = await answer
    assert.equal(status, 404, text)
    assert.equal(calls(), before)
  }
  const passes = async (answer: Promise<Answer>): Promise<Answer> => {
    const before = calls()
    const given = await answer
    assert.equal(given.status, 200, given.text)
    assert.ok(calls() > before)
    return given
  }
  return { gateway, isForeign, passes }
}

test('items and unsealed reasoning of a stored response are its maker’s, streamed or not, and go where they are', async (t) => {
  const { gateway, isForeign, passes } = await start(t)
  const ask = (input: unknown, more: object = {}, headers: Headers = {}, model = 'two/o4-mini') =>
    gateway.send('/v1/responses', { model, input, reasoning: { effort: 'low' }, ...more }, headers)
  await gateway.admin('PUT', 'routes/both', {
    targets: ['openai', 'two'].map((upstream) => ({ upstream, model: 'o4-mini' })),
  })
  for (const stream of [false, true]) {
    const made = await passes(ask('hello', { stream }))
    const { output } = stream ? JSON.parse(made.data.at(-1) as string).response : made.json
    const next = { role: 'user', content: 'go on' }
    for (const { id } of output) {
      const named = [{ type: 'item_reference', id }, next]
      await isForeign(ask(named, {}, OTHER))
      const answer = await passes(ask(named, { stream }, {}, 'both'))
      assert.equal(answer.headers['x-stockyard-upstream'], 'two')
    }
    const [{ encrypted_content: _, ...unsealed }] = output
    await isForeign(ask([unsealed, next], { stream }, OTHER))
    assert.equal((await passes(ask([unsealed, next], {}, {}, 'both'))).headers['x-stockyard-upstream'], 'two')
  }
  // What nobody here has made is the vendor's to judge.
  await passes(
    ask([
      { type: 'reasoning', id: 'rs_of_an_older_time', summary: [] },
      { role: 'user', content: 'x' },
    ]),
  )
  const kept = await passes(ask('not kept', { store: false }))
  await passes(ask([...kept.json.output, { role: 'user', content: 'x' }], { store: false }, OTHER))
})

test('words that name objects mean nothing in a caller’s own data', async (t) => {
  const { gateway, passes } = await start(t)
  const data = { file_id: 'mine-1', container: 'box', conversation: 'the one of monday', vector_store_ids: ['a-b-c'] }
  const schema = { type: 'object', properties: {}, examples: [data], default: data }
  const text = { role: 'user', content: 'hi' }
  await passes(
    gateway.send('/v1/messages', {
      model: 'anthropic/claude-sonnet-4-5',
      max_tokens: 50,
      diagnostics: { previous_message_id: 'msg_before' },
      tools: [{ name: 'open', input_schema: schema }],
      messages: [
        text,
        { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'open', input: data }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'done' }] },
      ],
    }),
  )
  await passes(
    gateway.send('/v1/chat/completions', {
      model: 'openai/gpt-4o-mini',
      metadata: data,
      messages: [text],
      tools: [{ type: 'function', function: { name: 'open', parameters: schema } }],
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema } },
    }),
  )
  const cited = [{ type: 'file_citation', file_id: 'file-of-a-search', index: 1 }]
  await passes(
    gateway.send('/v1/responses', {
      model: 'openai/gpt-4o-mini',
      metadata: { conversation: 'the one of monday' },
      tools: [{ type: 'function', name: 'open', parameters: schema }],
      input: [
        { role: 'assistant', content: [{ type: 'output_text', text: 'see', annotations: cited }] },
        { type: 'file_search_call', id: 'fs_1', queries: [], results: [{ file_id: 'file-of-a-search' }] },
        text,
      ],
    }),
  )
  await passes(
    gateway.send('/v1beta/models/gemini/gemini-2.5-flash:generateContent', {
      contents: [
        { role: 'user', parts: [{ text: 'hi' }] },
        { role: 'model', parts: [{ functionCall: { name: 'open', args: { ...data, fileUri: 'files/x' } } }] },
        { role: 'user', parts: [{ functionResponse: { name: 'open', response: data } }] },
      ],
    }),
  )
})

test('files and cached content at Google are their maker’s; public addresses and buckets are nobody’s', async (t) => {
  const { gateway, isForeign, passes } = await start(t)
  const { objects } = gateway.served.gateway.store
  const row = (id: string, scope: string) =>
    objects.put({ id, scope, kind: 'native', upstream: 'gemini', madeAt: 1, maker: { principal: scope } })
  row('files/mine', 'local')
  row('files/theirs', 'proxy')
  row('cachedContents/theirs', 'proxy')
  const api = 'https://generativelanguage.googleapis.com/v1beta'
  const ask = (fileUri: string, more: object = {}) =>
    gateway.send('/v1beta/models/gemini/gemini-2.5-flash:generateContent', {
      contents: [{ role: 'user', parts: [{ text: 'see' }, { fileData: { mimeType: 'video/mp4', fileUri } }] }],
      ...more,
    })
  for (const name of ['files/theirs', 'files/unknown']) {
    for (const uri of [`${api}/${name}`, name, `${api.replace('https', 'HTTP')}/${name}?alt=media`])
      await isForeign(ask(uri))
    // By another API's way to say an address.
    const image_url = { url: `${api}/${name}` }
    await isForeign(
      gateway.send('/v1/chat/completions', {
        model: 'gemini/gemini-2.5-flash',
        messages: [{ role: 'user', content: [{ type: 'image_url', image_url }] }],
      }),
    )
  }
  await isForeign(ask('https://example.com/a.mp4', { cachedContent: 'cachedContents/theirs' }))
  await passes(ask(`${api}/files/mine`))
  for (const uri of [
    'https://www.youtube.com/watch?v=abc',
    'https://example.com/v1beta/files/theirs',
    'https://example.com/a/files/theirs',
    'gs://bucket/files/theirs',
  ]) {
    await passes(ask(uri))
  }
})

test('a container that code ran in belongs to the conversation that it was made for', async (t) => {
  const { gateway, isForeign, passes } = await start(t)
  const ask = (container: unknown, headers: Headers = {}) =>
    gateway.send(
      '/v1/messages',
      { model: 'anthropic/claude-sonnet-4-5', max_tokens: 50, container, messages: [{ role: 'user', content: 'hi' }] },
      headers,
    )
  const { objects } = gateway.served.gateway.store
  const maker = { principal: 'proxy' }
  objects.put({ id: 'container_1', scope: 'proxy', kind: 'container', upstream: 'anthropic', madeAt: 1, maker })
  for (const named of ['container_1', { id: 'container_1', skills: [] }]) {
    await isForeign(ask(named))
    await passes(ask(named, OTHER))
  }
  await passes(ask('container_of_an_older_time'))
})
