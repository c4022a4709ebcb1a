/**
 * OpenRouter. `http-referer` and `x-title` name the calling application in its rankings; `models` and `provider` say where
 * it is to route a request.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'openrouter',
  title: 'OpenRouter',
  baseUrl: 'https://openrouter.ai/api/v1',
  docs: 'https://openrouter.ai/settings/keys',
  environment: { key: 'OPENROUTER_API_KEY' },
  speaks: {
    'openai-chat': '/chat/completions',
    'openai-completions': '/completions',
    'openai-embeddings': '/embeddings',
  },
  administration: ['/key', '/keys', '/credits', '/activity', '/auth'],
  models: '/models',
  catalog: 'openrouter',
  forward: ['http-referer', 'x-title'],
  quirks: { routes: true, cacheControl: true },
  classify: sayings([
    [400, /is not a valid model ID/i, 'upstream_model_missing'],
    [403, /flagged|requires moderation/i, 'upstream_rejected'],
    // The key's own credit limit.
    [403, /limit exceeded/i, 'upstream_quota'],
    [429, /per-day/, 'upstream_quota'],
  ]),
})
