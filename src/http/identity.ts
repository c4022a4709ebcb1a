/**
 * Core's own answer to who asks, where no identity module knew: the proxy key, or a caller on this very machine. Stored
 * credentials are never spent for anybody else. What looks like a proxy in front of us ends local trust until an
 * administrator confirms it, because then strangers look local too.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { AddressList } from '../core/addresses.ts'
import { failure, type GatewayError, type Refusal } from '../core/errors.ts'
import type { Caller, Principal } from '../core/exchange.ts'
import { sentKey } from '../core/keys.ts'
import type { Awaitable } from '../core/module.ts'
import { whoAsks } from '../core/pipeline.ts'
import type { JsonObject } from '../core/request.ts'
import type { Snapshot } from '../core/snapshot.ts'
import type { Store } from '../core/store.ts'
import { forwardedPeer, type PeerOf, socketPeer } from './peer.ts'
import { createPeerUsers } from './peer-user.ts'

export const LOCAL: Principal = { kind: 'local', id: 'local', scope: 'local' }
export const PROXY: Principal = { kind: 'proxy', id: 'proxy', scope: 'proxy' }

const FORWARDING = /^(forwarded|via|x-real-ip|x-forwarded-.*|cf-.*)$/
const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|::ffff:127\.\d+\.\d+\.\d+)$/

/** A keyed hash of a key, so that a copy of the database does not let anyone test guesses against other tables. */
export const fingerprint = (pepper: string, key: string): string => hash('sha256', `${pepper}\0${key}`, 'hex')

export function sameText(a: string, b: string): boolean {
  const left = Buffer.from(hash('sha256', a, 'hex'))
  const right = Buffer.from(hash('sha256', b, 'hex'))
  return timingSafeEqual(left, right)
}

export type LocalVerdict = 'local' | 'remote' | { readonly forwarded: string } | { readonly browser: string }

/** Is it certainly a program on this machine that talks to us directly? */
export function judgeLocal(request: IncomingMessage, port: number): LocalVerdict {
  const { socket, headers } = request
  if (!LOOPBACK.test(socket.remoteAddress ?? '') || !LOOPBACK.test(socket.localAddress ?? '')) return 'remote'
  if (request.httpVersion !== '1.1') return { forwarded: `HTTP/${request.httpVersion}` }
  for (const name in headers) if (FORWARDING.test(name)) return { forwarded: `header ${name}` }
  const host = (headers.host ?? '').toLowerCase()
  if (!ownHost(host, port)) return { forwarded: `Host "${host.slice(0, 100)}"` }
  const { origin } = headers
  if (origin !== undefined && !(origin.startsWith('http://') && ownHost(origin.slice(7), port))) {
    return { browser: `Origin "${origin.slice(0, 100)}"` }
  }
  const site = headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return { browser: `Sec-Fetch-Site ${site}` }
  return 'local'
}

function ownHost(host: string, port: number): boolean {
  const match = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::(\d+))?$/.exec(host)
  return match !== null && Number(match[2] ?? 80) === port
}

export interface Identity {
  /** The address that a request comes from, as far as trusted proxies say. */
  readonly peerOf: PeerOf
  /** Who sends this, for doors that make no exchange of it: the modules' answer, else core's own. */
  ask(request: IncomingMessage, snapshot: Snapshot, what?: Pick<Caller, 'operation' | 'model'>): Promise<Principal>
  /** Throws a 401 for anybody it does not know. With a doubt being on this machine is not enough, and the doubt is the answer. */
  identify(request: IncomingMessage, doubt?: Refusal): Awaitable<Principal>
  isAdmin(key: string | undefined): boolean
  setProxyKey(key: string | undefined, actor: string): void
  readonly proxyKeySet: boolean
  /** Why local callers are not trusted any more, if so. */
  readonly distrust: JsonObject | undefined
  confirmLocalTrust(actor: string): void
}

