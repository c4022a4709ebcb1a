/** A stream of responses: numbered events, items that open and close once, and a last response that repeats them. */
import { isDeepStrictEqual } from 'node:util'
import type { Told } from './index.ts'

interface Item {
  readonly id: string
  readonly type: string
  isDone: boolean
  text: Record<string, string>
  parts: Set<string>
}

export function responsesProblems(told: readonly Told[]): string[] {
  const problems: string[] = []
  const items: Item[] = []
  const done: unknown[] = []
  let ended: string | undefined
  let hasFailed = false
  for (const [i, { event, json }] of told.entries()) {
    if (!json) {
      problems.push('an event that is no JSON')
      continue
    }
    const { type } = json
    if (event !== type) problems.push(`event "${event}" carries type "${type}"`)
    if (json.sequence_number !== i && !(hasFailed || type === 'error'))
      problems.push(`${type} has number ${json.sequence_number}, not ${i}`)
    if (ended) problems.push(`${type} after the end`)
    if (i === 0 && type !== 'response.created' && type !== 'error') problems.push(`begins with ${type}`)
    if (i === 1 && type !== 'response.in_progress' && !hasFailed && type !== 'error')
      problems.push(`goes on with ${type}`)
    if (i > 1 && (type === 'response.created' || type === 'response.in_progress')) problems.push(`a second ${type}`)
    if (type === 'error') {
      hasFailed = true
      if (!json.message || !json.error?.message) problems.push('an error without a message')
      continue
    }
    if (/^response\.(?:completed|incomplete|failed)$/.test(type)) {
      ended = type
      const { response } = json
      if (`response.${response?.status}` !== type) problems.push(`${type} with status ${response?.status}`)
      if (type === 'response.failed') {
        if (!hasFailed) problems.push('failed without an error event')
        if (!response.error?.message) problems.push('failed without an error')
        continue
      }
      if (hasFailed) problems.push(`${type} after an error`)
      if (!isDeepStrictEqual(response.output, done)) problems.push('the last response does not repeat the items')
      if (type === 'response.incomplete' && !response.incomplete_details?.reason)
        problems.push('incomplete without a reason')
      const { usage } = response
      if (usage) {
        if (!(usage.input_tokens_details?.cached_tokens >= 0)) problems.push('usage without cached_tokens')
        if (!(usage.output_tokens_details?.reasoning_tokens >= 0)) problems.push('usage without reasoning_tokens')
        if (!(usage.total_tokens >= 0)) problems.push('usage without a total')
      }
      continue
    }
    if (json.response) {
      if (json.response.status !== 'in_progress') problems.push(`${type} with status ${json.response.status}`)
      continue
    }
    const at = json.output_index
    const item = items[at]
    if (type === 'response.output_item.added') {
      if (at !== items.length) problems.push(`item ${at} instead of ${items.length}`)
      items.push({ id: json.item?.id, type: json.item?.type, isDone: false, text: {}, parts: new Set() })
      continue
    }
    if (!item) {
      problems.push(`${type} for item ${at}, which is not there`)
      continue
    }
    if (item.isDone) problems.push(`${type} for item ${at}, which is done`)
    if (type === 'response.output_item.done') {
      item.isDone = true
      done[at] = json.item
      if (json.item?.id !== item.id || json.item?.type !== item.type) problems.push(`item ${at} changed its id or type`)
      if (json.item?.type === 'function_call') {
        if (!json.item.call_id || !json.item.name) problems.push('a call without id or name')
        if ((item.text.arguments ?? '') !== json.item.arguments)
          problems.push('arguments are not the sum of their pieces')
      }
      if (item.parts.size > 0) problems.push(`item ${at} is done with open parts`)
      continue
    }
    if (json.item_id !== item.id) problems.push(`${type} names item ${json.item_id} at ${at}, which is ${item.id}`)
    const part = `${type.includes('summary') ? 'summary' : 'content'} ${json.content_index ?? json.summary_index ?? ''}`
    const grown = (key: string): string => item.text[key] ?? ''
    switch (type) {
      case 'response.content_part.added':
      case 'response.reasoning_summary_part.added':
        if (item.parts.has(part)) problems.push(`${part} opens twice`)
        item.parts.add(part)
        break
      case 'response.content_part.done':
      case 'response.reasoning_summary_part.done':
        if (!item.parts.delete(part)) problems.push(`${part} closes and is not open`)
        if ((json.part?.text ?? json.part?.refusal ?? '') !== grown(part))
          problems.push(`${part} is not the sum of its pieces`)
        break
      case 'response.output_text.delta':
      case 'response.refusal.delta':
      case 'response.reasoning_summary_text.delta':
      case 'response.reasoning_text.delta':
        if (!item.parts.has(part)) problems.push(`${type} for ${part}, which is not open`)
        item.text[part] = grown(part) + json.delta
        break
      case 'response.output_text.done':
      case 'response.refusal.done':
      case 'response.reasoning_summary_text.done':
      case 'response.reasoning_text.done':
        if ((json.text ?? json.refusal) !== grown(part)) problems.push(`${type} is not the sum of its pieces`)
        break
      case 'response.function_call_arguments.delta':
        item.text.arguments = grown('arguments') + json.delta
        break
      case 'response.function_call_arguments.done':
        if (json.arguments !== grown('arguments')) problems.push('arguments are not the sum of their pieces')
        break
      case 'response.output_text.annotation.added':
      case 'response.custom_tool_call_input.delta':
      case 'response.custom_tool_call_input.done':
        break
      default:
        problems.push(`unknown event ${type}`)
    }
  }
  if (!ended) problems.push('the stream has no end')
  if (ended && ended !== 'response.failed')
    for (const item of items) if (!item.isDone) problems.push(`${item.type} is never done`)
  return problems
}
