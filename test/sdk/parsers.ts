/**
 * Streams as the vendors' official SDKs read them: each SDK gets the bytes as the answer to a call of its own, and its
 * own parser makes of them what an application would see.
 */
import Anthropic from '@anthropic-ai/sdk'
import { GoogleGenAI } from '@google/genai'
import OpenAI from 'openai'
import type { FinishReason } from '../../src/core/reply.ts'

/** What an application sees of a reply. */
export interface Seen {
  readonly text: string
  readonly reasoning: string
  readonly calls: readonly { readonly name: string; readonly args: unknown }[]
  /** Kinds of the parts in their order, neighbors of one kind as one; empty where the format has no order. */
  readonly order: readonly string[]
  readonly finish: string | undefined
  readonly input: number | undefined
  readonly output: number | undefined
}

export interface Parser {
  readonly dialect: string
  parse(stream: Buffer): Promise<Seen>
  /** How this API spells each reason, several of them alike. */
  readonly finishes: Readonly<Record<FinishReason, string>>
  /** Fields of a request without which parts of the reply would not be streamed. */
  readonly asked: Readonly<Record<string, unknown>>
}

const answering = (stream: Buffer) => async (): Promise<Response> =>
  new Response(new Uint8Array(stream), { headers: { 'content-type': 'text/event-stream' } })

const parsed = (json: string): unknown => {
  try {
    return JSON.parse(json === '' ? '{}' : json)
  } catch {
    return json
  }
}
function merged(kinds: readonly string[]): string[] {
  return kinds.filter((kind, i) => kind !== kinds[i - 1])
}

const openaiChat: Parser = {
  dialect: 'openai-chat',
  asked: { stream_options: { include_usage: true } },
  finishes: {
    stop: 'stop',
    length: 'length',
    'tool-calls': 'tool_calls',
    'content-filter': 'content_filter',
    refusal: 'content_filter',
    pause: 'stop',
    other: 'stop',
  },
  async parse(stream) {
    const client = new OpenAI({ apiKey: 'k', maxRetries: 0, fetch: answering(stream) as never })
    const reasoning: string[] = []
    // The SDK's own accumulator throws away what it does not know: thinking is read off the chunks it parsed.
    const runner = client.chat.completions.stream({ model: 'm', messages: [], stream_options: { include_usage: true } })
    let usage: OpenAI.CompletionUsage | null | undefined
    runner.on('chunk', (chunk) => {
      const delta = chunk.choices[0]?.delta as { reasoning_content?: string; reasoning?: string } | undefined
      reasoning.push(delta?.reasoning_content ?? delta?.reasoning ?? '')
      usage = chunk.usage ?? usage
    })
    const [choice] = (await runner.finalChatCompletion()).choices
    const calls = choice?.message.tool_calls ?? []
    return {
      text: (choice?.message.content ?? '') + (choice?.message.refusal ?? ''),
      reasoning: reasoning.join(''),
      calls: calls.flatMap((call) =>
        call.type === 'function' ? [{ name: call.function.name, args: parsed(call.function.arguments) }] : [],
      ),
      order: [],
      finish: choice?.finish_reason,
      input: usage?.prompt_tokens,
      output: usage?.completion_tokens,
    }
  },
}

const openaiResponses: Parser = {
  dialect: 'openai-responses',
  asked: {},
  finishes: {
    stop: 'completed',
    length: 'incomplete: max_output_tokens',
    'tool-calls': 'completed',
    'content-filter': 'incomplete: content_filter',
    refusal: 'incomplete: content_filter',
    pause: 'completed',
    other: 'completed',
  },
  async parse(stream) {
    const client = new OpenAI({ apiKey: 'k', maxRetries: 0, fetch: answering(stream) as never })
    const response = await client.responses.stream({ model: 'm', input: '' }).finalResponse()
    const order: string[] = []
    let text = ''
    let reasoning = ''
    const calls: { name: string; args: unknown }[] = []
    for (const item of response.output) {
      if (item.type === 'message') {
        for (const part of item.content) text += part.type === 'output_text' ? part.text : part.refusal
        if (item.content.some((part) => (part.type === 'output_text' ? part.text : part.refusal) !== ''))
          order.push('text')
      } else if (item.type === 'reasoning') {
        const texts = [...item.summary, ...(item.content ?? [])].map((part) => part.text)
        reasoning += texts.join('\n\n')
        order.push('reasoning')
      } else if (item.type === 'function_call') {
        calls.push({
          name: item.namespace ? `${item.namespace}__${item.name}` : item.name,
          args: parsed(item.arguments),
        })
        order.push('call')
      } else if (item.type === 'custom_tool_call') {
        calls.push({ name: item.name, args: { input: item.input } })
        order.push('call')
      }
    }
    const why = response.incomplete_details?.reason
    return {
      text,
      reasoning,
      calls,
      order: merged(order),
      finish: why ? `${response.status}: ${why}` : response.status,
      input: response.usage?.input_tokens,
      output: response.usage?.output_tokens,
    }
  },
}

