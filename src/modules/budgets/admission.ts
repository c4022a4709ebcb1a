/**
 * May this call be made for that money? All accounts are looked at, then all take their hold, in one step of the event
 * loop. A stream that outgrows its hold is given more while there is more, and ended when there is none.
 */
import type { Budget } from '../../core/directory.ts'
import { choicesOf, costAtMost, outputLimit } from '../../core/estimate.ts'
import type { Exchange, Target } from '../../core/exchange.ts'
import { type Applied, Figures } from '../../core/figures.ts'
import type { Hold, Host, Narrowed, Progress } from '../../core/module.ts'
import { formatDollars, nanoUsdOf } from '../../core/money.ts'
import { outputTokens } from '../../core/usage.ts'
import type { Account } from './account.ts'
import type { Accounts } from './accounts.ts'
import type { Expectations } from './expectations.ts'
import type { Settings } from './settings.ts'

export interface AdmissionParts {
  readonly host: Host
  readonly chosen: Settings
  readonly accounts: Accounts
  readonly expectations: Expectations
}

/** A target with what it may cost, and the accounts that only it spends from. */
interface Offer {
  readonly target: Target
  /** Undefined: nobody knows. */
  readonly cost: bigint | undefined
  readonly own: readonly Account[]
}

/** What an admitted exchange holds: the same amount of every shared account, and of upstreams' own what they may cost. */
interface Claim extends Hold {
  readonly shared: readonly Account[]
  readonly own: readonly { readonly account: Account; amount: bigint }[]
  amount: bigint
  /** How many output tokens the hold pays for; found out when a stream is metered. */
  paidTokens: number | undefined
}
const NONE: readonly never[] = []

/** A hold that is too small grows by at least this share, so that it is not asked about with every event. */
const GROWTH = 4n

const isHard = (account: Account): boolean => account.budget.hard !== false

