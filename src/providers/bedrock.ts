/**
 * Amazon Bedrock. Anthropic's models are reached by Anthropic's own format (InvokeModel), all others by Converse. Calls
 * are signed (Signature Version 4) with keys, a profile, or what the container, the web identity or the instance gives;
 * a Bedrock API key goes as a bearer token instead. Only such a key is adopted from the environment: the others belong
 * to a whole account. Complaints: https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html
 */
import { type Static, Type } from 'typebox'
import { BETA_OPTION, type Betas } from '../core/betas.ts'
import { defineProvider, type EndpointCall, sayings } from '../core/provider.ts'
import type { Signer, SignerParts } from '../core/signing.ts'
import { AWS_SOURCES, awsCredentials, keysOf } from '../wire/aws/credentials.ts'
import { type AwsCredentials, awsSignature } from '../wire/aws/signature.ts'
import type { Fresh } from '../wire/fresh.ts'

const Options = Type.Object(
  {
    region: Type.Optional(
      Type.String({ pattern: '^[a-z]{2}(-[a-z]+)+-\\d$', description: 'Makes the base URL, e.g. `eu-central-1`.' }),
    ),
    credentials: Type.Optional(
      Type.Union([Type.Literal('bearer'), ...AWS_SOURCES.map((source) => Type.Literal(source))], {
        description:
          'Where credentials come from. Left out: `keys` if the secret is `<id>:<secret key>`, else `bearer`.',
      }),
    ),
    profile: Type.Optional(Type.String({ minLength: 1, description: 'For `profile`; else `AWS_PROFILE`, `default`.' })),
    roleArn: Type.Optional(Type.String({ pattern: '^arn:', description: 'For `web-identity`; else `AWS_ROLE_ARN`.' })),
    ...BETA_OPTION,
    tokenFile: Type.Optional(
      Type.String({ minLength: 1, description: 'For `web-identity`; else `AWS_WEB_IDENTITY_TOKEN_FILE`.' }),
    ),
  },
  { additionalProperties: false },
)

/** https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html */
const BETAS: Betas = {
  header: 'anthropic-beta',
  asOf: '2026-11',
  taken: [
    'compact-2026-01-12',
    'computer-use-2024-10-22',
    'computer-use-2025-01-24',
    'computer-use-2025-11-24',
    'context-1m-2025-08-07',
    'context-management-2025-06-27',
    'dev-full-thinking-2025-05-14',
    'effort-2025-11-24',
    'fine-grained-tool-streaming-2025-05-14',
    'interleaved-thinking-2025-05-14',
    'output-128k-2025-02-19',
    'token-efficient-tools-2025-02-19',
    'tool-examples-2025-10-29',
    'tool-search-tool-2025-10-19',
  ],
  renamed: { 'advanced-tool-use-2025-11-20': 'tool-search-tool-2025-10-19' },
}

const isClaude = (model: string): boolean => /anthropic\.claude/.test(model)
const modelPath = (model: string): string => `/model/${encodeURIComponent(model.toWellFormed())}`
const invoke =
  (fits: (model: string) => boolean) =>
  ({ model, stream }: EndpointCall): string | undefined =>
    fits(model) ? `${modelPath(model)}/${stream ? 'invoke-with-response-stream' : 'invoke'}` : undefined

function signer(parts: SignerParts): Signer {
  const options = parts.options as Static<typeof Options>
  const region = options.region ?? /\.([a-z]{2}(?:-[a-z]+)+-\d)\./.exec(parts.baseUrl)?.[1] ?? 'us-east-1'
  const { credentials: source } = options
  let fetched: Fresh<AwsCredentials> | undefined
  return {
    async sign(call, secret) {
      const isBearer = source === 'bearer' || (source === undefined && !secret?.includes(':'))
      if (isBearer) return { headers: secret === undefined ? {} : { authorization: `Bearer ${secret}` } }
      let credentials: AwsCredentials
      if (source === undefined || source === 'keys') credentials = keysOf(parts.upstream, secret)
      else {
        fetched ??= awsCredentials(parts, { ...options, source, region })
        credentials = await fetched.get()
      }
      const headers = await awsSignature(call, credentials, { region, service: 'bedrock' }, parts.now())
      const { secretAccessKey, sessionToken } = credentials
      return {
        headers,
        credential: credentials,
        secrets: sessionToken ? [secretAccessKey, sessionToken] : [secretAccessKey],
      }
    },
    refused: (credential) => fetched?.refused(credential) ?? false,
  }
}

export default defineProvider({
  id: 'bedrock',
  title: 'Amazon Bedrock',
  litellm: ['bedrock_converse'],
  docs: 'https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html',
  environment: { key: 'AWS_BEARER_TOKEN_BEDROCK', baseUrl: 'AWS_ENDPOINT_URL_BEDROCK_RUNTIME' },
  options: Options,
  baseUrlOf: ({ region }) =>
    typeof region === 'string'
      ? `https://bedrock-runtime.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`
      : undefined,
  signer,
  speaks: {
    'anthropic-messages': invoke(isClaude),
    'bedrock-converse': ({ model, stream }) =>
      isClaude(model) ? undefined : `${modelPath(model)}/${stream ? 'converse-stream' : 'converse'}`,
    'cohere-embed': ({ model }) => (/cohere\.embed/.test(model) ? `${modelPath(model)}/invoke` : undefined),
    'cohere-rerank': ({ model }) => (/cohere\.rerank/.test(model) ? `${modelPath(model)}/invoke` : undefined),
  },
  framing: { 'anthropic-messages': 'aws-chunks' },
  counts: {
    'anthropic-messages': {
      endpoint: ({ model }) => `${modelPath(model)}/count-tokens`,
      ask: (body) => ({ input: { invokeModel: { body: Buffer.from(JSON.stringify(body)).toString('base64') } } }),
    },
    'bedrock-converse': {
      endpoint: ({ model }) => `${modelPath(model)}/count-tokens`,
      ask: ({ messages, system, toolConfig }) => ({ input: { converse: { messages, system, toolConfig } } }),
    },
  },
  edits(dialect, { headers }) {
    if (dialect === 'cohere-embed') return { model: undefined }
    if (dialect === 'cohere-rerank') return { model: undefined, api_version: 2 }
    if (dialect !== 'anthropic-messages') return undefined
    const betas = headers[BETAS.header]
    return {
      model: undefined,
      stream: undefined,
      anthropic_version: 'bedrock-2023-05-31',
      ...(betas === undefined ? {} : { anthropic_beta: betas.split(',') }),
    }
  },
  betas: BETAS,
  requestId: 'x-amzn-requestid',
  catalog: 'aws',
  classify: sayings([
    [
      undefined,
      /model identifier is invalid|on-demand throughput isn.t supported|end of its life/i,
      'upstream_model_missing',
    ],
    [
      403,
      /don.t have access to the model|model access is denied|not authorized to perform: bedrock:Invoke/i,
      'upstream_model_missing',
    ],
    [undefined, /ServiceQuotaExceeded|too many tokens per day|per-day|INVALID_PAYMENT_INSTRUMENT/i, 'upstream_quota'],
    [
      400,
      /ExpiredToken|UnrecognizedClient|InvalidSignature|security token included in the request/i,
      'upstream_credentials',
    ],
    [429, /ModelNotReady|model is not ready/i, 'upstream_overloaded'],
    [424, /(?:)/, 'upstream_error'],
  ]),
})