const anthropic: Parser = {
  dialect: 'anthropic-messages',
  asked: {},
  finishes: {
    stop: 'end_turn',
    length: 'max_tokens',
    'tool-calls': 'tool_use',
    'content-filter': 'refusal',
    refusal: 'refusal',
    pause: 'pause_turn',
    other: 'end_turn',
  },
  async parse(stream) {
    const client = new Anthropic({ apiKey: 'k', maxRetries: 0, fetch: answering(stream) as never })
    const message = await client.messages.stream({ model: 'm', max_tokens: 1, messages: [] }).finalMessage()
    const order: string[] = []
    let text = ''
    let reasoning = ''
    const calls: { name: string; args: unknown }[] = []
    for (const block of message.content) {
      if (block.type === 'text') {
        text += block.text
        if (block.text !== '') order.push('text')
      } else if (block.type === 'thinking' || block.type === 'redacted_thinking') {
        reasoning += block.type === 'thinking' ? block.thinking : ''
        order.push('reasoning')
      } else if (block.type === 'tool_use') {
        calls.push({ name: block.name, args: block.input })
        order.push('call')
      }
    }
    const { usage } = message
    return {
      text,
      reasoning,
      calls,
      order: merged(order),
      finish: message.stop_reason === 'stop_sequence' ? 'end_turn' : (message.stop_reason ?? undefined),
      input: usage.input_tokens + (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0),
      output: usage.output_tokens,
    }
  },
}

const gemini: Parser = {
  dialect: 'gemini-generate',
  asked: {},
  finishes: {
    stop: 'STOP',
    length: 'MAX_TOKENS',
    'tool-calls': 'STOP',
    'content-filter': 'SAFETY',
    refusal: 'SAFETY',
    pause: 'STOP',
    other: 'OTHER',
  },
  async parse(stream) {
    const client = new GoogleGenAI({ apiKey: 'k', httpOptions: { fetch: answering(stream) as never } })
    const order: string[] = []
    let text = ''
    let reasoning = ''
    const calls: { name: string; args: unknown }[] = []
    let finish: string | undefined
    let input: number | undefined
    let output: number | undefined
    for await (const chunk of await client.models.generateContentStream({ model: 'm', contents: 'x' })) {
      const [candidate] = chunk.candidates ?? []
      for (const part of candidate?.content?.parts ?? []) {
        if (part.functionCall) {
          calls.push({ name: part.functionCall.name ?? '', args: part.functionCall.args })
          order.push('call')
        } else if (part.thought) {
          reasoning += part.text ?? ''
          order.push('reasoning')
        } else if (part.text) {
          text += part.text
          order.push('text')
        }
      }
      finish = candidate?.finishReason ?? (chunk.promptFeedback?.blockReason ? 'SAFETY' : finish)
      const usage = chunk.usageMetadata
      if (!usage) continue
      input = (usage.promptTokenCount ?? 0) + (usage.toolUsePromptTokenCount ?? 0)
      output = (usage.candidatesTokenCount ?? 0) + (usage.thoughtsTokenCount ?? 0)
    }
    return { text, reasoning, calls, order: merged(order), finish, input, output }
  },
}

export const PARSERS: readonly Parser[] = [openaiChat, openaiResponses, anthropic, gemini]
