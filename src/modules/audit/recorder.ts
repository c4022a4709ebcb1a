/**
 * The serving thread's end of the trail: collects drafts, hands them to the worker thread in batches, one batch under way at
 * a time, and drives the worker's steps. It outlives a change of settings: all instances of the module share one.
 */
import type { Host } from '../../core/module.ts'
import type { JsonObject } from '../../core/request.ts'
import { type Draft, type Sealed, seal } from './record.ts'
import { type Kept, NOT_OPEN, type Published, type Status, type Step } from './trail.ts'

/** Records that wait or are under way; more are dropped and counted, and a record says how many. */
const MOST_WAITING = 20_000
const MOST_BATCH = 2_000
/** Fewer wait for the next tick: a transaction has its price, whatever is in it. */
const MANY = 500
const STEPS_PER_TICK = 20
/** At the end no more of core's rows are taken than this many steps do; the rest waits for the next start. */
const MOST_LAST_STEPS = 100
const COMPLAIN_MS = 60_000
/** How long an exchange waits for its intent to be taken. */
export const INTENT_MS = 250

interface Item {
  readonly record: Sealed
  readonly salt: Uint8Array | null
  readonly waiter?: { resolve(): void; reject(error: Error): void }
}
interface Gap {
  records: number
  since: number
}

export class Recorder {
  readonly #host: Host
  #items: Item[] = []
  /** Waiting and under way. */
  #held = 0
  #gap: Gap | undefined
  #sending: Promise<void> | undefined
  #opened: Promise<void> | undefined
  #status: Status | undefined
  #problem: string | undefined
  #complainedAt = Number.NEGATIVE_INFINITY
  #stepping: Promise<void> | undefined
  /** As the newest instance wants it. */
  #strict = false
  #origin = ''
  #kept: () => Promise<readonly Kept[]> = async () => []
  #users = 0
  #turn: Promise<unknown> = Promise.resolve()
  dropped = 0
  recorded = 0

  constructor(host: Host) {
    this.#host = host
  }

  static of(host: Host): Recorder {
    let recorder = host.memory.get('recorder') as Recorder | undefined
    if (recorder === undefined) {
      recorder = new Recorder(host)
      host.memory.set('recorder', recorder)
    }
    return recorder
  }

