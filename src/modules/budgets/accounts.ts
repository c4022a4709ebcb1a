/** All accounts that are in use, and which of them a ledger row belongs to. */
import { type Budget, DIMENSIONS, type Selector } from '../../core/directory.ts'
import type { Applied } from '../../core/figures.ts'
import type { Host } from '../../core/module.ts'
import { countersOf, type Scopes } from '../../core/scopes.ts'
import type { LedgerRow } from '../../core/store.ts'
import { Account } from './account.ts'

/** One that is not in use can go: the ledger knows what was in it. */
const MOST_ACCOUNTS = 100_000

export class Accounts {
  readonly #host: Host
  readonly #byName = new Map<string, Account>()
  /** Counter → its accounts, one for each budget that has it. */
  readonly #byCounter = new Map<string, Account[]>()
  /** Which dimensions budgets in use name together, as selectors of every value. */
  readonly #shapes = new Map<string, Selector>()
  readonly #found = new WeakMap<Applied<Budget>, Account>()
  /** How many started modules use these accounts: more than one only while settings change. */
  #users = 0
  #unwatch: (() => void) | undefined
  /** Told of each account after something was added to it. */
  #onSpent: (account: Account) => void = () => {}

  constructor(host: Host) {
    this.#host = host
  }

  /** Until what it returns is called, rows are counted. */
  use(onSpent: (account: Account) => void): () => void {
    this.#onSpent = onSpent
    this.#users++
    this.#unwatch ??= this.#host.ledger.watch({
      committed: (rows) => this.#committed(rows),
      doubtful: () => this.#doubt(),
    })
    return () => {
      this.#users--
      if (this.#users > 0) return
      this.#unwatch?.()
      this.#unwatch = undefined
      this.#doubt()
    }
  }

  #doubt(): void {
    for (const account of this.#byName.values()) account.doubt()
  }

  get size(): number {
    return this.#byName.size
  }

  all(): Iterable<Account> {
    return this.#byName.values()
  }

  /** Everything that running calls may still cost, over all accounts. */
  get held(): bigint {
    let held = 0n
    for (const account of this.#byName.values()) held += account.held
    return held
  }

  of(applied: Applied<Budget>): Account {
    const found = this.#found.get(applied)
    if (found && !found.gone) return found
    let account = this.#byName.get(applied.name)
    if (!account) {
      if (this.#byName.size >= MOST_ACCOUNTS) this.#makeRoom()
      account = new Account(applied.name, applied.figure, this.#host)
      this.#byName.set(account.name, account)
      const counter = account.counter
      this.#byCounter.set(counter, [...(this.#byCounter.get(counter) ?? []), account])
      const shape = DIMENSIONS.filter((dimension) => applied.figure.scope[dimension] !== undefined)
      this.#shapes.set(shape.join(), Object.fromEntries(shape.map((dimension) => [dimension, '*'])))
    }
    this.#found.set(applied, account)
    return account
  }

  #committed(rows: readonly LedgerRow[]): void {
    if (this.#byName.size === 0) return
    for (const row of rows) {
      if ((row.kind !== 'closed' && row.kind !== 'adjustment') || row.cost === 0n) continue
      const scopes: Scopes = { ...row, key: row.principal, tags: row.tags ?? [] }
      for (const shape of this.#shapes.values()) {
        for (const counter of countersOf(shape, scopes, row.upstream)) {
          for (const account of this.#byCounter.get(counter) ?? []) {
            account.booked(row.at, row.cost)
            this.#onSpent(account)
          }
        }
      }
    }
  }

  /** The oldest that hold nothing. */
  #makeRoom(): void {
    let left = MOST_ACCOUNTS / 10
    for (const account of this.#byName.values()) {
      if (account.held > 0n || account.loading) continue
      account.gone = true
      this.#byName.delete(account.name)
      const counter = account.counter
      const rest = (this.#byCounter.get(counter) ?? []).filter((other) => other !== account)
      if (rest.length > 0) this.#byCounter.set(counter, rest)
      else this.#byCounter.delete(counter)
      if (--left === 0) return
    }
  }
}
