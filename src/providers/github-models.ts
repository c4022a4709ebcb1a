/**
 * GitHub Models. GITHUB_TOKEN reaches repositories, so it is never adopted from the environment: give this upstream a
 * token with `models: read` yourself.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'github-models',
  title: 'GitHub Models',
  litellm: ['github'],
  baseUrl: 'https://models.github.ai/inference',
  docs: 'https://docs.github.com/rest/models/inference',
  speaks: { 'openai-chat': '/chat/completions', 'openai-embeddings': '/embeddings' },
  classify: sayings([
    [400, /unknown_model|Unknown model/i, 'upstream_model_missing'],
    // More than this account's tier allows in one request.
    [413, /tokens_limit_reached/, 'upstream_quota'],
    [429, /ByDay/, 'upstream_quota'],
  ]),
})
