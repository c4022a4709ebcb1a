/**
 * A credential that is fetched and expires (A103). It is renewed before its end while calls go on with the old one, it
 * is fetched once for all who wait, and a source that fails is not asked again at once.
 */

export interface Fetched<T> {
  readonly value: T
  /** Milliseconds since 1970; absent: it does not expire. */
  readonly expiresAt?: number
}

/** Renewed when a fifth of its life is left, at most five minutes ahead. */
const AHEAD_SHARE = 0.2
const MOST_AHEAD_MS = 300_000
/** A credential that ends sooner than this is not used any more: the call would arrive too late. */
const MARGIN_MS = 5_000
/** How long a failed source is left alone. */
const REST_MS = 2_000
/** A refused credential that is younger than this is not what is wrong. */
const LEAST_AGE_MS = 10_000

export class Fresh<T extends object> {
  readonly #obtain: () => Promise<Fetched<T>>
  readonly #now: () => number
  #value: T | undefined
  #bornAt = 0
  #renewAt = Number.POSITIVE_INFINITY
  #endsAt = Number.POSITIVE_INFINITY
  #flight: Promise<T> | undefined
  #failedAt = Number.NEGATIVE_INFINITY
  #failure: unknown

  constructor(obtain: () => Promise<Fetched<T>>, now: () => number) {
    this.#obtain = obtain
    this.#now = now
  }

  /** A plain value while there is one that will last; a promise while one must be waited for. */
  get(): T | Promise<T> {
    const now = this.#now()
    if (this.#value === undefined || now >= this.#endsAt) {
      if (this.#flight) return this.#flight
      if (now - this.#failedAt < REST_MS) return Promise.reject(this.#failure)
      return this.#renew()
    }
    if (now >= this.#renewAt && !this.#flight && now - this.#failedAt >= REST_MS) {
      // Who waits for it, if anybody, sees its failure; the others go on with what they have.
      this.#renew().catch(() => {})
    }
    return this.#value
  }

  /** The vendor refused it. True if the next `get` gives another one. */
  refused(value: object): boolean {
    if (value !== this.#value) return true
    if (this.#now() - this.#bornAt < LEAST_AGE_MS) return false
    this.#value = undefined
    return true
  }

  #renew(): Promise<T> {
    const flight = this.#obtain().then(
      ({ value, expiresAt = Number.POSITIVE_INFINITY }) => {
        const now = this.#now()
        this.#value = value
        this.#bornAt = now
        this.#endsAt = expiresAt - MARGIN_MS
        this.#renewAt = expiresAt - Math.min(MOST_AHEAD_MS, (expiresAt - now) * AHEAD_SHARE)
        this.#failedAt = Number.NEGATIVE_INFINITY
        this.#flight = undefined
        return value
      },
      (error: unknown) => {
        this.#failedAt = this.#now()
        this.#failure = error
        this.#flight = undefined
        throw error
      },
    )
    this.#flight = flight
    return flight
  }
}
