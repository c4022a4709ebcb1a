/**
 * xAI. A wrong key is a 400 here, and an empty account a 403.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'xai',
  title: 'xAI',
  baseUrl: 'https://api.x.ai/v1',
  docs: 'https://console.x.ai',
  environment: { key: 'XAI_API_KEY' },
  speaks: { 'openai-chat': '/chat/completions', 'openai-images': '/images' },
  administration: ['/api-key'],
  models: '/models',
  catalog: 'x-ai',
  forward: ['x-grok-conv-id'],
  classify: sayings([
    [400, /Incorrect API key/i, 'upstream_credentials'],
    [403, /usage guidelines|SAFETY_CHECK/i, 'upstream_rejected'],
    [403, /credits|spending limit|licenses/i, 'upstream_quota'],
    [429, /credits|spending limit/i, 'upstream_quota'],
  ]),
})
