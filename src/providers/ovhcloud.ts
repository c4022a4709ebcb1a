/**
 * OVHcloud AI Endpoints.
 */
import { defineProvider } from '../core/provider.ts'

export default defineProvider({
  id: 'ovhcloud',
  title: 'OVHcloud AI Endpoints',
  baseUrl: 'https://oai.endpoints.kepler.ai.cloud.ovh.net/v1',
  docs: 'https://help.ovhcloud.com/csm/en-public-cloud-ai-endpoints-getting-started',
  environment: { key: 'OVH_AI_ENDPOINTS_ACCESS_TOKEN' },
  speaks: { 'openai-chat': '/chat/completions', 'openai-embeddings': '/embeddings' },
  models: '/models',
  catalog: 'ovhcloud',
})
