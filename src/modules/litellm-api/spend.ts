/** `/spend/logs`: from the ledger, one entry for each request, or sums for each day. */
import { badRequest } from '../../core/errors.ts'
import type { AdminCall, AdminRoute, Download, Host } from '../../core/module.ts'
import type { JsonObject } from '../../core/request.ts'
import { inputTokens, outputTokens, type Usage } from '../../core/usage.ts'
import * as fields from './fields.ts'
import { keyNamed, userKnown } from './rows.ts'

const DAY_MS = 86_400_000
const MOST_ENTRIES = 10_000

interface Fact extends Usage {
  readonly at: string
  readonly kind: string
  readonly key: string
  readonly exchange: string
  readonly team: string | null
  readonly organization: string | null
  readonly user: string | null
  readonly endUser: string | null
  readonly tags: readonly string[]
  readonly model: string
  readonly upstream: string
  readonly upstreamModel: string
  readonly costUsd: string
}
interface Entry extends Record<string, unknown> {
  spend: number
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  endTime: string
}

function dayOf(text: string, field: string): number {
  const at = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN
  if (Number.isNaN(at)) throw badRequest(`${field}: "${text.slice(0, 50)}" is no date; write 2026-11-24.`, field)
  return at
}

async function* factsOf(download: Download): AsyncGenerator<Fact> {
  let rest = ''
  for await (const chunk of download.chunks) {
    const lines = (rest + String(chunk)).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line) yield JSON.parse(line) as Fact
  }
  if (rest) yield JSON.parse(rest) as Fact
}

function entryOf(fact: Fact): Entry {
  const [prompt, completion] = [inputTokens(fact), outputTokens(fact)]
  return {
    request_id: fact.exchange,
    api_key: fact.key,
    user: fact.user ?? '',
    team_id: fact.team,
    organization_id: fact.organization,
    end_user: fact.endUser,
    model: fact.upstreamModel,
    model_group: fact.model,
    custom_llm_provider: fact.upstream,
    spend: Number(fact.costUsd),
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    startTime: fact.at,
    endTime: fact.at,
    cache_hit: fact.kind === 'hit' ? 'True' : 'False',
    request_tags: [...fact.tags],
    metadata: {},
  }
}

async function entries(call: AdminCall, query: URLSearchParams, request: string | undefined): Promise<Entry[]> {
  query.set('format', 'jsonl')
  const found = new Map<string, Entry>()
  for await (const fact of factsOf((await call.api('GET', `usage/export?${query}`)) as Download)) {
    if (request !== undefined && fact.exchange !== request) continue
    const entry = entryOf(fact)
    const known = found.get(fact.exchange)
    if (!known) found.set(fact.exchange, entry)
    else {
      // Further attempts, and corrections, of the same request.
      for (const name of ['spend', 'prompt_tokens', 'completion_tokens', 'total_tokens'] as const) {
        known[name] += entry[name]
      }
      known.endTime = entry.endTime
    }
    if (found.size > MOST_ENTRIES) {
      throw badRequest(`More than ${MOST_ENTRIES} requests: narrow it with start_date and end_date, a key or a user.`)
    }
  }
  return [...found.values()]
}

async function days(call: AdminCall, query: URLSearchParams): Promise<JsonObject[]> {
  query.set('groupBy', 'day,user,principal,model')
  const { rows } = (await call.api('GET', `usage?${query}`)) as {
    rows: { group: Record<string, string | null>; costUsd: string }[]
  }
  const all = new Map<string, { spend: number; users: Record<string, number>; models: Record<string, number> }>()
  for (const { group, costUsd } of rows) {
    const day = String(group.day)
    const of = all.get(day) ?? { spend: 0, users: Object.create(null), models: Object.create(null) }
    all.set(day, of)
    const cost = Number(costUsd)
    const add = (sums: Record<string, number>, name: string) => {
      sums[name] = (sums[name] ?? 0) + cost
    }
    of.spend += cost
    add(of.users, group.user ?? '')
    add(of.models, group.model ?? '')
  }
  return [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([startTime, of]) => ({ startTime, ...of }))
}

async function asked(host: Host, call: AdminCall): Promise<unknown> {
  const { api_key, user_id, team_id, request_id, start_date, end_date, summarize } = call.query as Record<
    string,
    string | undefined
  >
  if ((start_date === undefined) !== (end_date === undefined)) {
    throw badRequest('"start_date" and "end_date" go together.', 'start_date')
  }
  const query = new URLSearchParams()
  if (api_key) query.set('principal', (await keyNamed(host, call, api_key)).id)
  if (user_id) query.set('user', userKnown(host, user_id).id)
  if (team_id) query.set('team', team_id)
  if (start_date && end_date) {
    query.set('from', new Date(dayOf(start_date, 'start_date')).toISOString())
    query.set('to', new Date(dayOf(end_date, 'end_date') + DAY_MS).toISOString())
  }
  const summed = start_date !== undefined && summarize !== 'false' && summarize !== 'False' && !request_id
  return summed ? days(call, query) : entries(call, query, request_id)
}

export const spendRoutes: readonly AdminRoute[] = [
  {
    method: 'GET',
    path: 'spend/logs',
    root: true,
    needs: 'signed-in',
    told: true,
    summary: 'What requests cost; with two dates, sums for each day, the last one included.',
    query: fields.SpendAsked,
    answer: fields.Answer,
    example: [{ request_id: 'req_1', api_key: 'Ab3dEf6hIj9k', model: 'gpt-4o-mini', spend: 0.000023 }],
    handle: asked,
  },
]
