/**
 * vLLM on one's own machine. List price zero: nobody bills for it.
 */
import { defineProvider } from '../core/provider.ts'

export default defineProvider({
  id: 'vllm',
  title: 'vLLM',
  litellm: ['hosted_vllm'],
  baseUrl: 'http://127.0.0.1:8000/v1',
  docs: 'https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html',
  environment: { key: 'VLLM_API_KEY', baseUrl: 'VLLM_BASE_URL' },
  local: true,
  speaks: {
    'openai-chat': '/chat/completions',
    'openai-completions': '/completions',
    'openai-embeddings': '/embeddings',
    'jina-rerank': '/rerank',
    'openai-audio': '/audio',
  },
  models: '/models',
  catalog: 'local',
})
