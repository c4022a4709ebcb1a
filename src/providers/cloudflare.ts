/**
 * Cloudflare Workers AI. The base URL holds the account:
 * https://api.cloudflare.com/client/v4/accounts/<account id>/ai/v1. Its token reaches the whole account in general, so it
 * is never adopted from the environment.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'cloudflare',
  title: 'Cloudflare Workers AI',
  docs: 'https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility/',
  speaks: { 'openai-chat': '/chat/completions', 'openai-embeddings': '/embeddings' },
  catalog: 'cloudflare',
  classify: sayings([
    [undefined, /\b5007\b|No such model/i, 'upstream_model_missing'],
    [429, /\b3036\b|daily free allocation/i, 'upstream_quota'],
    [429, /\b3040\b|capacity/i, 'upstream_overloaded'],
  ]),
})
