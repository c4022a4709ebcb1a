/**
 * How many tokens a request's input has. The vendor is asked where it counts for free; otherwise the texts are counted by
 * a tokenizer off the serving thread. All block kinds count, tool results and definitions too: an agent that is told too
 * little never makes room (A64).
 */

import { type Arriving, type EnginePorts, planFor } from './engine.ts'
import type { Exchange, Target } from './exchange.ts'
import { TIMEOUTS } from './exchange.ts'
import { claimed } from './objects.ts'
import type { AttemptPorts } from './outgoing.ts'
import { bodyFor, dialectFor } from './outgoing.ts'
import { callUpstream } from './own-call.ts'
import * as phases from './pipeline.ts'
import { pathOf } from './provider.ts'
import type { JsonObject, JsonValue, MediaPart, ModelRequest, Part } from './request.ts'
import type { Snapshot } from './snapshot.ts'

/** What a request is made of, as far as it becomes tokens. */
export interface Pieces {
  readonly texts: readonly string[]
  readonly messages: number
  readonly toolCalls: number
  readonly thoughts: number
  readonly tools: number
  readonly images: number
  readonly documents: number
  /** Tokens that came as numbers. */
  readonly tokens: number
}
/** catalog/ implements it, with a worker. */
export interface TokenCounter {
  count(model: string, pieces: Pieces): Promise<number>
  close(): Promise<void>
}
export interface Counted {
  readonly tokens: number
  readonly by: 'vendor' | 'estimate'
}

const PATIENCE_MS = 10_000
const MOST_ANSWER = 64 * 1024
const TIMES = { ...TIMEOUTS, headersUnstreamedMs: PATIENCE_MS, totalMs: PATIENCE_MS }

/** What an endpoint that counts does: who asks, what for, and how much the first target that may serve it would read. */
export async function countFor(
  x: Exchange,
  arriving: Arriving,
  snapshot: Snapshot,
  ports: EnginePorts,
): Promise<Counted> {
  x.principal = await phases.whoAsks(snapshot.pipeline, x, arriving.identify)
  await arriving.receive()
  const owned = claimed(x, ports.objects)
  if (owned) x.owned = owned
  x.plan = await planFor(x, snapshot, ports, true)
  const [target] = x.plan.targets
  if (!target) throw phases.noTarget('no upstream takes it')
  // What no vendor may read it may not count either.
  if (snapshot.pipeline.transform.length > 0) {
    const transformed = await phases.transform(snapshot.pipeline, x)
    if (transformed) x.transformed = transformed
  }
  return await countInput(x, target, target.upstream.credentials[0]?.secret, ports)
}

/** `secret` is the credential to ask with. A vendor that does not answer in time or with a count is estimated for. */
export async function countInput(
  x: Exchange,
  target: Target,
  secret: string | undefined,
  ports: AttemptPorts & { readonly counter: TokenCounter },
): Promise<Counted> {
  const asked = await byVendor(x, target, secret, ports)
  if (asked !== undefined) return { tokens: asked, by: 'vendor' }
  return { tokens: await ports.counter.count(target.model, piecesOf(x.transformed ?? x.request())), by: 'estimate' }
}

async function byVendor(
  x: Exchange,
  target: Target,
  secret: string | undefined,
  ports: AttemptPorts,
): Promise<number | undefined> {
  const { upstream, model } = target
  const { provider, options } = upstream
  const dialect = dialectFor(x, target, ports.dialects)
  const side = dialect?.upstream
  const counts = dialect && provider.counts?.[dialect.id]
  const path = counts && pathOf(counts.endpoint, { model, stream: false, options })
  if (!dialect || !side || !counts || path === undefined || !x.plan) return undefined
  try {
    const written = ports.wire.parseJson(Buffer.concat(bodyFor(x, x.plan, target, dialect, side, ports)))
    const body = [Buffer.from(JSON.stringify(counts.ask(written as JsonObject, model)))]
    const headers = {
      ...ports.wire.upstreamHeaders(x.headers, provider.forward ?? []),
      'content-type': 'application/json',
      'user-agent': `stockyard/${ports.version}`,
    }
    const reply = await callUpstream(ports.wire.egress, upstream, {
      method: 'POST',
      path,
      headers,
      body,
      secret,
      timeouts: TIMES,
      signal: x.signal,
    })
    const answer = await reply.collect(MOST_ANSWER)
    return reply.status === 200 ? countIn(ports.wire.parseJson(answer)) : undefined
  } catch {
    if (x.signal.aborted) throw x.signal.reason
    return undefined
  }
}

function countIn(answer: JsonValue): number | undefined {
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) return undefined
  const { input_tokens, totalTokens, inputTokens } = answer as JsonObject
  for (const count of [input_tokens, totalTokens, inputTokens]) {
    if (typeof count === 'number' && Number.isInteger(count) && count >= 0) return count
  }
  return undefined
}

export function piecesOf(request: ModelRequest): Pieces {
  const pieces = {
    texts: [] as string[],
    messages: 0,
    toolCalls: 0,
    thoughts: 0,
    tools: 0,
    images: 0,
    documents: 0,
    tokens: 0,
  }
  const add = (text: string | undefined): void => {
    if (text) pieces.texts.push(text)
  }
  const media = ({ type, source, name }: MediaPart): void => {
    add(name)
    const isText = source.kind === 'data' && /^(?:text\/|application\/(?:json|xml|yaml))/.test(source.mediaType)
    if (isText) add(Buffer.from(source.base64, 'base64').toString('utf8'))
    else if (type === 'image') pieces.images++
    else pieces.documents++
  }
  const part = (each: Part): void => {
    switch (each.type) {
      case 'text':
      case 'refusal':
        add(each.text)
        break
      case 'reasoning':
        pieces.thoughts++
        // What is sealed is about as long as its text was: six bits a character.
        add(each.redacted ?? each.text)
        break
      case 'tool-call':
        pieces.toolCalls++
        add(each.name)
        add(each.arguments)
        break
      case 'tool-result':
        pieces.toolCalls++
        for (const inner of each.content) part(inner)
        break
      case 'opaque':
        add(JSON.stringify(each.value))
        break
      default:
        media(each)
    }
  }
  switch (request.operation) {
    case 'chat':
      for (const { parts, name } of request.messages) {
        pieces.messages++
        add(name)
        for (const each of parts) part(each)
      }
      for (const { name, description, parameters } of request.tools ?? []) {
        pieces.tools++
        add(name)
        add(description)
        if (parameters) add(JSON.stringify(parameters))
      }
      for (const { value } of request.hostedTools ?? []) add(JSON.stringify(value))
      if (request.responseFormat?.type === 'schema') add(JSON.stringify(request.responseFormat.schema))
      break
    case 'embeddings':
      for (const input of request.input) {
        if (typeof input === 'string') add(input)
        else pieces.tokens += input.length
      }
      break
    case 'rerank':
      // The query is read with each document.
      for (const document of request.documents) {
        add(typeof document === 'string' ? document : JSON.stringify(document))
        add(request.query)
      }
      break
    default:
      add(JSON.stringify(request.rest ?? {}))
  }
  return pieces
}
