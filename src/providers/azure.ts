/**
 * Azure OpenAI through its v1 API. The base URL is the resource's own, with the version segment:
 * https://<resource>.openai.azure.com/openai/v1. A model is the name of a deployment.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'azure',
  title: 'Azure OpenAI',
  docs: 'https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle',
  environment: { key: 'AZURE_OPENAI_API_KEY', baseUrl: 'AZURE_OPENAI_BASE_URL' },
  sign: (secret) => ({ 'api-key': secret }),
  speaks: {
    'openai-chat': '/chat/completions',
    'openai-responses': '/responses',
    'openai-completions': '/completions',
    'openai-embeddings': '/embeddings',
  },
  models: '/models',
  catalog: 'azure',
  classify: sayings([
    [400, /unknown_model|Unknown model|OperationNotSupported/i, 'upstream_model_missing'],
    [403, /Out of call volume quota/i, 'upstream_quota'],
    [429, /NoCapacity|no capacity/i, 'upstream_overloaded'],
  ]),
})
