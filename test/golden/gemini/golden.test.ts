/**
 * Requests as Gemini gets them: each file here is a request, the body it becomes and what is reported as not carried.
 * `request` is canonical; `asked` is a client's body instead, a Gemini client's unless `from` names another dialect. After a wanted change, run with UPDATE_GOLDEN=1
 * and read the difference.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import type { ChatRequest, JsonObject, ModelRequest } from '../../../src/core/request.ts'
import gemini from '../../../src/dialects/gemini-generate/index.ts'
import openaiChat from '../../../src/dialects/openai-chat/index.ts'

interface Golden {
  readonly about: string
  readonly model: string
  readonly request?: Omit<ChatRequest, 'operation' | 'model' | 'stream'>
  readonly asked?: JsonObject
  readonly from?: string
  body?: JsonObject
  unsupported?: readonly string[]
}

const folder = new URL('./', import.meta.url)

for (const file of readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .sort()) {
  const golden: Golden = JSON.parse(readFileSync(new URL(file, folder), 'utf8'))
  test(`${file.replace('.json', '')}: ${golden.about}`, () => {
    const { model, request, asked, from = gemini.id } = golden
    const client = [gemini, openaiChat].find(({ id }) => id === from)?.client
    const canonical: ModelRequest | undefined = request
      ? { operation: 'chat', model, stream: false, ...request }
      : client?.readRequest({ ...asked, model, stream: false })
    assert.ok(canonical && gemini.upstream)
    const unsupported: string[] = []
    const report = (what: string) => unsupported.push(what)
    const body = JSON.parse(
      JSON.stringify(gemini.upstream.writeRequest(canonical, { model, report, provider: 'test' })),
    )
    if (process.env.UPDATE_GOLDEN) {
      writeFileSync(new URL(file, folder), `${JSON.stringify({ ...golden, body, unsupported }, null, 2)}\n`)
      return
    }
    assert.deepEqual({ body, unsupported }, { body: golden.body, unsupported: golden.unsupported })
  })
}
