/**
 * Monthly statements. A draft is what the ledger says now; frozen, it has a number, and the two row numbers between which
 * the ledger says the same for ever. What is booked into a month after its statement was frozen (a correction, a late
 * batch) stands on the next one, so that every row stands on exactly one.
 */
import { createHash } from 'node:crypto'
import { badRequest, failure } from '../../core/errors.ts'
import type { Host } from '../../core/module.ts'
import { divideRounded, formatDollars, NANOS_PER_DOLLAR, nanoUsdOf, parseDollars } from '../../core/money.ts'
import type { Charges, SqlValue } from '../../core/store.ts'
import { spanOf } from '../../core/windows.ts'
import type { Settings } from './settings.ts'
import type { Compiled, TermsBook } from './terms.ts'

export interface Line {
  readonly team: string | null
  readonly model: string
  readonly calls: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly chargeUsd: string
}
export interface Content {
  /** Null: a draft. */
  readonly number: string | null
  readonly account: string
  readonly month: string
  readonly from: string
  readonly to: string
  readonly issuer: readonly string[]
  readonly billTo: readonly string[]
  readonly lines: readonly Line[]
  /** Of earlier months, booked after their statement. */
  readonly corrections: readonly Line[]
  readonly totalUsd: string
  readonly total: {
    readonly currency: string
    readonly amount: string
    readonly perUsd: string
    readonly since: string
  } | null
  /** Which rows of the ledger it is made of: those of its time up to a number, and earlier ones after another. */
  readonly rows: { readonly after: number | null; readonly through: number }
}
export interface Frozen {
  readonly content: Content
  readonly text: string
  readonly hash: string
  readonly frozenAt: number
  readonly actor: string
}

interface Bounds {
  readonly from: number
  readonly to: number
  /** The last row that the statement before this one could know. */
  readonly after: number | undefined
  readonly through: number
}

const MONTH = /^\d{4}-(0[1-9]|1[0-2])$/
const iso = (at: number): string => new Date(at).toISOString()
const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex')

export class Statements {
  readonly #host: Host
  readonly #book: TermsBook
  readonly #settings: Settings
  /** One after the other, so that each number is the next one. */
  static readonly #freezing = new WeakMap<object, Promise<unknown>>()

  constructor(host: Host, book: TermsBook, settings: Settings) {
    this.#host = host
    this.#book = book
    this.#settings = settings
  }

  async draft(account: string, month: string): Promise<Content> {
    const terms = this.#termsOf(account)
    return this.#made(account, month, await this.#bounds(account, month, terms), null)
  }

  /** The same one again if it was frozen before. */
  freeze(account: string, month: string, actor: string): Promise<Frozen> {
    const { memory } = this.#host
    const work = (Statements.#freezing.get(memory) ?? Promise.resolve()).then(() => this.#freeze(account, month, actor))
    Statements.#freezing.set(
      memory,
      work.catch(() => {}),
    )
    return work
  }

  async #freeze(account: string, month: string, actor: string): Promise<Frozen> {
    const { tables } = this.#host
    const terms = this.#termsOf(account)
    const known = MONTH.test(month) ? (await tables.query('ofMonth', { account, month }))[0] : undefined
    if (known) return frozenOf(known)
    const bounds = await this.#bounds(account, month, terms)
    if (bounds.to > this.#host.now()) throw failure('conflict', { problem: `${month} is not over yet.` })
    const number = Number((await tables.query('lastNumber'))[0]?.number) + 1
    const content = await this.#made(account, month, bounds, `${this.#settings.numberPrefix}${number}`)
    const text = JSON.stringify(content)
    const frozen: Frozen = { content, text, hash: hashOf(text), frozenAt: this.#host.now(), actor }
    await tables.run('freeze', {
      number,
      account,
      month,
      period_to: bounds.to,
      through: bounds.through,
      content: text,
      hash: frozen.hash,
      frozen_at: frozen.frozenAt,
      actor,
    })
    return frozen
  }

  async find(number: number): Promise<Frozen> {
    const [row] = await this.#host.tables.query('byNumber', { number })
    if (!row) throw failure('not_found', { what: `statement ${number}` })
    return frozenOf(row)
  }

  async list(account: string | undefined, before: number | undefined, limit: number): Promise<readonly Frozen[]> {
    const rows = await this.#host.tables.query('list', { account: account ?? null, before: before ?? null, limit })
    return rows.map(frozenOf)
  }

  /** The lines and the total made again from the ledger, and whether everything is as it was frozen. */
  async verify(number: number): Promise<{ readonly same: boolean; readonly hash: string; readonly again: string }> {
    const { content, text, hash } = await this.find(number)
    const { from, to, rows } = content
    const bounds = { from: Date.parse(from), to: Date.parse(to), after: rows.after ?? undefined, through: rows.through }
    const made = await this.#lines(content.account, bounds)
    const again = hashOf(JSON.stringify({ ...content, ...made }))
    return { same: again === hash && hashOf(text) === hash, hash, again }
  }

  #termsOf(account: string): readonly Compiled[] {
    const terms = this.#book.all(account).filter(({ terms: { payment } }) => payment === 'statements')
    if (terms.length > 0) return terms
    throw failure('not_found', { what: `account "${account.slice(0, 100)}" that is billed by statements` })
  }

