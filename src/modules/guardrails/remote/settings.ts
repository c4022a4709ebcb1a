/** What all checks elsewhere have in common. */
import { Type } from 'typebox'
import { common } from '../every-rule.ts'

const bounds = {
  timeoutMs: Type.Integer({ default: 2_000, minimum: 10, maximum: 60_000 }),
  fail: Type.Union([Type.Literal('open'), Type.Literal('closed')], {
    default: 'closed',
    description: 'What it means that there is no answer: go on, or refuse.',
  }),
}
const elsewhere = <T extends string>(type: T) => ({ ...common, type: Type.Literal(type), ...bounds })

/** At an address, with the module's secret that is named like the rule. */
export const byAddress = <T extends string>(type: T) => ({
  ...elsewhere(type),
  url: Type.String({ pattern: '^https?://', maxLength: 2_000 }),
})
/** With the address and the credential of an upstream. */
export const byAccount = <T extends string>(type: T) => ({
  ...elsewhere(type),
  upstream: Type.String({ minLength: 1, maxLength: 100, description: 'Whose base URL and credential are used.' }),
})
/** By a model. */
export const byModel = <T extends string>(type: T) => ({
  ...elsewhere(type),
  timeoutMs: Type.Integer({ default: 10_000, minimum: 10, maximum: 60_000 }),
  model: Type.String({ minLength: 1, maxLength: 200, description: 'A route, an alias or `upstream/model`.' }),
})
