/**
 * Tokens of Microsoft Entra ID: for an application's secret, for a workload's federated token, or from the managed
 * identity of the machine. Plain OAuth 2.0, asked through the one egress.
 */
import { type TSchema, Type } from 'typebox'
import type { Signer, SignerParts } from '../core/signing.ts'
import { type Fetched, Fresh } from './fresh.ts'
import { askForToken, noCredential, objectFrom } from './token-call.ts'

export interface EntraOptions {
  readonly credentials?: 'key' | 'client-secret' | 'workload-identity' | 'managed-identity'
  readonly tenant?: string
  readonly clientId?: string
}

/** The fields of an upstream's options that say which credential it uses. */
export const ENTRA_OPTIONS = {
  credentials: Type.Optional(
    Type.Union(
      [
        Type.Literal('key'),
        Type.Literal('client-secret'),
        Type.Literal('workload-identity'),
        Type.Literal('managed-identity'),
      ],
      { description: 'An API key (left out), or a token of Entra ID and where it comes from.' },
    ),
  ),
  tenant: Type.Optional(Type.String({ pattern: '^[\\w.-]+$', description: 'Else `AZURE_TENANT_ID`.' })),
  clientId: Type.Optional(Type.String({ pattern: '^[\\w-]+$', description: 'Else `AZURE_CLIENT_ID`.' })),
} satisfies Record<string, TSchema>

interface Token {
  readonly token: string
}
const METADATA = '169.254.169.254'
const LOGIN = 'https://login.microsoftonline.com'

/** `keyHeader` is where an API key goes in this call. `scope` is the resource with `/.default`. */
export function entraSigner(parts: SignerParts, scope: string, keyHeader: (url: string) => string): Signer {
  const options = parts.options as EntraOptions
  if (options.credentials === undefined || options.credentials === 'key') {
    return { sign: ({ url }, secret) => ({ headers: secret === undefined ? {} : { [keyHeader(url)]: secret } }) }
  }
  const bySecret = new Map<string | undefined, Fresh<Token>>()
  const signed = (token: Token) => ({
    headers: { authorization: `Bearer ${token.token}` },
    credential: token,
    secrets: [token.token],
  })
  return {
    sign(_call, secret) {
      let fresh = bySecret.get(secret)
      if (!fresh) {
        fresh = new Fresh(() => fetched(parts, options, scope, secret), parts.now)
        bySecret.set(secret, fresh)
      }
      const token = fresh.get()
      return token instanceof Promise ? token.then(signed) : signed(token)
    },
    refused: (credential) => [...bySecret.values()].some((fresh) => fresh.refused(credential)),
  }
}

async function fetched(
  parts: SignerParts,
  { credentials, ...options }: EntraOptions,
  scope: string,
  secret: string | undefined,
): Promise<Fetched<Token>> {
  const { variable, upstream, file } = parts
  const clientId = options.clientId ?? variable('AZURE_CLIENT_ID')
  if (credentials === 'managed-identity') return managed(parts, scope.replace(/\/\.default$/, ''), clientId)
  const tenant = options.tenant ?? variable('AZURE_TENANT_ID')
  if (!tenant || !clientId) throw noCredential(upstream, 'a tenant and a client id are needed')
  let proof: Record<string, string>
  if (credentials === 'client-secret') {
    if (secret === undefined) throw noCredential(upstream, "the application's secret is not configured")
    proof = { client_secret: secret }
  } else {
    const path = variable('AZURE_FEDERATED_TOKEN_FILE')
    if (!path) throw noCredential(upstream, 'no federated token file is offered to this process')
    const assertion = await file(path).catch(() => {
      throw noCredential(upstream, `the token file ${path} cannot be read`)
    })
    const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
    proof = { client_assertion_type: type, client_assertion: assertion.trim() }
  }
  const form = { grant_type: 'client_credentials', client_id: clientId, scope, ...proof }
  const login = (variable('AZURE_AUTHORITY_HOST') ?? LOGIN).replace(/\/+$/, '')
  const whom = 'Entra ID'
  const text = await askForToken(parts, {
    whom,
    method: 'POST',
    url: `${login}/${tenant}/oauth2/v2.0/token`,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(form).toString(),
  })
  return tokenIn(parts, whom, text)
}

/** App Service and its kin give an address and a header; a virtual machine has the metadata service. */
async function managed(parts: SignerParts, resource: string, clientId: string | undefined): Promise<Fetched<Token>> {
  const { variable } = parts
  const endpoint = variable('IDENTITY_ENDPOINT')
  const header = variable('IDENTITY_HEADER')
  const offered = endpoint !== undefined && header !== undefined
  const query = new URLSearchParams({
    'api-version': offered ? '2019-08-01' : '2018-02-01',
    resource,
    ...(clientId ? { client_id: clientId } : {}),
  })
  const whom = 'the managed identity'
  const text = await askForToken(parts, {
    whom,
    method: 'GET',
    url: `${offered ? endpoint : `http://${METADATA}/metadata/identity/oauth2/token`}?${query}`,
    headers: offered ? { 'x-identity-header': header } : { metadata: 'true' },
    ...(offered ? {} : { allowHost: METADATA }),
  })
  return tokenIn(parts, whom, text)
}

function tokenIn({ upstream, now }: SignerParts, whom: string, text: string): Fetched<Token> {
  const { access_token: token, expires_in: lasts, expires_on: endsAt } = objectFrom(upstream, whom, text)
  if (typeof token !== 'string' || token === '') throw noCredential(upstream, `${whom} gave an answer without a token`)
  const seconds = Number(lasts)
  const end = Number(endsAt)
  if (seconds > 0) return { value: { token }, expiresAt: now() + seconds * 1_000 }
  return { value: { token }, ...(end > 0 ? { expiresAt: end * 1_000 } : {}) }
}
