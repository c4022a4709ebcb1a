/**
 * Anthropic's Messages API. The base URL carries no version segment, as in Anthropic's own SDKs. Complaints:
 * https://platform.claude.com/docs/en/api/errors
 */
import { defineProvider, sayings } from '../core/provider.ts'

export default defineProvider({
  id: 'anthropic',
  title: 'Anthropic',
  baseUrl: 'https://api.anthropic.com',
  docs: 'https://platform.claude.com/settings/keys',
  environment: { key: 'ANTHROPIC_API_KEY', baseUrl: 'ANTHROPIC_BASE_URL' },
  sign: (secret) => ({ 'x-api-key': secret }),
  signIn: { token: /^sk-ant-oat/, sign: (token) => ({ authorization: `Bearer ${token}` }) },
  headers: { 'anthropic-version': '2023-06-01' },
  speaks: { 'anthropic-messages': '/v1/messages', 'anthropic-batches': '/v1/messages/batches' },
  batchPercent: 50,
  administration: ['/v1/organizations'],
  counts: {
    'anthropic-messages': {
      endpoint: '/v1/messages/count_tokens',
      // Anything else in the body is a 400 there.
      ask: ({ messages, system, tools, tool_choice, thinking }, model) => ({
        model,
        messages,
        system,
        tools,
        tool_choice,
        thinking,
      }),
    },
  },
  models: '/v1/models',
  catalog: 'anthropic',
  forward: ['anthropic-beta'],
  classify: sayings([
    // Money, told as if the request were wrong.
    [400, /credit balance is too low|reached your specified API usage limits/i, 'upstream_quota'],
    [400, /organization has been disabled/i, 'upstream_credentials'],
    // A wrong key is a 401; this is about what was asked for.
    [403, /specified resource/i, 'upstream_model_missing'],
    [413, /request_too_large/, 'upstream_rejected'],
  ]),
})
