/**
 * A66: pictures and documents, by data, address or file id, said by the user or in a tool's result, through several client
 * APIs to every upstream: what was sent is there, or the request is refused naming what cannot be carried.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runGateway } from '../running/index.ts'

const DATA = Buffer.from('not really, but nobody looks').toString('base64')
const KINDS = ['image/png', 'image/jpeg', 'image/webp', 'application/pdf']
const CARRIERS = ['base64', 'url', 'id'] as const
type Carrier = (typeof CARRIERS)[number]
const PLACES = ['user', 'tool'] as const
const MODELS = ['openai/gpt-4o-mini', 'anthropic/claude-sonnet-4-5', 'gemini/gemini-3-pro', 'gemini/gemini-2.5-flash']

const addressOf = (type: string): string => `https://files.example/x.${type.split('/')[1]}`
const idOf = (type: string): string => `file_${type.split('/')[1]}1`

/** One item in Anthropic's words. */
function block(type: string, carrier: Carrier): object {
  const source =
    carrier === 'base64'
      ? { type: 'base64', media_type: type, data: DATA }
      : carrier === 'url'
        ? { type: 'url', url: addressOf(type) }
        : { type: 'file', file_id: idOf(type) }
  return { type: type === 'application/pdf' ? 'document' : 'image', source }
}

function anthropicBody(model: string, type: string, carrier: Carrier, place: 'user' | 'tool'): object {
  const item = block(type, carrier)
  const tools = [{ name: 'look', input_schema: { type: 'object' } }]
  const messages =
    place === 'user'
      ? [{ role: 'user', content: [item, { type: 'text', text: 'what is it' }] }]
      : [
          { role: 'user', content: 'look' },
          { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'look', input: {} }] },
          { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: [item] }] },
        ]
  return { model, max_tokens: 99, messages, tools }
}

function responsesBody(model: string, type: string, carrier: Carrier, place: 'user' | 'tool'): object {
  const isImage = type.startsWith('image/')
  const data = `data:${type};base64,${DATA}`
  const item = isImage
    ? {
        type: 'input_image',
        ...(carrier === 'id' ? { file_id: idOf(type) } : { image_url: carrier === 'url' ? addressOf(type) : data }),
      }
    : carrier === 'id'
      ? { type: 'input_file', file_id: idOf(type) }
      : carrier === 'url'
        ? { type: 'input_file', file_url: addressOf(type) }
        : { type: 'input_file', filename: 'x.pdf', file_data: data }
  const input =
    place === 'user'
      ? [{ role: 'user', content: [item, { type: 'input_text', text: 'what is it' }] }]
      : [
          { role: 'user', content: 'look' },
          { type: 'function_call', call_id: 'call_1', name: 'look', arguments: '{}' },
          { type: 'function_call_output', call_id: 'call_1', output: [item] },
        ]
  const tools = [{ type: 'function', name: 'look', parameters: { type: 'object', properties: {} }, strict: false }]
  return { model, input, tools }
}

for (const [api, path, bodyOf] of [
  ['the Messages API', '/v1/messages', anthropicBody],
  ['the Responses API', '/v1/responses', responsesBody],
] as const) {
  for (const model of MODELS) {
    test(`A66: ${api} → ${model}: delivered, or refused by name`, async (t) => {
      const gateway = await runGateway(t, { upstreams: { openai: 'openai', anthropic: 'anthropic', gemini: 'gemini' } })
      let delivered = 0
      for (const type of KINDS) {
        for (const carrier of CARRIERS) {
          for (const place of PLACES) {
            const which = `${type} by ${carrier} from the ${place}`
            const before = gateway.upstream.ledger.rows.length
            const answer = await gateway.send(path, bodyOf(model, type, carrier, place))
            const sent = gateway.upstream.ledger.rows.slice(before)
            if (answer.status === 200) {
              const wanted = carrier === 'base64' ? DATA : carrier === 'url' ? addressOf(type) : idOf(type)
              assert.ok(sent[0]?.rawBody.includes(wanted), `${which} is lost: ${sent[0]?.rawBody}`)
              delivered++
              continue
            }
            // A file id belongs to whoever made it: nobody did, so it is not there (404); else the refusal says what.
            assert.ok(answer.status === 400 || (answer.status === 404 && carrier === 'id'), `${which}: ${answer.text}`)
            assert.match(answer.text, /image|file|pdf|document/, which)
            assert.equal(sent.length, 0, `${which} was sent and refused there: ${answer.text}`)
          }
        }
      }
      assert.ok(delivered >= 12, `${delivered} of 24`)
    })
  }
}
