/** The body of POST /v1/messages → a canonical request. Whatever has no common word stays in `rest`. */
import { isDeepStrictEqual } from 'node:util'
import { badRequest } from '../../core/errors.ts'
import type {
  ChatRequest,
  JsonObject,
  JsonValue,
  MediaPart,
  Message,
  OpaquePart,
  Part,
  Reasoning,
  ResponseFormat,
  TextPart,
  Tool,
  ToolChoice,
  ToolResultPart,
} from '../../core/request.ts'
import { structuredSchema } from './schema.ts'
import { asRest, cacheOf, ID, isEmpty, isObject, isPlainCache, listOf, objectOf, stringOf } from './vocabulary.ts'

const EFFORTS = new Set(['low', 'medium', 'high', 'xhigh', 'max'])

export function readRequest(body: JsonObject): ChatRequest {
  const {
    model,
    messages,
    system,
    tools,
    tool_choice,
    max_tokens,
    temperature,
    top_p,
    top_k,
    stop_sequences,
    stream,
    metadata,
    thinking,
    output_config,
    ...others
  } = body
  if (typeof model !== 'string' || model === '') throw badRequest('model: a model name is required.', 'model')
  if (!Array.isArray(messages)) throw badRequest('messages: a list of messages is required.', 'messages')
  const { user_id, ...otherMetadata } = objectOf(metadata)
  const choice = objectOf(tool_choice)
  const toolChoice = toolChoiceOf(choice)
  const parallel = choice.disable_parallel_tool_use
  const reasoning = reasoningOf(thinking, output_config)
  const responseFormat = formatOf(objectOf(output_config).format ?? others.output_format)
  const rest = { ...others, ...beyondCommon(thinking, output_config) }
  const stop = listOf(stop_sequences).filter((item) => typeof item === 'string')
  const declared = listOf(tools).map((tool, at) => {
    if (!isObject(tool)) throw badRequest(`tools.${at}: an object is required.`, `tools.${at}`)
    return tool
  })
  const isOwn = (tool: JsonObject): boolean => tool.type === undefined || tool.type === null || tool.type === 'custom'
  const own = declared.filter(isOwn).map(toolOf)
  const hosted = declared.filter((tool) => !isOwn(tool)).map((value) => ({ dialect: ID, value }))
  const maxOutputTokens = count(max_tokens, 'max_tokens')
  return {
    operation: 'chat',
    model,
    stream: stream === true,
    messages: [...systemOf(system), ...messages.flatMap((message, at) => messagesOf(message, `messages.${at}`))],
    ...(own.length > 0 ? { tools: own } : {}),
    ...(hosted.length > 0 ? { hostedTools: hosted } : {}),
    ...(toolChoice ? { toolChoice } : {}),
    ...(typeof parallel === 'boolean' ? { parallelToolCalls: !parallel } : {}),
    ...(responseFormat ? { responseFormat } : {}),
    ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }),
    ...numeric('temperature', temperature),
    ...numeric('topP', top_p),
    ...numeric('topK', top_k),
    ...(stop.length > 0 ? { stop: stop as string[] } : {}),
    ...(reasoning ? { reasoning } : {}),
    ...(typeof user_id === 'string' ? { endUser: user_id } : {}),
    ...asRest({ ...rest, ...(Object.keys(otherMetadata).length > 0 ? { metadata: otherMetadata } : {}) }),
  }
}

function count(value: JsonValue | undefined, name: string): number | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw badRequest(`${name}: a whole number of tokens is required.`, name)
  }
  return value
}

const numeric = <K extends 'temperature' | 'topP' | 'topK'>(name: K, value: JsonValue | undefined) =>
  (typeof value === 'number' ? { [name]: value } : {}) as { readonly [name in K]?: number }

function systemOf(system: JsonValue | undefined): Message[] {
  if (system === undefined || system === null) return []
  const parts = partsOf(system, 'system')
  return parts.length > 0 ? [{ role: 'system', parts }] : []
}

