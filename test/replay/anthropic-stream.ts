/**
 * The rules of a stream of Anthropic's Messages API, as a state machine: what a strict client would refuse is an
 * assertion that fails here. Given a whole stream's text, it returns the message the stream builds.
 */
import assert from 'node:assert/strict'
import { SseFramer, sseData } from '../../src/wire/sse.ts'

type Json = Record<string, unknown>
/** Which deltas may come to which block; any other block comes whole. */
const DELTAS: Readonly<Record<string, readonly string[]>> = {
  text: ['text_delta', 'citations_delta'],
  thinking: ['thinking_delta', 'signature_delta'],
  tool_use: ['input_json_delta'],
}

export function messageOf(stream: string): Json {
  const events = payloadsOf(stream)
  const [first] = events
  assert.equal(first?.type, 'message_start', 'a stream begins with message_start')
  const message = { ...(first?.message as Json) }
  assert.deepEqual(message.content, [])
  assert.equal(message.stop_reason, null)
  assert.ok(Number((message.usage as Json).input_tokens) >= 0 && Number((message.usage as Json).output_tokens) >= 0)
  const content: Json[] = []
  let open: { block: Json; json: string } | undefined
  let state: 'content' | 'delta' | 'stopped' = 'content'
  for (const event of events.slice(1)) {
    assert.notEqual(state, 'stopped', 'nothing follows message_stop')
    if (event.type === 'ping') continue
    if (event.type !== 'message_stop') assert.notEqual(state, 'delta', `${event.type} after message_delta`)
    switch (event.type) {
      case 'content_block_start':
        assert.equal(open, undefined, 'one block is open at a time')
        assert.equal(event.index, content.length, 'indexes count up')
        open = { block: { ...(event.content_block as Json) }, json: '' }
        content.push(open.block)
        break
      case 'content_block_delta': {
        assert.equal(event.index, content.length - 1)
        assert.ok(open, 'a delta belongs to an open block')
        const delta = event.delta as Json
        const type = String(open.block.type)
        assert.ok(DELTAS[type]?.includes(String(delta.type)), `${delta.type} in a block of type ${type}`)
        if (delta.type === 'input_json_delta') open.json += delta.partial_json
        else if (delta.type === 'text_delta') open.block.text = String(open.block.text) + delta.text
        else if (delta.type === 'thinking_delta') open.block.thinking = String(open.block.thinking) + delta.thinking
        else if (delta.type === 'signature_delta') open.block.signature = delta.signature
        break
      }
      case 'content_block_stop':
        assert.equal(event.index, content.length - 1)
        assert.ok(open, 'a stop closes an open block')
        if (open.block.type === 'tool_use') open.block.input = open.json === '' ? {} : JSON.parse(open.json)
        open = undefined
        break
      case 'message_delta': {
        assert.equal(open, undefined, 'all blocks are closed before message_delta')
        state = 'delta'
        Object.assign(message, event.delta, { usage: { ...(message.usage as Json), ...(event.usage as Json) } })
        break
      }
      case 'message_stop':
        assert.equal(state, 'delta', 'message_stop follows message_delta')
        state = 'stopped'
        break
      default:
        assert.fail(`an unexpected event ${String(event.type)}`)
    }
  }
  assert.equal(state, 'stopped', 'a stream ends with message_stop')
  const hasCalls = content.some((block) => block.type === 'tool_use')
  const reason = message.stop_reason
  if (reason === 'tool_use') assert.ok(hasCalls, 'tool_use without a call')
  if (reason === 'end_turn' || reason === 'stop_sequence') assert.ok(!hasCalls, `${reason} with a call`)
  return { ...message, content }
}

/** Every event names its type twice. */
function payloadsOf(stream: string): Json[] {
  const framer = new SseFramer()
  const events = framer.push(Buffer.from(stream)).map(({ bytes }) => sseData(bytes))
  assert.equal(framer.end(), undefined, 'a stream ends with a whole event')
  return events.map(({ data, event }) => {
    const value = JSON.parse(data) as Json
    assert.equal(event, value.type)
    return value
  })
}
