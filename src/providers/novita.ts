/**
 * Novita AI.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'novita',
  title: 'Novita AI',
  baseUrl: 'https://api.novita.ai/openai/v1',
  docs: 'https://novita.ai/settings/key-management',
  environment: { key: 'NOVITA_API_KEY' },
  speaks: {
    'openai-chat': '/chat/completions',
    'openai-completions': '/completions',
    'openai-embeddings': '/embeddings',
  },
  models: '/models',
  catalog: 'novita',
  classify: sayings([[403, /NOT_ENOUGH_BALANCE|not enough balance/i, 'upstream_quota']]),
})
