/**
 * How each target and each key is doing, learnt from the traffic itself: calls in flight, time to the first token, tokens
 * of this minute, failures. In memory only and shared by all snapshots, so a change of configuration forgets nothing.
 */
import { type BreakerPolicy, Circuit, type Rest } from './circuit.ts'

/** The other side's behavior is judged over this long when no breaker says otherwise. */
const WINDOW_MS = 30_000
/** What a sample of the first-token time weighs after this long is a third. */
const DECAY_MS = 10_000
/** A failure counts as this slow, so that a target that fails fast does not look fast. */
const FAILED_AS_MS = 5_000
const SAMPLES = 64
/** Repetitions at one target: each costs one, each success gives back a part, so a storm is not answered with a storm. */
const MOST_REPEATS = 10
const REPEATS_PER_SUCCESS = 0.5

/** Requests and tokens of the current minute. */
class Minute {
  #minute = 0
  #requests = 0
  #tokens = 0

  #roll(now: number): void {
    const minute = Math.floor(now / 60_000)
    if (minute === this.#minute) return
    this.#minute = minute
    this.#requests = 0
    this.#tokens = 0
  }
  count(now: number): void {
    this.#roll(now)
    this.#requests++
  }
  use(now: number, tokens: number): void {
    this.#roll(now)
    this.#tokens += tokens
  }
  requests(now: number): number {
    this.#roll(now)
    return this.#requests
  }
  tokens(now: number): number {
    this.#roll(now)
    return this.#tokens
  }
}

export class TargetHealth {
  readonly upstream: string
  readonly model: string
  readonly circuit = new Circuit()
  readonly minute = new Minute()
  inFlight = 0
  /** Output tokens in a second, averaged. */
  throughput = 0
  #firstTokenMs = 0
  #sampledAt = 0
  #repeats = MOST_REPEATS
  readonly #samples = new Float32Array(SAMPLES)
  #sampled = 0

  constructor(upstream: string, model: string) {
    this.upstream = upstream
    this.model = model
  }

  /** Peak EWMA: a worse sample counts at once, a better one little by little; without samples it fades. */
  firstTokenMs(now: number): number {
    return this.#firstTokenMs * Math.exp((this.#sampledAt - now) / DECAY_MS)
  }

