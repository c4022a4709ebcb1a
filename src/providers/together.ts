/**
 * Together AI.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'together',
  title: 'Together AI',
  litellm: ['together_ai'],
  baseUrl: 'https://api.together.xyz/v1',
  docs: 'https://api.together.ai/settings/api-keys',
  environment: { key: 'TOGETHER_API_KEY', baseUrl: 'TOGETHER_BASE_URL' },
  speaks: {
    'openai-chat': '/chat/completions',
    'openai-completions': '/completions',
    'openai-embeddings': '/embeddings',
    'jina-rerank': '/rerank',
    'openai-images': '/images',
    'openai-audio': '/audio',
  },
  models: '/models',
  catalog: 'together',
  classify: sayings([
    // Here 403 also says that prompt and output do not fit the context.
    [403, /token count|max_new_tokens|max_tokens/, 'upstream_rejected'],
    [undefined, /Unable to access (?:non-serverless )?model/i, 'upstream_model_missing'],
  ]),
})
