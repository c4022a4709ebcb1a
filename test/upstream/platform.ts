// What OpenAI's API does besides talking: it keeps files, batches, vector stores and their like, makes pictures and sound,
// hears, moderates and ranks. One account, as a gateway's upstream has: everything made is in one list, whoever made it.

import { createHash, randomBytes } from 'node:crypto'
import { type Doc, doc, list, str, whole } from './json.ts'
import { CREATED, tokensIn } from './reply.ts'
import type { Event } from './wire.ts'

export type PlatformCall = {
  method: string
  /** Without a query. */
  path: string
  query: URLSearchParams
  contentType: string
  body: Buffer
  document: Doc
  /** The credential, as it came. */
  account: string
}
export type PlatformReply = {
  status?: number
  contentType?: string
  framing?: 'sse' | 'body'
  events: Event[]
}
export type Platform = { answer(call: PlatformCall): PlatformReply | undefined; modelOf(call: PlatformCall): string }

type Kept = { json: Doc; content?: Buffer; polls: number }

const ROOTS: Record<string, string> = {
  '/files': 'file-',
  '/uploads': 'upload_',
  '/messages/batches': 'msgbatch_',
  '/batches': 'batch_',
  '/fine_tuning/jobs': 'ftjob-',
  '/vector_stores': 'vs_',
  '/conversations': 'conv_',
  '/containers': 'cntr_',
  '/evals': 'eval_',
  '/assistants': 'asst_',
  '/threads': 'thread_',
  '/videos/characters': 'char_',
  '/videos': 'video_',
  '/skills': 'skill_',
  '/audio/voice_consents': 'cons_',
  '/audio/voices': 'voice_',
}

