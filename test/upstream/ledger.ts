// What the scripted provider served, as it saw it: the truth that a gateway's own books are compared with.
// One row per request, opened when its head arrives, so that a request in flight (or hanging) is visible too.

import { createHash } from 'node:crypto'

export type Row = {
  id: number
  at: number
  method: string
  path: string
  dialect: string
  operation: string
  /** The model asked for, without the behaviours behind its `+`. */
  model: string
  stream: boolean
  headers: Record<string, string>
  /** At most the first 64 KiB; `bodyBytes` and `bodySha256` speak of the whole. */
  rawBody: string
  bodyBytes: number
  bodySha256: string
  status: number
  eventsSent: number
  bytesSent: number
  /** Every prompt token, those from or into a cache included. */
  inputTokens: number
  cacheReadTokens: number
  cacheWriteTokens: number
  /** Every token of the planned reply, reasoning included. */
  outputTokens: number
  reasoningTokens: number
  /** The part of `outputTokens` that was written before the reply ended, whoever ended it. */
  tokensServed: number
  /** The reply was written to its end: also true of a reply that was cut short on purpose, but cleanly. */
  finished: boolean
  finishedAt?: number
  clientHungUpAt?: number
  behaviour: Record<string, unknown>
}

export type Totals = {
  requests: number
  finished: number
  hungUp: number
  inputTokens: number
  outputTokens: number
  tokensServed: number
}

const KEEP_ROWS = 100_000
const KEEP_BODY = 64 * 1024
// Long runs would otherwise hold every prompt they ever sent: the oldest bodies go first, their hashes stay.
const KEEP_BODIES = 64 * 1024 * 1024

export class Ledger {
  rows: Row[] = []
  dropped = 0
  #next = 1
  #bodyChars = 0
  #oldestBody = 0
  #gone: Totals = { requests: 0, finished: 0, hungUp: 0, inputTokens: 0, outputTokens: 0, tokensServed: 0 }

  get totals(): Totals {
    const totals = { ...this.#gone }
    for (const row of this.rows) count(totals, row)
    return totals
  }

  open(method: string, path: string, headers: Record<string, string>): Row {
    const row: Row = {
      id: this.#next++,
      at: Date.now(),
      method,
      path,
      dialect: '',
      operation: '',
      model: '',
      stream: false,
      headers,
      rawBody: '',
      bodyBytes: 0,
      bodySha256: '',
      status: 0,
      eventsSent: 0,
      bytesSent: 0,
      inputTokens: 0,
      cacheReadTokens: 0,
      cacheWriteTokens: 0,
      outputTokens: 0,
      reasoningTokens: 0,
      tokensServed: 0,
      finished: false,
      behaviour: {},
    }
    this.rows.push(row)
    if (this.rows.length > KEEP_ROWS) {
      const leaving = this.rows.splice(0, KEEP_ROWS / 10)
      for (const old of leaving) {
        count(this.#gone, old)
        this.#bodyChars -= old.rawBody.length
      }
      this.dropped += leaving.length
      this.#oldestBody = Math.max(0, this.#oldestBody - leaving.length)
    }
    return row
  }

  body(row: Row, bytes: Buffer): void {
    row.rawBody = bytes.toString('utf8', 0, KEEP_BODY)
    row.bodyBytes = bytes.length
    row.bodySha256 = createHash('sha256').update(bytes).digest('hex')
    this.#bodyChars += row.rawBody.length
    while (this.#bodyChars > KEEP_BODIES && this.#oldestBody < this.rows.length - 1) {
      const old = this.rows[this.#oldestBody++]
      if (!old) break
      this.#bodyChars -= old.rawBody.length
      old.rawBody = ''
    }
  }

  reset(): void {
    this.rows = []
    this.dropped = 0
    this.#next = 1
    this.#bodyChars = 0
    this.#oldestBody = 0
    this.#gone = { requests: 0, finished: 0, hungUp: 0, inputTokens: 0, outputTokens: 0, tokensServed: 0 }
  }
}

function count(totals: Totals, row: Row): void {
  totals.requests++
  if (row.finished) totals.finished++
  if (row.clientHungUpAt) totals.hungUp++
  totals.inputTokens += row.inputTokens
  totals.outputTokens += row.outputTokens
  totals.tokensServed += row.tokensServed
}
