/**
 * Azure AI Foundry: Anthropic's models by Anthropic's own format, all others by OpenAI's, Cohere's rankings by Cohere's.
 * A model is the name of a deployment; one of Anthropic's must have `claude` in its name. Keys, or tokens of Entra ID.
 */
import { Type } from 'typebox'
import { BETA_OPTION } from '../core/betas.ts'
import { defineProvider, type EndpointCall, sayings } from '../core/provider.ts'
import { ENTRA_OPTIONS, entraSigner } from '../wire/entra.ts'

const SCOPE = 'https://ai.azure.com/.default'
const isClaude = (model: string): boolean => /claude/i.test(model)
const unlessClaude =
  (path: string) =>
  ({ model }: EndpointCall): string | undefined =>
    isClaude(model) ? undefined : path

export default defineProvider({
  id: 'azure-foundry',
  title: 'Azure AI Foundry',
  litellm: ['azure_ai'],
  docs: 'https://learn.microsoft.com/azure/ai-foundry/foundry-models/concepts/endpoints',
  options: Type.Object(
    {
      resource: Type.Optional(
        Type.String({
          pattern: '^[\\w-]+$',
          description: 'Makes the base URL: `https://<resource>.services.ai.azure.com`.',
        }),
      ),
      ...BETA_OPTION,
      ...ENTRA_OPTIONS,
    },
    { additionalProperties: false },
  ),
  baseUrlOf: ({ resource }) => (typeof resource === 'string' ? `https://${resource}.services.ai.azure.com` : undefined),
  headers: { 'anthropic-version': '2023-06-01' },
  signer: (parts) => entraSigner(parts, SCOPE, (url) => (url.includes('/anthropic/') ? 'x-api-key' : 'api-key')),
  speaks: {
    'anthropic-messages': ({ model }) => (isClaude(model) ? '/anthropic/v1/messages' : undefined),
    'openai-chat': unlessClaude('/openai/v1/chat/completions'),
    'openai-embeddings': unlessClaude('/openai/v1/embeddings'),
    'cohere-rerank': '/providers/cohere/v2/rerank',
  },
  forward: ['anthropic-beta'],
  // https://learn.microsoft.com/azure/ai-foundry/foundry-models/how-to/use-foundry-models-claude
  betas: {
    header: 'anthropic-beta',
    asOf: '2026-11',
    taken: [
      'advanced-tool-use-2025-11-20',
      'code-execution-2025-08-25',
      'computer-use-2025-01-24',
      'computer-use-2025-11-24',
      'context-1m-2025-08-07',
      'context-management-2025-06-27',
      'effort-2025-11-24',
      'files-api-2025-04-14',
      'interleaved-thinking-2025-05-14',
      'mcp-client-2025-04-04',
      'mcp-client-2025-11-20',
      'prompt-caching-scope-2026-01-05',
      'skills-2025-10-02',
      'structured-outputs-2025-11-13',
      'web-fetch-2025-09-10',
      'web-search-2025-03-05',
    ],
  },
  requestId: 'apim-request-id',
  catalog: 'azure',
  classify: sayings([
    [400, /unknown_model|Unknown model|OperationNotSupported/i, 'upstream_model_missing'],
    [403, /Out of call volume quota/i, 'upstream_quota'],
    [413, /request_too_large/, 'upstream_rejected'],
    [429, /NoCapacity|no capacity/i, 'upstream_overloaded'],
  ]),
})
