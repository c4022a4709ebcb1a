/**
 * Sign-in with an identity provider: OpenID Connect's authorization code with PKCE. Who comes back is a user of the directory,
 * with the roles that the provider's groups are mapped to, as they are at each sign-in.
 */
import type { Configuration, CustomFetch } from 'openid-client'
import { type Static, Type } from 'typebox'
import type { Draft, Membership, User } from '../../core/directory.ts'
import type { Egress } from '../../core/egress.ts'
import { badRequest, failure } from '../../core/errors.ts'
import { TIMEOUTS } from '../../core/exchange.ts'
import { letters } from '../../core/keys.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { parseStrict } from '../../core/settings.ts'
import { Membership as MembershipSchema } from './directory/schemas.ts'
import type { AdminContext, CoreCall, CoreRoute } from './route.ts'
import { beginSession } from './sessions.ts'

const closed = { additionalProperties: false }
const Settings = Type.Object(
  {
    issuer: Type.String({ pattern: '^https?://[^\\s?#]+$' }),
    clientId: Type.String({ minLength: 1, maxLength: 500 }),
    clientSecret: Type.Optional(Type.String({ minLength: 1, description: 'Written, never read back.' })),
    scopes: Type.Optional(
      Type.Array(Type.String({ pattern: '^[\\w:./-]+$' }), { maxItems: 20, default: ['openid', 'email'] }),
    ),
    groupsClaim: Type.Optional(Type.String({ minLength: 1, default: 'groups' })),
    roles: Type.Array(Type.Object({ group: Type.String({ minLength: 1 }), ...MembershipSchema.properties }, closed), {
      maxItems: 1_000,
      description: 'Which group has which role where. Who is in none of them is not let in.',
    }),
    publicUrl: Type.Optional(
      Type.String({
        pattern: '^https?://[^\\s/?#]+$',
        description: 'Where browsers find this gateway, if not as they say.',
      }),
    ),
  },
  closed,
)
type Settings = Static<typeof Settings>
const Anything = Type.Object({}, { additionalProperties: true })

const FACT = 'sign-in'
const SECRET = ['stockyard', 'oidc-client-secret'] as const
const CALLBACK = '/api/sign-in/oidc/callback'
const COOKIE = 'stockyard_sign_in'
const TIME_MS = 10 * 60_000
const MOST_BEGUN = 1_000
const CALL_MS = 10_000
const MOST_BYTES = 1_048_576

/** A sign-in that left for the provider and has not come back. */
interface Begun {
  readonly verifier: string
  readonly nonce: string
  readonly until: number
}
export interface SignIns {
  readonly begun: Map<string, Begun>
  provider?: { readonly settings: string; readonly configuration: Promise<Configuration> }
}
export const createSignIns = (): SignIns => ({ begun: new Map() })

const settingsOf = ({ gateway }: AdminContext): Settings | undefined =>
  (gateway.store.facts.get(FACT) as unknown as Settings | null | undefined) ?? undefined

/** The library's calls take the gateway's one way out, with its guard and its bounds. */
function fetchThrough(egress: Egress): CustomFetch {
  return async (url, { method, headers, body }) => {
    const text = body === undefined || body === null ? undefined : String(body)
    const answer = await egress.send({
      upstream: 'sign-in',
      method: method as 'GET',
      url,
      headers: headers as Record<string, string>,
      ...(text === undefined ? {} : { body: Buffer.from(text) }),
      streamed: false,
      timeouts: { ...TIMEOUTS, headersUnstreamedMs: CALL_MS, totalMs: CALL_MS },
      signal: AbortSignal.timeout(CALL_MS),
    })
    const bytes = await answer.collect(MOST_BYTES)
    return new Response(bytes.length === 0 ? null : new Uint8Array(bytes), {
      status: answer.status,
      headers: answer.headers,
    })
  }
}

/** Without TLS only on this machine, where nobody else can listen in. */
const isPlainLoopback = (issuer: string): boolean => /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:|\/|$)/.test(issuer)

/** Loaded with the first sign-in. */
const library = () => import('openid-client')

function providerOf(context: AdminContext, settings: Settings): Promise<Configuration> {
  const { signIns, egress, gateway } = context
  const text = JSON.stringify(settings)
  if (signIns.provider?.settings === text) return signIns.provider.configuration
  const secret = gateway.store.secrets.open(...SECRET)
  const configuration = library().then((oidc) =>
    oidc.discovery(new URL(settings.issuer), settings.clientId, secret, undefined, {
      [oidc.customFetch]: fetchThrough(egress),
      ...(isPlainLoopback(settings.issuer) ? { execute: [oidc.allowInsecureRequests] } : {}),
    }),
  )
  signIns.provider = { settings: text, configuration }
  configuration.catch(() => {
    if (signIns.provider?.configuration === configuration) delete signIns.provider
  })
  return configuration
}

