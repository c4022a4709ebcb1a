/** How the clouds' calls are signed: by which credential, fetched where, and that nothing but our egress is used. */
import assert from 'node:assert/strict'
import { createVerify, generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import type { Provider } from '../../src/core/provider.ts'
import type { Unsigned } from '../../src/core/signing.ts'
import azure from '../../src/providers/azure.ts'
import foundry from '../../src/providers/azure-foundry.ts'
import bedrock from '../../src/providers/bedrock.ts'
import vertex from '../../src/providers/vertex.ts'
import { type Scripted, signerParts } from '../upstream/signing.ts'

const call = (url = 'https://example.test/x'): Unsigned => ({
  method: 'POST',
  url,
  headers: { 'content-type': 'application/json' },
  body: [Buffer.from('{}')],
})

function signed(provider: Provider, scripted: Scripted) {
  const { given, calls } = signerParts(scripted)
  const signer = provider.signer?.(given)
  assert.ok(signer)
  return { signer, calls }
}
const form = (body: unknown) => new URLSearchParams(String(body))

test('Bedrock: an API key is a bearer, a pair of keys signs for the region, also one told by the base URL alone', async () => {
  const { signer } = signed(bedrock, { options: { region: 'eu-central-1' } })
  assert.deepEqual((await signer.sign(call(), 'bedrock-api-key-abc')).headers, {
    authorization: 'Bearer bedrock-api-key-abc',
  })
  const { headers, secrets } = await signer.sign(call(), 'AKIDEXAMPLE:secret:token')
  assert.match(headers.authorization ?? '', /Credential=AKIDEXAMPLE\/\d{8}\/eu-central-1\/bedrock\/aws4_request/)
  assert.equal(headers['x-amz-security-token'], 'token')
  assert.deepEqual(secrets, ['secret', 'token'])
  const other = signed(bedrock, { baseUrl: 'https://bedrock-runtime.ap-south-1.amazonaws.com' })
  assert.match((await other.signer.sign(call(), 'A:b')).headers.authorization ?? '', /ap-south-1\/bedrock/)
})

test("A103: Bedrock: a web identity's credentials are fetched once for all, and once more when they are refused", async () => {
  let now = 1_000_000
  const sts = (n: number) => ({
    AssumeRoleWithWebIdentityResponse: {
      AssumeRoleWithWebIdentityResult: {
        Credentials: {
          AccessKeyId: `ASIA${n}`,
          SecretAccessKey: 's',
          SessionToken: 't',
          Expiration: (now + 900_000) / 1_000,
        },
      },
    },
  })
  const { signer, calls } = signed(bedrock, {
    options: { region: 'eu-west-1', credentials: 'web-identity', roleArn: 'arn:aws:iam::1:role/r', tokenFile: '/t' },
    files: { '/t': 'jwt' },
    answers: [sts(1), sts(2)],
    now: () => now,
  })
  const all = await Promise.all(Array.from({ length: 20 }, () => signer.sign(call(), undefined)))
  assert.equal(calls.length, 1)
  for (const { headers } of all) assert.match(headers.authorization ?? '', /ASIA1/)
  now += 60_000
  const { credential } = all[0] as { credential: object }
  assert.equal(signer.refused?.(credential), true)
  assert.match((await signer.sign(call(), undefined)).headers.authorization ?? '', /ASIA2/)
  assert.equal(calls.length, 2)
})

const SCOPES = [
  [azure, 'https://cognitiveservices.azure.com/.default'],
  [foundry, 'https://ai.azure.com/.default'],
] as const

for (const [provider, scope] of SCOPES) {
  test(`A103: ${provider.title}: an application's secret becomes a token, renewed before its end`, async () => {
    let now = 0
    const { signer, calls } = signed(provider, {
      options: { credentials: 'client-secret', tenant: 'my-tenant', clientId: 'my-app' },
      answers: [
        { access_token: 'first', expires_in: 900 },
        { access_token: 'second', expires_in: 900 },
      ],
      now: () => now,
    })
    assert.equal((await signer.sign(call(), 'app-secret')).headers.authorization, 'Bearer first')
    assert.equal(calls[0]?.url, 'https://login.microsoftonline.com/my-tenant/oauth2/v2.0/token')
    assert.deepEqual(Object.fromEntries(form(calls[0]?.body)), {
      grant_type: 'client_credentials',
      client_id: 'my-app',
      scope,
      client_secret: 'app-secret',
    })
    now = 800_000
    await signer.sign(call(), 'app-secret')
    await new Promise((resolve) => setImmediate(resolve))
    const next = signer.sign(call(), 'app-secret')
    assert.ok(!(next instanceof Promise), 'nobody waits for the renewal')
    assert.equal(next.headers.authorization, 'Bearer second')
  })
}

test('A103: Azure: a workload proves itself by its federated token, a machine by its identity', async () => {
  const workload = signed(azure, {
    options: { credentials: 'workload-identity' },
    variables: {
      AZURE_TENANT_ID: 't',
      AZURE_CLIENT_ID: 'c',
      AZURE_FEDERATED_TOKEN_FILE: '/f',
      AZURE_AUTHORITY_HOST: 'https://login.microsoftonline.us/',
    },
    files: { '/f': 'the.jwt\n' },
    answers: [{ access_token: 'w', expires_in: 3_600 }],
  })
  assert.equal((await workload.signer.sign(call(), undefined)).headers.authorization, 'Bearer w')
  assert.equal(workload.calls[0]?.url, 'https://login.microsoftonline.us/t/oauth2/v2.0/token')
  assert.equal(form(workload.calls[0]?.body).get('client_assertion'), 'the.jwt')

  const machine = signed(azure, {
    options: { credentials: 'managed-identity' },
    answers: [{ access_token: 'm', expires_in: '3599' }],
  })
  assert.equal((await machine.signer.sign(call(), undefined)).headers.authorization, 'Bearer m')
  const asked = new URL(machine.calls[0]?.url ?? '')
  assert.equal(asked.origin + asked.pathname, 'http://169.254.169.254/metadata/identity/oauth2/token')
  assert.equal(asked.searchParams.get('resource'), 'https://cognitiveservices.azure.com')
  assert.equal(machine.calls[0]?.headers.metadata, 'true')

  const app = signed(azure, {
    options: { credentials: 'managed-identity' },
    variables: { IDENTITY_ENDPOINT: 'http://127.0.0.1:41/msi/token', IDENTITY_HEADER: 'h' },
    answers: [{ access_token: 'a', expires_on: '4102444800' }],
  })
  assert.equal((await app.signer.sign(call(), undefined)).headers.authorization, 'Bearer a')
  assert.equal(app.calls[0]?.headers['x-identity-header'], 'h')
})

test('Azure: a key goes into the header that the API of the call looks at', async () => {
  const plain = signed(azure, {})
  assert.deepEqual((await plain.signer.sign(call(), 'k')).headers, { 'api-key': 'k' })
  const { signer } = signed(foundry, {})
  assert.deepEqual(
    (await signer.sign(call('https://r.services.ai.azure.com/openai/v1/chat/completions'), 'k')).headers,
    { 'api-key': 'k' },
  )
  assert.deepEqual((await signer.sign(call('https://r.services.ai.azure.com/anthropic/v1/messages'), 'k')).headers, {
    'x-api-key': 'k',
  })
})

const OPTIONS = { project: 'p', location: 'global' }

test("A103: Vertex: a service account's key signs a request for a token, at the address that it names", async () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const key = {
    type: 'service_account',
    client_email: 'sa@p.iam.gserviceaccount.com',
    private_key_id: 'kid',
    private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    token_uri: 'http://127.0.0.1:9/token',
  }
  const { signer, calls } = signed(vertex, {
    options: OPTIONS,
    answers: [{ access_token: 'ya29.x', expires_in: 3_599, token_type: 'Bearer' }],
  })
  const all = await Promise.all([signer.sign(call(), JSON.stringify(key)), signer.sign(call(), JSON.stringify(key))])
  assert.equal(all[1]?.headers.authorization, 'Bearer ya29.x')
  assert.equal(calls.length, 1)
  assert.equal(calls[0]?.url, 'http://127.0.0.1:9/token')
  const [head = '', claims = '', signature = ''] = (form(calls[0]?.body).get('assertion') ?? '').split('.')
  assert.ok(createVerify('RSA-SHA256').update(`${head}.${claims}`).verify(publicKey, signature, 'base64url'))
  const said = JSON.parse(Buffer.from(claims, 'base64url').toString())
  assert.equal(said.iss, 'sa@p.iam.gserviceaccount.com')
  assert.match(said.scope, /cloud-platform/)
})

