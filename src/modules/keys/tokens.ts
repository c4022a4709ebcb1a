/**
 * Signed tokens of an identity provider (JWT) instead of keys: checked against the provider's published keys, its claims
 * mapped to a place in the directory. What was checked once is remembered until the token ends or the directory changes.
 */
import { hash } from 'node:crypto'
import type { JSONWebKeySet, JWTPayload } from 'jose'
import { type Static, Type } from 'typebox'
import type { Member } from '../../core/directory.ts'
import type { Host } from '../../core/module.ts'
import { type Access, accessOf, type Place, type SharedIn } from './access.ts'

const claim = (description: string) => Type.Optional(Type.String({ minLength: 1, maxLength: 200, description }))
export const tokenSettings = Type.Object(
  {
    issuer: Type.String({ minLength: 1 }),
    audience: Type.String({ minLength: 1 }),
    jwksUrl: Type.String({ pattern: '^https?://' }),
    userClaim: claim('Names a user of the directory by id or e-mail address; `sub` unless told.'),
    organizationClaim: claim('Names an organization of the directory.'),
    teamClaim: claim('Names a team of the directory.'),
    modelsClaim: claim('A list of models, as of a key; it only takes away.'),
  },
  { additionalProperties: false },
)
export type TokenSettings = Static<typeof tokenSettings>

/** Only signatures that nobody can make who can check them. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']
const LEEWAY_SECONDS = 30
const KEYS_FOR_MS = 10 * 60_000
/** Tokens that name unknown keys come from anybody, so they make the provider be asked only so often. */
const ASK_AGAIN_MS = 10_000
const FETCH_MS = 5_000
const MOST_BYTES = 1_048_576
const MOST_KNOWN = 10_000

/** Loaded with the first token. */
const library = () => import('jose')
type Jose = Awaited<ReturnType<typeof library>>

export const looksLikeToken = (sent: string): boolean => TOKEN.test(sent)
const TOKEN = /^eyJ[\w-]+\.[\w-]+\.[\w-]*$/

interface Known {
  readonly access: Access
  readonly epoch: number
  readonly until: number
}

export interface Tokens {
  /** At once for a token that was checked before. Throws a refusal; anything else means that it could not be checked. */
  read(token: string): Access | Promise<Access>
}

export function createTokens(host: Host, chosen: TokenSettings, sharedIn: SharedIn): Tokens {
  const known = new Map<string, Known>()
  let keys: ReturnType<Jose['createLocalJWKSet']> | undefined
  let fetchedAt = Number.NEGATIVE_INFINITY
  let fetching: Promise<void> | undefined

  async function fetchKeys(): Promise<void> {
    fetchedAt = host.now()
    const answer = await host.call({
      method: 'GET',
      url: chosen.jwksUrl,
      headers: { accept: 'application/json' },
      body: Buffer.alloc(0),
      timeoutMs: FETCH_MS,
      maxAnswerBytes: MOST_BYTES,
    })
    if (answer.status !== 200) throw new Error(`${chosen.jwksUrl} answers ${answer.status}`)
    keys = (await library()).createLocalJWKSet(JSON.parse(answer.body.toString('utf8')) as JSONWebKeySet)
  }
  /** One at a time; those who come meanwhile wait for it. */
  function refresh(): Promise<void> {
    fetching ??= fetchKeys().finally(() => {
      fetching = undefined
    })
    return fetching
  }

  async function claimsOf(token: string): Promise<JWTPayload> {
    const age = host.now() - fetchedAt
    if (!keys) await refresh()
    // Old keys are good until new ones are there: a provider that is away for a while stops nobody.
    else if (age > KEYS_FOR_MS) void refresh().catch((error) => host.log.warn('no new keys', { error: String(error) }))
    const options = {
      issuer: chosen.issuer,
      audience: chosen.audience,
      algorithms: ALGORITHMS,
      clockTolerance: LEEWAY_SECONDS,
      currentDate: new Date(host.now()),
      requiredClaims: ['exp', 'sub'],
    }
    const { jwtVerify, errors } = await library()
    const verify = async () => (await jwtVerify(token, keys as NonNullable<typeof keys>, options)).payload
    try {
      return await verify()
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || host.now() - fetchedAt < ASK_AGAIN_MS) throw error
      await refresh()
      return verify()
    }
  }

  function rowOf(claims: JWTPayload): Member & Place {
    const text = (name: string | undefined): string | undefined => {
      const value = name === undefined ? undefined : claims[name]
      return typeof value === 'string' && value !== '' ? value : undefined
    }
    const { directory } = host
    const team = text(chosen.teamClaim)
    const teamRow = team === undefined ? undefined : directory.get('team', team)
    if (team !== undefined && !teamRow) host.refuse('token_place_unknown', { what: `team "${team.slice(0, 100)}"` })
    const claimed = text(chosen.organizationClaim)
    if (teamRow && claimed !== undefined && claimed !== teamRow.organization) {
      host.refuse('token_place_unknown', { what: `team "${teamRow.id}" of organization "${claimed.slice(0, 100)}"` })
    }
    const organization = teamRow?.organization ?? claimed
    if (organization !== undefined && !directory.get('organization', organization)) {
      host.refuse('token_place_unknown', { what: `organization "${organization.slice(0, 100)}"` })
    }
    // Anybody may write down anybody's address.
    if (chosen.userClaim === 'email' && claims.email_verified === false) {
      host.refuse('token_invalid', { problem: 'its e-mail address is not verified' })
    }
    const named = text(chosen.userClaim ?? 'sub')
    const user =
      named && (directory.get('user', named) ?? directory.list('user', { name: named.toLowerCase(), limit: 1 })[0])
    const models = chosen.modelsClaim === undefined ? undefined : claims[chosen.modelsClaim]
    return {
      id: `token:${claims.sub}`,
      version: 1,
      createdAt: 0,
      updatedAt: 0,
      ...(organization === undefined ? {} : { organization }),
      ...(team === undefined ? {} : { team }),
      ...(user ? { user: user.id } : {}),
      // A claim that should restrict and cannot be read restricts to nothing.
      ...(chosen.modelsClaim === undefined || models === undefined
        ? {}
        : { models: Array.isArray(models) ? models.filter((one) => typeof one === 'string') : [] }),
    }
  }

  async function check(token: string, name: string): Promise<Access> {
    let claims: JWTPayload
    try {
      claims = await claimsOf(token)
    } catch (error) {
      const { errors } = await library()
      if (error instanceof errors.JWTExpired) return host.refuse('token_expired')
      if (error instanceof errors.JOSEError) return host.refuse('token_invalid', { problem: error.message })
      throw error
    }
    const { epoch } = host.directory
    const access = accessOf('token', rowOf(claims), host.directory, sharedIn)
    if (known.size >= MOST_KNOWN) known.clear()
    known.set(name, { access, epoch, until: ((claims.exp ?? 0) + LEEWAY_SECONDS) * 1_000 })
    return access
  }

  return {
    read(token) {
      const name = hash('sha256', token, 'base64url')
      const found = known.get(name)
      if (found && found.epoch === host.directory.epoch && host.now() < found.until) return found.access
      return check(token, name)
    },
  }
}
