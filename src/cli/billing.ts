/** `stockyard billing …`: terms, grants, balances and statements; each is one call of the admin API. */
import { readFileSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import type { Command } from 'commander'
import { stringify } from 'yaml'
import { type ClientFlags, call, download, parsed, table } from './client.ts'
import type { Own, Show } from './directory-words.ts'
import { fail } from './words.ts'

type Row = Record<string, unknown>
type Flags = ClientFlags & Readonly<Record<string, string | undefined>>

/** `organization:acme` or `team:ml` as the scope that it means. */
function scopeOf(account: string): Row {
  const match = /^(organization|team):(.+)$/.exec(account)
  return match ? { [match[1] as string]: match[2] } : fail(`"${account}" is no account; write organization:… or team:…`)
}
const given = (fields: Row): Row =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

export function billingCommand(stockyard: Command, own: Own, show: Show): void {
  const billing = stockyard.command('billing').description('what organizations and teams are charged')
  for (const [path, columns, description] of [
    [
      'terms',
      ['id', 'scope', 'from', 'payment', 'markup', 'currency', 'stripeCustomer'],
      'what is charged, and since when',
    ],
    ['grants', ['id', 'scope', 'amountUsd', 'createdAt', 'expiresAt', 'note'], 'credit that was paid for in advance'],
  ] as const) {
    const commands = billing.command(path).description(description)
    own(commands, 'list [account]', 'all of them, or those of one account').action(
      async (account: string | undefined, flags: Flags) => {
        const rows: Row[] = []
        const query = new URLSearchParams(account === undefined ? {} : { at: account })
        for (let after: string | null = ''; after !== null; ) {
          if (after) query.set('after', after)
          const page = (await call(flags, 'GET', `${path}?${query}`)) as { next: string | null } & Record<string, Row[]>
          rows.push(...(page[path] as Row[]))
          after = page.next
        }
        show(flags, { [path]: rows }, () => table(rows, columns))
      },
    )
    if (path === 'terms') {
      own(commands, 'add <account>', 'terms that hold from now on, or from a time; they stay')
        .requiredOption('--payment <how>', 'prepaid, statements, or none')
        .option('--markup <percent>', 'on what a call cost; may be negative')
        .option('--prices <file>', 'a price list of its own, YAML or JSON: model → rates')
        .option('--failed', 'charge for calls that failed, too')
        .option('--currency <code>', 'in which statements show the total besides dollars')
        .option('--bill-to <lines>', 'who is billed, lines with |')
        .option('--stripe-customer <id>', 'whom usage is pushed to Stripe for')
        .option('--from <time>', 'ISO time')
        .action(async (account: string, flags: Flags & { failed?: boolean }) => {
          const { payment, markup, currency, from, stripeCustomer, failed } = flags
          const prices =
            flags.prices === undefined ? undefined : (parsed(readFileSync(flags.prices, 'utf8'), flags.prices) as Row)
          const billTo = flags.billTo?.split('|').map((line) => line.trim())
          const body = given({
            scope: scopeOf(account),
            payment,
            markup,
            currency,
            from,
            stripeCustomer,
            failed,
            prices,
            billTo,
          })
          const answer = (await call(flags, 'POST', path, body)) as Row
          show(flags, answer, () => `terms ${answer.id} hold for ${account} from ${answer.from} on`)
        })
    } else {
      own(commands, 'add <account> <usd>', 'credit from now on; it stays')
        .option('--expires <time>', 'ISO time')
        .option('--note <text>', 'what it was paid by')
        .action(async (account: string, amountUsd: string, flags: Flags) => {
          const body = given({ scope: scopeOf(account), amountUsd, expiresAt: flags.expires, note: flags.note })
          const answer = (await call(flags, 'POST', path, body)) as Row
          show(flags, answer, () => `grant ${answer.id}: ${amountUsd} USD for ${account}`)
        })
    }
  }

  own(billing, 'balances [account]', 'what is left of prepaid credit').action(
    async (account: string | undefined, flags: ClientFlags) => {
      const query = account === undefined ? '' : `?${new URLSearchParams({ account })}`
      const answer = (await call(flags, 'GET', `billing/balances${query}`)) as { balances: Row[] }
      show(flags, answer, () => table(answer.balances, ['account', 'creditUsd', 'heldUsd', 'debtUsd']))
    },
  )
  const written = async (flags: Flags, path: string, query: Record<string, string>): Promise<void> => {
    const { format } = flags
    const asked = new URLSearchParams({ ...query, ...(format === undefined ? {} : { format }) })
    if (format === 'csv' || format === 'pdf') {
      await pipeline(await download(flags, `${path}?${asked}`), process.stdout, { end: false })
      return
    }
    const answer = await call(flags, 'GET', `${path}?${asked}`)
    show(flags, answer, () => stringify(answer))
  }
  own(billing, 'draft <account> <month>', 'what the statement of a month, as 2026-11, would say now')
    .option('--format <format>', 'json, csv or pdf')
    .action((account: string, month: string, flags: Flags) => written(flags, 'billing/draft', { account, month }))
  own(
    billing,
    'freeze <account> <month>',
    'make the statement of a month that is over; it has a number and stays',
  ).action(async (account: string, month: string, flags: ClientFlags) => {
    const answer = (await call(flags, 'POST', 'billing/statements', { account, month })) as Row
    show(flags, answer, () => `statement ${answer.number}: ${answer.totalUsd} USD for ${account} in ${month}`)
  })
  own(billing, 'statements [account]', 'frozen statements, the newest first').action(
    async (account: string | undefined, flags: ClientFlags) => {
      const query = account === undefined ? '' : `?${new URLSearchParams({ account })}`
      const answer = (await call(flags, 'GET', `billing/statements${query}`)) as { statements: Row[] }
      show(flags, answer, () =>
        table(answer.statements, ['number', 'account', 'month', 'totalUsd', 'frozenAt', 'hash']),
      )
    },
  )
  own(billing, 'statement <number>', 'one of them, to the standard output; the number without its prefix')
    .option('--format <format>', 'json, csv or pdf')
    .action((number: string, flags: Flags) => written(flags, `billing/statements/${encodeURIComponent(number)}`, {}))
  own(billing, 'verify <number>', 'make a frozen statement again from the ledger, and compare').action(
    async (number: string, flags: ClientFlags) => {
      const answer = (await call(flags, 'GET', `billing/statements/${encodeURIComponent(number)}/verify`)) as Row
      show(flags, answer, () =>
        answer.same ? `the same: ${answer.hash}` : `NOT the same: ${answer.again}, not ${answer.hash}`,
      )
      if (answer.same !== true) process.exitCode = 1
    },
  )
  own(billing, 'meter-events', 'the newest events for Stripe, and what is in their way')
    .option('--push', 'send what is due now')
    .option('--resume <identifier>', 'send one again that was given up')
    .action(async (flags: Flags & { push?: boolean }) => {
      const { resume } = flags
      if (flags.push || resume) await call(flags, 'POST', 'billing/meter-events/push', given({ resume }))
      const answer = (await call(flags, 'GET', 'billing/meter-events')) as { events: Row[] }
      show(flags, answer, () =>
        table(answer.events, ['identifier', 'account', 'value', 'at', 'tries', 'sentAt', 'problem']),
      )
    })
}
