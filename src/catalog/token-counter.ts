/**
 * Counting tokens beside the traffic (A15): one worker, started with the first question and gone when nobody has asked
 * for a while, because a tokenizer's tables are large. Who asks while very many wait gets an estimate by length.
 */
import { Worker } from 'node:worker_threads'
import type { Pieces, TokenCounter } from '../core/counting.ts'
import { estimateTokens } from '../core/usage.ts'
import { type Tokens, tokensOf } from './tokens.ts'

const MOST_WAITING = 64
const MOST_WAITING_CHARACTERS = 64_000_000
const IDLE_MS = 300_000

interface Waiting {
  readonly characters: number
  resolve(tokens: number): void
  /** By length alone, should the worker fail. */
  readonly roughly: number
}

export function createTokenCounter(workerUrl: URL | string | (() => URL)): TokenCounter {
  const waiting = new Map<number, Waiting>()
  let characters = 0
  let worker: Worker | undefined
  let idle: NodeJS.Timeout | undefined
  let next = 0

  function settle(id: number, tokens: number | undefined): void {
    const asked = waiting.get(id)
    if (!asked) return
    waiting.delete(id)
    characters -= asked.characters
    asked.resolve(tokens ?? asked.roughly)
    if (waiting.size > 0) return
    worker?.unref()
    idle?.refresh()
  }
  function stop(): void {
    void worker?.terminate()
    worker = undefined
    for (const id of [...waiting.keys()]) settle(id, undefined)
  }
  function start(): Worker {
    const started = new Worker(typeof workerUrl === 'function' ? workerUrl() : workerUrl)
    started.unref()
    started.on('message', ({ id, tokens }: { id: number; tokens: number }) => settle(id, tokens))
    const ended = (): void => {
      if (worker === started) stop()
    }
    started.on('error', ended)
    started.on('exit', ended)
    idle ??= setTimeout(() => {
      if (waiting.size === 0) stop()
    }, IDLE_MS).unref()
    idle.refresh()
    return started
  }

  function countTexts(encoding: Tokens['encoding'], texts: readonly string[]): Promise<number> {
    const length = texts.reduce((sum, text) => sum + text.length, 0)
    const roughly = estimateTokens(length)
    if (length === 0) return Promise.resolve(0)
    if (waiting.size >= MOST_WAITING || characters + length > MOST_WAITING_CHARACTERS) return Promise.resolve(roughly)
    worker ??= start()
    const id = ++next
    characters += length
    return new Promise((resolve) => {
      waiting.set(id, { characters: length, resolve, roughly })
      worker?.ref()
      worker?.postMessage({ id, encoding, texts })
    })
  }

  return {
    async count(model, pieces) {
      const tokens = tokensOf(model)
      return sumOf(tokens, pieces, await countTexts(tokens.encoding, pieces.texts))
    },
    async close() {
      clearTimeout(idle)
      stop()
    },
  }
}

export function sumOf(t: Tokens, pieces: Pieces, counted: number): number {
  const frames =
    (pieces.messages > 0 ? t.perRequest : 0) +
    pieces.messages * t.perMessage +
    pieces.toolCalls * t.perCall +
    pieces.thoughts * t.perThought +
    pieces.tools * t.perTool +
    pieces.images * t.perImage +
    pieces.documents * t.perDocument
  return Math.round(counted * t.factor) + frames + pieces.tokens
}
