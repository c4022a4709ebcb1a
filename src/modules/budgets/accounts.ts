/** All accounts that are in use, and which of them a ledger row belongs to. */
import { type Budget, DIMENSIONS, type Dimension, type Selector } from '../../core/directory.ts'
import type { Applied } from '../../core/figures.ts'
import type { Host } from '../../core/module.ts'
import type { NanoUsd } from '../../core/money.ts'
import { countersOf, type Scopes } from '../../core/scopes.ts'
import type { LedgerRow, LedgerScope } from '../../core/store.ts'
import { Account } from './account.ts'

/** One that is not in use can go: the ledger knows what was in it. */
const MOST_ACCOUNTS = 100_000
const MOST_CALLERS = 20_000
const OF_A_CALLER: readonly Dimension[] = ['organization', 'team', 'user', 'key']

interface CallersCounters {
  readonly organization: string | undefined
  readonly team: string | undefined
  readonly user: string | undefined
  readonly counters: readonly string[]
}
const scopesIn = (row: LedgerScope): Scopes => ({ ...row, key: row.principal, tags: row.tags ?? [] })

export class Accounts {
  readonly #host: Host
  readonly #byName = new Map<string, Account>()
  /** Counter → its accounts, one for each budget that has it. */
  readonly #byCounter = new Map<string, Account[]>()
  /** Which dimensions budgets in use name together, as selectors of every value: those of a caller, and all others. */
  readonly #callerShapes = new Map<string, Selector>()
  readonly #callShapes = new Map<string, Selector>()
  /** The counters that rows of a caller fall into, whatever is called. */
  readonly #callers = new Map<string, CallersCounters>()
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
    const found = applied.lasting ? this.#found.get(applied) : undefined
    if (found && !found.gone) return found
    let account = this.#byName.get(applied.name)
    if (!account) {
      if (this.#byName.size >= MOST_ACCOUNTS) this.#makeRoom()
      account = new Account(applied.name, applied.figure, this.#host)
      this.#byName.set(account.name, account)
      const counter = account.counter
      this.#byCounter.set(counter, [...(this.#byCounter.get(counter) ?? []), account])
      const shape = DIMENSIONS.filter((dimension) => applied.figure.scope[dimension] !== undefined)
      const shapes = shape.every((dimension) => OF_A_CALLER.includes(dimension)) ? this.#callerShapes : this.#callShapes
      if (!shapes.has(shape.join())) {
        shapes.set(shape.join(), Object.fromEntries(shape.map((dimension) => [dimension, '*'])))
        this.#callers.clear()
      }
    }
    if (applied.lasting) this.#found.set(applied, account)
    return account
  }

  #committed(rows: readonly LedgerRow[]): void {
    if (this.#byName.size === 0) return
    for (const row of rows) {
      if ((row.kind !== 'closed' && row.kind !== 'adjustment') || row.cost === 0n) continue
      for (const counter of this.#countersOf(row)) this.#book(counter, row.at, row.cost)
      if (this.#callShapes.size === 0) continue
      const scopes = scopesIn(row)
      for (const shape of this.#callShapes.values()) {
        for (const counter of countersOf(shape, scopes, row.upstream)) this.#book(counter, row.at, row.cost)
      }
    }
  }

  #book(counter: string, at: number, cost: NanoUsd): void {
    const accounts = this.#byCounter.get(counter)
    if (!accounts) return
    for (const account of accounts) {
      account.booked(at, cost)
      this.#onSpent(account)
    }
  }

  /** Put together once for each caller; one that moved elsewhere has other counters. */
  #countersOf(row: LedgerScope): readonly string[] {
    const known = this.#callers.get(row.principal)
    const { organization, team, user } = row
    if (known && known.organization === organization && known.team === team && known.user === user)
      return known.counters
    const scopes = scopesIn(row)
    const counters = [...this.#callerShapes.values()].flatMap((shape) => countersOf(shape, scopes))
    if (this.#callers.size >= MOST_CALLERS) this.#callers.clear()
    this.#callers.set(row.principal, { organization, team, user, counters })
    return counters
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
