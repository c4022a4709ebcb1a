/**
 * NVIDIA NIM, the hosted API catalog. A self-hosted NIM is the same with its own base URL.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'nvidia',
  title: 'NVIDIA NIM',
  litellm: ['nvidia_nim'],
  baseUrl: 'https://integrate.api.nvidia.com/v1',
  docs: 'https://build.nvidia.com/settings/api-keys',
  environment: { key: 'NVIDIA_API_KEY', baseUrl: 'NVIDIA_BASE_URL' },
  speaks: {
    'openai-chat': '/chat/completions',
    'openai-completions': '/completions',
    'openai-embeddings': '/embeddings',
  },
  models: '/models',
  classify: sayings([[400, /DEGRADED function/, 'upstream_overloaded']]),
})
