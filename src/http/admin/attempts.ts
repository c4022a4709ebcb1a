/**
 * Delays after failed attempts to sign in, counted for the account and for the address. Who does not exist is delayed like
 * everybody else. An account is never locked for long, so that nobody can keep its owner out.
 */
import { networkOf } from '../../core/addresses.ts'
import { failure } from '../../core/errors.ts'

const FREE = { account: 5, address: 20 } as const
const LONGEST_MS = 30_000
const FORGET_MS = 15 * 60_000
const MOST = 10_000

interface Failures {
  count: number
  last: number
  until: number
}

export interface Attempts {
  /** Throws `sign_in_delayed` if it is too early. */
  check(account: string, address: string): void
  failed(account: string, address: string): void
  succeeded(account: string, address: string): void
}

export function createAttempts(now: () => number): Attempts {
  const known = new Map<string, Failures>()
  const names = (account: string, address: string) =>
    [
      ['account', `account ${account.toLowerCase().slice(0, 320)}`],
      ['address', `address ${networkOf(address)}`],
    ] as const

  function forgetOld(at: number): void {
    for (const [name, { last }] of known) if (at - last > FORGET_MS) known.delete(name)
    // Still too many: the oldest go, which are the first.
    for (const name of known.keys()) {
      if (known.size < MOST) break
      known.delete(name)
    }
  }

  return {
    check(account, address) {
      const at = now()
      const until = Math.max(0, ...names(account, address).map(([, name]) => known.get(name)?.until ?? 0))
      if (until <= at) return
      const retryAfterMs = until - at
      throw failure('sign_in_delayed', { seconds: Math.ceil(retryAfterMs / 1_000), retryAfterMs })
    },
    failed(account, address) {
      const at = now()
      if (known.size >= MOST) forgetOld(at)
      for (const [kind, name] of names(account, address)) {
        const before = known.get(name)
        const count = before && at - before.last <= FORGET_MS ? before.count + 1 : 1
        const over = count - FREE[kind]
        known.delete(name)
        known.set(name, { count, last: at, until: over < 0 ? 0 : at + Math.min(LONGEST_MS, 1_000 * 2 ** over) })
      }
    },
    succeeded(account, address) {
      const [[, own], [, place]] = names(account, address)
      known.delete(own)
      const shared = known.get(place)
      if (shared) shared.count--
    },
  }
}
