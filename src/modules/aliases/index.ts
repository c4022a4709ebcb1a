/**
 * Public names for models: exact ones and wildcards, with defaults and overrides of their own. The names themselves are
 * configuration (`/api/aliases`); switched off, they are unknown models.
 */
import { Type } from 'typebox'
import { defineModule } from '../../core/module.ts'

export default defineModule({
  id: 'aliases',
  summary: 'Lets clients ask for a model by another name, exact or with a wildcard.',
  layer: 'routing',
  default: 'enforce',
  fault: 'closed',
  settings: Type.Object({}, { additionalProperties: false }),
  start: () => ({
    route(x, plan) {
      if (plan.via === 'route' || x.model === '') return plan
      return x.names.alias(x.model, 'exact') ?? x.names.alias(x.model, 'wildcard') ?? plan
    },
  }),
})
