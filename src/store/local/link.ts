/**
 * The serving thread's end of a worker: calls with one answer each. A worker that dies is started again and told anew
 * what to open; calls that were under way reject. Nothing here keeps the process alive except a call that waits.
 */
import { Worker } from 'node:worker_threads'
import type { Log } from '../../core/module.ts'
import { type Member, Underway } from '../../core/underway.ts'
import { StoreError, type StoreErrorCode, WorkerGone } from './fault.ts'

/** What one kind of worker can be asked; each call takes one argument that can be cloned. */
// biome-ignore lint/suspicious/noExplicitAny: the argument's type is each call's own
export type Calls = Readonly<Record<string, (argument: any) => unknown>>

export type Role = 'keeper' | 'reader' | 'ledger' | 'program'

export interface Question {
  readonly id: number
  readonly call: string
  readonly argument: unknown
}
export type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly problem: Problem }
/** What a worker says unasked: an fsync failed there, or a file is damaged. */
export interface Alarm {
  readonly alarm: Problem
}
/** An error in a form that can be cloned: SQLite's result code, or the code of a refusal of the store. */
export interface Problem {
  readonly message: string
  readonly errcode?: number
  readonly code?: StoreErrorCode
}

const RESTART_MS = 1_000
const YOUNG_MB = 6

interface Waiting extends Member {
  readonly id: number
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout | undefined
}

export interface LinkOptions {
  readonly url: URL | string
  readonly role: Role
  /** Handed to the worker as it starts; see worker.ts. */
  readonly opening: unknown
  readonly log: Log
  readonly alarm: (error: Error) => void
}

export class Link<C extends Calls> {
  readonly #options: LinkOptions
  readonly #waiting = new Underway<Waiting>()
  #worker: Worker | undefined
  #restart: NodeJS.Timeout | undefined
  #nextId = 1
  #closed = false

  constructor(options: LinkOptions) {
    this.#options = options
  }

  /** Starts the worker ahead of the first call. */
  start(): void {
    if (this.#worker !== undefined || this.#restart !== undefined || this.#closed) return
    const { url, role, opening, log } = this.#options
    const worker = new Worker(typeof url === 'string' ? new URL(url) : url, {
      workerData: { role, opening },
      // A program computes; the other roles hand on rows, and would let their garbage grow as the serving thread may.
      ...(role === 'program' ? {} : { resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB } }),
    })
    this.#worker = worker
    worker.unref()
    worker.on('message', (message: Answer | Alarm) => {
      if ('alarm' in message) this.#options.alarm(thrown(message.alarm))
      else this.#answered(message)
    })
    worker.on('error', (error) => log.error(`the ${role} worker of the store failed`, { error }))
    worker.on('exit', () => this.#gone(worker))
  }

  /** Rejects if the worker dies, or after `limitMs`; then the worker, which may hang in a long read, is replaced. */
  call<K extends keyof C & string>(
    call: K,
    argument: Parameters<C[K]>[0],
    options: { readonly transfer?: readonly ArrayBuffer[]; readonly limitMs?: number } = {},
  ): Promise<Awaited<ReturnType<C[K]>>> {
    this.start()
    const worker = this.#worker
    if (worker === undefined) return Promise.reject(new WorkerGone(`the ${this.#options.role} worker is not running`))
    const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<C[K]>>>()
    const id = this.#nextId++
    const { limitMs } = options
    const timer = limitMs === undefined ? undefined : setTimeout(() => this.#late(id, call, limitMs), limitMs)
    this.#waiting.add({ id, place: -1, resolve: resolve as (value: never) => void, reject, timer })
    if (this.#waiting.size === 1) worker.ref()
    const question: Question = { id, call, argument }
    worker.postMessage(question, [...(options.transfer ?? [])])
    return promise
  }

  /** Ends the worker after `last`, its own farewell, if it is running and still answers. */
  async close(last?: () => Promise<unknown>): Promise<void> {
    clearTimeout(this.#restart)
    this.#restart = undefined
    if (this.#worker !== undefined && last !== undefined) await last().catch(() => {})
    this.#closed = true
    await this.#worker?.terminate()
  }

  #answered(answer: Answer): void {
    const waiting = this.#waiting.find(({ id }) => id === answer.id)
    if (waiting === undefined) return
    this.#waiting.delete(waiting)
    clearTimeout(waiting.timer)
    if (this.#waiting.size === 0) this.#worker?.unref()
    if ('problem' in answer) waiting.reject(thrown(answer.problem))
    else waiting.resolve(answer.value as never)
  }

  #late(id: number, call: string, limitMs: number): void {
    const waiting = this.#waiting.find((each) => each.id === id)
    if (waiting === undefined) return
    this.#waiting.delete(waiting)
    waiting.reject(new Error(`${call} took longer than ${limitMs} ms`))
    void this.#worker?.terminate()
  }

  #gone(worker: Worker): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    this.#waiting.each((waiting) => {
      this.#waiting.delete(waiting)
      clearTimeout(waiting.timer)
      waiting.reject(new WorkerGone(`the ${this.#options.role} worker ended`))
    })
    if (this.#closed) return
    // A pause, so that a worker that cannot start does not spin.
    this.#restart = setTimeout(() => {
      this.#restart = undefined
      this.start()
    }, RESTART_MS).unref()
  }
}

function thrown({ message, errcode, code }: Problem): Error {
  if (code !== undefined) return new StoreError(code, message)
  const error = new Error(message)
  return errcode === undefined ? error : Object.assign(error, { errcode })
}
