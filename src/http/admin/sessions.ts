/**
 * Who administers: the admin key, or a session that somebody signed in to. Sessions are rows, so each can be ended, and
 * what the browser holds is only good for finding one: the row keeps a hash of it.
 */
import { hash, randomBytes } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Directory, Session, User } from '../../core/directory.ts'
import { failure } from '../../core/errors.ts'
import { type Actor, ADMIN, INSTANCE, may } from '../../core/roles.ts'
import { parseStrict } from '../../core/settings.ts'
import { type Identity, judgeLocal } from '../identity.ts'
import { isPassword, passwordsWaiting } from './passwords.ts'
import type { AdminContext, CoreRoute } from './route.ts'

const COOKIE = 'stockyard_session'
export const SESSION_MS = 12 * 3_600_000
const MOST_WAITING = 50
const closed = { additionalProperties: false }

const SignIn = Type.Object(
  {
    key: Type.Optional(Type.String({ maxLength: 512, description: 'The admin key; or e-mail address and password.' })),
    email: Type.Optional(Type.String({ maxLength: 320 })),
    password: Type.Optional(Type.String({ maxLength: 1_024 })),
  },
  closed,
)

export const idOfToken = (token: string): string => hash('sha256', token, 'base64url')
const tokenOf = (request: Pick<FastifyRequest, 'headers'>): string | undefined =>
  /(?:^|; )stockyard_session=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1]

export function actorOfUser(user: User): Actor {
  return { name: `user:${user.id}`, user: user.id, memberships: user.memberships }
}

/** Who a session is of, if it still holds. */
function actorOfSession(directory: Directory, session: Session | undefined, now: number): Actor | undefined {
  if (!session || session.expiresAt <= now) return undefined
  if (session.user === undefined) return ADMIN
  const user = directory.get('user', session.user)
  return user && !user.blocked ? actorOfUser(user) : undefined
}

export interface SignedIn {
  readonly who: Actor
  readonly session?: Session
}

const bearerOf = (request: Pick<FastifyRequest, 'headers'>): string | undefined =>
  /^Bearer[ ]+(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]

/** Who administers, or a 401. A cookie only counts for requests that this very console made. */
export function createDoor(directory: Directory, identity: Identity, parts: { port(): number; now(): number }) {
  /** Whether somebody administers here, before it is judged how. */
  const knows = (request: FastifyRequest): boolean => {
    const key = bearerOf(request)
    return key === undefined ? tokenOf(request) !== undefined : identity.isAdmin(key)
  }
  const admit = (request: FastifyRequest): SignedIn => {
    const key = bearerOf(request)
    if (key !== undefined) {
      if (identity.isAdmin(key)) return { who: ADMIN }
      throw failure('invalid_api_key', { problem: 'it is not the admin key' })
    }
    const token = tokenOf(request)
    if (token === undefined) {
      throw failure('authentication_required', {}, undefined, {
        message:
          'The admin API needs the admin key ("Authorization: Bearer …", from the file admin.key of the data directory), or a session.',
      })
    }
    const session = directory.get('session', idOfToken(token))
    const who = actorOfSession(directory, session, parts.now())
    if (!session || !who) throw failure('signed_out')
    const site = request.headers['sec-fetch-site']
    if (request.method === 'GET' || site === 'same-origin' || judgeLocal(request.raw, parts.port()) === 'local') {
      return { who, session }
    }
    throw failure('permission_denied', { problem: 'A session cookie is not accepted from another site.' })
  }
  return { knows, admit }
}

/** Begins a session: the row, and the cookie that finds it. */
export function beginSession(
  context: AdminContext,
  request: { readonly ip: string; readonly headers: FastifyRequest['headers']; readonly secure: boolean },
  user: User | undefined,
): string {
  const { directory } = context.gateway.store
  const token = randomBytes(32).toString('base64url')
  const at = context.now()
  const agent = request.headers['user-agent']?.slice(0, 200)
  const actor = user ? actorOfUser(user) : ADMIN
  directory.change({ actor: actor.name, action: 'session.begin' }, (edit) => {
    for (const old of edit.list('session', user ? { user: user.id } : {})) {
      if (old.expiresAt <= at) edit.remove('session', old.id)
    }
    edit.insert('session', {
      id: idOfToken(token),
      ...(user ? { user: user.id } : {}),
      expiresAt: at + SESSION_MS,
      address: request.ip,
      ...(agent ? { agent } : {}),
    })
  })
  const secure = request.secure ? '; Secure' : ''
  return `${COOKIE}=${token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${SESSION_MS / 1_000}${secure}`
}
const NO_COOKIE = `${COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0`

