/**
 * Google Vertex AI: Gemini by generateContent, Anthropic's models by Anthropic's format (rawPredict), partners' models
 * (`meta/…`, `mistralai/…`) by OpenAI's, embeddings by predict. Tokens come from a service account's key or a workload's
 * federation, by Google's own library with our egress as its transport, or from the machine's metadata service, which
 * that library would reach by itself. Nothing is adopted from the environment: such credentials belong to a project.
 */
import type { IdentityPoolClient } from 'google-auth-library/build/src/auth/identitypoolclient.js'
import type { JWT } from 'google-auth-library/build/src/auth/jwtclient.js'
import { Type } from 'typebox'
import { BETA_OPTION } from '../core/betas.ts'
import { defineProvider, type EndpointCall, sayings } from '../core/provider.ts'
import type { Signer, SignerParts } from '../core/signing.ts'
import { type Fetched, Fresh } from '../wire/fresh.ts'
import { askFor, askForToken, noCredential, objectFrom } from '../wire/token-call.ts'

interface Token {
  readonly token: string
}
const SCOPE = 'https://www.googleapis.com/auth/cloud-platform'
const METADATA = '169.254.169.254'
const TOKEN_PATH = '/computeMetadata/v1/instance/service-accounts/default/token'
const HOUR_MS = 3_600_000
const GOOGLE_TOKENS = 'https://oauth2.googleapis.com/token'

const isClaude = (model: string): boolean => /^claude-/.test(model)
const isPartners = (model: string): boolean => model.includes('/')
const isEmbedding = (model: string): boolean => /embedding/.test(model)
const placeOf = ({ project, location }: EndpointCall['options']): string =>
  `/v1/projects/${String(project)}/locations/${String(location)}`

function modelPath(publisher: string, { model, options }: EndpointCall, verb: string): string {
  const name = encodeURIComponent(model.toWellFormed()).replaceAll('%40', '@')
  return `${placeOf(options)}/publishers/${publisher}/models/${name}:${verb}`
}

function signer(parts: SignerParts): Signer {
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
        fresh = new Fresh(() => fetched(parts, secret), parts.now)
        bySecret.set(secret, fresh)
      }
      const token = fresh.get()
      return token instanceof Promise ? token.then(signed) : signed(token)
    },
    refused: (credential) => [...bySecret.values()].some((fresh) => fresh.refused(credential)),
  }
}

/** The secret is the JSON that Google hands out: a service account's key, or the description of a federation. */
async function fetched(parts: SignerParts, secret: string | undefined): Promise<Fetched<Token>> {
  const { credentialsFile } = parts.options
  let text = secret
  if (text === undefined && typeof credentialsFile === 'string') {
    text = await parts.file(credentialsFile).catch(() => {
      throw noCredential(parts.upstream, `the file ${credentialsFile} cannot be read`)
    })
  }
  if (text === undefined) return ofMachine(parts)
  const given = objectFrom(parts.upstream, 'the configured secret', text)
  if (given.type === 'service_account') return ofServiceAccount(parts, given)
  if (given.type === 'external_account') return ofFederation(parts, given)
  throw noCredential(parts.upstream, `a credential of type "${String(given.type)}" is not supported`)
}

async function ofMachine(parts: SignerParts): Promise<Fetched<Token>> {
  const { variable, upstream, now } = parts
  const host = variable('GCE_METADATA_HOST')
  const whom = 'the metadata service'
  const text = await askForToken(parts, {
    whom,
    method: 'GET',
    url: `http://${host ?? METADATA}${TOKEN_PATH}`,
    headers: { 'metadata-flavor': 'Google' },
    ...(host === undefined ? { allowHost: METADATA } : {}),
  })
  const { access_token: token, expires_in: seconds } = objectFrom(upstream, whom, text)
  return tokenOf(upstream, token, now() + Number(seconds) * 1_000, now())
}

