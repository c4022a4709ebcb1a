/**
 * OpenAI: the reference of the chat dialect. Most of its complaints are what the general rules were made from.
 */
import { defineProvider, sayings } from '../core/provider.ts'

/** What of a request the counting endpoint takes. */
const COUNTED = [
  'input',
  'instructions',
  'previous_response_id',
  'conversation',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'text',
  'reasoning',
  'truncation',
] as const

export default defineProvider({
  id: 'openai',
  title: 'OpenAI',
  litellm: ['text-completion-openai'],
  baseUrl: 'https://api.openai.com/v1',
  docs: 'https://platform.openai.com/api-keys',
  environment: { key: 'OPENAI_API_KEY', baseUrl: 'OPENAI_BASE_URL' },
  speaks: {
    'openai-chat': '/chat/completions',
    'openai-responses': '/responses',
    'openai-completions': '/completions',
    'openai-embeddings': '/embeddings',
    'openai-images': '/images',
    'openai-audio': '/audio',
    'openai-moderations': '/moderations',
    'openai-compaction': '/responses',
    'openai-objects': '',
  },
  counts: {
    'openai-responses': {
      endpoint: '/responses/input_tokens',
      ask: (body, model) => {
        const known = COUNTED.filter((name) => body[name] !== undefined).map((name) => [name, body[name]] as const)
        return { ...Object.fromEntries(known), model }
      },
    },
  },
  administration: ['/organization', '/projects', '/fine_tuning/checkpoints', '/realtime', '/chatkit'],
  models: '/models',
  batchPercent: 50,
  catalog: 'openai',
  forward: ['openai-beta'],
  classify: sayings([
    // Larger than the account's whole allowance for a minute: waiting does not mend it.
    [429, /Request too large/, 'upstream_quota'],
  ]),
})