export function createIdentity(parts: {
  readonly store: Store
  readonly pepper: string
  /** Known once it listens. */
  port(): number
  now(): number
  /** Proxies whose word about a caller's address counts. */
  readonly trustedProxies?: AddressList
  warn(message: string): void
}): Identity {
  const { store, pepper, trustedProxies } = parts
  const peerOf = trustedProxies ? forwardedPeer(trustedProxies) : socketPeer
  const peerUsers = createPeerUsers()
  let proxy = store.facts.get('proxy-key') as JsonObject | undefined
  let trust = store.facts.get('local-trust') as JsonObject | undefined
  const admin = () => (store.facts.get('admin-key') as JsonObject | undefined)?.fingerprint
  let adminFingerprint = admin()

  function noteForwarding(clue: string): void {
    if (trust?.confirmed || trust?.lost) return
    trust = { lost: true, clue, at: parts.now() }
    store.facts.set('local-trust', trust, { actor: 'system', action: 'local-trust.lost' })
    parts.warn(
      `Something forwards to this port (${clue}), so callers on this machine are no longer trusted by themselves: switch on the module "keys", set a proxy key, or confirm local trust.`,
    )
  }

  const unknown = (key: string | undefined): GatewayError =>
    key === undefined
      ? failure('authentication_required')
      : failure('invalid_api_key', {
          problem: proxy ? 'it is not the proxy key' : 'no proxy key is set; set one with PUT /api/proxy-key',
        })
  /** Whoever looks local may be a forwarder that hides itself; most run as a user of their own. */
  const local = (foreign: boolean, key: string | undefined): Principal => {
    if (foreign) throw unknown(key)
    return LOCAL
  }

  const identity: Identity = {
    peerOf,
    async ask(request, snapshot, what = {}) {
      const caller: Caller = {
        headers: request.headers as Record<string, string | undefined>,
        peer: peerOf(request),
        path: (request.url ?? '').split('?', 1)[0] as string,
        trace: [],
        ...what,
      }
      return whoAsks(snapshot.pipeline, caller, (doubt) => identity.identify(request, doubt))
    },
    identify(request, doubt) {
      const key = sentKey(request.headers as Record<string, string | undefined>)
      if (key !== undefined && typeof proxy?.fingerprint === 'string') {
        if (sameText(fingerprint(pepper, key), proxy.fingerprint)) return PROXY
      }
      if (doubt) throw doubt
      const verdict = judgeLocal(request, parts.port())
      // A proxy that an operator named is no surprise, and whom it forwards is not local.
      const expected = trustedProxies?.has(socketPeer(request))
      if (typeof verdict === 'object' && 'forwarded' in verdict && !expected) noteForwarding(verdict.forwarded)
      if (verdict !== 'local' || trust?.lost) throw unknown(key)
      const foreign = peerUsers.isForeign(request.socket)
      if (typeof foreign !== 'boolean') return foreign.then((is) => local(is, key))
      return local(foreign, key)
    },
    isAdmin(key) {
      adminFingerprint ??= admin()
      return (
        key !== undefined &&
        typeof adminFingerprint === 'string' &&
        sameText(fingerprint(pepper, key), adminFingerprint)
      )
    },
    setProxyKey(key, actor) {
      proxy = key === undefined ? undefined : { fingerprint: fingerprint(pepper, key), setAt: parts.now() }
      store.facts.set('proxy-key', proxy ?? null, {
        actor,
        action: key === undefined ? 'proxy-key.remove' : 'proxy-key.set',
      })
    },
    get proxyKeySet() {
      return proxy !== undefined && proxy !== null
    },
    get distrust() {
      return trust?.lost ? trust : undefined
    },
    confirmLocalTrust(actor) {
      trust = { confirmed: true, at: parts.now() }
      store.facts.set('local-trust', trust, { actor, action: 'local-trust.confirm' })
    },
  }
  return identity
}