async function ofServiceAccount(parts: SignerParts, key: Readonly<Record<string, unknown>>): Promise<Fetched<Token>> {
  const { client_email, private_key, private_key_id, token_uri } = key
  if (typeof client_email !== 'string' || typeof private_key !== 'string') {
    throw noCredential(parts.upstream, "the service account's key is not whole")
  }
  const transport = transportOf(parts, typeof token_uri === 'string' ? token_uri : undefined)
  // Loaded with the first token: most gateways never need it.
  const library = await import('google-auth-library/build/src/auth/jwtclient.js')
  const client = new library.JWT({
    email: client_email,
    key: private_key,
    ...(typeof private_key_id === 'string' ? { keyId: private_key_id } : {}),
    scopes: [SCOPE],
    transporter: transport.client,
    useAuthRequestParameters: false,
  } as ConstructorParameters<typeof JWT>[0])
  const { access_token, expiry_date } = await transport.told(() => client.authorize())
  return tokenOf(parts.upstream, access_token, expiry_date, parts.now())
}

async function ofFederation(parts: SignerParts, given: Readonly<Record<string, unknown>>): Promise<Fetched<Token>> {
  const source = given.credential_source as Readonly<Record<string, unknown>> | undefined
  if (source?.executable !== undefined || source?.environment_id !== undefined) {
    throw noCredential(parts.upstream, 'only federations whose token is in a file or at an address are supported')
  }
  const transport = transportOf(parts, undefined)
  return transport.told(async () => {
    const library = await import('google-auth-library/build/src/auth/identitypoolclient.js')
    const client = new library.IdentityPoolClient({
      ...given,
      scopes: [SCOPE],
      transporter: transport.client,
      useAuthRequestParameters: false,
    } as unknown as ConstructorParameters<typeof IdentityPoolClient>[0])
    // The library makes a transport of its own for the exchange (11.3), whatever it was handed.
    Object.assign((client as unknown as { stsCredential: object }).stsCredential, { transporter: transport.client })
    const { token } = await client.getAccessToken()
    return tokenOf(parts.upstream, token, client.credentials.expiry_date, parts.now())
  })
}

function tokenOf(upstream: string, token: unknown, expiresAt: number | null | undefined, now: number): Fetched<Token> {
  if (typeof token !== 'string' || token === '') throw noCredential(upstream, 'an answer came without a token')
  const known = typeof expiresAt === 'number' && expiresAt > now
  return { value: { token }, expiresAt: known ? expiresAt : now + HOUR_MS }
}

/** What Google's library hands to its transport. */
interface Asked {
  readonly url: string | URL
  readonly method?: string
  readonly headers?: Headers | Readonly<Record<string, string>>
  readonly data?: unknown
}

/** That library talks through this and nothing else. Its words for a failure may repeat what was sent: ours do not. */
function transportOf(parts: SignerParts, tokenUri: string | undefined) {
  let failed: unknown
  const ask = async ({ url, method, headers, data }: Asked) => {
    const asked = String(url)
    const body = data === undefined || data === null ? {} : { body: String(data) }
    const form = data instanceof URLSearchParams ? { 'content-type': 'application/x-www-form-urlencoded' } : {}
    const { status, text } = await askFor(parts, {
      whom: 'the token service',
      method: method === 'POST' ? 'POST' : 'GET',
      url: tokenUri !== undefined && asked === GOOGLE_TOKENS ? tokenUri : asked,
      headers: { ...form, ...(headers instanceof Headers ? Object.fromEntries(headers) : headers) },
      ...body,
    })
    if (status < 200 || status > 299) {
      const why = /"error_description"\s*:\s*"([^"]{1,200})/.exec(text)?.[1] ?? `status ${status}`
      throw noCredential(parts.upstream, `the token service refused: ${why}`)
    }
    return { status, data: text.trimStart().startsWith('{') ? JSON.parse(text) : text }
  }
  const request = (asked: Asked) =>
    ask(asked).catch((error: unknown) => {
      failed = error
      throw error
    })
  return {
    client: { request } as unknown as NonNullable<ConstructorParameters<typeof JWT>[0]>['transporter'],
    async told<T>(get: () => Promise<T>): Promise<T> {
      try {
        return await get()
      } catch (error) {
        const why = error instanceof Error ? error.message.slice(0, 200) : 'it cannot be used'
        throw failed ?? noCredential(parts.upstream, why)
      }
    },
  }
}