/** A user's turn with tool results is two messages in the common form: the results, then what the user says. */
function messagesOf(message: JsonValue, place: string): Message[] {
  if (!isObject(message)) throw badRequest(`${place}: an object is required.`, place)
  const { role, content, ...rest } = message
  if (role !== 'user' && role !== 'assistant' && role !== 'system') {
    throw badRequest(`${place}.role: "user", "assistant" or "system" is required.`, `${place}.role`)
  }
  const parts = partsOf(content, `${place}.content`)
  // Marked as ours even if empty: written back, it stays inside the conversation.
  if (role === 'system') return [{ role, parts, rest: { [ID]: rest } }]
  const results: Part[] = role === 'user' ? parts.filter((part) => part.type === 'tool-result') : []
  const others = results.length > 0 ? parts.filter((part) => part.type !== 'tool-result') : parts
  const spoken: Message = { role, parts: others, ...asRest(rest) }
  if (results.length === 0) return [spoken]
  const answered: Message = { role: 'tool', parts: results }
  return others.length > 0 ? [answered, spoken] : [answered]
}

function partsOf(content: JsonValue | undefined, place: string): Part[] {
  if (typeof content === 'string') return content === '' ? [] : [{ type: 'text', text: content }]
  if (!Array.isArray(content)) throw badRequest(`${place}: a text or a list of blocks is required.`, place)
  return content.map((block, at) => {
    if (!isObject(block) || typeof block.type !== 'string') {
      throw badRequest(`${place}.${at}.type: a content block names its type.`, `${place}.${at}`)
    }
    return partOf(block, `${place}.${at}`)
  })
}

function partOf(block: JsonObject, place: string): Part {
  const { type, cache_control, ...fields } = block
  const cache = cacheOf(cache_control)
  // A marker that says more than the common one goes back whole.
  const kept = (rest: JsonObject) =>
    asRest(cache_control == null || isPlainCache(cache_control) ? rest : { ...rest, cache_control })
  switch (type) {
    case 'text': {
      const { text, ...rest } = fields
      if (typeof text !== 'string') throw badRequest(`${place}.text: a text is required.`, `${place}.text`)
      return { type: 'text', text, ...cache, ...kept(rest) }
    }
    case 'image':
    case 'document': {
      const { source, title, ...rest } = fields
      const known = sourceOf(objectOf(source))
      if (!known) break
      const name = type === 'document' && typeof title === 'string' ? { name: title } : {}
      return { type: type === 'image' ? 'image' : 'file', source: known, ...name, ...cache, ...kept(rest) }
    }
    case 'thinking': {
      const { thinking, signature, ...rest } = fields
      const signed = typeof signature === 'string' && signature !== '' ? { signature } : {}
      return { type: 'reasoning', text: stringOf(thinking) ?? '', ...signed, ...kept(rest) }
    }
    case 'redacted_thinking': {
      const { data, ...rest } = fields
      return { type: 'reasoning', text: '', redacted: stringOf(data) ?? '', ...kept(rest) }
    }
    case 'tool_use': {
      const { id, name, input, ...rest } = fields
      if (typeof id !== 'string' || typeof name !== 'string') {
        throw badRequest(`${place}: a tool_use block has an id and a name.`, place)
      }
      return { type: 'tool-call', id, name, arguments: JSON.stringify(input ?? {}), ...cache, ...kept(rest) }
    }
    case 'tool_result': {
      const { tool_use_id, content, is_error, ...rest } = fields
      if (typeof tool_use_id !== 'string') {
        throw badRequest(`${place}.tool_use_id: the id of a tool_use block is required.`, `${place}.tool_use_id`)
      }
      const parts = content === undefined || content === null ? [] : partsOf(content, `${place}.content`)
      const result: ToolResultPart = {
        type: 'tool-result',
        id: tool_use_id,
        ...(is_error === true ? { isError: true } : {}),
        content: parts.map(resultPart),
        ...cache,
        ...kept(rest),
      }
      return result
    }
  }
  return { type: 'opaque', dialect: ID, value: block }
}

function resultPart(part: Part): TextPart | MediaPart | OpaquePart {
  switch (part.type) {
    case 'text':
    case 'image':
    case 'file':
    case 'opaque':
      return part
    default:
      throw badRequest('A tool_result holds text, images and documents only.', 'messages')
  }
}

