/** Routes about the running gateway rather than its configuration: keys of its own, usage, health, backup. */
import { randomBytes } from 'node:crypto'
import { isAbsolute } from 'node:path'
import { type TObject, Type } from 'typebox'
import { badRequest, failure } from '../../core/errors.ts'
import { parseStrict } from '../../core/settings.ts'
import type { CoreRoute } from './route.ts'

const closed = { additionalProperties: false }
const anything: TObject = Type.Object({}, { additionalProperties: true })
const text = Type.Optional(Type.String())
const ProxyKey = Type.Object({ key: Type.Optional(Type.String({ minLength: 16, maxLength: 512 })) }, closed)
const Directory = Type.Object({ directory: Type.String({ minLength: 1 }) }, closed)
const Erasure = Type.Object({ exchange: text, principal: text, user: text, endUser: text }, closed)
const MasterKey = Type.Object({ masterKey: Type.String({ minLength: 16 }) }, closed)

export const operationRoutes: readonly CoreRoute[] = [
  {
    method: 'GET',
    path: 'proxy-key',
    summary: 'Whether a proxy key is set; never the key.',
    answer: anything,
    example: { set: true },
    handle: ({ identity }) => ({ set: identity.proxyKeySet }),
  },
  {
    method: 'PUT',
    path: 'proxy-key',
    summary: 'Sets the proxy key, or makes one; it is shown in this answer only. The old one stops working at once.',
    body: ProxyKey,
    answer: anything,
    example: { key: 'sk-sy-…' },
    handle({ identity }, call) {
      const key = parseStrict(ProxyKey, call.body).key ?? `sk-sy-${randomBytes(24).toString('base64url')}`
      if (call.dry) return { dry: true }
      identity.setProxyKey(key, call.actor)
      return { key }
    },
  },
  {
    method: 'DELETE',
    path: 'proxy-key',
    summary: 'Removes the proxy key: only local callers remain.',
    answer: anything,
    example: {},
    handle({ identity }, call) {
      if (!call.dry) identity.setProxyKey(undefined, call.actor)
      return { set: false }
    },
  },
  {
    method: 'POST',
    path: 'local-trust/confirm',
    summary: 'Says that whatever forwards to this port may be trusted like a program on this machine.',
    answer: anything,
    example: { confirmed: true },
    handle({ identity }, call) {
      if (call.dry) return { dry: true }
      identity.confirmLocalTrust(call.actor)
      return { confirmed: true }
    },
  },
  {
    method: 'GET',
    path: 'health',
    summary: 'What the gateway knows of itself: storage, upstreams, local trust, open exchanges.',
    answer: anything,
    example: { version: '0.1.0', ledger: 'ok' },
    handle: ({ store, identity, gateway, version, startedAt, now }) => ({
      version,
      uptimeSeconds: Math.floor((now() - startedAt) / 1_000),
      revision: gateway.snapshot.revision,
      exchanges: gateway.snapshot.inside,
      upstreams: gateway.snapshot.upstreams.size,
      localTrust: identity.distrust ? { lost: true, ...identity.distrust } : { lost: false },
      proxyKey: identity.proxyKeySet,
      problems: Object.fromEntries([...gateway.troubles].map(([id, { problem }]) => [id, problem])),
      ...store.health(),
    }),
  },
  {
    method: 'POST',
    path: 'erase',
    needs: 'own',
    summary: 'Forgets the text of an exchange, or of all of a principal, in every module that keeps some.',
    body: Erasure,
    answer: anything,
    example: { principal: 'key-id' },
    async handle({ gateway }, call) {
      const subject = parseStrict(Erasure, call.body)
      if (Object.keys(subject).length === 0) {
        throw failure('invalid_request', { problem: 'Name an exchange, a principal, a user or an end user.' })
      }
      if (call.dry) return { dry: true }
      const erased: Record<string, number> = {}
      for (const { id, erase } of gateway.modules) {
        if (erase) erased[id] = await erase(gateway.hostOf(id), { ...subject, actor: call.actor })
      }
      return { erased }
    },
  },
  {
    method: 'POST',
    path: 'backup',
    needs: 'own',
    summary: 'Writes consistent copies of all files, while running, into a directory on this machine.',
    body: Directory,
    answer: anything,
    example: { directory: '/var/backups/stockyard' },
    handle({ store }, call) {
      const { directory } = parseStrict(Directory, call.body)
      if (!isAbsolute(directory)) throw badRequest('directory: name it from the root, as /var/backups/one', 'directory')
      return call.dry ? { dry: true } : store.backup(directory)
    },
  },
  {
    method: 'POST',
    path: 'rotate-master-key',
    needs: 'own',
    summary: 'Seals every stored secret anew under another master key, in one transaction.',
    body: MasterKey,
    answer: anything,
    example: { masterKey: '…' },
    handle: ({ store }, call) => ({
      ...(call.dry ? { dry: true } : {}),
      sealed: store.rotateMasterKey(parseStrict(MasterKey, call.body).masterKey, call.dry),
    }),
  },
]
