/** Voyage AI: embeddings and rankings. Complaints: https://docs.voyageai.com/docs/error-codes */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'voyage',
  title: 'Voyage AI',
  baseUrl: 'https://api.voyageai.com/v1',
  docs: 'https://dashboard.voyageai.com/organization/api-keys',
  environment: { key: 'VOYAGE_API_KEY' },
  speaks: { 'voyage-embeddings': '/embeddings', 'voyage-rerank': '/rerank' },
  catalog: 'voyageai',
  classify: sayings([
    [400, /model .*(?:not supported|not found)|is not a valid model/i, 'upstream_model_missing'],
    // Without a payment method the limits are those of nobody.
    [429, /payment method/i, 'upstream_quota'],
  ]),
})
