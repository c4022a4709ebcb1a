/** What holds for a caller of a place: each module's mode and settings, and where each of them comes from. */
import { type TObject, Type } from 'typebox'
import { failure } from '../../core/errors.ts'
import { chainOf, effectiveOf } from '../../core/overrides.ts'
import { inOrder } from '../../core/pipeline.ts'
import type { CoreRoute } from './route.ts'

const text = Type.Optional(Type.String())
const anything: TObject = Type.Object({}, { additionalProperties: true })

export const effectiveRoute: CoreRoute = {
  method: 'GET',
  path: 'effective',
  summary: 'What holds for an organization, team or key: each value of each module, and the place that it comes from.',
  query: Type.Object({ organization: text, team: text, key: text }, { additionalProperties: false }),
  answer: anything,
  example: {
    places: ['team:ml'],
    modules: {
      cache: {
        mode: { value: 'enforce', source: 'team:ml' },
        settings: { ttlSeconds: { value: 60, source: 'instance' } },
      },
    },
  },
  handle({ gateway }, { query }) {
    const asked = query as { organization?: string; team?: string; key?: string }
    const { directory } = gateway.store
    const known = <T>(what: string, row: T | undefined): T => {
      if (!row) throw failure('not_found', { what })
      return row
    }
    const key = asked.key === undefined ? undefined : known(`key "${asked.key}"`, directory.get('key', asked.key))
    const teamId = key ? key.team : asked.team
    const team = teamId === undefined ? undefined : known(`team "${teamId}"`, directory.get('team', teamId))
    const organization = team?.organization ?? (key ? key.organization : asked.organization)
    if (organization !== undefined) known(`organization "${organization}"`, directory.get('organization', organization))
    const { configuration } = gateway.snapshot
    const who = {
      kind: key ? ('key' as const) : ('local' as const),
      id: key?.id ?? '',
      ...(organization === undefined ? {} : { organization }),
      ...(teamId === undefined ? {} : { team: teamId }),
    }
    const places = chainOf(who, configuration.overrides ?? {})
    const modules = inOrder(gateway.modules.map((module) => ({ module }))).map(({ module }) => {
      const base = configuration.modules[module.id] ?? { mode: module.default, settings: {} }
      return [module.id, effectiveOf(module, base, configuration, places)] as const
    })
    return { places, modules: Object.fromEntries(modules) }
  },
}
