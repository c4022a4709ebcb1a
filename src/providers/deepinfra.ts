/**
 * DeepInfra.
 */
import { defineProvider } from '../core/provider.ts'

export default defineProvider({
  id: 'deepinfra',
  title: 'DeepInfra',
  baseUrl: 'https://api.deepinfra.com/v1/openai',
  docs: 'https://deepinfra.com/dash/api_keys',
  environment: { key: 'DEEPINFRA_API_KEY' },
  speaks: {
    'openai-chat': '/chat/completions',
    'openai-completions': '/completions',
    'openai-embeddings': '/embeddings',
    'openai-images': '/images',
    'openai-audio': '/audio',
  },
  models: '/models',
})
