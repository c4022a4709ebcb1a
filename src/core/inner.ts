/**
 * A chat that a module asks inside an exchange: one of its own, through a route as any client's would go, logged and booked
 * under the module's name. It passes every module but those that name callers and the one that asked, so that no module
 * ever waits for itself; and nothing asks from within it.
 */
import { type EnginePorts, run } from './engine.ts'
import { failure } from './errors.ts'
import type { Exchange, Principal } from './exchange.ts'
import { compile, type Pipeline } from './pipeline.ts'
import type { ChatRequest, JsonObject } from './request.ts'
import type { Snapshot } from './snapshot.ts'
import type { RunningExchange, Underway } from './underway.ts'

export interface InnerChat {
  /** Its model is a public name. */
  readonly request: ChatRequest
  /** For all of it. */
  readonly timeoutMs: number
  /** Ends it early. */
  readonly signal?: AbortSignal
}

export interface InnerPorts {
  readonly engine: EnginePorts
  /** The dialect that it is asked in: it must be one of chats, with a side towards clients and one towards upstreams. */
  readonly dialect: string
  readonly running: Underway<RunningExchange>
  snapshot(): Snapshot
}

/** The answer's text. Rejects with what kept it from being given. */
export type AskInside = (x: Exchange, by: string, asked: InnerChat) => Promise<string>

const pipelines = new WeakMap<Snapshot, Map<string, Pipeline>>()
function pipelineWithout(by: string, snapshot: Snapshot): Pipeline {
  let known = pipelines.get(snapshot)
  if (!known) {
    known = new Map()
    pipelines.set(snapshot, known)
  }
  let pipeline = known.get(by)
  if (!pipeline) {
    pipeline = compile(snapshot.live.filter(({ module }) => module.layer !== 'identity' && module.id !== by))
    known.set(by, pipeline)
  }
  return pipeline
}

export function createAskInside(ports: InnerPorts): AskInside {
  const asked = new WeakMap<Exchange, number>()
  return async (x, by, { request, timeoutMs, signal }) => {
    if (x.inner) throw new Error(`${by} asks inside ${x.id}, which was itself asked by ${x.inner.by}`)
    const dialect = ports.engine.dialects.get(ports.dialect)
    if (!dialect?.client || !dialect.upstream) throw new Error(`${ports.dialect} cannot be asked inside`)
    const number = (asked.get(x) ?? 0) + 1
    asked.set(x, number)
    const id = `${x.id}-${by}-${number}`
    x.trace.push({ phase: 'inner', module: by, decision: 'asks', reason: `${request.model} as ${id}` })
    const { model } = request
    const written = dialect.upstream.writeRequest(request, { model, provider: '', report() {} })
    const snapshot = ports.snapshot()
    const controller = new AbortController()
    const inner = innerExchange(
      x,
      by,
      id,
      written,
      request,
      dialect.id,
      snapshot,
      ports.engine.now(),
      controller.signal,
    )
    const leave = snapshot.enter()
    const left = (): void => controller.abort(signal?.reason)
    if (signal?.aborted) left()
    signal?.addEventListener('abort', left, { once: true })
    const late = failure('upstream_timeout', { upstream: model, what: 'answer', timeoutMs })
    const timer = setTimeout(() => controller.abort(late), timeoutMs)
    const running: RunningExchange = { x: inner, controller, place: -1 }
    ports.running.add(running)
    try {
      const arriving = { identify: () => inner.principal as Principal, receive: async () => {} }
      const answer = await run(inner, arriving, snapshot, ports.engine)
      if (answer.kind !== 'body') throw new Error('an unstreamed request was answered by a stream')
      let text = ''
      for (const event of dialect.upstream.readBody(JSON.parse(answer.body.toString('utf8')) as JsonObject)) {
        if (event.type === 'text-delta' && (event.choice ?? 0) === 0) text += event.text
      }
      return text
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', left)
      ports.running.delete(running)
      leave()
    }
  }
}

function innerExchange(
  outer: Exchange,
  by: string,
  id: string,
  json: JsonObject,
  request: ChatRequest,
  dialect: string,
  snapshot: Snapshot,
  now: number,
  signal: AbortSignal,
): Exchange {
  const body = Buffer.from(JSON.stringify(json))
  const name = `module:${by}`
  return {
    id,
    inner: { of: outer.id, by },
    arrivedAt: now,
    started: performance.now(),
    revision: snapshot.revision,
    names: snapshot.names,
    prices: snapshot.prices,
    operation: 'chat',
    dialect,
    model: request.model,
    stream: false,
    outputLimit: request.maxOutputTokens,
    path: outer.path,
    peer: outer.peer,
    headers: {},
    body,
    scan: body,
    json,
    inputEstimate: Math.max(1, Math.ceil(body.length / 4)),
    signal,
    principal: { kind: 'local', id: name, scope: name },
    pipeline: pipelineWithout(by, snapshot),
    request: () => request,
    // It was never bytes of a client, so it is written anew for each target.
    transformed: request,
    attempts: [],
    trace: [{ phase: 'inner', module: by, decision: 'asked', reason: `inside ${outer.id}` }],
    unsupported: new Set(),
    keepReplyBytes: 0,
    replyBody: [],
  }
}
