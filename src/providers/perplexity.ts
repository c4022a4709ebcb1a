/**
 * Perplexity's Sonar models.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'perplexity',
  title: 'Perplexity',
  baseUrl: 'https://api.perplexity.ai',
  docs: 'https://www.perplexity.ai/account/api/keys',
  environment: { key: 'PERPLEXITY_API_KEY', baseUrl: 'PERPLEXITY_BASE_URL' },
  speaks: { 'openai-chat': '/chat/completions' },
  catalog: 'perplexity',
  classify: sayings([[400, /invalid_model|Invalid model/, 'upstream_model_missing']]),
})
