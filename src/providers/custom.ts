/**
 * Any other OpenAI-compatible server: base URL (with its version segment), a key if it wants one, further headers.
 * No list price is known; set one, or its calls are flagged as unpriced.
 */
import { defineProvider } from '../core/provider.ts'

export default defineProvider({
  id: 'custom',
  title: 'OpenAI-compatible server',
  litellm: ['openai_like', 'custom_openai', 'litellm_proxy'],
  docs: 'https://platform.openai.com/docs/api-reference/chat',
  speaks: {
    'openai-chat': '/chat/completions',
    'openai-completions': '/completions',
    'openai-embeddings': '/embeddings',
    'jina-rerank': '/rerank',
    'openai-images': '/images',
    'openai-audio': '/audio',
    'openai-moderations': '/moderations',
    'openai-objects': '',
  },
  models: '/models',
})
