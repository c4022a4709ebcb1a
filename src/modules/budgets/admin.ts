/** What an administrator sees of budgets at work; the budgets themselves are rows of the directory. */
import { Type } from 'typebox'
import type { AdminRoute } from '../../core/module.ts'
import { formatDollars, nanoUsdOf } from '../../core/money.ts'
import type { Accounts } from './accounts.ts'

const row = Type.Object({}, { additionalProperties: true })
const MOST = 1_000

export const admin: readonly AdminRoute[] = [
  {
    method: 'GET',
    path: 'budget-accounts',
    summary: 'What is spent and held in the accounts of budgets that were used since the start, the fullest first.',
    answer: Type.Object({ heldUsd: Type.String(), accounts: Type.Array(row) }),
    example: {
      heldUsd: '0.1',
      accounts: [
        { budget: 'b1', counter: 'team=search', limitUsd: '5', spentUsd: '1.25', heldUsd: '0.1', resetAt: null },
      ],
    },
    handle(host) {
      const accounts = host.memory.get('accounts') as Accounts | undefined
      const now = host.now()
      const dollars = (nanos: bigint): string => formatDollars(nanoUsdOf(nanos))
      const fullest = [...(accounts?.all() ?? [])]
        .filter((account) => account.ready(account.budget, now) === undefined)
        .map((account) => ({ account, left: account.limit(now) - account.spent(now) - account.held }))
        .sort((a, b) => (a.left < b.left ? -1 : a.left > b.left ? 1 : 0))
        .slice(0, MOST)
      return {
        heldUsd: dollars(accounts?.held ?? 0n),
        accounts: fullest.map(({ account }) => {
          const resetAt = account.resetAt(now)
          return {
            budget: account.budget.id,
            counter: account.counter,
            limitUsd: dollars(account.limit(now)),
            spentUsd: dollars(account.spent(now)),
            heldUsd: dollars(account.held),
            resetAt: resetAt === undefined ? null : new Date(resetAt).toISOString(),
          }
        }),
      }
    },
  },
  {
    method: 'GET',
    path: 'budget-alerts',
    summary: 'The newest alerts that budgets raised, and whether they were taken.',
    answer: Type.Object({ alerts: Type.Array(row) }),
    example: { alerts: [{ id: 'b1 team=search 1793491200000 80', tries: 1, sentAt: '2026-11-24T12:00:01.000Z' }] },
    async handle(host) {
      const alerts = await host.tables.query('list', { limit: 200 })
      return {
        alerts: alerts.map(({ id, at, body, tries, sent_at }) => ({
          id,
          at: new Date(Number(at)).toISOString(),
          tries: Number(tries),
          sentAt: sent_at === null ? null : new Date(Number(sent_at)).toISOString(),
          ...(JSON.parse(String(body)) as object),
        })),
      }
    },
  },
]