export default defineProvider({
  id: 'vertex',
  title: 'Google Vertex AI',
  litellm: ['vertex_ai', 'vertex_ai_beta'],
  docs: 'https://cloud.google.com/vertex-ai/docs/authentication',
  options: Type.Object(
    {
      project: Type.String({ pattern: '^[a-z0-9:.-]+$', description: 'The id of the project that pays.' }),
      location: Type.String({
        pattern: '^[a-z0-9-]+$',
        default: 'global',
        description: 'A region, `us`, `eu` or `global`; makes the base URL.',
      }),
      ...BETA_OPTION,
      credentialsFile: Type.Optional(
        Type.String({
          minLength: 1,
          description:
            'The JSON of a service account or a federation, where it is not the secret. Without either: the metadata service.',
        }),
      ),
    },
    { additionalProperties: false },
  ),
  baseUrlOf: ({ location }) => {
    if (location === 'global' || location === undefined) return 'https://aiplatform.googleapis.com'
    if (location === 'us' || location === 'eu') return `https://aiplatform.${location}.rep.googleapis.com`
    return `https://${String(location)}-aiplatform.googleapis.com`
  },
  signer,
  speaks: {
    'anthropic-messages': (call) =>
      isClaude(call.model) ? modelPath('anthropic', call, call.stream ? 'streamRawPredict' : 'rawPredict') : undefined,
    'openai-chat': (call) =>
      isPartners(call.model) ? `${placeOf(call.options)}/endpoints/openapi/chat/completions` : undefined,
    'gemini-generate': (call) =>
      isClaude(call.model) || isPartners(call.model)
        ? undefined
        : modelPath('google', call, call.stream ? 'streamGenerateContent?alt=sse' : 'generateContent'),
    'vertex-predict': (call) => (isEmbedding(call.model) ? modelPath('google', call, 'predict') : undefined),
  },
  counts: {
    'gemini-generate': {
      endpoint: (call) => modelPath('google', call, 'countTokens'),
      ask: ({ contents, systemInstruction, tools, generationConfig }) => ({
        contents,
        systemInstruction,
        tools,
        generationConfig,
      }),
    },
    'anthropic-messages': {
      endpoint: (call) => modelPath('anthropic', { ...call, model: 'count-tokens' }, 'rawPredict'),
      ask: ({ messages, system, tools, tool_choice, thinking }, model) => ({
        model,
        messages,
        system,
        tools,
        tool_choice,
        thinking,
      }),
    },
  },
  edits: (dialect) =>
    dialect === 'anthropic-messages' ? { model: undefined, anthropic_version: 'vertex-2023-10-16' } : undefined,
  forward: ['anthropic-beta'],
  // https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude
  betas: {
    header: 'anthropic-beta',
    asOf: '2026-11',
    taken: [
      'compact-2026-01-12',
      'computer-use-2025-01-24',
      'computer-use-2025-11-24',
      'context-1m-2025-08-07',
      'context-management-2025-06-27',
      'interleaved-thinking-2025-05-14',
      'tool-search-tool-2025-10-19',
      'web-search-2025-03-05',
    ],
    renamed: { 'advanced-tool-use-2025-11-20': 'tool-search-tool-2025-10-19' },
  },
  catalog: 'google',
  classify: sayings([
    [400, /API_KEY_INVALID|ACCESS_TOKEN/i, 'upstream_credentials'],
    [403, /BILLING_DISABLED|billing/i, 'upstream_quota'],
    [400, /location is not supported|does not support (?:region|location)/i, 'upstream_model_missing'],
    // Every quota here is by the minute, whatever the words about billing say.
    [429, /(?:)/, 'upstream_rate_limited'],
  ]),
})
