/** Sign-in with a real OpenID Connect server, run on this machine: code with PKCE, groups to roles, and what must not work. */
import assert from 'node:assert/strict'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type Running, runGateway } from '../running/index.ts'

interface Account {
  readonly email: string
  readonly email_verified: boolean
  readonly groups: readonly string[]
}

/** Whoever is `now` signs in and consents, as somebody at the provider's pages would. */
async function identityProvider(t: TestContext, gateway: Running) {
  // It has no types of its own.
  const { default: Provider } = await import('oidc-provider' as string)
  const accounts: Record<string, Account> = {
    ada: { email: 'ada@example.com', email_verified: true, groups: ['leads'] },
    bob: { email: 'bob@example.com', email_verified: true, groups: ['cooks'] },
    eve: { email: 'root@example.com', email_verified: false, groups: ['leads'] },
  }
  const provider = { now: 'ada' }
  const server = http.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const oidc = new Provider(issuer, {
    clients: [
      {
        client_id: 'stockyard',
        client_secret: 'secret-of-the-client',
        redirect_uris: [`${gateway.url}/api/sign-in/oidc/callback`],
      },
    ],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    findAccount: (_: unknown, id: string) => ({ accountId: id, claims: () => ({ sub: id, ...accounts[id] }) }),
    cookies: { keys: ['only for this test'] },
  })
  server.on('request', async (request, response) => {
    if (!request.url?.startsWith('/interaction/')) return oidc.callback()(request, response)
    const details = await oidc.interactionDetails(request, response)
    let result: object = { login: { accountId: provider.now } }
    if (details.prompt.name === 'consent') {
      const grant = new oidc.Grant({ accountId: details.session.accountId, clientId: 'stockyard' })
      grant.addOIDCScope('openid email groups')
      result = { consent: { grantId: await grant.save() } }
    }
    await oidc.interactionFinished(request, response, result, { mergeWithLastSubmission: true })
  })
  return { issuer, accounts, provider }
}

/** A browser, as far as redirects and cookies go. */
function browser() {
  const jars = new Map<string, Map<string, string>>()
  const get = (url: string): Promise<http.IncomingMessage & { text: string }> =>
    new Promise((resolve, reject) => {
      const { origin } = new URL(url)
      const jar = jars.get(origin) ?? new Map<string, string>()
      jars.set(origin, jar)
      const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
      const request = http.get(url, { agent: false, headers: cookie ? { cookie } : {} }, (response) => {
        for (const line of response.headers['set-cookie'] ?? []) {
          const [, name, value] = /^([^=]+)=([^;]*)/.exec(line) as unknown as [string, string, string]
          if (/Max-Age=0|expires=Thu, 01 Jan 1970/i.test(line)) jar.delete(name)
          else jar.set(name, value)
        }
        let text = ''
        response.on('data', (part) => (text += part))
        response.on('end', () => resolve(Object.assign(response, { text })))
      })
      request.on('error', reject)
    })
  return {
    get,
    jars,
    /** Follows redirects until there are no more, or until one leads to `stop`. */
    async follow(start: string, stop?: string) {
      let url = start
      for (let hops = 0; hops < 15; hops++) {
        if (stop !== undefined && url.includes(stop)) return { url, response: undefined }
        const response = await get(url)
        const { location } = response.headers
        if (location === undefined || (response.statusCode ?? 0) < 300 || (response.statusCode ?? 0) >= 400)
          return { url, response }
        url = new URL(location, url).href
        if (new URL(url).pathname === '/console') return { url, response }
      }
      throw new Error('redirected for ever')
    },
  }
}

async function ready(t: TestContext) {
  const gateway = await runGateway(t)
  const login = await identityProvider(t, gateway)
  await gateway.admin('POST', 'organizations', { id: 'acme' })
  await gateway.admin('POST', 'teams', { id: 'ml', organization: 'acme' })
  await gateway.admin('PUT', 'sign-in', {
    issuer: login.issuer,
    clientId: 'stockyard',
    clientSecret: 'secret-of-the-client',
    scopes: ['openid', 'email', 'groups'],
    roles: [
      { group: 'leads', organization: 'acme', role: 'admin' },
      { group: 'engineers', organization: 'acme', team: 'ml', role: 'member' },
    ],
  })
  return { gateway, login, start: `${gateway.url}/api/sign-in/oidc` }
}
const me = async (gateway: Running, one: ReturnType<typeof browser>) => {
  const response = await one.get(`${gateway.url}/api/session`)
  return response.statusCode === 200 ? JSON.parse(response.text) : response.statusCode
}

