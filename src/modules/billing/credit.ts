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
  #grants: readonly Grant[] | undefined
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
    const grants = this.#host.directory.figures('grant', this.account)
    if (this.#purse && grants === this.#grants && now >= this.#purse.at) {
      this.#purse.advance(now)
      return undefined
    }
    this.#grants = grants
    this.#loading = this.#load(new Purse(grants), now).finally(() => {
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
    else if (this.#purse) this.#spend(this.#purse, at, charge)
  }

  /** What is known may be wrong: it is asked for anew. */
  doubt(): void {
    this.#purse = undefined
  }

  /** What was charged before something ended or began is taken from what there was then. */
  #spend(purse: Purse, at: number, charge: bigint): void {
    if (at < purse.at) this.doubt()
    else purse.spend(charge)
  }

  async #load(purse: Purse, now: number): Promise<void> {
    this.#purse = undefined
    const { ledger } = this.#host
    const through = ledger.lastSeq
    const terms = this.#book
      .all(this.account)
      .flatMap(({ id, terms: { payment } }) => (payment === 'prepaid' ? [id] : []))
    const borders = purse.borders.filter((at) => at <= now)
    let from = 0
    for (const to of [...borders, Number.MAX_SAFE_INTEGER]) {
      const charges = await ledger.charges({ terms, from, to, through })
      purse.spend(charges.reduce((sum, { charge }) => sum + charge, 0n))
      purse.advance(Math.min(to, now))
      from = to
    }
    this.#purse = purse
    for (const { at, charge } of this.#meanwhile) {
      if (this.#purse) this.#spend(this.#purse, at, charge)
    }
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
