/**
 * Baseten's Model APIs.
 */
import { defineProvider } from '../core/provider.ts'

export default defineProvider({
  id: 'baseten',
  title: 'Baseten',
  baseUrl: 'https://inference.baseten.co/v1',
  docs: 'https://app.baseten.co/settings/api_keys',
  environment: { key: 'BASETEN_API_KEY' },
  speaks: { 'openai-chat': '/chat/completions' },
  models: '/models',
  catalog: 'baseten',
})
