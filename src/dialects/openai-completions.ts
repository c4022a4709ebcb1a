/**
 * OpenAI's legacy completions (`prompt` in, `text` out). No other format can say what they say, so requests stay whole
 * in the rest and go to upstreams that speak this dialect. Replies are read and written all the same: a stream that is
 * wanted of a body (or the other way round) and stages that look at text need it. Errors, usage and finish reasons are
 * OpenAI's as in chat, and so is their code.
 */
import { defineDialect, type ReplyContext, type StreamReader, type StreamWriter } from '../core/dialect.ts'
import { badRequest, failure } from '../core/errors.ts'
import type { ReplyEvent } from '../core/reply.ts'
import type { CompletionRequest, JsonObject, JsonValue } from '../core/request.ts'
import type { Usage } from '../core/usage.ts'
import { formatSse } from '../wire/sse.ts'
import {
  askForUsage,
  bornInside,
  ChatWatcher,
  FINISH_NAMES,
  factsOf,
  failStream,
  finishOf,
  isEmpty,
  isObject,
  listOf,
  objectOf,
  optional,
  probesFor,
  readError,
  required,
  said,
  usageOf,
  without,
  wordOf,
  writeError,
  writeUsage,
} from './openai-chat/index.ts'

const ID = 'openai-completions'
const PROBES = probesFor('text')

function readRequest(body: JsonObject): CompletionRequest {
  const rest = without(body, 'model', 'stream')
  return {
    operation: 'completion',
    model: required(body, 'model', 'string'),
    stream: optional(body, 'stream', 'boolean') ?? false,
    ...(isEmpty(rest) ? {} : { rest: { [ID]: rest } }),
  }
}

class ReplyReader implements StreamReader {
  /** A choice's part is its index: a choice is one text. */
  readonly #choices = new Map<number, { isFinished: boolean }>()
  #isStarted = false
  #isDone = false

  read(data: string, event?: string): ReplyEvent[] {
    const text = data.trim()
    if (text === '' || this.#isDone) return []
    if (text === '[DONE]') {
      this.#isDone = true
      return []
    }
    try {
      return this.take(JSON.parse(text), event)
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      throw failure('upstream_invalid', { problem: 'an event that is not JSON' }, error)
    }
  }

  take(value: JsonValue, event?: string): ReplyEvent[] {
    const error = bornInside(value, event)
    if (error) throw error
    if (!isObject(value)) throw failure('upstream_invalid', { problem: 'an event that is no object' })
    const events: ReplyEvent[] = []
    if (!this.#isStarted) {
      this.#isStarted = true
      const id = wordOf(value.id)
      const model = wordOf(value.model)
      events.push({
        type: 'reply-start',
        ...(id === undefined ? {} : { id }),
        ...(model === undefined ? {} : { model }),
        ...(typeof value.created === 'number' ? { created: value.created } : {}),
      })
    }
    for (const [i, choice] of listOf(value.choices).entries()) if (isObject(choice)) this.#choice(choice, i, events)
    const usage = usageOf(value.usage)
    if (usage) events.push({ type: 'usage-report', usage })
    return events
  }

  #choice(value: JsonObject, position: number, events: ReplyEvent[]): void {
    const index = typeof value.index === 'number' ? value.index : position
    const at = index === 0 ? {} : { choice: index }
    let choice = this.#choices.get(index)
    if (!choice) {
      choice = { isFinished: false }
      this.#choices.set(index, choice)
      events.push({ type: 'text-start', part: index, ...at })
    }
    if (choice.isFinished) return
    const beside = said(without(value, 'index', 'text', 'finish_reason'))
    const text = wordOf(value.text) ?? ''
    if (text !== '' || !isEmpty(beside)) {
      events.push({
        type: 'text-delta',
        part: index,
        ...at,
        text,
        ...(isEmpty(beside) ? {} : { rest: { [ID]: beside } }),
      })
    }
    const reason = wordOf(value.finish_reason)
    if (reason === undefined) return
    choice.isFinished = true
    events.push({ type: 'text-end', part: index, ...at }, { type: 'finish', ...at, reason: finishOf(reason, false) })
  }

  end(): ReplyEvent[] {
    const choices = [...this.#choices.values()]
    if (choices.length === 0 || choices.some((choice) => !choice.isFinished)) throw failure('upstream_incomplete')
    return [{ type: 'reply-end' }]
  }
}

/** What one event says of one choice, and whatever is said of the whole reply. */
class Reply {
  readonly #context: ReplyContext
  #head: { readonly id?: string; readonly model?: string; readonly created?: number } = {}
  usage: Usage | undefined

