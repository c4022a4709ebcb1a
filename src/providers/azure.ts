/**
 * Azure OpenAI. Without an `apiVersion` it is the v1 API, whose base URL ends in `/openai/v1`; with one it is the older
 * API of deployments, whose base URL is the resource's own. Either way a model is the name of a deployment. Keys, or
 * tokens of Entra ID.
 */
import { Type } from 'typebox'
import { defineProvider, type EndpointCall, sayings } from '../core/provider.ts'
import { ENTRA_OPTIONS, entraSigner } from '../wire/entra.ts'

const SCOPE = 'https://cognitiveservices.azure.com/.default'

const endpoint =
  (path: string) =>
  ({ model, options }: EndpointCall): string =>
    typeof options.apiVersion === 'string'
      ? `/openai/deployments/${encodeURIComponent(model.toWellFormed())}${path}?api-version=${options.apiVersion}`
      : path

/** What the API of deployments has elsewhere, or not at all. */
const latestOnly =
  (path: string) =>
  ({ options }: EndpointCall): string | undefined =>
    options.apiVersion === undefined ? path : undefined

export default defineProvider({
  id: 'azure',
  title: 'Azure OpenAI',
  litellm: ['azure_text'],
  docs: 'https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle',
  environment: { key: 'AZURE_OPENAI_API_KEY', baseUrl: 'AZURE_OPENAI_BASE_URL' },
  options: Type.Object(
    {
      resource: Type.Optional(
        Type.String({
          pattern: '^[\\w-]+$',
          description: 'Makes the base URL: `https://<resource>.openai.azure.com`.',
        }),
      ),
      apiVersion: Type.Optional(
        Type.String({
          pattern: '^(?:\\d{4}-\\d{2}-\\d{2}(?:-preview)?|latest|preview)$',
          description: 'Deployments by the older API, e.g. `2024-10-21`.',
        }),
      ),
      ...ENTRA_OPTIONS,
    },
    { additionalProperties: false },
  ),
  baseUrlOf: ({ resource, apiVersion }) =>
    typeof resource === 'string'
      ? `https://${resource}.openai.azure.com${apiVersion === undefined ? '/openai/v1' : ''}`
      : undefined,
  signer: (parts) => entraSigner(parts, SCOPE, () => 'api-key'),
  speaks: {
    'openai-chat': endpoint('/chat/completions'),
    'openai-responses': ({ options: { apiVersion } }) =>
      typeof apiVersion === 'string' ? `/openai/responses?api-version=${apiVersion}` : '/responses',
    'openai-completions': endpoint('/completions'),
    'openai-embeddings': endpoint('/embeddings'),
    'openai-compaction': latestOnly('/responses'),
    'openai-images': latestOnly('/images'),
    'openai-audio': latestOnly('/audio'),
    'openai-objects': latestOnly(''),
  },
  administration: ['/realtime'],
  models: '/models',
  requestId: 'apim-request-id',
  batchPercent: 50,
  catalog: 'azure',
  classify: sayings([
    [400, /unknown_model|Unknown model|OperationNotSupported/i, 'upstream_model_missing'],
    [403, /Out of call volume quota/i, 'upstream_quota'],
    [429, /NoCapacity|no capacity/i, 'upstream_overloaded'],
  ]),
})
