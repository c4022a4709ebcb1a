/**
 * Cerebras Inference.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'cerebras',
  title: 'Cerebras',
  baseUrl: 'https://api.cerebras.ai/v1',
  docs: 'https://cloud.cerebras.ai',
  environment: { key: 'CEREBRAS_API_KEY' },
  speaks: { 'openai-chat': '/chat/completions', 'openai-completions': '/completions' },
  models: '/models',
  catalog: 'cerebras',
  classify: sayings([
    [429, /queue_exceeded|high traffic/i, 'upstream_overloaded'],
    [429, /per day/i, 'upstream_quota'],
  ]),
})
