/**
 * SambaNova Cloud.
 */
import { defineProvider } from '../core/provider.ts'

export default defineProvider({
  id: 'sambanova',
  title: 'SambaNova',
  baseUrl: 'https://api.sambanova.ai/v1',
  docs: 'https://cloud.sambanova.ai/apis',
  environment: { key: 'SAMBANOVA_API_KEY' },
  speaks: { 'openai-chat': '/chat/completions', 'openai-embeddings': '/embeddings' },
  models: '/models',
})
