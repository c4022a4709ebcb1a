/**
 * Charges organizations and teams for what they use: by a markup or by prices of their own, from prepaid credit or by
 * monthly statements. What a call cost stays what it cost; what is charged for it stands beside it on the same row.
 */
import { badRequest } from '../../core/errors.ts'
import { defineModule } from '../../core/module.ts'
import { formatDollars, nanoUsdOf } from '../../core/money.ts'
import { admin, sharedOf } from './admin.ts'
import { createAdmission } from './admission.ts'
import { createMeterEvents } from './meter-events.ts'
import { settings } from './settings.ts'
import { tables } from './tables.ts'
import { chargeOf } from './terms.ts'

const SIGNATURES_MS = 3_600_000

export default defineModule({
  id: 'billing',
  summary: 'Charges organizations and teams: markups, own price lists, prepaid credit, monthly statements, Stripe.',
  layer: 'limits',
  after: ['budgets'],
  default: 'off',
  fault: 'closed',
  patienceMs: 30_000,
  settings,
  tables,
  admin,
  errors: {
    billing_credit_exhausted: {
      status: 402,
      blame: 'client',
      retry: 'never',
      final: true,
      says: { type: 'insufficient_credit', code: 'insufficient_quota' },
      message:
        'Not enough prepaid credit: {account} has {left} USD left, {held} USD of it held by running calls, and this call may be charged {needed} USD. Ask for a shorter answer or a cheaper model, or ask whoever runs this gateway for more credit (POST /api/grants).',
    },
    billing_unpriced: {
      status: 403,
      blame: 'client',
      retry: 'never',
      final: true,
      message:
        'Model "{model}" at upstream "{upstream}" has no known price, and {account} pays in advance. An administrator can set a price (PUT /api/prices/{upstream}%2F{model}), or one in the terms of {account}.',
    },
  },
  check({ timeZone, exchangeRates }) {
    const problems: string[] = []
    try {
      new Intl.DateTimeFormat('en', { timeZone })
    } catch {
      problems.push(`"${timeZone}" is no time zone; write one as Europe/Berlin.`)
    }
    for (const { from } of exchangeRates) if (Number.isNaN(Date.parse(from))) problems.push(`"${from}" is no day.`)
    return problems
  },
  async aboutCaller(host, { organization, team }) {
    const { book, credits } = sharedOf(host)
    const found = book.inForce(organization, team, host.now())
    if (!found) return {}
    if (found.terms.payment !== 'prepaid') return { billing: { account: found.account, payment: found.terms.payment } }
    const credit = credits.of(found.account)
    for (let loading = credit.ready(host.now()); loading; loading = credit.ready(host.now())) await loading
    const { purse, held } = credit
    const next = purse.nextToExpire
    return {
      billing: {
        account: found.account,
        payment: 'prepaid',
        creditUsd: formatDollars(nanoUsdOf(purse.balance)),
        heldUsd: formatDollars(nanoUsdOf(held)),
        nextExpiry: next
          ? { amountUsd: formatDollars(nanoUsdOf(next.left)), at: new Date(next.expiresAt).toISOString() }
          : null,
      },
    }
  },
  start(host, chosen) {
    if (host.mode === 'observe')
      throw badRequest('Module "billing" cannot only observe: a charge is made or it is not.', 'mode')
    const shared = sharedOf(host)
    shared.settings = chosen
    const stopCharging = host.ledger.charge((row) => chargeOf(row, shared.book))
    const stopWatching = shared.credits.use()
    const push = chosen.stripe && createMeterEvents(host, shared.book, chosen.stripe).push
    shared.push = push
    host.jobs.every(SIGNATURES_MS, async () => {
      await host.tables.run('forgetSignatures', { before: host.now() - SIGNATURES_MS })
    })
    return {
      admit: createAdmission(host, shared.book, shared.credits),
      stop() {
        stopCharging()
        stopWatching()
        if (shared.push === push) shared.push = undefined
      },
    }
  },
})
