/**
 * llama.cpp on one's own machine. List price zero: nobody bills for it.
 */
import { defineProvider } from '../core/provider.ts'

export default defineProvider({
  id: 'llamacpp',
  title: 'llama.cpp',
  baseUrl: 'http://127.0.0.1:8080/v1',
  docs: 'https://github.com/ggml-org/llama.cpp/tree/master/tools/server',
  environment: { key: 'LLAMACPP_API_KEY', baseUrl: 'LLAMACPP_BASE_URL' },
  local: true,
  speaks: {
    'openai-chat': '/chat/completions',
    'openai-completions': '/completions',
    'openai-embeddings': '/embeddings',
    'jina-rerank': '/rerank',
  },
  models: '/models',
  catalog: 'local',
})
