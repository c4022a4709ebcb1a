/**
 * Virtual keys: who may call, and what they may use. A key that is not one costs no read, one that is known costs none
 * either, and a change of its row or of any row above it acts on the next request.
 */
import { type Static, Type } from 'typebox'
import type { Key } from '../../core/directory.ts'
import type { ErrorDetails } from '../../core/errors.ts'
import type { Caller, Exchange, Plan, Principal } from '../../core/exchange.ts'
import { sentKey } from '../../core/keys.ts'
import { defineModule, type Host } from '../../core/module.ts'
import { GRANTED } from '../../core/request.ts'
import { type Access, accessOf } from './access.ts'
import { errors } from './errors.ts'
import { createTokens, looksLikeToken, tokenSettings } from './tokens.ts'

const settings = Type.Object(
  {
    allowLocal: Type.Boolean({
      default: false,
      description: 'A program on this machine may go on without a key, as it may while the module is off.',
    }),
    sharedIn: Type.Union([Type.Literal('key'), Type.Literal('team'), Type.Literal('organization')], {
      default: 'team',
      description:
        'Who sees what a key makes and what the cache keeps for it: only the key, or all keys of its team or organization.',
    }),
    tokens: Type.Optional(
      Type.Object(tokenSettings.properties, {
        additionalProperties: false,
        description:
          'Signed tokens (JWT) of an identity provider instead of keys: `issuer`, `audience`, `jwksUrl`, and the claims that name user, organization, team and models.',
      }),
    ),
  },
  { additionalProperties: false },
)

export default defineModule({
  id: 'keys',
  summary: 'Virtual keys: who may call, and which models, upstreams and endpoints they may use.',
  layer: 'identity',
  default: 'off',
  fault: 'closed',
  // The keys of an identity provider may have to be asked for.
  patienceMs: 6_000,
  settings,
  errors,
  start(host, chosen) {
    const held = new WeakMap<Key, { readonly epoch: number; readonly access: Access }>()
    const accesses = new WeakMap<Principal, Access>()

    const tokens = chosen.tokens && createTokens(host, chosen.tokens, chosen.sharedIn)

    /** Computed anew only when the directory changed. */
    function accessTo(row: Key): Access {
      const { epoch } = host.directory
      const known = held.get(row)
      if (known?.epoch === epoch) return known.access
      const access = accessOf('key', row, host.directory, chosen.sharedIn)
      held.set(row, { epoch, access })
      accesses.set(access.principal, access)
      return access
    }

    function authenticate(x: Caller) {
      const sent = sentKey(x.headers)
      if (sent === undefined) return chosen.allowLocal ? undefined : host.refusal('key_required')
      if (tokens && looksLikeToken(sent)) {
        const read = tokens.read(sent)
        return read instanceof Promise ? read.then((access) => admit(access, x)) : admit(read, x)
      }
      const now = host.now()
      const reading = host.keys.read(sent, now)
      if (reading.kind === 'malformed') return host.refusal('key_malformed', { problem: reading.problem })
      if (reading.kind === 'unknown') return host.refuse('key_unknown')
      const { row } = reading
      if (reading.kind === 'replaced') return host.refuse('key_replaced', { key: row.id, at: dateOf(row.overlapUntil) })
      const access = accessTo(row)
      refuseBlocked(host, access)
      if (row.expiresAt !== undefined && row.expiresAt <= now) {
        return host.refuse('key_expired', { key: row.id, at: dateOf(row.expiresAt) })
      }
      checkUse(host, access, x)
      return access.principal
    }

    function admit(access: Access, x: Caller): Principal {
      refuseBlocked(host, access)
      checkUse(host, access, x)
      accesses.set(access.principal, access)
      return access.principal
    }

    /** The model is known only with the body, upstreams only once there is a plan. */
    function route(x: Pick<Exchange, 'principal' | 'model' | 'operation'>, plan: Plan): Plan {
      const access = x.principal && accesses.get(x.principal)
      if (!access) return plan
      // What is stored names no model.
      if (x.model !== '' || x.operation !== 'objects') checkModel(host, access, x.model)
      const { mayCall } = access.principal
      if (!mayCall || plan.targets.length === 0) return plan
      const targets = plan.targets.filter(({ upstream }) => mayCall(upstream.id))
      if (targets.length === plan.targets.length) return plan
      if (targets.length === 0) {
        const asked = [...new Set(plan.targets.map(({ upstream }) => `"${upstream.id}"`))].join(', ')
        host.refuse('key_upstream_not_allowed', {
          key: x.principal?.id,
          model: x.model.slice(0, 200),
          upstreams: asked,
        })
      }
      return { ...plan, targets }
    }

    return { authenticate, route }
  },
})

export type KeySettings = Static<typeof settings>

function refuseBlocked(host: Host, { principal, blocked }: Access): void {
  if (blocked !== undefined) host.refuse('key_blocked', { key: principal.id, what: blocked })
}

function checkUse(host: Host, access: Access, x: Caller): void {
  const { principal, addresses, endpoints } = access
  const refuse = (code: string, details: ErrorDetails) => host.refuse(code, { key: principal.id, ...details })
  if (!addresses.every((list) => list.has(x.peer))) refuse('key_address_not_allowed', { address: x.peer })
  const { operation, model } = x
  if (operation !== undefined && !(endpoints ? endpoints(operation) : !GRANTED.includes(operation))) {
    refuse('key_endpoint_not_allowed', { endpoint: operation })
  }
  if (model) checkModel(host, access, model)
}

function checkModel(host: Host, { principal }: Access, model: string): void {
  if (!principal.mayAsk || principal.mayAsk(model)) return
  host.refuse('key_model_not_allowed', { key: principal.id, model: model.slice(0, 200), param: 'model' })
}

const dateOf = (at: number | undefined): string => new Date(at ?? 0).toISOString()
