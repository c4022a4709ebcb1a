/**
 * Mistral AI. It refuses `stream_options` (422) and sends usage in every stream's last chunk anyway.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'mistral',
  title: 'Mistral AI',
  baseUrl: 'https://api.mistral.ai/v1',
  docs: 'https://console.mistral.ai/api-keys',
  environment: { key: 'MISTRAL_API_KEY' },
  speaks: {
    'openai-chat': '/chat/completions',
    'openai-embeddings': '/embeddings',
    'openai-audio': '/audio',
    'openai-moderations': '/moderations',
  },
  models: '/models',
  catalog: 'mistral',
  classify: sayings([
    [400, /invalid_model|Invalid model/, 'upstream_model_missing'],
    [429, /capacity exceeded/i, 'upstream_overloaded'],
  ]),
  quirks: { noStreamOptions: true },
})
