/**
 * Google's Gemini API (AI Studio keys). The base URL carries no version segment, as in Google's own SDKs; the model
 * stands in the path, so it is encoded here. The key goes into a header, never into the query.
 */
import { defineProvider, sayings } from '../core/provider.ts'

/** Names may come whole, as the list of models spells them (`models/…`, `tunedModels/…`). */
function pathOf(model: string): string {
  const [, collection = 'models', name = model] = /^(models|tunedModels)\/(.+)$/.exec(model) ?? []
  return `/v1beta/${collection}/${encodeURIComponent(name.toWellFormed())}`
}

export default defineProvider({
  id: 'gemini',
  title: 'Google Gemini',
  baseUrl: 'https://generativelanguage.googleapis.com',
  docs: 'https://aistudio.google.com/apikey',
  environment: { key: 'GEMINI_API_KEY', baseUrl: 'GOOGLE_GEMINI_BASE_URL' },
  sign: (secret) => ({ 'x-goog-api-key': secret }),
  speaks: {
    'gemini-generate': ({ model, stream }) =>
      pathOf(model) + (stream ? ':streamGenerateContent?alt=sse' : ':generateContent'),
    'gemini-embeddings': ({ model }) => `${pathOf(model)}:batchEmbedContents`,
    'gemini-objects': '/v1beta',
  },
  batchPercent: 50,
  administration: ['/v1beta/auth_tokens', '/v1alpha/auth_tokens'],
  counts: {
    'gemini-generate': {
      endpoint: ({ model }) => `${pathOf(model)}:countTokens`,
      ask: (body, model) => ({
        generateContentRequest: { ...body, model: model.includes('/') ? model : `models/${model}` },
      }),
    },
  },
  models: '/v1beta/models',
  catalog: 'google-ai',
  classify: sayings([
    [400, /API_KEY_INVALID|API key (?:not valid|expired|not found)/i, 'upstream_credentials'],
    [400, /location is not supported/i, 'upstream_credentials'],
    // Every limit says "exceeded your current quota … billing": only its name or its figure tells a day from a minute.
    [429, /PerDay|per day|limit: 0\b/i, 'upstream_quota'],
    [429, /(?:)/, 'upstream_rate_limited'],
  ]),
})
