/**
 * Vercel AI Gateway. Model names carry their maker: `openai/gpt-5`.
 */
import { defineProvider } from '../core/provider.ts'

export default defineProvider({
  id: 'vercel',
  title: 'Vercel AI Gateway',
  litellm: ['vercel_ai_gateway'],
  baseUrl: 'https://ai-gateway.vercel.sh/v1',
  docs: 'https://vercel.com/docs/ai-gateway/authentication',
  environment: { key: 'AI_GATEWAY_API_KEY' },
  speaks: { 'openai-chat': '/chat/completions', 'openai-embeddings': '/embeddings' },
  models: '/models',
})
