/**
 * Groq.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'groq',
  title: 'Groq',
  baseUrl: 'https://api.groq.com/openai/v1',
  docs: 'https://console.groq.com/keys',
  environment: { key: 'GROQ_API_KEY' },
  speaks: { 'openai-chat': '/chat/completions', 'openai-audio': '/audio', 'openai-objects': '' },
  models: '/models',
  batchPercent: 50,
  catalog: 'groq',
  classify: sayings([
    // Larger than the account's whole allowance for a minute.
    [413, /rate_limit_exceeded|Request too large/, 'upstream_quota'],
    [429, /per day|\(TPD\)|\(RPD\)/, 'upstream_quota'],
    // The flex tier has no capacity.
    [498, /(?:)/, 'upstream_overloaded'],
    // The model's own output was malformed; another try may succeed.
    [400, /tool_use_failed|json_validate_failed/, 'upstream_invalid'],
  ]),
})
