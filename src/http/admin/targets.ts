/** How targets and keys are doing, as the traffic has shown it: who is left alone, why, and until when. */
import { type TObject, Type } from 'typebox'
import type { Circuit } from '../../core/routing/circuit.ts'
import { parseStrict } from '../../core/settings.ts'
import type { CoreRoute } from './route.ts'

const Explain = Type.Object(
  {
    path: Type.Optional(Type.String({ description: 'The endpoint; `/v1/chat/completions` if not said.' })),
    body: Type.Object({}, { additionalProperties: true, description: 'The request as a client would send it.' }),
    headers: Type.Optional(Type.Record(Type.String(), Type.String())),
    key: Type.Optional(Type.String({ description: 'As if it had been sent with this key.' })),
  },
  { additionalProperties: false },
)
const anything: TObject = Type.Object({}, { additionalProperties: true })

function described(circuit: Circuit, now: number) {
  const state = circuit.state(now)
  if (state === 'closed') return { state }
  const { at, reason } = circuit.recovery
  return { state, reason, until: new Date(at).toISOString() }
}

export const targetRoutes: readonly CoreRoute[] = [
  {
    method: 'GET',
    path: 'health/targets',
    summary:
      'Each target and key that was used: its breaker, calls in flight, first-token time, tokens of this minute; free looks.',
    answer: anything,
    example: {
      targets: [{ upstream: 'first', model: 'gpt-4o-mini', state: 'closed', inFlight: 2, firstTokenMs: 412 }],
      keys: [{ upstream: 'first', credential: 'main', state: 'open', reason: 'its key was refused' }],
      checks: [{ upstream: 'first', path: '/models', at: '2026-11-24T12:00:00.000Z', status: 200, ms: 41 }],
    },
    handle({ gateway, now: clock }) {
      const now = clock()
      const targets = [...gateway.health.targets()].map((t) => {
        const { good, bad } = t.circuit.counts(now, 30_000)
        const p95 = t.firstTokenPercentile(0.95)
        return {
          upstream: t.upstream,
          model: t.model,
          ...described(t.circuit, now),
          inFlight: t.inFlight,
          recent: { answered: good, failed: bad },
          firstTokenMs: Math.round(t.firstTokenMs(now)),
          ...(p95 === undefined ? {} : { firstTokenP95Ms: Math.round(p95) }),
          tokensPerSecond: Math.round(t.throughput),
          tokensThisMinute: t.minute.tokens(now),
        }
      })
      const keys = [...gateway.health.keys()].map((k) => ({
        upstream: k.upstream,
        credential: k.id,
        ...described(k.circuit, now),
        resting: [...k.models]
          .filter(([, circuit]) => circuit.state(now) !== 'closed')
          .map(([model, circuit]) => ({ model, ...described(circuit, now) })),
        inFlight: k.inFlight,
        requestsThisMinute: k.minute.requests(now),
        tokensThisMinute: k.minute.tokens(now),
      }))
      const checks = [...gateway.checks.looks()].map((look) => ({ ...look, at: new Date(look.at).toISOString() }))
      return { targets, keys, checks }
    },
  },
  {
    method: 'POST',
    path: 'explain',
    summary: 'Where a request would go, why, and what it would cost at most. Nobody is called, nothing is taken.',
    body: Explain,
    answer: anything,
    example: { body: { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hello' }] } },
    handle: ({ explain }, call) => explain(parseStrict(Explain, call.body)),
  },
  {
    method: 'POST',
    path: 'health/targets/reset',
    summary: 'Forgets what was learnt of all targets and keys: each is asked again at once.',
    answer: anything,
    example: { reset: true },
    handle({ gateway }, call) {
      if (call.dry) return { dry: true }
      for (const { circuit } of gateway.health.targets()) circuit.reset()
      for (const { circuit, models } of gateway.health.keys()) {
        circuit.reset()
        models.clear()
      }
      return { reset: true }
    },
  },
]
