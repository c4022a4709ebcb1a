/**
 * LM Studio on one's own machine. List price zero: nobody bills for it.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'lmstudio',
  title: 'LM Studio',
  litellm: ['lm_studio'],
  baseUrl: 'http://127.0.0.1:1234/v1',
  docs: 'https://lmstudio.ai/docs/developer/openai-compat',
  environment: { key: 'LMSTUDIO_API_KEY', baseUrl: 'LMSTUDIO_BASE_URL' },
  local: true,
  speaks: {
    'openai-chat': '/chat/completions',
    'openai-completions': '/completions',
    'openai-embeddings': '/embeddings',
  },
  models: '/models',
  catalog: 'local',
  classify: sayings([[undefined, /model_not_found|No models loaded/i, 'upstream_model_missing']]),
})
