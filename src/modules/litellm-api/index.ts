/**
 * LiteLLM's administration, under its own paths and with its field names, so that scripts written for it go on working.
 * Each call is some calls of this gateway's own, made by the same actor: nothing may be done here that may not be there.
 */
import { Type } from 'typebox'
import { defineModule } from '../../core/module.ts'
import { healthRoutes } from './health.ts'
import { keyRoutes } from './keys.ts'
import { modelRoutes } from './models.ts'
import { spendRoutes } from './spend.ts'
import { teamRoutes } from './teams.ts'
import { userRoutes } from './users.ts'

export default defineModule({
  id: 'litellm-api',
  summary: "LiteLLM's routes for keys, teams, users and spend, for scripts that know them.",
  layer: 'identity',
  requires: ['keys'],
  default: 'off',
  fault: 'open',
  settings: Type.Object(
    {
      organization: Type.String({
        default: 'default',
        pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$',
        description: 'Where a team belongs whose call names no `organization_id`; made when it is first needed.',
      }),
    },
    { additionalProperties: false },
  ),
  admin: [...keyRoutes, ...teamRoutes, ...userRoutes, ...spendRoutes, ...modelRoutes, ...healthRoutes],
  start: () => ({}),
})