  #sample(now: number, ms: number): void {
    const faded = this.firstTokenMs(now)
    this.#firstTokenMs = ms > faded ? ms : faded + (ms - faded) * (1 - Math.exp((this.#sampledAt - now) / DECAY_MS))
    this.#sampledAt = now
  }

  answered(now: number, firstTokenMs: number, policy: BreakerPolicy | undefined, caller: object): void {
    this.circuit.succeeded(now, policy?.windowMs ?? WINDOW_MS, caller)
    this.#repeats = Math.min(MOST_REPEATS, this.#repeats + REPEATS_PER_SUCCESS)
    this.#sample(now, firstTokenMs)
    this.#samples[this.#sampled++ % SAMPLES] = firstTokenMs
  }

  failed(now: number, afterMs: number): void {
    this.#sample(now, Math.max(afterMs, FAILED_AS_MS))
  }

  spoke(tokens: number, ms: number): void {
    if (ms <= 0 || tokens === 0) return
    const rate = (tokens * 1_000) / ms
    this.throughput = this.throughput === 0 ? rate : this.throughput * 0.9 + rate * 0.1
  }

  /** Whether this target may be asked once more by the same exchange; takes it out of what is left. */
  mayRepeat(): boolean {
    if (this.#repeats < 1) return false
    this.#repeats--
    return true
  }

  /** The time in which the given share of recent answers began; undefined before there are enough to tell. */
  firstTokenPercentile(share: number): number | undefined {
    const known = Math.min(this.#sampled, SAMPLES)
    if (known < 8) return undefined
    const sorted = this.#samples.slice(0, known).sort()
    return sorted[Math.min(known - 1, Math.ceil(known * share) - 1)]
  }
}

/** What an administrator allows one key of a pool. */
export interface KeyLimits {
  readonly requestsPerMinute?: number
  readonly tokensPerMinute?: number
  readonly concurrent?: number
}

/** Told of each key that is left alone as a whole, so that somebody can mend it. */
export type Retired = (upstream: string, credential: string, reason: string) => void

export class KeyHealth {
  readonly upstream: string
  readonly id: string
  /** Of the key as a whole: it was refused, or has no money. */
  readonly circuit = new Circuit()
  /** Of the key for one model: rate limits, missing rights. Made when something happened. */
  readonly models = new Map<string, Circuit>()
  readonly minute = new Minute()
  inFlight = 0

  readonly #retired: Retired

  constructor(upstream: string, id: string, retired: Retired) {
    this.upstream = upstream
    this.id = id
    this.#retired = retired
  }

  /** At once and as a whole: it was refused, or has no money. */
  retire(until: number, reason: string, rest: Rest): void {
    this.circuit.open(until, reason, rest)
    this.#retired(this.upstream, this.id, reason)
  }

  ofModel(model: string): Circuit {
    let circuit = this.models.get(model)
    if (!circuit) {
      circuit = new Circuit()
      // Names of models come from clients.
      if (this.models.size >= 1_000) this.models.clear()
      this.models.set(model, circuit)
    }
    return circuit
  }

  within(limits: KeyLimits | undefined, now: number): boolean {
    if (limits === undefined) return true
    const { requestsPerMinute, tokensPerMinute, concurrent } = limits
    return (
      (concurrent === undefined || this.inFlight < concurrent) &&
      (requestsPerMinute === undefined || this.minute.requests(now) < requestsPerMinute) &&
      (tokensPerMinute === undefined || this.minute.tokens(now) < tokensPerMinute)
    )
  }
}

/** Where health is kept: a host port, so that in a cluster it can be shared. */
export interface HealthBook {
  /** `place` is the base URL: the same model elsewhere starts with a clean record. */
  target(upstream: string, model: string, place: string): TargetHealth
  /** A new secret under an old id starts with a clean record, too. */
  key(upstream: string, id: string, secret: string): KeyHealth
  targets(): Iterable<TargetHealth>
  keys(): Iterable<KeyHealth>
  /** Which target a conversation was answered by, for as long as its provider may still have it in its cache. */
  readonly pins: Pins
}

/** Bounded: the pins that were not asked for go first. */
export class Pins {
  readonly #pins = new Map<string, { readonly target: string; readonly until: number }>()
  readonly #most: number
  constructor(most = 50_000) {
    this.#most = most
  }
  get(name: string, now: number): string | undefined {
    const pin = this.#pins.get(name)
    if (!pin || pin.until <= now) return undefined
    return pin.target
  }
  set(name: string, target: string, until: number): void {
    this.#pins.delete(name)
    if (this.#pins.size >= this.#most) this.#pins.delete(this.#pins.keys().next().value as string)
    this.#pins.set(name, { target, until })
  }
}

const MOST_TARGETS = 5_000

export function createHealthBook(retired: Retired): HealthBook {
  const targets = new Map<string, { readonly place: string; readonly health: TargetHealth }>()
  const keys = new Map<string, { readonly secret: string; readonly health: KeyHealth }>()
  return {
    target(upstream, model, place) {
      const name = `${upstream}/${model}`
      const known = targets.get(name)
      if (known?.place === place) return known.health
      if (targets.size >= MOST_TARGETS) targets.delete(targets.keys().next().value as string)
      const health = new TargetHealth(upstream, model)
      targets.set(name, { place, health })
      return health
    },
    key(upstream, id, secret) {
      const name = `${upstream}\n${id}`
      const known = keys.get(name)
      if (known?.secret === secret) return known.health
      const health = new KeyHealth(upstream, id, retired)
      keys.set(name, { secret, health })
      return health
    },
    *targets() {
      for (const { health } of targets.values()) yield health
    },
    *keys() {
      for (const { health } of keys.values()) yield health
    },
    pins: new Pins(),
  }
}
