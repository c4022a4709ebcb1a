/**
 * DeepSeek. Text completions exist only under its beta base URL, so they are not offered.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'deepseek',
  title: 'DeepSeek',
  baseUrl: 'https://api.deepseek.com/v1',
  docs: 'https://platform.deepseek.com/api_keys',
  environment: { key: 'DEEPSEEK_API_KEY' },
  speaks: { 'openai-chat': '/chat/completions' },
  administration: ['/user'],
  models: '/models',
  catalog: 'deepseek',
  classify: sayings([[400, /Model Not Exist/i, 'upstream_model_missing']]),
})
