/**
 * The prepaid credit of one account: what its grants leave after what the ledger says was charged, and what running calls
 * hold of it. Rows are told as they are committed; whatever memory cannot know is asked of the ledger, as budgets do.
 */
import type { Grant } from '../../core/directory.ts'
import type { Host } from '../../core/module.ts'
import { Purse } from './purse.ts'
import type { TermsBook } from './terms.ts'

export class Credit {
  readonly account: string
  /** May still be charged for calls that run. */
  held = 0n
  readonly #host: Host
  readonly #book: TermsBook
  #purse: Purse | undefined
  #grants: readonly Grant[] = []
  /** The directory's, when grants were looked at last. */
  #epoch = Number.NaN
  #loading: Promise<void> | undefined
  /** Charges that were told while the ledger was being asked. */
  #meanwhile: { at: number; charge: bigint }[] = []

  constructor(account: string, host: Host, book: TermsBook) {
    this.account = account
    this.#host = host
    this.#book = book
  }

  /** Undefined when what is left now is known; else resolves when it is. */
  ready(now: number): Promise<void> | undefined {
    if (this.#loading) return this.#loading
    const purse = this.#current()
    if (purse && now >= purse.at) {
      purse.advance(now)
      return undefined
    }
    this.#loading = this.#load(new Purse(this.#grants), now).finally(() => {
      this.#loading = undefined
      this.#meanwhile = []
    })
    return this.#loading
  }

  /** Only after `ready`. */
  get purse(): Purse {
    return this.#purse as Purse
  }

  charged(at: number, charge: bigint): void {
    if (this.#loading) this.#meanwhile.push({ at, charge })
    else this.#spend(at, charge)
  }

  /** With grants that were made since; each is known before anything is spent after it began. */
  #current(): Purse | undefined {
    const { directory } = this.#host
    if (directory.epoch !== this.#epoch) {
      this.#epoch = directory.epoch
      const grants = directory.figures('grant', this.account)
      if (grants !== this.#grants) {
        this.#grants = grants
        if (this.#purse?.join(grants) === false) this.#purse = undefined
      }
    }
    return this.#purse
  }

  /** What is known may be wrong: it is asked for anew. */
  doubt(): void {
    this.#purse = undefined
  }

  /** What was charged before something ended or began is taken from what there was then. */
  #spend(at: number, charge: bigint): void {
    const purse = this.#current()
    if (!purse) return
    if (at < purse.at) this.doubt()
    else {
      purse.advance(at)
      purse.spend(charge)
    }
  }

  async #load(purse: Purse, now: number): Promise<void> {
    this.#purse = undefined
    const { ledger } = this.#host
    const through = ledger.lastSeq
    const terms = this.#book
      .all(this.account)
      .flatMap(({ id, terms: { payment } }) => (payment === 'prepaid' ? [id] : []))
    const borders = purse.borders.filter((at) => at <= now)
    const spent = new Array<bigint>(borders.length + 1).fill(0n)
    for (const { stretch, charge } of await ledger.charges({ terms, through, borders })) {
      spent[stretch] = (spent[stretch] as bigint) + charge
    }
    for (const [stretch, amount] of spent.entries()) {
      purse.spend(amount)
      purse.advance(Math.min(borders[stretch] ?? now, now))
    }
    this.#purse = purse
    for (const { at, charge } of this.#meanwhile) this.#spend(at, charge)
  }
}

/** The credits that are in use. */
export class Credits {
  readonly #host: Host
  readonly #book: TermsBook
  readonly #byAccount = new Map<string, Credit>()
  #users = 0
  #unwatch: (() => void) | undefined

  constructor(host: Host, book: TermsBook) {
    this.#host = host
    this.#book = book
  }

  of(account: string): Credit {
    let credit = this.#byAccount.get(account)
    if (!credit) {
      credit = new Credit(account, this.#host, this.#book)
      this.#byAccount.set(account, credit)
    }
    return credit
  }

  /** Until what it returns is called, charges are taken as they are committed. */
  use(): () => void {
    this.#users++
    this.#unwatch ??= this.#host.ledger.watch({
      committed: (rows) => {
        for (const row of rows) {
          if ((row.kind !== 'closed' && row.kind !== 'adjustment') || row.terms === undefined || !row.charge) continue
          const found = this.#book.byId(row.terms)
          if (found?.terms.payment === 'prepaid') this.#byAccount.get(found.account)?.charged(row.at, row.charge)
        }
      },
      doubtful: () => this.#doubt(),
    })
    return () => {
      if (--this.#users > 0) return
      this.#unwatch?.()
      this.#unwatch = undefined
      this.#doubt()
    }
  }

  #doubt(): void {
    for (const credit of this.#byAccount.values()) credit.doubt()
  }
}