function configured(context: AdminContext): Settings {
  const settings = settingsOf(context)
  if (!settings) throw failure('not_found', { what: 'identity provider; set one with PUT /api/sign-in' })
  return settings
}

const originOf = ({ publicUrl }: Settings, { request }: CoreCall): string =>
  publicUrl ?? `${request.secure ? 'https' : 'http'}://${request.headers.host ?? ''}`

/** What the provider, or the way to it, said that was no sign-in. */
function refused(error: unknown): never {
  const { code, error: name, message } = error as { code?: string; error?: string; message?: string }
  const said = [name, code, message].filter((part) => typeof part === 'string').join(': ')
  throw failure('permission_denied', { problem: `The identity provider let nobody in (${said.slice(0, 300)}).` }, error)
}

/** It could not be asked who it is: that says nothing of whoever wants to sign in. */
function away(error: unknown): never {
  const { message } = error as Error
  throw failure('upstream_unreachable', { upstream: 'identity provider', problem: message.slice(0, 300) }, error)
}

async function begin(context: AdminContext, call: CoreCall): Promise<void> {
  const settings = configured(context)
  const provider = await providerOf(context, settings).catch(away)
  const oidc = await library()
  const { begun } = context.signIns
  const now = context.now()
  for (const [state, { until }] of begun) if (until <= now || begun.size >= MOST_BEGUN) begun.delete(state)
  const state = oidc.randomState()
  const nonce = oidc.randomNonce()
  const verifier = oidc.randomPKCECodeVerifier()
  begun.set(state, { verifier, nonce, until: now + TIME_MS })
  const url = oidc.buildAuthorizationUrl(provider, {
    redirect_uri: originOf(settings, call) + CALLBACK,
    scope: (settings.scopes ?? ['openid', 'email']).join(' '),
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
  })
  // Lax, because the provider sends the browser back from another site.
  const secure = call.request.secure ? '; Secure' : ''
  call.reply('set-cookie', `${COOKIE}=${state}; Path=/api/sign-in; HttpOnly; SameSite=Lax; Max-Age=600${secure}`)
  call.redirect(url.href)
}

async function comeBack(context: AdminContext, call: CoreCall): Promise<void> {
  const settings = configured(context)
  const { begun } = context.signIns
  // The browser that comes back must be the one that left.
  const state = /(?:^|; )stockyard_sign_in=([\w-]+)/.exec(call.request.headers.cookie ?? '')?.[1]
  const left = state === undefined ? undefined : begun.get(state)
  if (state === undefined || !left || left.until <= context.now()) {
    throw failure('permission_denied', { problem: 'This sign-in was not begun here, or too long ago. Begin again.' })
  }
  begun.delete(state)
  const provider = await providerOf(context, settings).catch(away)
  const query = new URLSearchParams(call.query as Record<string, string>)
  const oidc = await library()
  const claims = await oidc
    .authorizationCodeGrant(provider, new URL(`${originOf(settings, call)}${CALLBACK}?${query}`), {
      pkceCodeVerifier: left.verifier,
      expectedState: state,
      expectedNonce: left.nonce,
      idTokenExpected: true,
    })
    .then(async (tokens) => {
      const own = tokens.claims()
      if (!own) throw new Error('no identity token')
      if (provider.serverMetadata().userinfo_endpoint === undefined) return own
      return { ...(await oidc.fetchUserInfo(provider, tokens.access_token, own.sub)), ...own }
    })
    .catch(refused)
  const user = enter(context, settings, claims as JsonObject & { sub: string })
  call.reply('set-cookie', beginSession(context, call.request, user))
  call.redirect('/console')
}

