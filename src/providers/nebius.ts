/**
 * Nebius Token Factory (formerly AI Studio).
 */
import { defineProvider } from '../core/provider.ts'

export default defineProvider({
  id: 'nebius',
  title: 'Nebius',
  baseUrl: 'https://api.tokenfactory.nebius.com/v1',
  docs: 'https://docs.tokenfactory.nebius.com/api-reference/introduction',
  environment: { key: 'NEBIUS_API_KEY' },
  speaks: {
    'openai-chat': '/chat/completions',
    'openai-completions': '/completions',
    'openai-embeddings': '/embeddings',
    'openai-images': '/images',
  },
  models: '/models',
})