export function createPlatform(): Platform {
  const kept = new Map<string, Map<string, Kept>>()
  const of = (root: string): Map<string, Kept> => {
    let all = kept.get(root)
    if (!all) {
      all = new Map()
      kept.set(root, all)
    }
    return all
  }

  function make(root: string, json: Doc, content?: Buffer): Doc {
    const id = `${ROOTS[root]}${randomBytes(9).toString('hex')}`
    const made = { id, object: root.split('/').at(-1)?.replace(/s$/, '') ?? 'object', created_at: CREATED, ...json }
    of(root).set(id, { json: made, polls: 0, ...(content ? { content } : {}) })
    return made
  }

  function answer(call: PlatformCall): PlatformReply | undefined {
    const at = call.path.replace(/^(?:\/[^/]+)*?\/v1(?=\/)/, '')
    if (call.method === 'POST') {
      const reply = work(at, call)
      if (reply) return reply
    }
    const root = Object.keys(ROOTS).find((r) => at === r || at.startsWith(`${r}/`))
    if (root === undefined) return undefined
    const [, id, ...further] = at.slice(root.length).split('/')
    if (id === undefined) return call.method === 'GET' ? listed(root, call.query) : made(root, call)
    if (['runs', 'edits', 'extensions'].includes(id) && call.method === 'POST') return made(root, call)
    const object = of(root).get(id)
    if (!object) return json({ error: { message: `No such object: ${id}`, type: 'invalid_request_error' } }, 404)
    if (call.method === 'DELETE' && further.length === 0) {
      of(root).delete(id)
      return json({ id, object: `${str(object.json.object)}.deleted`, deleted: true })
    }
    if (further[0] === 'content') return bytes(object.content ?? Buffer.from('{}'), 'application/octet-stream')
    if (root === '/uploads' && further[0] === 'complete') {
      const file = make('/files', { bytes: 0, filename: object.json.filename, purpose: object.json.purpose })
      return json({ ...object.json, status: 'completed', file })
    }
    if (root === '/batches') finish(object, further[0] === 'cancel')
    if (further.length === 0 || further[0] === 'cancel') return json(object.json)
    return json({ id: `${further[0]}_1`, object: further[0], of: id, data: [], has_more: false })
  }

  function made(root: string, call: PlatformCall): PlatformReply {
    const form = formOf(call)
    if (root === '/files') {
      const content = form.files.file ?? Buffer.alloc(0)
      return json(make(root, { ...form.fields, bytes: content.length, filename: form.names.file ?? 'file' }, content))
    }
    if (root === '/batches') {
      const input = of('/files').get(str(call.document.input_file_id))
      if (!input) return json({ error: { message: 'No such File object', type: 'invalid_request_error' } }, 400)
      return json(make(root, { ...call.document, object: 'batch', status: 'validating', request_counts: {} }))
    }
    if (root === '/threads' && call.path.endsWith('/runs')) {
      const thread = make(root, {})
      return json({ id: 'run_1', object: 'thread.run', thread_id: thread.id, status: 'queued', usage: null })
    }
    return json(make(root, { ...call.document, ...form.fields }))
  }

  /** A batch is validated on the first look and done on the second. */
  function finish(batch: Kept, cancel: boolean): void {
    batch.polls++
    if (batch.polls < 2 || batch.json.status === 'completed') return
    const input = of('/files').get(str(batch.json.input_file_id))?.content ?? Buffer.alloc(0)
    let [prompt, completion, count] = [0, 0, 0]
    let model = ''
    const lines = input.toString('utf8').split('\n').filter(Boolean)
    const output = lines.map((line) => {
      const asked = doc(JSON.parse(line))
      const body = doc(asked.body)
      model = str(body.model)
      const [input, out] = [tokensIn(JSON.stringify(body.messages ?? body.input ?? '').length), 5]
      prompt += input
      completion += out
      count++
      const usage = { prompt_tokens: input, completion_tokens: out, total_tokens: input + out }
      return JSON.stringify({
        id: `batch_req_${count}`,
        custom_id: asked.custom_id,
        response: { status_code: 200, body: { id: `chatcmpl-${count}`, object: 'chat.completion', model, usage } },
        error: null,
      })
    })
    const file = make('/files', { purpose: 'batch_output', filename: 'output.jsonl' }, Buffer.from(output.join('\n')))
    const tellsUsage = str(doc(batch.json.metadata).usage) !== 'none'
    batch.json = {
      ...batch.json,
      status: cancel ? 'cancelled' : 'completed',
      output_file_id: file.id,
      error_file_id: null,
      request_counts: { total: count, completed: count, failed: 0 },
      ...(tellsUsage
        ? {
            model,
            usage: {
              input_tokens: prompt,
              input_tokens_details: { cached_tokens: 0 },
              output_tokens: completion,
              output_tokens_details: { reasoning_tokens: 0 },
              total_tokens: prompt + completion,
            },
          }
        : {}),
    }
  }

  function listed(root: string, query: URLSearchParams): PlatformReply {
    const all = [...of(root).values()].map((o) => o.json).reverse()
    const from = query.has('after') ? all.findIndex((o) => o.id === query.get('after')) + 1 : 0
    const limit = Number(query.get('limit') ?? 20)
    const data = all.slice(from, from + limit)
    const ends = { first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null }
    return json({ object: 'list', data, ...ends, has_more: from + limit < all.length })
  }

  return { answer, modelOf: (call) => str(call.document.model) || str(formOf(call).fields.model) }
}

const json = (data: Doc, status = 200): PlatformReply => ({ status, events: [{ data, content: true }] })
const bytes = (data: Buffer, contentType: string): PlatformReply => ({
  contentType,
  events: [{ data, content: true }],
})
const stream = (events: Doc[]): PlatformReply => ({
  contentType: 'text/event-stream',
  framing: 'sse',
  events: events.map((data) => ({ name: str(data.type), data, content: true })),
})

const USAGE = { input_tokens: 10, output_tokens: 20, total_tokens: 30 }

