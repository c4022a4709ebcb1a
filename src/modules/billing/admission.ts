/**
 * May a prepaid account still pay for this call? The most that it can be charged is held, in one step of the event loop, so
 * that calls at once cannot spend the same credit. Targets that are too dear are left out as long as there is another.
 */
import { costAtMost, dearestCost, outputLimit } from '../../core/estimate.ts'
import type { Exchange, Target } from '../../core/exchange.ts'
import type { Hold, Host, Narrowed } from '../../core/module.ts'
import { formatDollars, nanoUsdOf } from '../../core/money.ts'
import type { Credit, Credits } from './credit.ts'
import { type Compiled, marked, priceFor, type TermsBook } from './terms.ts'

const dollars = (nanos: bigint): string => formatDollars(nanoUsdOf(nanos))

export function createAdmission(host: Host, book: TermsBook, credits: Credits) {
  function admit(x: Exchange): Narrowed | Hold | undefined | Promise<Narrowed | Hold | undefined> {
    const { organization, team } = x.principal ?? {}
    if (organization === undefined && team === undefined) return undefined
    const now = host.now()
    const found = book.inForce(organization, team, now)
    if (found?.terms.payment !== 'prepaid') return undefined
    const credit = credits.of(found.account)
    const loading = credit.ready(now)
    return loading ? loading.then(() => again(x, found, credit)) : decide(x, found, credit, now)
  }

  /** It may have been doubted again while it was being asked for. */
  async function again(x: Exchange, found: Compiled, credit: Credit): Promise<Narrowed | Hold> {
    for (;;) {
      const now = host.now()
      const loading = credit.ready(now)
      if (!loading) return decide(x, found, credit, now)
      await loading
    }
  }

  /** Undefined: nobody knows. */
  function atMost(x: Exchange, found: Compiled, target: Target, now: number): bigint | undefined {
    if (x.relay?.deed.free) return 0n
    const own = priceFor(found, { model: x.model, upstream: target.upstream.id, upstreamModel: target.model })
    const output = outputLimit(x, target)
    if (own) return dearestCost(x.inputEstimate, output, own)
    const cost = costAtMost(x, target, now, output)
    return cost === undefined ? undefined : marked(cost, found.share)
  }

  function decide(x: Exchange, found: Compiled, credit: Credit, now: number): Narrowed | Hold {
    const targets = x.plan?.targets ?? []
    const room = credit.purse.balance - credit.held
    let amount = 0n
    let least: bigint | undefined
    let fitting = 0
    const dropTargets: Target[] = []
    for (const target of targets) {
      const most = atMost(x, found, target, now)
      if (most === undefined) {
        const { model, upstream } = target
        host.refuse('billing_unpriced', { model, upstream: upstream.id, account: found.account })
      }
      if (least === undefined || most < least) least = most
      // What costs nothing goes on when the money is gone.
      if (most > room && most > 0n) {
        dropTargets.push(target)
        continue
      }
      fitting++
      if (most > amount) amount = most
    }
    if (fitting === 0 && targets.length > 0) refuse(found, credit, least ?? 0n)
    credit.held += amount
    const giveBack = (): void => {
      credit.held -= amount
    }
    // What it is charged is in the purse already: the ledger told it before this.
    const hold: Hold = { settle: giveBack, release: giveBack }
    if (dropTargets.length === 0) return hold
    const names = dropTargets.map(({ upstream, model }) => `${upstream.id}/${model}`).join(' ')
    const said = `dropped=${names}; credit=${found.account}`.replace(/[^\x20-\x7e]/g, '?')
    x.answerHeaders = { ...x.answerHeaders, 'x-stockyard-narrowed': said }
    return { hold, dropTargets }
  }

  function refuse({ account, terms }: Compiled, credit: Credit, needed: bigint): never {
    const left = credit.purse.balance
    throw host.refusal('billing_credit_exhausted', {
      account,
      left: dollars(left),
      held: dollars(credit.held),
      needed: dollars(needed),
      facts: {
        account,
        scope: { ...terms.scope },
        credit_usd: dollars(left),
        held_usd: dollars(credit.held),
        needed_usd: dollars(needed),
      },
    })
  }

  return admit
}
