/** Jina AI: embeddings and rankings. A key has a budget of tokens, and asking beyond it is a 402 or a 403. */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'jina',
  title: 'Jina AI',
  litellm: ['jina_ai'],
  baseUrl: 'https://api.jina.ai/v1',
  docs: 'https://jina.ai/api-dashboard/key-manager',
  environment: { key: 'JINA_API_KEY' },
  speaks: { 'jina-embeddings': '/embeddings', 'jina-rerank': '/rerank' },
  models: '/models',
  catalog: 'jina',
  classify: sayings([
    [402, /(?:)/, 'upstream_quota'],
    [403, /balance|insufficient/i, 'upstream_quota'],
    [undefined, /model .*not (?:found|supported)|invalid model/i, 'upstream_model_missing'],
  ]),
})
