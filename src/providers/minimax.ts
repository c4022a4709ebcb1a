/**
 * MiniMax, the international platform. Complaints carry a number as their code.
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'minimax',
  title: 'MiniMax',
  baseUrl: 'https://api.minimax.io/v1',
  docs: 'https://platform.minimax.io/user-center/basic-information/interface-key',
  environment: { key: 'MINIMAX_API_KEY' },
  speaks: { 'openai-chat': '/chat/completions' },
  catalog: 'minimax',
  classify: sayings([
    [undefined, /\b1008\b|insufficient balance/i, 'upstream_quota'],
    [undefined, /\b(?:1004|2049)\b/, 'upstream_credentials'],
    [undefined, /\b(?:1002|1039)\b/, 'upstream_rate_limited'],
  ]),
})
