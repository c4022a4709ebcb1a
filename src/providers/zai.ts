/**
 * Z.ai (GLM), the international platform. Complaints carry a number as their code:
 * https://docs.z.ai/api-reference/api-code
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'zai',
  title: 'Z.ai',
  baseUrl: 'https://api.z.ai/api/paas/v4',
  docs: 'https://z.ai/manage-apikey/apikey-list',
  environment: { key: 'ZAI_API_KEY', baseUrl: 'ZAI_BASE_URL' },
  speaks: { 'openai-chat': '/chat/completions' },
  catalog: 'zai',
  classify: sayings([
    // In arrears, or a limit of hours, days or a week.
    [undefined, /^(?:1113|1304|1308|1310)\b|Insufficient balance/, 'upstream_quota'],
    [undefined, /^1211\b/, 'upstream_model_missing'],
    [undefined, /^(?:1305|1312)\b/, 'upstream_overloaded'],
  ]),
})
