/**
 * Personal data and secrets are hidden before a request goes upstream, and put back in the reply, streamed or not. Originals
 * live with their exchange in memory; logs, cache and ledger see what upstreams see.
 */
import type { Exchange } from '../../core/exchange.ts'
import { defineModule, type Host } from '../../core/module.ts'
import type { ModelRequest } from '../../core/request.ts'
import { hides as unseen } from '../../core/texts.ts'
import { admin } from './admin.ts'
import { Hiding } from './hiding.ts'
import { ownFinder, problemOf } from './own-patterns.ts'
import { type Policy, policyOf } from './policy.ts'
import { ReplyStage } from './reply-stage.ts'
import { type Hidden, merged, RequestHiding } from './request.ts'
import type { Originals } from './restoring.ts'
import { withinRuns } from './runs.ts'
import { isEntity, type Settings, settings } from './settings.ts'

const NONE: Originals = new Map()

export default defineModule({
  id: 'pii',
  summary: 'Hides personal data and secrets before they leave, and puts them back in the answer.',
  layer: 'content',
  overridable: true,
  default: 'off',
  fault: 'closed',
  patienceMs: 10_000,
  settings,
  errors: {
    pii_blocked: {
      status: 400,
      blame: 'client',
      retry: 'never',
      final: true,
      message: 'The request contains what may not be sent from here: {entities}. Remove it and try again.',
    },
    pii_unreadable: {
      status: 400,
      blame: 'client',
      retry: 'never',
      final: true,
      message: 'The request cannot be searched for personal data: {problem}.',
    },
  },
  admin,
  check: (chosen) => [
    ...Object.keys(chosen.entities)
      .filter((name) => !isEntity(name) && !chosen.patterns.some((p) => p.name === name))
      .map((name) => `entities/${name}: there is no such entity.`),
    ...[...chosen.patterns.map((p) => p.pattern), ...chosen.allowPatterns].flatMap((pattern) => {
      const problem = problemOf(pattern)
      return problem === undefined ? [] : [`The pattern ${JSON.stringify(pattern)} is not accepted: ${problem}.`]
    }),
  ],
  async start(host, chosen) {
    // Loaded when it is first switched on: the checks of all countries are of some size.
    const { detectors } = await import('./detectors/index.ts')
    const policy = policyOf(chosen, detectors, host.secret('placeholders'))
    const findOwn = chosen.patterns.length > 0 ? ownFinder(chosen.patterns) : undefined
    const requests = new RequestHiding(host, chosen, policy, findOwn)
    const originals = new WeakMap<Exchange, Originals>()
    const judge = (x: Exchange, request: ModelRequest, hidden: Hidden): ModelRequest => {
      note(host, x, hidden)
      if (hidden.blocked.size > 0) host.refuse('pii_blocked', { entities: [...hidden.blocked].sort().join(', ') })
      if (hidden.originals.size > 0 && host.mode === 'enforce') originals.set(x, hidden.originals)
      return hidden.request === request ? request : hidden.request
    }
    return {
      transform(x, request) {
        if (!chosen.requests) return request
        const hides = chosen.unreadable === 'refuse' ? unseen(x, request) : undefined
        if (hides) host.refuse('pii_unreadable', hides)
        const hidden = requests.hide(x, request)
        return hidden instanceof Promise ? hidden.then((later) => judge(x, request, later)) : judge(x, request, hidden)
      },
      stream(x) {
        const known = originals.get(x) ?? NONE
        if (known.size === 0 && !chosen.replies) return undefined
        const format = x.operation === 'chat' ? (x.transformed ?? x.request()) : undefined
        const json = format?.operation === 'chat' && /^(?:json|schema)$/.test(format.responseFormat?.type ?? '')
        return new ReplyStage({
          originals: known,
          json,
          keepBytes: x.keepReplyBytes,
          ...(chosen.replies ? { hiding: hidingOf(host, x, chosen, policy, findOwn) } : {}),
        })
      },
    }
  },
})

/** How replies are looked at. Own patterns count within words and runs of numbers, so that a stream can know where they end. */
function hidingOf(
  host: Host,
  x: Exchange,
  chosen: Settings,
  policy: Policy,
  findOwn: ReturnType<typeof ownFinder> | undefined,
) {
  const find = findOwn
    ? (text: string, how?: { readonly json?: boolean }) => [
        ...merged(policy.find(text, { ...how, reply: true }), withinRuns(text, findOwn(text))),
      ]
    : policy.find
  const scope = x.principal?.scope ?? ''
  const replace = (entity: string, value: string): string => {
    const action = policy.actionOf(entity)
    if (action === 'off' || policy.allowed(value)) return value
    count(host, entity, 1)
    if (action === 'block') host.refuse('pii_blocked', { entities: entity })
    return policy.replacement(action === 'pseudonymise' ? 'mask' : action, entity, value, scope, new Map())
  }
  const make = (json: boolean): Hiding =>
    new Hiding({
      find,
      replace,
      endings: policy.endings,
      json,
      always: findOwn !== undefined,
      passFences: !chosen.codeFences,
    })
  return {
    make: (place: 'assistant' | 'tool-arguments') =>
      policy.looksAt(place) ? make(place === 'tool-arguments') : undefined,
    whole(text: string): string {
      if (!policy.looksAt('assistant')) return text
      const hiding = make(false)
      return hiding.push(text) + hiding.end()
    },
  }
}

function note(host: Host, x: Exchange, { counts }: Hidden): void {
  if (counts.size === 0) return
  for (const [what, n] of counts) count(host, what.split(' ', 1)[0] as string, n)
  x.trace.push({
    phase: 'transform',
    module: 'pii',
    decision: 'found',
    reason: [...counts].map(([what, n]) => `${n} ${what}`).join(', '),
    ...(host.mode === 'observe' ? { observed: true as const } : {}),
  })
}

/** Entities are a closed set and an administrator's own names. */
function count(host: Host, entity: string, n: number): void {
  host.metrics.counter(`stockyard_pii_${entity.toLowerCase()}_total`, `Finds of ${entity}.`).add(n)
}
