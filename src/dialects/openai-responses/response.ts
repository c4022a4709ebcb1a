/** The response object around the output: what was asked for is told back in it, with every field clients demand. */
import type { ReplyContext } from '../../core/dialect.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import type { Usage } from '../../core/usage.ts'
import { isObject, objectOf } from '../openai-chat/index.ts'
import { writeUsage } from './usage.ts'
import { ownRest } from './vocabulary.ts'

type EventOf<T extends ReplyEvent['type']> = Extract<ReplyEvent, { type: T }>

export class ResponseFrame {
  readonly #context: ReplyContext
  #start: EventOf<'reply-start'> = { type: 'reply-start' }
  #usage: Usage | undefined
  #finish: EventOf<'finish'> | undefined

  constructor(context: ReplyContext) {
    this.#context = context
  }

  note(event: ReplyEvent): void {
    if (event.type === 'usage-report') this.#usage = event.usage
    else if (event.type === 'finish' && !event.choice) this.#finish = event
    else if (event.type === 'reply-start') {
      this.#start = event
      this.#usage = event.usage ?? this.#usage
    }
  }

  get status(): 'completed' | 'incomplete' {
    const reason = this.#finish?.reason
    return reason === 'length' || reason === 'content-filter' || reason === 'refusal' ? 'incomplete' : 'completed'
  }

  running(): JsonObject {
    return this.#response('in_progress', [], null)
  }

  ended(output: readonly JsonObject[]): JsonObject {
    const own = objectOf(ownRest(this.#finish?.rest).response)
    const raw = ownRest(this.#finish?.rest).usage
    const usage = isObject(raw) ? raw : this.#usage ? writeUsage(this.#usage) : null
    return { ...this.#response(this.status, output, usage), ...own }
  }

  #response(status: string, output: readonly JsonObject[], usage: JsonValue): JsonObject {
    const { asked, id, model, created } = this.#context
    const reason = this.#finish?.reason === 'length' ? 'max_output_tokens' : 'content_filter'
    const { reasoning, text } = asked
    return {
      id: this.#start.id ?? `resp_${id}`,
      object: 'response',
      created_at: this.#start.created ?? created,
      status,
      background: false,
      error: null,
      incomplete_details: status === 'incomplete' ? { reason } : null,
      instructions: asked.instructions ?? null,
      max_output_tokens: asked.max_output_tokens ?? null,
      max_tool_calls: asked.max_tool_calls ?? null,
      model: this.#start.model ?? model,
      output,
      parallel_tool_calls: asked.parallel_tool_calls ?? true,
      previous_response_id: asked.previous_response_id ?? null,
      reasoning: { effort: null, summary: null, ...objectOf(reasoning) },
      service_tier: asked.service_tier ?? 'default',
      store: asked.store ?? false,
      temperature: asked.temperature ?? 1,
      text: { format: { type: 'text' }, ...objectOf(text) },
      tool_choice: asked.tool_choice ?? 'auto',
      tools: asked.tools ?? [],
      top_logprobs: asked.top_logprobs ?? 0,
      top_p: asked.top_p ?? 1,
      truncation: asked.truncation ?? 'disabled',
      usage,
      user: asked.user ?? null,
      metadata: asked.metadata ?? {},
      ...objectOf(ownRest(this.#start.rest).response),
    }
  }
}
