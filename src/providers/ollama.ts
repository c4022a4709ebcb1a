/**
 * Ollama on one's own machine. List price zero: nobody bills for it.
 */
import { defineProvider } from '../core/provider.ts'

export default defineProvider({
  id: 'ollama',
  title: 'Ollama',
  litellm: ['ollama_chat'],
  baseUrl: 'http://127.0.0.1:11434/v1',
  docs: 'https://docs.ollama.com/api/openai-compatibility',
  environment: { key: 'OLLAMA_API_KEY', baseUrl: 'OLLAMA_BASE_URL' },
  local: true,
  speaks: {
    'openai-chat': '/chat/completions',
    'openai-completions': '/completions',
    'openai-embeddings': '/embeddings',
  },
  administration: ['/api/pull', '/api/push', '/api/create', '/api/copy', '/api/delete', '/api/blobs'],
  models: '/models',
  catalog: 'local',
})
