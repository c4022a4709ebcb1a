/** What every rule has. */
import { Type } from 'typebox'

export const common = {
  id: Type.String({ pattern: '^[a-z][a-z0-9-]{0,39}$', description: 'Stands in refusals, traces and counters.' }),
  on: Type.Union([Type.Literal('request'), Type.Literal('reply'), Type.Literal('both')], { default: 'both' }),
  action: Type.Union([Type.Literal('block'), Type.Literal('redact'), Type.Literal('flag')], { default: 'block' }),
  mode: Type.Union([Type.Literal('enforce'), Type.Literal('observe')], {
    default: 'enforce',
    description: 'With `observe` it only says what it would have done.',
  }),
  timing: Type.Union([Type.Literal('sync'), Type.Literal('async')], {
    default: 'sync',
    description: 'With `async` nobody waits for it: it delays nothing, stops nothing, and only reports.',
  }),
}