async function signIn(context: AdminContext, body: unknown, address: string): Promise<User | undefined> {
  const { attempts } = context
  const { key, email, password } = parseStrict(SignIn, body)
  const { directory } = context.gateway.store
  const account = key === undefined ? (email ?? '') : 'admin key'
  attempts.check(account, address)
  if (key !== undefined) {
    if (context.identity.isAdmin(key)) return undefined
    attempts.failed(account, address)
    throw failure('invalid_api_key', { problem: 'it is not the admin key' })
  }
  if (email === undefined || password === undefined) {
    throw failure('invalid_request', { problem: 'Send the admin key as "key", or "email" and "password".' })
  }
  if (passwordsWaiting() > MOST_WAITING) throw failure('sign_in_delayed', { seconds: 5, retryAfterMs: 5_000 })
  const [user] = directory.list('user', { name: email.toLowerCase(), limit: 1 })
  const proof = user && directory.proof('user', user.id)
  // Counted before the answer is known, so that many at once gain nothing.
  attempts.failed(account, address)
  if (!(await isPassword(password, proof)) || !user || user.blocked) throw failure('sign_in_failed')
  attempts.succeeded(account, address)
  return user
}

const Anything = Type.Object({}, { additionalProperties: true })
const sessionAnswer = (row: Session, current: Session | undefined) => ({
  id: row.id,
  user: row.user ?? null,
  createdAt: new Date(row.createdAt).toISOString(),
  expiresAt: new Date(row.expiresAt).toISOString(),
  address: row.address ?? null,
  agent: row.agent ?? null,
  current: row.id === current?.id,
})

export const sessionRoutes: readonly CoreRoute[] = [
  {
    method: 'POST',
    path: 'session',
    needs: 'public',
    summary: 'Signs in with the admin key, or with an e-mail address and a password; the session is a cookie.',
    body: SignIn,
    answer: Anything,
    example: { email: 'ada@example.com', password: '…' },
    async handle(context, call) {
      const user = await signIn(context, call.body, call.request.ip)
      call.reply('set-cookie', beginSession(context, call.request, user))
      return { signedIn: true, user: user?.id ?? null }
    },
  },
  {
    method: 'GET',
    path: 'session',
    needs: 'signed-in',
    summary: 'Who is signed in here, and with which roles.',
    answer: Anything,
    example: { user: 'ada', memberships: [{ organization: 'acme', role: 'admin' }] },
    handle: (_, { who }) => ({ actor: who.name, user: who.user ?? null, memberships: who.memberships }),
  },
  {
    method: 'DELETE',
    path: 'session',
    needs: 'signed-in',
    summary: 'Signs out.',
    answer: Anything,
    example: {},
    handle({ gateway }, call) {
      const { session } = call
      if (session && !call.dry) {
        gateway.store.directory.change({ actor: call.actor, action: 'session.end' }, (edit) =>
          edit.remove('session', session.id),
        )
      }
      call.reply('set-cookie', NO_COOKIE)
      return { signedIn: false }
    },
  },
  {
    method: 'GET',
    path: 'sessions',
    needs: 'signed-in',
    summary: 'The sessions that are going on: all of them for administrators of the instance, else your own.',
    answer: Anything,
    example: { sessions: [{ id: '…', user: 'ada', expiresAt: '2026-11-24T12:00:00.000Z', current: true }] },
    handle({ gateway, now: clock }, { who, session }) {
      const rows = gateway.store.directory.list(
        'session',
        may(who, 'manage', INSTANCE) ? { limit: 1_000 } : { user: who.user ?? '', limit: 1_000 },
      )
      return { sessions: rows.filter((row) => row.expiresAt > clock()).map((row) => sessionAnswer(row, session)) }
    },
  },
  {
    method: 'DELETE',
    path: 'sessions/:id',
    needs: 'signed-in',
    summary: 'Ends a session; its next request is refused.',
    answer: Anything,
    example: {},
    handle({ gateway }, call) {
      const { directory } = gateway.store
      const row = directory.get('session', call.params.id ?? '')
      const own = row?.user !== undefined && row.user === call.who.user
      if (!row || !(own || may(call.who, 'manage', INSTANCE))) throw failure('not_found', { what: 'such session' })
      if (!call.dry) {
        directory.change({ actor: call.actor, action: 'session.end' }, (edit) => edit.remove('session', row.id))
      }
      return { ended: true }
    },
  },
]