test('somebody signs in at a real provider, has the roles of the groups, and others at the next sign-in', async (t) => {
  const { gateway, login, start } = await ready(t)
  const ada = browser()
  const { url, response } = await ada.follow(start)
  assert.equal(new URL(url).pathname, '/console', String(response?.text))
  const first = await me(gateway, ada)
  assert.deepEqual(first.memberships, [{ organization: 'acme', role: 'admin' }])
  const user = await gateway.admin('GET', `users/${first.user}`)
  assert.equal(user.email, 'ada@example.com')
  assert.equal(user.subject, `${login.issuer} ada`)
  login.accounts.ada = { email: 'ada@example.com', email_verified: true, groups: ['engineers', 'others'] }
  const again = browser()
  await again.follow(start)
  const second = await me(gateway, again)
  assert.equal(second.user, first.user)
  assert.deepEqual(second.memberships, [{ organization: 'acme', team: 'ml', role: 'member' }])
  assert.deepEqual((await me(gateway, ada)).memberships, second.memberships, 'also of the session before')
  await gateway.admin('PUT', `users/${first.user}`, { blocked: true })
  assert.equal(await me(gateway, again), 401)
  const { response: blocked } = await browser().follow(start)
  assert.equal(blocked?.statusCode, 403)
})

test('who is in no mapped group is not let in; an unverified address takes over nobody', async (t) => {
  const { gateway, login, start } = await ready(t)
  await gateway.admin('POST', 'users', {
    id: 'root',
    email: 'root@example.com',
    password: 'correct horse battery staple',
    memberships: [{ role: 'owner' }],
  })
  login.provider.now = 'bob'
  const { response } = await browser().follow(start)
  assert.equal(response?.statusCode, 403)
  assert.match(String(response?.text), /None of your groups/)
  login.provider.now = 'eve'
  const eve = browser()
  await eve.follow(start)
  const session = await me(gateway, eve)
  assert.notEqual(session.user, 'root')
  assert.deepEqual(session.memberships, [{ organization: 'acme', role: 'admin' }])
  assert.equal((await gateway.admin('GET', 'users/root')).subject, undefined)
})

test('a code is good once, in the browser that began, with its state and nothing changed', async (t) => {
  const { gateway, start } = await ready(t)
  const ada = browser()
  const { url } = await ada.follow(start, '/callback')
  const stranger = await browser().get(url)
  assert.equal(stranger.statusCode, 403, 'another browser')
  const victim = browser()
  await victim.follow(start, '/interaction/')
  assert.equal((await victim.get(url)).statusCode, 403, 'a code of somebody else, put into a sign-in of one’s own')
  const fresh = browser()
  const { url: own } = await fresh.follow(start, '/callback')
  const changed = new URL(own)
  changed.searchParams.set('code', 'guessed')
  assert.equal((await fresh.get(changed.href)).statusCode, 403)
  assert.equal((await fresh.get(own)).statusCode, 403, 'its state was used')
  assert.equal((await ada.get(url)).statusCode, 302)
  assert.equal((await ada.get(url)).statusCode, 403, 'twice')
  assert.equal((await gateway.admin('GET', 'users')).users.length, 1)
})

test('the client’s secret is shown nowhere; without a provider the routes say so; one that is away is no crash', async (t) => {
  const { gateway, login, start } = await ready(t)
  const shown = await gateway.admin('GET', 'sign-in')
  assert.deepEqual(shown, { password: true, oidc: { issuer: login.issuer, path: '/api/sign-in/oidc' } })
  const rows = gateway.served.gateway.store.directory.changes(0, 1_000)
  assert.doesNotMatch(JSON.stringify(rows), /secret-of-the-client/)
  await gateway.admin('PUT', 'sign-in', { issuer: 'http://127.0.0.1:9', clientId: 'x', roles: [] })
  assert.equal((await browser().get(start)).statusCode, 502)
  await assert.rejects(
    gateway.admin('PUT', 'sign-in', { issuer: 'http://login.example', clientId: 'x', roles: [] }),
    /https/,
  )
  await gateway.admin('DELETE', 'sign-in')
  assert.equal((await browser().get(start)).statusCode, 404)
})