/** What keeps nothing. */
function work(at: string, call: PlatformCall): PlatformReply | undefined {
  const { document } = call
  const form = formOf(call)
  const model = str(document.model) || str(form.fields.model)
  if (/^\/images\/(?:generations|edits|variations)$/.test(at)) {
    const prompt = str(document.prompt) || str(form.fields.prompt)
    const b64_json = Buffer.from(`picture of ${prompt}`).toString('base64')
    const usage = { ...USAGE, input_tokens_details: { text_tokens: 4, image_tokens: 6 } }
    if (document.stream === true) {
      const partial = { type: 'image_generation.partial_image', partial_image_index: 0, b64_json }
      return stream([partial, { type: 'image_generation.completed', b64_json, usage }])
    }
    const count = whole(document.n) ?? 1
    const data = Array.from({ length: count }, () => ({ b64_json, revised_prompt: prompt }))
    return json({ created: CREATED, data, ...(model.startsWith('dall-e') ? {} : { usage }) })
  }
  if (at === '/audio/speech') {
    const sound = Buffer.concat([Buffer.from([0, 1, 254, 255, 13, 10]), Buffer.from(`sound of ${str(document.input)}`)])
    if (document.stream_format !== 'sse') return bytes(sound, 'audio/mpeg')
    const delta = { type: 'speech.audio.delta', audio: sound.toString('base64') }
    return stream([delta, { type: 'speech.audio.done', usage: USAGE }])
  }
  if (at === '/audio/transcriptions' || at === '/audio/translations') {
    const file = form.files.file
    if (!file) return json({ error: { message: 'file is required', type: 'invalid_request_error' } }, 400)
    const text = `heard ${createHash('sha256').update(file).digest('hex').slice(0, 8)} from jane@example.com`
    if (form.fields.stream === 'true') {
      const delta = (part: string) => ({ type: 'transcript.text.delta', delta: part })
      const done = { type: 'transcript.text.done', text, usage: { type: 'tokens', ...USAGE } }
      return stream([delta(text.slice(0, 5)), delta(text.slice(5)), done])
    }
    if (form.fields.response_format === 'text') return bytes(Buffer.from(text), 'text/plain; charset=utf-8')
    const usage = model === 'whisper-1' ? { type: 'duration', seconds: 7 } : { type: 'tokens', ...USAGE }
    return json({ text, usage })
  }
  if (at === '/moderations') {
    const inputs = Array.isArray(document.input) ? list(document.input) : [document.input]
    const results = inputs.map((input) => ({
      flagged: /attack/.test(JSON.stringify(input)),
      categories: { violence: /attack/.test(JSON.stringify(input)) },
      category_scores: { violence: 0.1 },
    }))
    return json({ id: 'modr-1', model: model || 'omni-moderation-latest', results })
  }
  if (at === '/rerank' || at === '/v2/rerank') {
    const results = list(document.documents).map((text, index) => ({
      index,
      relevance_score: JSON.stringify(text).includes(str(document.query)) ? 0.9 : 0.1,
    }))
    results.sort((a, b) => b.relevance_score - a.relevance_score)
    return json({
      model,
      results: results.slice(0, whole(document.top_n) ?? results.length),
      usage: { total_tokens: 12 },
    })
  }
  if (at.startsWith('/fine_tuning/alpha/graders/')) return json({ reward: 1, usage: null })
  if (at === '/content_provenance_checks') return json({ object: 'content_provenance_check', results: [] })
  return undefined
}

type Form = { fields: Record<string, string>; files: Record<string, Buffer>; names: Record<string, string> }

function formOf({ contentType, body }: PlatformCall): Form {
  const form: Form = { fields: {}, files: {}, names: {} }
  const boundary = /boundary="?([^";]+)/.exec(contentType)?.[1]
  if (boundary === undefined) return form
  const delimiter = Buffer.from(`--${boundary}`)
  for (let at = body.indexOf(delimiter); at !== -1; ) {
    const next = body.indexOf(delimiter, at + 1)
    const headEnd = body.indexOf('\r\n\r\n', at)
    if (next === -1 || headEnd === -1 || headEnd > next) break
    const head = body.toString('utf8', at, headEnd)
    const name = /name="([^"]*)"/.exec(head)?.[1] ?? ''
    const filename = /filename="([^"]*)"/.exec(head)?.[1]
    const content = body.subarray(headEnd + 4, next - 2)
    if (filename === undefined) form.fields[name] = content.toString('utf8')
    else {
      form.files[name] = content
      form.names[name] = filename
    }
    at = next
  }
  return form
}
