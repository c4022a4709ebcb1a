/**
 * How long rows and texts are kept, by place: what the instance says, unless an organization, team or key has a rule of its
 * own, and the narrowest rule wins. What was looked at once is not looked at again until the rules change.
 */
import type { Chosen, Host } from '../../core/module.ts'
import type { SqlValue } from '../../core/store.ts'

const DAY_MS = 86_400_000

export interface Days {
  readonly metadataDays: number
  readonly bodyDays: number
}
interface Rule extends Days {
  readonly organization: string | null
  readonly team: string | null
  readonly key: string | null
}

/** The instance's rule and those of places that differ from what holds above them. */
function rulesOf({ everywhere, places }: Chosen, defaults: Days): Rule[] {
  const daysIn = (settings: object): Days => {
    const { metadataDays = defaults.metadataDays, bodyDays = defaults.bodyDays } = settings as Partial<Days>
    return { metadataDays, bodyDays }
  }
  const rules: Rule[] = [{ organization: null, team: null, key: null, ...daysIn(everywhere) }]
  for (const [place, settings] of places) {
    const at = place.indexOf(':')
    const [kind, id] = [place.slice(0, at), place.slice(at + 1)]
    const where = { organization: null, team: null, key: null, [kind]: id }
    rules.push({ ...where, ...daysIn(settings) })
  }
  return rules
}

export async function forgetOld(host: Host, defaults: Days): Promise<void> {
  const rules = rulesOf(host.chosen, defaults)
  const text = JSON.stringify(rules)
  let seen = host.memory.get('retention') as { readonly text: string; readonly upTo: Map<string, number> } | undefined
  if (seen?.text !== text) {
    seen = { text, upTo: new Map() }
    host.memory.set('retention', seen)
  }
  const now = host.now()
  const named = (kind: 'organization' | 'team' | 'key') => rules.flatMap((rule) => rule[kind] ?? [])
  const [organizations, teams, keys] = [named('organization'), named('team'), named('key')]
  for (const [n, { organization, team, key, metadataDays, bodyDays }] of rules.entries()) {
    const narrower: Record<string, SqlValue> = {
      organization,
      team,
      key,
      organizations: JSON.stringify(organization === null && team === null && key === null ? organizations : []),
      teams: JSON.stringify(team === null && key === null ? teams : []),
      keys: JSON.stringify(key === null ? keys : []),
    }
    for (const [statement, days] of [
      ['forgetBodies', bodyDays],
      ['forgetExchanges', metadataDays],
    ] as const) {
      const before = now - days * DAY_MS
      const name = `${n} ${statement}`
      const bound = { ...narrower, from: seen.upTo.get(name) ?? 0, before }
      while ((await host.tables.run(statement, bound)).changes > 0);
      // Rows are written in batches, a little after their time.
      seen.upTo.set(name, before - DAY_MS / 24)
    }
  }
}