/** Undefined for a source without a common word (`content`): the block is kept whole. */
function sourceOf(source: JsonObject): MediaPart['source'] | undefined {
  const { type, media_type, data, url, file_id } = source
  if (type === 'base64' && typeof data === 'string') {
    return { kind: 'data', mediaType: stringOf(media_type) ?? 'application/octet-stream', base64: data }
  }
  if (type === 'url' && typeof url === 'string') return { kind: 'url', url }
  if (type === 'file' && typeof file_id === 'string') return { kind: 'id', id: file_id }
  if (type === 'text' && typeof data === 'string') {
    return { kind: 'data', mediaType: 'text/plain', base64: Buffer.from(data, 'utf8').toString('base64') }
  }
  return undefined
}

function toolOf(tool: JsonObject): Tool {
  const { name, description, input_schema, strict, cache_control, ...rest } = tool
  if (typeof name !== 'string' || name === '') throw badRequest('tools: a tool needs a name.', 'tools')
  const isWhole = cache_control == null || isPlainCache(cache_control)
  return {
    name,
    ...(typeof description === 'string' ? { description } : {}),
    ...(isObject(input_schema) ? { parameters: input_schema } : {}),
    ...(strict === true ? { strict } : {}),
    ...cacheOf(cache_control),
    ...asRest(isWhole ? rest : { ...rest, cache_control }),
  }
}

function toolChoiceOf(choice: JsonObject): ToolChoice | undefined {
  switch (choice.type) {
    case 'auto':
    case 'none':
      return { type: choice.type }
    case 'any':
      return { type: 'required' }
    case 'tool':
      return { type: 'tool', name: stringOf(choice.name) ?? '' }
    default:
      return undefined
  }
}

function reasoningOf(thinking: JsonValue | undefined, outputConfig: JsonValue | undefined): Reasoning | undefined {
  const { type, budget_tokens, display } = objectOf(thinking)
  const effort = effortOf(outputConfig)
  if (type === undefined && effort === undefined) return undefined
  if (type === 'disabled') return { effort: 'none' }
  return {
    ...(effort === undefined ? {} : { effort }),
    ...(typeof budget_tokens === 'number' ? { budgetTokens: budget_tokens } : {}),
    ...(display === 'summarized' ? { summary: true } : display === 'omitted' ? { summary: false } : {}),
  }
}

function effortOf(outputConfig: JsonValue | undefined): Reasoning['effort'] {
  const effort = stringOf(objectOf(outputConfig).effort)
  return effort !== undefined && EFFORTS.has(effort) ? (effort as NonNullable<Reasoning['effort']>) : undefined
}

function formatOf(value: JsonValue | undefined): ResponseFormat | undefined {
  const { type, schema, name } = objectOf(value)
  if (type !== 'json_schema' || !isObject(schema)) return undefined
  return { type: 'schema', name: stringOf(name) ?? 'answer', schema, strict: true }
}

/** What of these two would not come back the same from the common words. */
function beyondCommon(thinking: JsonValue | undefined, outputConfig: JsonValue | undefined): JsonObject {
  const { type, budget_tokens, display, ...more } = objectOf(thinking)
  const effort = effortOf(outputConfig)
  const isCommonThinking =
    isEmpty(more) &&
    (display === undefined || display === 'summarized' || display === 'omitted') &&
    (type === 'disabled' ||
      (type === 'enabled' && typeof budget_tokens === 'number' && effort === undefined) ||
      (type === 'adaptive' && effort !== undefined))
  const keepsThinking = isObject(thinking) && !isCommonThinking
  const { effort: _, format, ...others } = objectOf(outputConfig)
  const keepsEffort = effort === undefined || !isCommonThinking
  const schema = formatOf(format) ? objectOf(objectOf(format).schema) : undefined
  const isCommonFormat =
    schema !== undefined &&
    isDeepStrictEqual(Object.keys(objectOf(format)).sort(), ['schema', 'type']) &&
    isDeepStrictEqual(
      structuredSchema(schema, () => {}),
      schema,
    )
  const kept: JsonObject = {
    ...others,
    ...(keepsEffort && objectOf(outputConfig).effort !== undefined ? { effort: objectOf(outputConfig).effort } : {}),
    ...(format !== undefined && !isCommonFormat ? { format } : {}),
  }
  return { ...(keepsThinking ? { thinking } : {}), ...(isEmpty(kept) ? {} : { output_config: kept }) }
}
