/**
 * A module's mode and settings for one organization, team or key. What a lower place may say is bounded by what holds above
 * it: stricter always, looser only where the place above unlocked the module. Merged field by field; arrays replace.
 */
import type { TObject, TSchema } from 'typebox'
import { badRequest } from './errors.ts'
import type { Principal } from './exchange.ts'
import type { Module } from './module.ts'
import type { JsonObject, JsonValue } from './request.ts'
import { parseStrict } from './settings.ts'
import type { Configuration, Mode, ModuleConfiguration } from './store.ts'

/** For classes of callers, not for individuals: figures are rows of the directory. */
export const MOST_OVERRIDES = 1_000
const PLACE = /^(organization|team|key):[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const STRICTNESS: Readonly<Record<Mode, number>> = { off: 0, observe: 1, enforce: 2 }

/** How a field of settings may be overridden, written into its schema. */
interface FieldRule extends TSchema {
  /** Which values are stricter; without it the place above must have unlocked the module. */
  readonly stricter?: 'lower' | 'higher' | 'true' | 'false'
  /** It is the same for everybody. */
  readonly instance?: true
}
const ruleOf = (schema: TObject, field: string): FieldRule | undefined =>
  (schema.properties as Readonly<Record<string, FieldRule>>)[field]

/** The places of a caller that have overrides, from the widest to the narrowest. */
export function chainOf(
  who: Pick<Principal, 'kind' | 'id' | 'organization' | 'team'>,
  overrides: NonNullable<Configuration['overrides']>,
): string[] {
  const places: string[] = []
  const add = (place: string): void => {
    if (Object.hasOwn(overrides, place)) places.push(place)
  }
  if (who.organization !== undefined) add(`organization:${who.organization}`)
  if (who.team !== undefined) add(`team:${who.team}`)
  if (who.kind === 'key') add(`key:${who.id}`)
  return places
}

/** What holds for a module at the end of a chain. */
export function merged(base: ModuleConfiguration, id: string, configuration: Configuration, chain: readonly string[]) {
  let { mode, settings, unlocked = false } = base
  for (const place of chain) {
    const own = configuration.overrides?.[place]?.modules[id]
    if (!own) continue
    mode = own.mode ?? mode
    if (own.settings) settings = { ...settings, ...own.settings }
    unlocked = own.unlocked ?? unlocked
  }
  return { mode, settings, unlocked }
}

export interface Effective {
  readonly mode: { readonly value: Mode; readonly source: string }
  readonly settings: Readonly<Record<string, { readonly value: JsonValue; readonly source: string }>>
  readonly unlocked: boolean
}

/** The same, each value with the place that it comes from. */
export function effectiveOf(
  module: Module,
  base: ModuleConfiguration,
  configuration: Configuration,
  chain: readonly string[],
): Effective {
  const told = configuration.modules[module.id]
  const sources = [
    { source: 'default', mode: module.default, settings: parseStrict(module.settings, {}) as JsonObject },
    ...(told ? [{ source: 'instance', mode: told.mode, settings: told.settings }] : []),
    ...chain.flatMap((source) => {
      const own = configuration.overrides?.[source]?.modules[module.id]
      return own ? [{ source, mode: own.mode, settings: own.settings ?? {} }] : []
    }),
  ]
  let mode: Effective['mode'] = { value: module.default, source: 'default' }
  const settings: Record<string, { value: JsonValue; source: string }> = {}
  for (const { source, ...own } of sources) {
    if (own.mode !== undefined) mode = { value: own.mode, source }
    for (const [name, value] of Object.entries(own.settings)) {
      if (value !== undefined) settings[name] = { value, source }
    }
  }
  return { mode, settings, unlocked: merged(base, module.id, configuration, chain).unlocked }
}

export interface OverrideFacts {
  readonly module: (id: string) => Module | undefined
  readonly base: (module: Module) => ModuleConfiguration
  /** The places above one, from the widest; undefined if there is no such place. */
  readonly above: (place: string) => readonly string[] | undefined
}

/** Throws `invalid_request` naming what is wrong. Only `places` are judged for what stands above them. */
export function checkOverrides(configuration: Configuration, places: readonly string[], facts: OverrideFacts): void {
  const overrides = configuration.overrides ?? {}
  if (Object.keys(overrides).length > MOST_OVERRIDES) {
    throw badRequest(`There may be ${MOST_OVERRIDES} overrides; they are for classes of callers, not for each of them.`)
  }
  for (const place of places) {
    const override = overrides[place]
    if (!override) continue
    if (!PLACE.test(place)) {
      throw badRequest(`"${place}" is no place; write organization:…, team:… or key:… with its id.`)
    }
    const above = facts.above(place)
    if (!above) throw badRequest(`overrides/${place}: there is no such ${place.split(':', 1)[0]}.`)
    for (const [id, own] of Object.entries(override.modules)) {
      const where = `overrides/${place}/modules/${id}`
      const module = facts.module(id)
      if (!module) throw badRequest(`${where}: there is no such module.`)
      if (!module.overridable) throw badRequest(`${where}: this module is the same for everybody.`)
      const outer = merged(
        facts.base(module),
        id,
        configuration,
        above.filter((one) => Object.hasOwn(overrides, one)),
      )
      checkOne(module, own, outer, where)
      const settings = parseStrict(module.settings, { ...outer.settings, ...own.settings }, `${where}/settings`)
      const problems = module.check?.(settings) ?? []
      if (problems.length > 0) throw badRequest(`${where}: ${problems.join(' ')}`)
    }
  }
}

function checkOne(
  module: Module,
  own: { readonly mode?: Mode; readonly settings?: JsonObject },
  outer: ReturnType<typeof merged>,
  where: string,
): void {
  if (own.mode !== undefined && !outer.unlocked && STRICTNESS[own.mode] < STRICTNESS[outer.mode]) {
    throw badRequest(
      `${where}: "${own.mode}" is looser than "${outer.mode}", which holds above; unlock the module there first.`,
    )
  }
  const held = parseStrict(module.settings, outer.settings) as JsonObject
  for (const [field, value] of Object.entries(own.settings ?? {})) {
    const rule = ruleOf(module.settings, field)
    if (rule?.instance) throw badRequest(`${where}/settings/${field} is the same for everybody.`)
    if (outer.unlocked || JSON.stringify(value) === JSON.stringify(held[field])) continue
    // Where the module is off above, there is nothing that a setting without a direction could loosen.
    if (outer.mode === 'off' && rule?.stricter === undefined) continue
    if (!isStricter(rule?.stricter, value, held[field])) {
      throw badRequest(`${where}/settings/${field} may only become stricter here; unlock the module above first.`)
    }
  }
}

function isStricter(rule: FieldRule['stricter'], value: unknown, held: unknown): boolean {
  if (rule === 'true' || rule === 'false') return value === (rule === 'true')
  if (typeof value !== 'number' || typeof held !== 'number') return false
  return rule === 'lower' ? value <= held : rule === 'higher' && value >= held
}