  get status(): Status | undefined {
    return this.#status
  }
  /** What anchors may be told: nothing of a log that they contradict. */
  get checkpoint(): Published | undefined {
    return this.#problem === undefined ? this.#status?.checkpoint : undefined
  }
  /** Why nothing is written at the moment. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** An instance begins to use it. Nothing is written before the log was compared with what anchors keep. */
  begin(origin: string, kept: () => Promise<readonly Kept[]>, strict: boolean): Promise<void> {
    return this.#serially(async () => {
      const first = this.#users++ === 0
      this.#strict = strict
      this.#origin = origin
      this.#kept = kept
      const opening = async (): Promise<void> => {
        const now = this.#host.now()
        await this.#call<Status>('open', { origin, now })
        const halted = await this.#call<string | undefined>('compare', { kept: await kept(), now })
        this.#say(halted)
        if (halted === undefined && first) await this.#call('mark', { action: 'audit.start', facts: {}, now })
        this.#status = await this.#call<Step>('step', { now, force: first })
      }
      this.#opened = opening().catch((error: Error) => this.#say(error.message))
      await this.#opened
    })
  }

  /** The last instance writes what waits, says that it stopped, and ends the thread after `last`. */
  end(last: () => Promise<void>): Promise<void> {
    return this.#serially(async () => {
      if (--this.#users > 0) return last()
      this.#send()
      while (this.#sending) await this.#sending
      await this.#stepping
      try {
        const now = this.#host.now()
        for (let i = 0; i < MOST_LAST_STEPS; i++) if (!(await this.#call<Step>('step', { now })).more) break
        await this.#call('mark', { action: 'audit.stop', facts: {}, now })
        this.#status = await this.#call<Step>('step', { now, force: true })
        await this.#call('rest', undefined)
      } catch (error) {
        this.#host.log.error('the audit trail could not be closed', { error: String(error) })
      }
      await last()
      await this.#host.worker.close()
    })
  }

  #serially<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(work)
    this.#turn = next.catch(() => {})
    return next
  }

  /** Never waits and never throws. It is sent with many others, or with the next tick. */
  note(draft: Draft, salt: Uint8Array | null = null): void {
    if (this.#held >= MOST_WAITING) {
      this.dropped++
      this.#gap ??= { records: 0, since: draft.at }
      this.#gap.records++
      return
    }
    this.#push(draft, salt)
  }

  /** Resolves when it is on the disk. */
  take(draft: Draft): Promise<void> {
    if (this.#problem !== undefined) return Promise.reject(new Error(this.#problem))
    if (this.#held >= MOST_WAITING) return Promise.reject(new Error('more records wait than are kept'))
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#push(draft, null, { resolve, reject })
    if (this.#sending === undefined) queueMicrotask(() => this.send())
    return promise
  }

  sendIfMany(): void {
    if (this.#items.length >= MANY) this.send()
  }

  send(): void {
    if (this.#sending === undefined) this.#send()
  }

  /** Takes core's rows, and a checkpoint when it is due. */
  tick(): Promise<void> {
    this.#stepping ??= this.#steps().finally(() => (this.#stepping = undefined))
    return this.#stepping
  }

  async #steps(): Promise<void> {
    await this.#opened
    this.send()
    try {
      if (this.#problem !== undefined) await this.#call('probe', this.#host.now())
      for (let i = 0; i < STEPS_PER_TICK; i++) {
        const step = await this.#call<Step>('step', { now: this.#host.now() })
        this.#status = step
        if (!step.more) break
      }
      this.#say(this.#status?.halted)
    } catch (error) {
      this.#say((error as Error).message)
      if ((error as Error).message === NOT_OPEN) await this.#reopen()
    }
  }

  /** The thread ended and was started again: it goes on where the file ends. */
  async #reopen(): Promise<void> {
    const now = this.#host.now()
    try {
      await this.#call('open', { origin: this.#origin, now })
      await this.#call('compare', { kept: await this.#kept(), now })
    } catch (error) {
      this.#say((error as Error).message)
    }
  }

  #push(draft: Draft, salt: Uint8Array | null, waiter?: Item['waiter']): void {
    this.#items.push({ record: seal(draft), salt, ...(waiter ? { waiter } : {}) })
    this.#held++
  }

  #send(): void {
    if (this.#held === 0 && this.#gap === undefined) return
    this.#sending = this.#batch().finally(() => {
      this.#sending = undefined
      // What failed waits for the next tick, so that a broken disk is not asked without a pause.
      if (this.#problem === undefined && this.#items.length > 0) this.#send()
    })
  }

  async #batch(): Promise<void> {
    await this.#opened
    this.#noteGap()
    const items = this.#items.splice(0, MOST_BATCH)
    if (items.length === 0) return
    const waited = items.some(({ waiter }) => waiter !== undefined)
    // While it hangs, nobody else waits for it in vain.
    const late = waited
      ? setTimeout(() => this.#say(`no record was taken within ${INTENT_MS} ms`), INTENT_MS)
      : undefined
    try {
      const records = items.map(({ record }) => record)
      const salts = items.map(({ salt }) => salt)
      await this.#call('append', { records, salts })
      this.#held -= items.length
      this.recorded += items.length
      for (const { waiter } of items) waiter?.resolve()
      this.#say(undefined)
    } catch (error) {
      this.#say((error as Error).message)
      // Whoever waited is told, and goes no further; the rest is tried again.
      const again = items.filter(({ waiter }) => waiter === undefined)
      this.#held -= items.length - again.length
      this.#items.unshift(...again)
      for (const { waiter } of items) waiter?.reject(error as Error)
    } finally {
      clearTimeout(late)
    }
  }

  #noteGap(): void {
    if (this.#gap === undefined || this.#held >= MOST_WAITING) return
    const { records, since } = this.#gap
    this.#gap = undefined
    const facts: JsonObject = { actor: 'system', action: 'audit.gap', records, since: new Date(since).toISOString() }
    this.#push({ at: this.#host.now(), kind: 'audit', facts }, null)
  }

  #say(problem: string | undefined): void {
    // Why it could not be opened was said when it was tried.
    if (problem === NOT_OPEN && this.#problem !== undefined) return
    this.#host.trouble(problem, this.#strict)
    const now = performance.now()
    if (problem !== undefined && (problem !== this.#problem || now - this.#complainedAt > COMPLAIN_MS)) {
      this.#complainedAt = now
      this.#host.log.error(`the audit trail is not written: ${problem}`)
    } else if (problem === undefined && this.#problem !== undefined) {
      this.#host.log.info('the audit trail is written again')
    }
    this.#problem = problem
  }

  #call<T>(name: string, argument: unknown): Promise<T> {
    return this.#host.worker.call<T>(name, argument)
  }
}
