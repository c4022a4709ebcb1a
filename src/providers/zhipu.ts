/**
 * Zhipu AI (GLM), the mainland platform. Complaints carry a number as their code:
 * https://docs.bigmodel.cn/cn/api/api-code
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'zhipu',
  title: 'Zhipu AI',
  baseUrl: 'https://open.bigmodel.cn/api/paas/v4',
  docs: 'https://bigmodel.cn/usercenter/proj-mgmt/apikeys',
  environment: { key: 'ZHIPUAI_API_KEY', baseUrl: 'ZHIPUAI_BASE_URL' },
  speaks: { 'openai-chat': '/chat/completions', 'openai-embeddings': '/embeddings' },
  catalog: 'zhipuai',
  classify: sayings([
    // In arrears, or a limit of hours, days or a week.
    [undefined, /^(?:1113|1304|1308|1310)\b|Insufficient balance/, 'upstream_quota'],
    [undefined, /^1211\b/, 'upstream_model_missing'],
    [undefined, /^(?:1305|1312)\b/, 'upstream_overloaded'],
  ]),
})