test('A103: Vertex: a federated workload changes its token at the token service', async () => {
  const { mkdtempSync, writeFileSync, rmSync } = await import('node:fs')
  const { tmpdir } = await import('node:os')
  const { join } = await import('node:path')
  const folder = mkdtempSync(join(tmpdir(), 'stockyard-federation-'))
  try {
    writeFileSync(join(folder, 'token'), 'oidc.jwt')
    const description = {
      type: 'external_account',
      audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/x',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      token_url: 'https://sts.googleapis.com/v1/token',
      credential_source: { file: join(folder, 'token') },
    }
    const answer = { access_token: 'sts-token', expires_in: 3_600, issued_token_type: 'x', token_type: 'Bearer' }
    const { signer, calls } = signed(vertex, {
      options: { ...OPTIONS, credentialsFile: '/c.json' },
      files: { '/c.json': JSON.stringify(description) },
      answers: [answer],
    })
    assert.equal((await signer.sign(call(), undefined)).headers.authorization, 'Bearer sts-token')
    assert.equal(calls[0]?.url, 'https://sts.googleapis.com/v1/token')
    assert.equal(form(calls[0]?.body).get('subject_token'), 'oidc.jwt')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test("A103: Vertex: without either the machine's metadata service is asked", async () => {
  const { signer, calls } = signed(vertex, {
    options: OPTIONS,
    answers: [{ access_token: 'md', expires_in: 900, token_type: 'Bearer' }],
  })
  assert.equal((await signer.sign(call(), undefined)).headers.authorization, 'Bearer md')
  assert.equal(calls[0]?.url, 'http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token')
  assert.deepEqual([calls[0]?.headers['metadata-flavor'], calls[0]?.allowHosts], ['Google', ['169.254.169.254']])
})

test('Vertex: what cannot be used is refused in words that repeat no secret', async () => {
  const refusals: readonly (readonly [secret: string, answers: readonly unknown[], words: RegExp])[] = [
    ['not json', [], /gave an answer that is not JSON/],
    ['{"type":"authorized_user","refresh_token":"SECRET"}', [], /"authorized_user" is not supported/],
    ['{"type":"service_account","private_key":"SECRET"}', [], /not whole/],
    ['{"type":"service_account","client_email":"a","private_key":"SECRET"}', [], /There is no credential/],
    [
      '{"type":"external_account","credential_source":{"executable":{"command":"SECRET"}}}',
      [],
      /in a file or at an address/,
    ],
  ]
  for (const [secret, answers, words] of refusals) {
    const { signer } = signed(vertex, { options: OPTIONS, answers })
    await assert.rejects(
      async () => signer.sign(call(), secret),
      (error: Error) => words.test(error.message) && !error.message.includes('SECRET'),
      secret,
    )
  }
})
