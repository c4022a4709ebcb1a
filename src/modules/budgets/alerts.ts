/**
 * Tells that a budget has reached a threshold: once in each of its windows, in the log and, where an address is set, by a
 * signed webhook that is tried again until it was taken.
 */
import type { Host } from '../../core/module.ts'
import { formatDollars, nanoUsdOf } from '../../core/money.ts'
import { webhookHeaders } from '../../core/webhook.ts'
import type { Account } from './account.ts'
import type { Settings } from './settings.ts'

const TRY_MS = 1_000
const FIRST_RETRY_MS = 2_000
const MOST_RETRY_MS = 600_000
/** For more than a day: a receiver that is down for a night has it in the morning. */
const MOST_TRIES = 160
const CALL_MS = 10_000
const KEEP_MS = 400 * 86_400_000

export function createAlerts(host: Host, chosen: Settings) {
  /** Called with every row that was spent, so what can be compared is compared first. */
  function look(account: Account): void {
    if (host.mode === 'observe' || account.loading) return
    const now = host.now()
    const limit = account.limit(now)
    if (limit <= 0n) return
    const percent = Number((account.spent(now) * 10_000n) / limit) / 100
    const from = account.windowFrom
    if (account.toldFor !== from) {
      account.toldFor = from
      account.told = 0
    }
    if (percent <= account.told) return
    for (const threshold of account.budget.thresholds ?? chosen.thresholds) {
      if (threshold > account.told && threshold <= percent) raise(account, threshold, percent, now)
    }
    account.told = percent
  }

  function raise(account: Account, threshold: number, percent: number, now: number): void {
    const { budget, name } = account
    const id = `${name} ${account.windowFrom} ${threshold}`.replace(/[^\w.=|:-]/g, '_')
    const resetAt = account.resetAt(now)
    const data = {
      budget: budget.id,
      scope: { ...budget.scope },
      counter: account.counter,
      hard: budget.hard !== false,
      threshold_percent: threshold,
      used_percent: Math.floor(percent * 100) / 100,
      limit_usd: formatDollars(nanoUsdOf(account.limit(now))),
      spent_usd: formatDollars(nanoUsdOf(account.spent(now))),
      reset_at: resetAt === undefined ? null : new Date(resetAt).toISOString(),
    }
    const body = JSON.stringify({ type: 'budget.threshold', timestamp: new Date(now).toISOString(), data })
    const next_at = chosen.webhookUrl === undefined ? null : now
    void host.tables.run('raise', { id, at: now, body, next_at }).then(
      ({ changes }) => {
        // Before a restart it was told already.
        if (changes > 0) host.log.warn('a budget has reached a threshold', data)
      },
      (error) => host.log.error('a budget alert could not be kept', { ...data, error: String(error) }),
    )
  }

  let sending = false
  async function send(): Promise<void> {
    const { webhookUrl } = chosen
    if (webhookUrl === undefined || sending) return
    sending = true
    try {
      for (const { id, body, tries } of await host.tables.query('due', { now: host.now() })) {
        const problem = await deliver(webhookUrl, String(id), String(body))
        const now = host.now()
        if (problem === undefined) {
          await host.tables.run('sent', { id: id as string, now })
          continue
        }
        const again = Number(tries) + 1 < MOST_TRIES
        const wait = Math.min(MOST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(20, Number(tries)))
        await host.tables.run('failed', { id: id as string, next_at: again ? now + wait : null })
        host.log.warn('a budget alert was not taken', { id, problem, again })
      }
    } finally {
      sending = false
    }
  }

  async function deliver(url: string, id: string, body: string): Promise<string | undefined> {
    const secret = host.secretOf('webhook') ?? host.secret('webhook')
    try {
      const headers = webhookHeaders(id, host.now(), body, secret)
      const answer = await host.call({
        url,
        headers,
        body: Buffer.from(body),
        timeoutMs: CALL_MS,
        maxAnswerBytes: 65_536,
      })
      return answer.status >= 200 && answer.status < 300 ? undefined : `it answered ${answer.status}`
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }

  if (chosen.webhookUrl !== undefined && host.mode === 'enforce') host.jobs.every(TRY_MS, send)
  host.jobs.every(6 * 3_600_000, async () => {
    await host.tables.run('forget', { before: host.now() - KEEP_MS })
  })
  return { look }
}
