/**
 * Moonshot AI (Kimi), the international platform.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'moonshot',
  title: 'Moonshot AI',
  baseUrl: 'https://api.moonshot.ai/v1',
  docs: 'https://platform.moonshot.ai/console/api-keys',
  environment: { key: 'MOONSHOT_API_KEY' },
  speaks: { 'openai-chat': '/chat/completions' },
  administration: ['/users'],
  models: '/models',
  catalog: 'moonshotai',
  classify: sayings([
    [undefined, /exceeded_current_quota_error/, 'upstream_quota'],
    [undefined, /engine_overloaded_error/, 'upstream_overloaded'],
  ]),
})
