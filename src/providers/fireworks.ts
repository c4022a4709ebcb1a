/**
 * Fireworks AI.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'fireworks',
  title: 'Fireworks AI',
  litellm: ['fireworks_ai'],
  baseUrl: 'https://api.fireworks.ai/inference/v1',
  docs: 'https://app.fireworks.ai/settings/users/api-keys',
  environment: { key: 'FIREWORKS_API_KEY' },
  speaks: {
    'openai-chat': '/chat/completions',
    'openai-completions': '/completions',
    'openai-embeddings': '/embeddings',
  },
  models: '/models',
  catalog: 'fireworks',
  forward: ['x-session-affinity'],
  classify: sayings([[412, /suspended|spending limit|payment/i, 'upstream_quota']]),
})
