/**
 * Alibaba Cloud Model Studio (Qwen), international, in its OpenAI-compatible mode. Mainland accounts set the base URL
 * https://dashscope.aliyuncs.com/compatible-mode/v1.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'alibaba',
  title: 'Alibaba Cloud (Qwen)',
  litellm: ['dashscope'],
  baseUrl: 'https://dashscope-intl.aliyuncs.com/compatible-mode/v1',
  docs: 'https://www.alibabacloud.com/help/en/model-studio/get-api-key',
  environment: { key: 'DASHSCOPE_API_KEY' },
  speaks: { 'openai-chat': '/chat/completions', 'openai-embeddings': '/embeddings', 'openai-objects': '' },
  classify: sayings([
    [
      undefined,
      /Arrearage|good standing|AllocationQuota\.FreeTierOnly|free tier of the model has been exhausted/i,
      'upstream_quota',
    ],
    [403, /Model\.AccessDenied|Model access denied/i, 'upstream_model_missing'],
  ]),
})
