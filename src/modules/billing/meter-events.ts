/**
 * Usage pushed to Stripe as meter events, in millionths of a dollar. A round is written down before anything is sent, with
 * identifiers made of what it covers: whatever is tried again after a crash, a lost answer or a fault is the same event,
 * which Stripe counts once.
 */
import { createHash } from 'node:crypto'
import type { Host } from '../../core/module.ts'
import type { Settings } from './settings.ts'
import { type StripeParts, stripeOf } from './stripe.ts'
import type { TermsBook } from './terms.ts'

const NANOS_PER_UNIT = 1_000n
const FIRST_RETRY_MS = 2_000
const MOST_RETRY_MS = 3_600_000
/** Stripe knows identifiers for a day. After that an event that may have arrived is nothing to repeat unasked. */
const REMEMBERED_MS = 23 * 3_600_000
const KEEP_MS = 90 * 86_400_000
const UNCERTAIN = 'Stripe may have it and does not remember it any more; look there, then resume it.'

export function createMeterEvents(host: Host, book: TermsBook, settings: NonNullable<Settings['stripe']>) {
  const { tables, ledger } = host
  let running: Promise<void> | undefined
  let nextRound = 0
  /** Up to where nothing more is to be pushed; found out once. */
  let cut: number | undefined

  /** The same for the same rows of the same instance, and unlike that of any other. */
  const named = (account: string, rows: string): string =>
    `sy-${createHash('sha256')
      .update(`${host.secret('instance')} ${account} ${rows}`)
      .digest('hex')
      .slice(0, 40)}`

  /** One at a time; who comes meanwhile waits for the one that runs. */
  function push(): Promise<void> {
    running ??= work().finally(() => {
      running = undefined
    })
    return running
  }

  async function work(): Promise<void> {
    const now = host.now()
    if (now >= nextRound) {
      nextRound = now + settings.everySeconds * 1_000
      await round(now)
    }
    await send()
  }

  /** What was charged since the last round, an event for each account. */
  async function round(at: number): Promise<void> {
    cut ??= await begin(at)
    const through = ledger.lastSeq
    if (through <= cut) return
    const accounts = book.accounts().flatMap((account) => {
      const all = book.all(account)
      const customer = all.find(({ terms }) => terms.from <= at)?.terms.stripeCustomer
      return customer === undefined ? [] : [{ account, customer, terms: all.map(({ id }) => id) }]
    })
    const charges = await ledger.charges({ terms: accounts.flatMap(({ terms }) => terms), after: cut, through })
    const totals = new Map((await tables.query('totals')).map((row) => [row.account, row]))
    const events = accounts.flatMap(({ account, customer, terms }) => {
      const own = charges.filter((one) => terms.includes(one.terms))
      if (own.length === 0) return []
      const before = totals.get(account)
      const totalCharged =
        BigInt((before?.total_charged ?? 0) as number | bigint) + own.reduce((sum, { charge }) => sum + charge, 0n)
      const pushed = BigInt((before?.total_value ?? 0) as number | bigint)
      // What is given back is set off against what comes next: a meter only counts upwards.
      const due = totalCharged / NANOS_PER_UNIT - pushed
      const value = due > 0n ? due : 0n
      const identifier = named(account, `${cut}-${through}`)
      return [
        {
          identifier,
          account,
          customer,
          value: `${value}`,
          totalCharged: `${totalCharged}`,
          totalValue: `${pushed + value}`,
        },
      ]
    })
    if (events.length > 0) {
      const parameters = { events: JSON.stringify(events), event_name: settings.eventName, at, through }
      await tables.run('round', parameters)
    }
    cut = through
  }

  /** The first time nothing is pushed: what was charged before is not Stripe's. */
  async function begin(at: number): Promise<number> {
    const known = (await tables.query('lastRound'))[0]?.through
    if (typeof known === 'number') return known
    const through = ledger.lastSeq
    const mark = {
      identifier: named('', 'begin'),
      account: '',
      customer: '',
      value: '0',
      totalCharged: '0',
      totalValue: '0',
    }
    await tables.run('round', { events: JSON.stringify([mark]), event_name: settings.eventName, at, through })
    return through
  }

  async function send(): Promise<void> {
    const due = await tables.query('due', { now: host.now() })
    if (due.length === 0) return
    const stripe = await stripeOf(host, settings)
    if (!stripe) {
      host.log.warn('usage waits for a key of Stripe', { events: due.length, secret: 'stripe-key' })
      return
    }
    for (const row of due) {
      const identifier = String(row.identifier)
      const now = host.now()
      if (row.first_try_at !== null && now - Number(row.first_try_at) > REMEMBERED_MS) {
        await tables.run('failed', { identifier, next_at: null, problem: UNCERTAIN })
        host.log.error('a meter event is given up', { identifier, problem: UNCERTAIN })
        continue
      }
      // Written down first: from here on it may have arrived.
      await tables.run('tried', { identifier, now })
      const problem = await deliver(stripe, row, identifier)
      if (problem === undefined) {
        await tables.run('sent', { identifier, now: host.now() })
        continue
      }
      const wait = Math.min(MOST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(20, Number(row.tries)))
      await tables.run('failed', { identifier, next_at: host.now() + wait, problem })
      host.log.warn('a meter event was not taken', { identifier, problem })
    }
  }

  async function deliver(
    { client, StripeError }: StripeParts,
    row: Readonly<Record<string, unknown>>,
    identifier: string,
  ): Promise<string | undefined> {
    try {
      await client.billing.meterEvents.create(
        {
          event_name: String(row.event_name),
          payload: { stripe_customer_id: String(row.customer), value: String(row.value) },
          identifier,
          timestamp: Math.floor(Number(row.at) / 1_000),
        },
        { idempotencyKey: identifier },
      )
      return undefined
    } catch (error) {
      if (!(error instanceof Error)) return String(error)
      // Known already: it arrived, and its answer was lost.
      if (
        error instanceof StripeError &&
        error.statusCode === 400 &&
        /already exists with identifier/i.test(error.message)
      )
        return undefined
      return error.message.slice(0, 500)
    }
  }

  host.jobs.every(1_000, push)
  host.jobs.every(6 * 3_600_000, async () => {
    await tables.run('forgetEvents', { before: host.now() - KEEP_MS })
  })
  return { push }
}
