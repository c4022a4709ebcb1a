/**
 * Hyperbolic.
 */
import { defineProvider } from '../core/provider.ts'

export default defineProvider({
  id: 'hyperbolic',
  title: 'Hyperbolic',
  baseUrl: 'https://api.hyperbolic.xyz/v1',
  docs: 'https://app.hyperbolic.ai/settings',
  environment: { key: 'HYPERBOLIC_API_KEY' },
  speaks: { 'openai-chat': '/chat/completions', 'openai-completions': '/completions' },
  models: '/models',
})
