/**
 * The official OpenAI SDK against what the gateway relays: pictures, sound, moderation, files and what is built on them;
 * and embeddings against upstreams that do as they please (A68).
 */
import assert from 'node:assert/strict'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import OpenAI, { toFile } from 'openai'
import { type Running, runGateway } from '../running/index.ts'

const clientOf = (gateway: Running) =>
  new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'anything', maxRetries: 0, timeout: 20_000 })

test('openai SDK: pictures made, edited and streamed', async (t) => {
  const client = clientOf(await runGateway(t))
  const made = await client.images.generate({ model: 'gpt-image-1', prompt: 'a horse' })
  assert.equal(Buffer.from(made.data?.[0]?.b64_json ?? '', 'base64').toString(), 'picture of a horse')
  assert.equal(made.usage?.output_tokens, 20)
  const image = await toFile(Buffer.from([137, 80, 78, 71]), 'a.png', { type: 'image/png' })
  const edited = await client.images.edit({ model: 'gpt-image-1', image, prompt: 'with a hat' })
  assert.equal(edited.data?.length, 1)
  const types = []
  const stream = await client.images.generate({ model: 'gpt-image-1', prompt: 'a horse', stream: true })
  for await (const event of stream) types.push(event.type)
  assert.deepEqual(types, ['image_generation.partial_image', 'image_generation.completed'])
})

test('openai SDK: spoken and heard', async (t) => {
  const client = clientOf(await runGateway(t))
  const spoken = await client.audio.speech.create({ model: 'gpt-4o-mini-tts', input: 'hello', voice: 'alloy' })
  const bytes = Buffer.from(await spoken.arrayBuffer())
  assert.match(bytes.toString('latin1'), /sound of hello$/)
  const file = await toFile(bytes, 'hello.mp3', { type: 'audio/mpeg' })
  const heard = await client.audio.transcriptions.create({ model: 'gpt-4o-transcribe', file })
  assert.match(heard.text, /^heard/)
  const stream = await client.audio.transcriptions.create({ model: 'gpt-4o-transcribe', file, stream: true })
  let text = ''
  for await (const event of stream) if (event.type === 'transcript.text.delta') text += event.delta
  assert.equal(text, heard.text)
  const translated = await client.audio.translations.create({ model: 'whisper-1', file })
  assert.match(translated.text, /^heard/)
})

test('openai SDK: moderated', async (t) => {
  const client = clientOf(await runGateway(t))
  const { results } = await client.moderations.create({ model: 'omni-moderation-latest', input: ['attack', 'peace'] })
  assert.deepEqual(
    results.map(({ flagged }) => flagged),
    [true, false],
  )
})

test('openai SDK: files, batches, vector stores, conversations', async (t) => {
  const gateway = await runGateway(t)
  const client = clientOf(gateway)
  const body = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] }
  const line = JSON.stringify({ custom_id: '1', method: 'POST', url: '/v1/chat/completions', body })
  const file = await client.files.create({ purpose: 'batch', file: await toFile(Buffer.from(line), 'in.jsonl') })
  assert.equal((await client.files.retrieve(file.id)).id, file.id)
  assert.equal(await (await client.files.content(file.id)).text(), line)
  const endpoint = '/v1/chat/completions'
  let batch = await client.batches.create({ input_file_id: file.id, endpoint, completion_window: '24h' })
  for (let i = 0; i < 3 && batch.status !== 'completed'; i++) batch = await client.batches.retrieve(batch.id)
  assert.ok(batch.output_file_id)
  const output = JSON.parse(await (await client.files.content(batch.output_file_id)).text())
  assert.equal(output.custom_id, '1')
  for (let i = 0; i < 5; i++) await client.vectorStores.create({ name: `store ${i}` })
  const names = []
  for await (const store of client.vectorStores.list({ limit: 2 })) names.push(store.name)
  assert.deepEqual(names, ['store 4', 'store 3', 'store 2', 'store 1', 'store 0'])
  const conversation = await client.conversations.create({ metadata: { a: 'b' } })
  assert.equal((await client.conversations.retrieve(conversation.id)).id, conversation.id)
  assert.equal((await client.files.delete(file.id)).deleted, true)
  await assert.rejects(client.files.retrieve(file.id), (error) => error instanceof OpenAI.NotFoundError)
})

test('A68: the SDK’s default encoding and the length that was asked for, at every embedding upstream', async (t) => {
  const upstreams = { openai: 'openai', gemini: 'gemini', own: 'custom' }
  const client = clientOf(await runGateway(t, { upstreams }))
  for (const model of ['openai/text-embedding-3-small', 'gemini/gemini-embedding-001', 'own/e5']) {
    for (const encoding of [undefined, 'float', 'base64'] as const) {
      const asked = encoding === undefined ? {} : { encoding_format: encoding }
      const { data } = await client.embeddings.create({ model, input: ['one', 'two'], dimensions: 16, ...asked })
      assert.equal(data.length, 2, model)
      for (const { embedding } of data) {
        const vector = typeof embedding === 'string' ? floats(embedding) : embedding
        assert.equal(vector.length, 16, `${model} ${encoding}`)
        assert.ok(vector.every((n) => Number.isFinite(n) && Math.abs(n) <= 1))
      }
    }
    const wrong = client.embeddings.create({ model, input: 'one', dimensions: 0 })
    await assert.rejects(wrong, (error) => error instanceof OpenAI.BadRequestError, model)
  }
})

test('A68: an upstream that ignores encoding and dimensions is not believed', async (t) => {
  const vector = [0.5, -0.25, 0.125, 1]
  const server = http.createServer((request, response) => {
    request.resume()
    response.setHeader('content-type', 'application/json')
    const data = [{ object: 'embedding', index: 0, embedding: vector }]
    response.end(JSON.stringify({ object: 'list', data, model: 'm', usage: { prompt_tokens: 1, total_tokens: 1 } }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const gateway = await runGateway(t)
  const { port } = server.address() as AddressInfo
  await gateway.admin('PUT', 'upstreams/stubborn', { provider: 'custom', baseUrl: `http://127.0.0.1:${port}/v1` })
  const client = clientOf(gateway)
  const { data } = await client.embeddings.create({ model: 'stubborn/m', input: 'one' })
  assert.deepEqual([...(data[0]?.embedding ?? [])], vector)
  const same = await client.embeddings.create({ model: 'stubborn/m', input: 'one', dimensions: 4 })
  assert.deepEqual([...(same.data[0]?.embedding ?? [])], vector)
  for (const encoding_format of ['float', 'base64'] as const) {
    const wrong = client.embeddings.create({ model: 'stubborn/m', input: 'one', dimensions: 8, encoding_format })
    await assert.rejects(wrong, (error) => error instanceof OpenAI.BadRequestError && error.param === 'dimensions')
  }
})

const floats = (text: string): number[] => {
  const bytes = Buffer.from(text, 'base64')
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(i * 4))
}
