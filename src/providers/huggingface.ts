/**
 * Hugging Face's router over many inference providers. HF_TOKEN also reaches repositories, so it is never adopted from
 * the environment: give this upstream its key yourself.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'huggingface',
  title: 'Hugging Face',
  baseUrl: 'https://router.huggingface.co/v1',
  docs: 'https://huggingface.co/settings/tokens',
  speaks: { 'openai-chat': '/chat/completions' },
  models: '/models',
  classify: sayings([[400, /model_not_supported|not supported by any provider/, 'upstream_model_missing']]),
})
