/** The routes of the directory. */
import type { CoreRoute } from '../route.ts'
import { chargeRoutes } from './charges.ts'
import { figureRoutes } from './figures.ts'
import { keyRoutes } from './keys.ts'
import { organizationRoutes } from './organizations.ts'
import { teamRoutes } from './teams.ts'
import { userRoutes } from './users.ts'

export const directoryRoutes: readonly CoreRoute[] = [
  ...organizationRoutes,
  ...teamRoutes,
  ...userRoutes,
  ...keyRoutes,
  ...figureRoutes,
  ...chargeRoutes,
]
