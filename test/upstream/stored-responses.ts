// The Responses API's memory: what was answered is kept for the account that asked, can be fetched again (whole, or as the
// stream it was, from any event on), cancelled and deleted. One in the background is done when it is asked for the second
// time. A compacted conversation is kept by nobody: it travels sealed.

import { type Doc, doc, list, str } from './json.ts'
import { openai } from './openai.ts'
import type { PlatformCall, PlatformReply } from './platform.ts'
import { type Call, CREATED, sealFor, tokensIn } from './reply.ts'
import type { Event } from './wire.ts'

type Stored = { account: string; whole: Doc; events: Event[]; items: Doc[]; background: boolean; polls: number }
export type StoredResponses = {
  /** Keeps what this call will say. Returns the answer, where it is not there yet. */
  keep(call: Call): Doc | undefined
  answer(call: PlatformCall): PlatformReply | undefined
}

const MOST_EVENTS = 10_000
const MOST_STORED = 2_000

export function createStoredResponses(): StoredResponses {
  const stored = new Map<string, Stored>()

  function keep(call: Call): Doc | undefined {
    const { document } = call
    if (document.store === false || call.b.endless) return undefined
    const events: Event[] = []
    for (const event of openai.answer({ ...call, stream: true }).events) {
      events.push(event)
      if (events.length > MOST_EVENTS) return undefined
    }
    const whole = doc(doc(events.at(-1)?.data).response)
    const background = document.background === true
    const items = list(
      typeof document.input === 'string' ? [{ role: 'user', content: document.input }] : document.input,
    )
    const account = call.headers.authorization ?? ''
    const id = str(whole.id)
    for (const oldest of stored.keys()) if (stored.size >= MOST_STORED) stored.delete(oldest)
    stored.set(id, { account, whole: { ...whole, background }, events, items: items.map(doc), background, polls: 0 })
    return background && !call.stream ? shown(stored.get(id) as Stored) : undefined
  }

  function shown({ whole, background, polls }: Stored): Doc {
    if (!background || polls > 1 || whole.status === 'cancelled') return whole
    return { ...whole, status: polls === 0 ? 'queued' : 'in_progress', output: [], usage: null }
  }

  function answer(call: PlatformCall): PlatformReply | undefined {
    const at = call.path.replace(/^(?:\/[^/]+)*?\/v1(?=\/)/, '')
    if (call.method === 'POST' && at === '/responses/compact') return json(compacted(call))
    const [, id, further] = /^\/responses\/([^/]+)(?:\/(\w+))?$/.exec(at) ?? []
    if (id === undefined) return undefined
    const one = stored.get(id)
    if (!one || one.account !== call.account) return missing(id)
    if (call.method === 'DELETE' && further === undefined) {
      stored.delete(id)
      return json({ id, object: 'response', deleted: true })
    }
    if (call.method === 'POST' && further === 'cancel') {
      if (!one.background) return refused('Cannot cancel a synchronous response.')
      one.whole = { ...one.whole, status: 'cancelled', output: [], usage: null }
      return json(one.whole)
    }
    if (call.method !== 'GET') return undefined
    if (further === 'input_items') {
      const data = one.items.map((item, i) => ({ id: `msg_${i}`, type: 'message', ...item }))
      return json({ object: 'list', data, first_id: data[0]?.id, last_id: data.at(-1)?.id, has_more: false })
    }
    if (call.query.get('stream') === 'true') {
      const after = Number(call.query.get('starting_after') ?? -1)
      const events = one.events.filter(({ data }) => Number(doc(data).sequence_number) > after)
      return { contentType: 'text/event-stream; charset=utf-8', framing: 'sse', events }
    }
    one.polls++
    return json(shown(one))
  }

  return { keep, answer }
}

function compacted({ document, account }: PlatformCall): Doc {
  const said = JSON.stringify(document.input ?? '')
  const [input_tokens, output_tokens] = [tokensIn(said.length), 7]
  const usage = {
    input_tokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: input_tokens + output_tokens,
  }
  const item = { id: 'cmp_1', type: 'compaction', encrypted_content: sealFor(account, said) }
  return { id: 'resp_compacted', object: 'response.compaction', created_at: CREATED, output: [item], usage }
}

const json = (data: Doc, status = 200): PlatformReply => ({ status, events: [{ data, content: true }] })
const refused = (message: string, status = 400): PlatformReply =>
  json({ error: { message, type: 'invalid_request_error', param: null, code: null } }, status)
const missing = (id: string) => refused(`Response with id '${id}' not found.`, 404)
