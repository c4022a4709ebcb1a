/**
 * Features that a vendor's clients ask for in a header while they are in trial, at the others who serve the same models: each
 * takes some, and answers 400 to any other (A58). What it takes is dated data in its own file; an upstream may name more.
 */
import { Type } from 'typebox'
import type { Exchange, Target } from './exchange.ts'
import type { JsonObject } from './request.ts'

export interface Betas {
  readonly header: string
  /** When this was true. */
  readonly asOf: string
  readonly taken: readonly string[]
  /** Features that go by another name here. */
  readonly renamed?: Readonly<Record<string, string>>
}

/** For the options of a provider that has such a list. */
export const BETA_OPTION = {
  betas: Type.Optional(
    Type.Array(Type.String({ pattern: '^[\\w.-]+$' }), {
      description: 'Beta features that it takes besides the known ones; others are left out and named in a header.',
    }),
  ),
}

const named = (options: JsonObject): readonly unknown[] => (Array.isArray(options.betas) ? options.betas : [])

/** The client's headers as this target is to get them; `lost` is what it would not take. */
export function trimmed(
  headers: Exchange['headers'],
  { upstream: { provider, options } }: Target,
  lost: string[],
): Exchange['headers'] {
  const { betas } = provider
  const asked = betas && headers[betas.header]
  if (!betas || asked === undefined) return headers
  const kept = new Set<string>()
  for (const each of asked.split(',')) {
    const beta = each.trim()
    const known = betas.renamed?.[beta] ?? beta
    if (betas.taken.includes(known) || named(options).includes(known)) kept.add(known)
    else if (beta !== '') lost.push(`${betas.header}: ${beta}`)
  }
  return { ...headers, [betas.header]: kept.size > 0 ? [...kept].join(',') : undefined }
}