  constructor(context: ReplyContext) {
    this.#context = context
  }

  take(event: ReplyEvent): JsonObject | undefined {
    switch (event.type) {
      case 'reply-start':
        this.#head = event
        if (event.usage) this.usage = event.usage
        return undefined
      case 'usage-report':
        this.usage = event.usage
        return undefined
      case 'text-delta':
        return { text: event.text, index: event.choice ?? 0, logprobs: null, ...event.rest?.[ID], finish_reason: null }
      case 'finish':
        return { text: '', index: event.choice ?? 0, logprobs: null, finish_reason: FINISH_NAMES[event.reason] }
      default:
        return undefined
    }
  }

  frame(choices: readonly JsonObject[], usage: Usage | undefined): JsonObject {
    return {
      id: this.#head.id ?? this.#context.id,
      object: 'text_completion',
      created: this.#head.created ?? this.#context.created,
      model: this.#head.model ?? this.#context.model,
      choices,
      ...(usage ? { usage: writeUsage(usage) } : {}),
    }
  }
}

function streamWriter(context: ReplyContext): StreamWriter {
  const reply = new Reply(context)
  const wantsUsage = objectOf(context.asked.stream_options).include_usage === true
  const send = (choices: readonly JsonObject[], usage?: Usage) => formatSse(JSON.stringify(reply.frame(choices, usage)))
  return {
    write(event) {
      const choice = reply.take(event)
      if (choice) return send([choice])
      if (event.type !== 'reply-end') return ''
      return `${wantsUsage && reply.usage ? send([], reply.usage) : ''}data: [DONE]\n\n`
    },
    fail: failStream,
  }
}

function writeBody(events: readonly ReplyEvent[], context: ReplyContext): JsonObject {
  const reply = new Reply(context)
  const choices = new Map<number, JsonObject>()
  for (const event of events) {
    const piece = reply.take(event)
    if (!piece) continue
    const index = piece.index as number
    const sum = choices.get(index)
    if (!sum) choices.set(index, piece)
    else {
      const text = `${String(sum.text)}${String(piece.text)}`
      choices.set(index, {
        ...sum,
        text,
        logprobs: logprobs(sum.logprobs, piece.logprobs),
        finish_reason: piece.finish_reason,
      })
    }
  }
  const written = [...choices].sort(([a], [b]) => a - b).map(([, choice]) => choice)
  return reply.frame(written, reply.usage)
}

/** Lists by token: `tokens`, `token_logprobs`, `top_logprobs`, `text_offset`. */
function logprobs(a: JsonValue | undefined, b: JsonValue | undefined): JsonValue {
  if (!isObject(a) || !isObject(b)) return isObject(b) ? b : (a ?? null)
  return Object.fromEntries(Object.entries(a).map(([name, list]) => [name, [...listOf(list), ...listOf(b[name])]]))
}

export default defineDialect({
  id: ID,
  operation: 'completion',
  client: {
    fields: {
      model: 'string',
      stream: 'boolean',
      stream_options: 'object',
      max_tokens: 'integer',
      temperature: 'number',
      top_p: 'number',
      stop: 'string|array',
      n: 'integer',
      best_of: 'integer',
      seed: 'integer',
      logprobs: 'integer',
      echo: 'boolean',
      suffix: 'string',
      frequency_penalty: 'number',
      presence_penalty: 'number',
      user: 'string',
    },
    streamType: 'text/event-stream',
    content: 'prompt',
    requestIdHeader: 'x-request-id',
    outputLimit: ({ max_tokens }) => (typeof max_tokens === 'number' ? max_tokens : undefined),
    limitOutput: (_, tokens) => ({ max_tokens: tokens }),
    readRequest,
    writeBody,
    streamWriter,
    ping: ': ping\n\n',
    writeError,
    failStream,
  },
  upstream: {
    framing: 'sse',
    writeRequest(request, context) {
      if (request.operation !== 'completion') throw badRequest('This endpoint does legacy completions only.', 'model')
      const body: JsonObject = {
        ...request.rest?.[ID],
        model: context.model,
        ...(request.stream ? { stream: true } : {}),
      }
      return context.quirks?.noStreamOptions ? body : { ...body, ...askForUsage(body) }
    },
    relayEdits: askForUsage,
    readBody(body) {
      const reader = new ReplyReader()
      return [...reader.take(body), ...reader.end()]
    },
    streamReader: () => new ReplyReader(),
    watcher: (asked) => new ChatWatcher(asked, PROBES),
    factsOf,
    readError,
  },
})
