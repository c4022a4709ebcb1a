/** A stream of the Messages API: one start, blocks one after another, one delta with the reason, one stop. */
import type { Told } from './index.ts'

const DELTAS: Readonly<Record<string, readonly string[]>> = {
  text: ['text_delta', 'citations_delta'],
  thinking: ['thinking_delta', 'signature_delta'],
  redacted_thinking: [],
  tool_use: ['input_json_delta'],
  server_tool_use: ['input_json_delta'],
  mcp_tool_use: ['input_json_delta'],
  compaction: ['compaction_delta'],
}

export function anthropicProblems(told: readonly Told[]): string[] {
  const problems: string[] = []
  let state: 'before' | 'started' | 'reasoned' | 'stopped' | 'failed' = 'before'
  let open: { index: number; type: string; json: string } | undefined
  let blocks = 0
  let calls = 0
  let reason: string | undefined
  /** What a stream that fails may leave unfinished. */
  const broken: string[] = []
  for (const { event, json } of told) {
    if (!json) {
      problems.push('an event that is no JSON')
      continue
    }
    const { type } = json
    if (event !== type) problems.push(`event "${event}" carries type "${type}"`)
    if (type === 'ping') continue
    if (state === 'stopped' || state === 'failed') problems.push(`${type} after the end`)
    switch (type) {
      case 'message_start':
        if (state !== 'before') problems.push('a second message_start')
        state = 'started'
        if (!(json.message?.usage?.input_tokens >= 0)) problems.push('message_start without input tokens')
        if (json.message?.content?.length !== 0) problems.push('message_start with content')
        break
      case 'content_block_start':
        if (state !== 'started') problems.push(`a block in state ${state}`)
        if (open) problems.push(`block ${json.index} opens inside block ${open.index}`)
        if (json.index !== blocks) problems.push(`block ${json.index} instead of ${blocks}`)
        blocks++
        open = { index: json.index, type: json.content_block?.type, json: '' }
        if (open.type === 'tool_use') {
          calls++
          const { id, name, input } = json.content_block
          if (!id || !name || typeof input !== 'object') problems.push('a call without id, name or input')
        }
        break
      case 'content_block_delta': {
        if (open?.index !== json.index) problems.push(`a delta for block ${json.index}, which is not open`)
        const fitting = DELTAS[open?.type ?? '']
        if (fitting && !fitting.includes(json.delta?.type))
          problems.push(`${json.delta?.type} in a block of ${open?.type}`)
        if (open && json.delta?.type === 'input_json_delta') open.json += json.delta.partial_json
        break
      }
      case 'content_block_stop':
        if (open?.index !== json.index) problems.push(`block ${json.index} closes and is not open`)
        if (open?.type === 'tool_use' && !isObject(open.json)) broken.push(`arguments that are no object: ${open.json}`)
        open = undefined
        break
      case 'message_delta':
        if (state !== 'started') problems.push(`message_delta in state ${state}`)
        if (open) problems.push(`message_delta while block ${open.index} is open`)
        state = 'reasoned'
        reason = json.delta?.stop_reason
        if (!reason) problems.push('no stop reason')
        if (!(json.usage?.output_tokens >= 0)) problems.push('message_delta without output tokens')
        break
      case 'message_stop':
        if (state !== 'reasoned') problems.push(`message_stop in state ${state}`)
        state = 'stopped'
        break
      case 'error':
        if (!json.error?.type || !json.error?.message) problems.push('an error without type or message')
        state = 'failed'
        break
      default:
        problems.push(`unknown event ${type}`)
    }
  }
  if (state !== 'stopped' && state !== 'failed') problems.push(`the stream ends in state ${state}`)
  if (state !== 'failed') problems.push(...broken)
  if (reason === 'tool_use' && calls === 0) problems.push('tool_use without a call')
  if ((reason === 'end_turn' || reason === 'stop_sequence') && calls > 0) problems.push(`${reason} after a call`)
  return problems
}

function isObject(text: string): boolean {
  if (text === '') return true
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}
