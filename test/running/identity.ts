/**
 * An identity module for tests: callers are who their header says, so that what hangs on organizations, teams and keys is
 * tried without making any.
 */
import { Type } from 'typebox'
import type { Budget, Draft, Limit } from '../../src/core/directory.ts'
import type { Principal } from '../../src/core/exchange.ts'
import { defineModule } from '../../src/core/module.ts'
import type { Running } from './index.ts'

/** As keys are: one principal for each, for as long as it is the same. */
const known = new Map<string, Principal>()

export const whoever = defineModule({
  id: 'whoever',
  summary: 'Believes the header x-who.',
  layer: 'identity',
  default: 'enforce',
  fault: 'closed',
  settings: Type.Object({}, { additionalProperties: false }),
  start: () => ({
    authenticate({ headers }) {
      const who = headers['x-who']
      if (who === undefined) return undefined
      const found = known.get(who)
      if (found) return found
      const { key, ...rest } = JSON.parse(who) as { key: string } & Partial<Principal>
      const principal: Principal = { kind: 'key', id: key, scope: `key:${key}`, ...rest }
      known.set(who, principal)
      return principal
    },
  }),
})

/** Headers of a request by somebody. */
export const as = (key: string, more: Partial<Principal> = {}): Record<string, string> => ({
  'x-who': JSON.stringify({ key, ...more }),
})

const META = { actor: 'test', action: 'test' }
type Directory = Running['served']['gateway']['store']['directory']
const directoryOf = (gateway: Running): Directory => gateway.served.gateway.store.directory
let figures = 0

export const addLimit = (gateway: Running, limit: Omit<Draft<'limit'>, 'id'>): Limit =>
  directoryOf(gateway).change(META, (edit) => edit.insert('limit', { id: `l${++figures}`, ...limit }))
export const addBudget = (gateway: Running, budget: Omit<Draft<'budget'>, 'id'>): Budget =>
  directoryOf(gateway).change(META, (edit) => edit.insert('budget', { id: `b${++figures}`, ...budget }))
export const changeBudget = (gateway: Running, budget: Draft<'budget'>): Budget =>
  directoryOf(gateway).change(META, (edit) => edit.update('budget', budget))
