/**
 * Caps on what is spent, for whoever and whatever a budget's scope names. Before anything goes upstream the most that a
 * call can cost is held in every account at once, or in none; what it did cost comes from the ledger.
 */
import { Figures } from '../../core/figures.ts'
import { defineModule, type Host } from '../../core/module.ts'
import { formatDollars, nanoUsdOf } from '../../core/money.ts'
import { Accounts } from './accounts.ts'
import { admin } from './admin.ts'
import { createAdmission } from './admission.ts'
import { createAlerts } from './alerts.ts'
import { Expectations } from './expectations.ts'
import { settings } from './settings.ts'
import { tables } from './tables.ts'

export default defineModule({
  id: 'budgets',
  summary: 'Caps spending per organization, team, user, key, end user, model, upstream or tag, in any window of time.',
  layer: 'limits',
  after: ['rate-limits'],
  default: 'off',
  fault: 'closed',
  patienceMs: 30_000,
  settings,
  tables,
  admin,
  errors: {
    budget_exceeded: {
      status: 429,
      blame: 'client',
      retry: 'never',
      final: true,
      says: { type: 'budget_exceeded', code: 'insufficient_quota' },
      message:
        'Budget exceeded: {budget}. {spent} USD are spent and {held} USD held by running calls; this one may cost {needed} USD.{reset}',
    },
    budget_unpriced: {
      status: 403,
      blame: 'client',
      retry: 'never',
      final: true,
      message:
        'Model "{model}" at upstream "{upstream}" has no known price, and {budget} must not be spent unseen. An administrator can set a price (PUT /api/prices/{upstream}%2F{model}), or let unpriced models pass (setting "unpriced" of module "budgets").',
    },
  },
  check: ({ webhookUrl }) =>
    webhookUrl === undefined || /^https?:\/\/\S+$/.test(webhookUrl)
      ? []
      : ['webhookUrl must be an http or https address.'],
  async aboutCaller(host, principal) {
    const accounts = kept(host, 'accounts', () => new Accounts(host))
    const now = host.now()
    const dollars = (nanos: bigint): string => formatDollars(nanoUsdOf(nanos))
    const budgets = await Promise.all(
      new Figures(host.directory, 'budget').about(principal).map(async (applied) => {
        const account = accounts.of(applied)
        await account.ready(applied.figure, now)
        const { scope, window, hard = true } = applied.figure
        const left = account.limit(now) - account.spent(now) - account.held
        const resetAt = account.resetAt(now)
        return {
          scope: { ...scope },
          window: { ...window },
          hard,
          limitUsd: dollars(account.limit(now)),
          spentUsd: dollars(account.spent(now)),
          remainingUsd: dollars(left < 0n ? 0n : left),
          resetAt: resetAt === undefined ? null : new Date(resetAt).toISOString(),
        }
      }),
    )
    return { budgets }
  },
  start(host, chosen) {
    const accounts = kept(host, 'accounts', () => new Accounts(host))
    const expectations = kept(host, 'expectations', () => new Expectations())
    const alerts = createAlerts(host, chosen)
    const stop = accounts.use(alerts.look)
    const { admit, meter } = createAdmission({ host, chosen, accounts, expectations })
    return { admit, meter, stop: async () => stop() }
  },
})

function kept<T>(host: Host, name: string, make: () => T): T {
  const known = host.memory.get(name) as T | undefined
  if (known) return known
  const made = make()
  host.memory.set(name, made)
  return made
}