  /** A statement begins where the one before ended, and the first one with the month in which the terms began. */
  async #bounds(account: string, month: string, terms: readonly Compiled[]): Promise<Bounds> {
    if (!MONTH.test(month)) throw badRequest('"month" is written as 2026-11.', 'month')
    const through = this.#host.ledger.lastSeq
    const [last] = await this.#host.tables.query('lastOf', { account })
    const began = terms.at(-1)?.terms.from as number
    const from = last ? Number(last.period_to) : this.#spanOf(began).from
    const next = this.#spanOf(from)
    if (month !== this.#nameOf(next.from)) {
      const problem =
        month < this.#nameOf(next.from)
          ? `There is no open month ${month} of ${account}; the first is ${this.#nameOf(next.from)}.`
          : `Months are billed in order: freeze ${this.#nameOf(next.from)} of ${account} first.`
      throw failure('conflict', { problem })
    }
    return { from, to: next.to, after: last ? Number(last.through) : undefined, through }
  }

  #spanOf(at: number) {
    return spanOf({ kind: 'calendar', unit: 'month', timeZone: this.#settings.timeZone }, at)
  }
  #nameOf(at: number): string {
    const { year, month } = Temporal.Instant.fromEpochMilliseconds(at).toZonedDateTimeISO(this.#settings.timeZone)
    return `${year}-${String(month).padStart(2, '0')}`
  }

  async #made(account: string, month: string, bounds: Bounds, number: string | null): Promise<Content> {
    const { from, to, after, through } = bounds
    const latest = this.#book.all(account).find(({ terms }) => terms.from < to)?.terms
    const made = await this.#lines(account, bounds)
    return {
      number,
      account,
      month,
      from: iso(from),
      to: iso(to),
      issuer: this.#settings.issuer,
      billTo: latest?.billTo ?? [],
      ...made,
      total: this.#exchanged(parseDollars(made.totalUsd), latest?.currency, to),
      rows: { after: after ?? null, through },
    }
  }

  async #lines(account: string, { from, to, after, through }: Bounds) {
    const terms = this.#book
      .all(account)
      .flatMap(({ id, terms: { payment } }) => (payment === 'statements' ? [id] : []))
    const { ledger } = this.#host
    const own = await ledger.charges({ terms, from, to, through })
    const late = after === undefined ? [] : await ledger.charges({ terms, to: from, after, through })
    const total = [...own, ...late].reduce((sum, { charge }) => sum + charge, 0n)
    return { lines: linesOf(own), corrections: linesOf(late), totalUsd: formatDollars(nanoUsdOf(total)) }
  }

  #exchanged(total: bigint, currency: string | undefined, to: number): Content['total'] {
    if (currency === undefined || currency === 'USD') return null
    const rate = this.#settings.exchangeRates
      .filter((one) => one.currency === currency && Date.parse(one.from) < to)
      .sort((a, b) => (a.from < b.from ? 1 : -1))[0]
    if (!rate) {
      const problem = `There is no exchange rate for ${currency}; add one to "exchangeRates" of module "billing".`
      throw failure('conflict', { problem })
    }
    const amount = inCurrency(total, parseDollars(rate.perUsd), decimalsOf(currency))
    return { currency, amount, perUsd: rate.perUsd, since: rate.from }
  }
}

/** By team, then model: prices that changed within the month make no difference to a line. */
function linesOf(charges: readonly Charges[]): Line[] {
  const lines = new Map<string, { line: Omit<Line, 'chargeUsd'>; charge: bigint }>()
  for (const { team, model, calls, inputTokens, outputTokens, charge } of charges) {
    const name = JSON.stringify([team ?? '', model])
    const known = lines.get(name)
    lines.set(name, {
      line: {
        team,
        model,
        calls: calls + (known?.line.calls ?? 0),
        inputTokens: inputTokens + (known?.line.inputTokens ?? 0),
        outputTokens: outputTokens + (known?.line.outputTokens ?? 0),
      },
      charge: charge + (known?.charge ?? 0n),
    })
  }
  return [...lines]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { line, charge }]) => ({ ...line, chargeUsd: formatDollars(nanoUsdOf(charge)) }))
}

/** How many decimals a currency is written with: 2 of most, none of the yen. */
const decimalsOf = (currency: string): number =>
  new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits ?? 2

/** Rounded once, half away from zero, to what the currency can be paid in. */
export function inCurrency(nanoUsd: bigint, nanoPerUsd: bigint, decimals: number): string {
  const unit = 10n ** BigInt(decimals)
  const units = divideRounded(nanoUsd * nanoPerUsd * unit, NANOS_PER_DOLLAR * NANOS_PER_DOLLAR)
  const absolute = (units < 0n ? -units : units).toString().padStart(decimals + 1, '0')
  const whole = absolute.slice(0, absolute.length - decimals)
  return `${units < 0n ? '-' : ''}${whole}${decimals === 0 ? '' : `.${absolute.slice(-decimals)}`}`
}

function frozenOf(row: Readonly<Record<string, SqlValue>>): Frozen {
  const text = String(row.content)
  return {
    content: JSON.parse(text) as Content,
    text,
    hash: String(row.hash),
    frozenAt: Number(row.frozen_at),
    actor: String(row.actor),
  }
}
