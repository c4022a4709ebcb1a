/**
 * Cohere through its OpenAI-compatible API, which refuses `stream_options`.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'cohere',
  title: 'Cohere',
  baseUrl: 'https://api.cohere.ai/compatibility/v1',
  docs: 'https://dashboard.cohere.com/api-keys',
  environment: { key: 'CO_API_KEY' },
  speaks: { 'openai-chat': '/chat/completions', 'openai-embeddings': '/embeddings' },
  catalog: 'cohere',
  classify: sayings([
    // A trial key is limited by the month.
    [429, /trial key/i, 'upstream_quota'],
  ]),
  quirks: { noStreamOptions: true },
})