/** The user that these claims are of, with the roles of their groups; made on the first sign-in. */
function enter(context: AdminContext, settings: Settings, claims: JsonObject & { sub: string }): User {
  const { directory } = context.gateway.store
  const groups = claims[settings.groupsClaim ?? 'groups']
  const names = Array.isArray(groups) ? groups : [groups]
  const memberships = settings.roles
    .filter(({ group }) => names.includes(group))
    .map(({ group: _, ...m }) => m as Membership)
  if (memberships.length === 0) {
    throw failure('permission_denied', { problem: 'None of your groups has a role here. Ask an administrator.' })
  }
  const subject = `${settings.issuer} ${claims.sub}`
  const email = typeof claims.email === 'string' ? claims.email.toLowerCase() : undefined
  const known =
    directory.list('user', { subject, limit: 1 })[0] ??
    // An address that the provider did not verify could be anybody's.
    (email !== undefined && claims.email_verified === true
      ? directory.list('user', { name: email, limit: 1 }).find((row) => row.subject === undefined)
      : undefined)
  if (known?.blocked) throw failure('permission_denied', { problem: 'This user is blocked. Ask an administrator.' })
  return directory.change({ actor: 'identity-provider', action: 'user.sign-in' }, (edit) => {
    if (known) {
      const { version: _, createdAt: __, updatedAt: ___, ...row } = known
      const next: Draft<'user'> = { ...row, subject, memberships }
      const same = JSON.stringify(known.memberships) === JSON.stringify(memberships) && known.subject === subject
      return same ? known : edit.update('user', next)
    }
    const name = typeof claims.name === 'string' ? claims.name.slice(0, 200) : undefined
    const verified =
      email !== undefined && claims.email_verified === true && edit.list('user', { name: email }).length === 0
    return edit.insert('user', {
      id: letters(10).toLowerCase(),
      kind: 'user',
      ...(verified ? { email } : {}),
      ...(name ? { name } : {}),
      subject,
      memberships,
    })
  })
}

export const signInRoutes: readonly CoreRoute[] = [
  {
    method: 'GET',
    path: 'sign-in',
    needs: 'public',
    summary: 'How one can sign in here.',
    answer: Anything,
    example: { password: true, oidc: { issuer: 'https://login.example', path: '/api/sign-in/oidc' } },
    handle(context) {
      const settings = settingsOf(context)
      return { password: true, oidc: settings ? { issuer: settings.issuer, path: '/api/sign-in/oidc' } : null }
    },
  },
  {
    method: 'PUT',
    path: 'sign-in',
    needs: 'own',
    summary: 'Names the identity provider (OpenID Connect), and which of its groups have which role.',
    body: Settings,
    answer: Anything,
    example: {
      issuer: 'https://login.example',
      clientId: 'stockyard',
      clientSecret: '…',
      roles: [{ group: 'ml-leads', organization: 'acme', role: 'admin' }],
    },
    async handle(context, call) {
      const { clientSecret, ...settings } = parseStrict(Settings, call.body)
      const { store } = context.gateway
      if (settings.issuer.startsWith('http:') && !isPlainLoopback(settings.issuer)) {
        throw badRequest('An issuer that is not on this machine must be https.', 'issuer')
      }
      for (const { organization, team } of settings.roles) {
        const row = team === undefined ? undefined : store.directory.get('team', team)
        if (team !== undefined && (!row || row.organization !== organization)) {
          throw badRequest(`There is no team "${team}" in organization "${organization ?? ''}".`, 'roles')
        }
        if (organization !== undefined && !store.directory.get('organization', organization)) {
          throw badRequest(`There is no organization "${organization}".`, 'roles')
        }
      }
      if (call.dry) return { dry: true }
      if (clientSecret !== undefined) store.secrets.seal(...SECRET, clientSecret)
      const change = { actor: call.actor, action: 'sign-in.set', after: settings as unknown as JsonValue }
      store.facts.set(FACT, settings as unknown as JsonValue, change)
      delete context.signIns.provider
      return settings
    },
  },
  {
    method: 'DELETE',
    path: 'sign-in',
    needs: 'own',
    summary: 'Forgets the identity provider. Sessions that are going on are not ended.',
    answer: Anything,
    example: {},
    handle(context, call) {
      if (call.dry) return { dry: true }
      const { store } = context.gateway
      store.facts.set(FACT, null, { actor: call.actor, action: 'sign-in.remove' })
      store.secrets.remove(...SECRET)
      delete context.signIns.provider
      return { set: false }
    },
  },
  {
    method: 'GET',
    path: 'sign-in/oidc',
    needs: 'public',
    summary: 'Sends the browser to the identity provider.',
    answer: Anything,
    example: {},
    handle: begin,
  },
  {
    method: 'GET',
    path: 'sign-in/oidc/callback',
    needs: 'public',
    summary: 'Where the identity provider sends the browser back to.',
    answer: Anything,
    example: {},
    handle: comeBack,
  },
]
