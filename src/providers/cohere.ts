/**
 * Cohere by its own API (version 2), which says more than its OpenAI-compatible one: plans, citations, what is billed.
 * The base URL carries no version segment, as in Cohere's own SDKs. Complaints: https://docs.cohere.com/reference/errors
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'cohere',
  title: 'Cohere',
  litellm: ['cohere_chat'],
  baseUrl: 'https://api.cohere.com',
  docs: 'https://dashboard.cohere.com/api-keys',
  environment: { key: 'CO_API_KEY', baseUrl: 'CO_API_URL' },
  speaks: { 'cohere-chat': '/v2/chat', 'cohere-embed': '/v2/embed', 'cohere-rerank': '/v2/rerank' },
  models: '/v1/models',
  catalog: 'cohere',
  classify: sayings([
    // A trial key is limited by the month, and per minute by a message of its own.
    [429, /calls \/ month|monthly/i, 'upstream_quota'],
    [400, /model .*(?:not found|removed)|unknown model/i, 'upstream_model_missing'],
    [499, /(?:)/, 'upstream_error'],
    [498, /(?:)/, 'upstream_rejected'],
  ]),
})