export function createAdmission({ host, chosen, accounts, expectations }: AdmissionParts) {
  const figures = new Figures(host.directory, 'budget')
  const claims = new WeakMap<Exchange, Claim>()

  function admit(x: Exchange): Narrowed | Hold | undefined | Promise<Narrowed | Hold | undefined> {
    const common = figures.of(x)
    const targets = x.plan?.targets ?? []
    let own: readonly (readonly Applied<Budget>[])[] | undefined
    for (let i = 0; i < targets.length; i++) {
      const found = figures.to(x, (targets[i] as Target).upstream.id)
      if (found.length > 0) own ??= targets.map((target) => figures.to(x, target.upstream.id))
    }
    if (common.length === 0 && !own) return undefined
    const now = host.now()
    if (!own) {
      const claim = plainly(x, common, targets, now)
      if (claim) return claim
    }
    const waiting: Promise<void>[] = []
    const accountOf = (applied: Applied<Budget>): Account => {
      const account = accounts.of(applied)
      const loading = account.ready(applied.figure, now)
      if (loading) waiting.push(loading)
      return account
    }
    const shared = common.map(accountOf)
    const offers = targets.map(
      (target, i): Offer => ({
        target,
        cost: costOf(x, target, now),
        own: own?.[i]?.map(accountOf) ?? [],
      }),
    )
    if (waiting.length === 0) return decide(x, shared, offers, now)
    return Promise.all(waiting).then(() => decide(x, shared, offers, host.now()))
  }

  /** The usual way: every account is known and has room, and no upstream has one of its own. Undefined: look closer. */
  function plainly(
    x: Exchange,
    common: readonly Applied<Budget>[],
    targets: readonly Target[],
    now: number,
  ): Claim | undefined {
    let dearest = 0n
    for (const target of targets) {
      const cost = costOf(x, target, now)
      if (cost === undefined) return undefined
      if (cost > dearest) dearest = cost
    }
    const shared: Account[] = []
    for (const applied of common) {
      const account = accounts.of(applied)
      if (account.ready(applied.figure, now)) return undefined
      if (isHard(account) && room(account, now) < dearest) return undefined
      shared.push(account)
    }
    return take(x, shared, NONE, dearest)
  }

  function costOf(x: Exchange, target: Target, now: number): bigint | undefined {
    const most = outputLimit(x, target)
    return costAtMost(x, target, now, chosen.reserve === 'expected' ? expectations.of(x.model, most) : most)
  }

  const room = (account: Account, now: number): bigint => account.limit(now) - account.spent(now) - account.held

  /** The hard account with the least room, among those in which a cost does not fit. What is free always fits. */
  function lacking(all: readonly Account[], cost: bigint, now: number): Account | undefined {
    if (cost === 0n) return undefined
    let tightest: Account | undefined
    for (const account of all) {
      if (!isHard(account) || room(account, now) >= cost) continue
      if (!tightest || room(account, now) < room(tightest, now)) tightest = account
    }
    return tightest
  }

  function decide(x: Exchange, shared: readonly Account[], offers: readonly Offer[], now: number): Narrowed | Hold {
    let priced = offers.map((offer) => ({ ...offer, cost: offer.cost ?? unpricedCost(x, offer, shared) }))
    const dropped: Target[] = []
    // An upstream without money left is no place to go to, whoever asks; that is what other targets are for.
    const open = priced.filter(({ cost, own }) => !lacking(own, cost, now))
    if (open.length > 0 && open.length < priced.length) {
      for (const { target } of priced) if (!open.some((offer) => offer.target === target)) dropped.push(target)
      priced = open
    }
    const dearest = (): bigint => priced.reduce((most, { cost }) => (cost > most ? cost : most), 0n)
    const short = (): Account | undefined =>
      priced.map(({ cost, own }) => lacking([...shared, ...own], cost, now)).find((account) => account)
    let tight = short()
    let maxOutputTokens: number | undefined
    if (tight) {
      const how = tight.budget.onInsufficient ?? chosen.onInsufficient
      if (how === 'fallback') {
        const fitting = priced.filter(({ cost, own }) => !lacking([...shared, ...own], cost, now))
        for (const { target } of priced) if (!fitting.some((offer) => offer.target === target)) dropped.push(target)
        if (fitting.length === 0) refuse(tight, dearest(), now)
        priced = fitting
      } else if (how === 'clamp') {
        maxOutputTokens = affordable(x, shared, priced, now)
        if (maxOutputTokens === undefined || maxOutputTokens / choicesOf(x.json) <= thoughtOf(x)) {
          refuse(tight, dearest(), now)
        }
        const most = maxOutputTokens
        priced = priced.map((offer) => ({ ...offer, cost: costAtMost(x, offer.target, now, most) ?? 0n }))
      } else refuse(tight, dearest(), now)
      tell(x, tight, dropped, maxOutputTokens)
      tight = short()
      if (tight) refuse(tight, dearest(), now)
    }
    const hold = take(x, shared, priced, dearest())
    if (dropped.length === 0 && maxOutputTokens === undefined) return hold
    return {
      hold,
      ...(dropped.length > 0 ? { dropTargets: dropped } : {}),
      ...(maxOutputTokens === undefined
        ? {}
        : { maxOutputTokens: Math.max(1, Math.floor(maxOutputTokens / choicesOf(x.json))) }),
    }
  }

  /** How many output tokens there is money for, at every target; undefined if there is none for a single one. */
  function affordable(
    x: Exchange,
    shared: readonly Account[],
    offers: readonly Offer[],
    now: number,
  ): number | undefined {
    let least = Number.MAX_SAFE_INTEGER
    for (const { target, own, cost } of offers) {
      if (cost === 0n) continue
      const rooms = [...shared, ...own].filter(isHard).map((account) => room(account, now))
      const left = rooms.reduce((a, b) => (b < a ? b : a))
      least = Math.min(least, tokensFor(x, target, now, left))
    }
    return least >= choicesOf(x.json) ? least : undefined
  }

  function tokensFor(x: Exchange, target: Target, now: number, money: bigint): number {
    const costs = (output: number): bigint => costAtMost(x, target, now, output) ?? 0n
    let [fits, tooMany] = [0, outputLimit(x, target) + 1]
    if (costs(0) > money) return 0
    while (tooMany - fits > 1) {
      const middle = Math.floor((fits + tooMany) / 2)
      if (costs(middle) <= money) fits = middle
      else tooMany = middle
    }
    return fits
  }

  function unpricedCost(x: Exchange, { target, own }: Offer, shared: readonly Account[]): bigint {
    const budget = [...shared, ...own].find(isHard)
    if (chosen.unpriced === 'refuse' && budget) {
      const { model, upstream } = target
      host.refuse('budget_unpriced', { model, upstream: upstream.id, budget: describe(budget.budget) })
    }
    if (chosen.unpriced === 'allow-and-flag' && host.mode === 'enforce') add(x, 'x-stockyard-unpriced', 'true')
    return 0n
  }

  function take(x: Exchange, shared: readonly Account[], offers: readonly Offer[], amount: bigint): Claim {
    const own = offers.flatMap(({ own, cost }) => own.map((account) => ({ account, amount: cost ?? 0n })))
    for (const account of shared) account.held += amount
    for (const { account, amount } of own) account.held += amount
    const claim: Claim = {
      shared,
      own,
      amount,
      paidTokens: undefined,
      // What it cost is in the accounts already: the ledger told them before this.
      settle(_, usage) {
        this.release()
        if (usage.source === 'provider') expectations.learn(x.model, outputTokens(usage))
      },
      release() {
        for (const account of this.shared) account.held -= this.amount
        for (const { account, amount } of this.own) account.held -= amount
        if (x.stream) claims.delete(x)
      },
    }
    // Only a stream can be ended, so only streams are metered.
    if (x.stream) claims.set(x, claim)
    return claim
  }

  /** A stream that has outgrown its hold. An answer that is not streamed has been paid for when it is seen. */
  function meter(x: Exchange, { estimatedOutputTokens }: Progress): void {
    if (!x.stream) return
    const claim = claims.get(x)
    // The one that answers: of two that were raced, the other has its end by now.
    const attempt = x.attempts.findLast(({ outcome }) => outcome === undefined)
    if (!claim || !attempt || claim.amount === 0n) return
    const { target, startedAt } = attempt
    claim.paidTokens ??= tokensFor(x, target, startedAt, claim.amount)
    if (estimatedOutputTokens <= claim.paidTokens) return
    const now = host.now()
    const needed = costAtMost(x, target, startedAt, estimatedOutputTokens) ?? 0n
    const more = (needed > claim.amount ? needed - claim.amount : 0n) + claim.amount / GROWTH
    const lacks = (account: Account): boolean => isHard(account) && room(account, now) < more
    const short = claim.shared.find(lacks) ?? claim.own.find(({ account }) => lacks(account))?.account
    if (short) refuse(short, needed, now)
    for (const account of claim.shared) account.held += more
    for (const each of claim.own) {
      each.account.held += more
      each.amount += more
    }
    claim.amount += more
    claim.paidTokens = Math.max(estimatedOutputTokens, tokensFor(x, target, startedAt, claim.amount))
  }

  function tell(
    x: Exchange,
    { budget }: Account,
    dropped: readonly Target[],
    maxOutputTokens: number | undefined,
  ): void {
    if (host.mode === 'observe') return
    const what =
      maxOutputTokens === undefined
        ? `dropped=${dropped.map(({ upstream, model }) => `${upstream.id}/${model}`).join(' ')}`
        : `max_output_tokens=${maxOutputTokens}`
    add(x, 'x-stockyard-narrowed', `${what}; budget=${budget.id}`)
  }

  function refuse(account: Account, needed: bigint, now: number): never {
    const { budget } = account
    const resetAt = account.resetAt(now)
    const reset = resetAt === undefined ? undefined : new Date(resetAt).toISOString()
    const dollars = (nanos: bigint): string => formatDollars(nanoUsdOf(nanos))
    throw host.refusal('budget_exceeded', {
      budget: describe(budget),
      spent: dollars(account.spent(now)),
      held: dollars(account.held),
      needed: dollars(needed),
      reset: reset === undefined ? '' : ` It begins anew at ${reset}.`,
      facts: {
        budget: budget.id,
        scope: { ...budget.scope },
        limit_usd: dollars(account.limit(now)),
        spent_usd: dollars(account.spent(now)),
        reset_at: reset ?? null,
      },
    })
  }

  return { admit, meter }
}

/** Of the output, what the client wants to be thought: vendors refuse an answer that has no room for more than that. */
function thoughtOf(x: Exchange): number {
  const request = x.operation === 'chat' && !x.relay ? x.request() : undefined
  return (request?.operation === 'chat' && request.reasoning?.budgetTokens) || 0
}

const add = (x: Exchange, name: string, value: string): void => {
  x.answerHeaders = { ...x.answerHeaders, [name]: value.replace(/[^\x20-\x7e]/g, '?') }
}

/** `5 USD per month for team=search`. */
export function describe({ amountUsd, scope, window }: Budget): string {
  const where = Object.entries(scope).map(([dimension, value]) => `${dimension}=${value}`)
  const time =
    window.kind === 'calendar'
      ? ` per ${window.unit}`
      : window.kind === 'rolling'
        ? ` in ${window.seconds} s`
        : ' in all'
  return `${amountUsd} USD${time} for ${where.length === 0 ? 'everybody together' : where.join(', ')}`
}
