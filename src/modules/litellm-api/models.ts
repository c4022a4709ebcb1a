/** `/model/info`: an entry for each target of each public name, with its price for a token. */
import type { AdminRoute } from '../../core/module.ts'
import { NANOS_PER_DOLLAR } from '../../core/money.ts'
import * as fields from './fields.ts'

/** Rates are nano-dollars for a million tokens. */
const perToken = (rate: bigint | undefined): number | null =>
  rate === undefined ? null : Number(rate) / Number(NANOS_PER_DOLLAR) / 1e6

const route = (path: string): AdminRoute => ({
  method: 'GET',
  path,
  root: true,
  needs: 'caller',
  summary: 'What may be asked for by name, where it goes and what a token costs.',
  query: fields.ModelAsked,
  answer: fields.Answer,
  example: { data: [{ model_name: 'gpt-4o-mini', litellm_params: { model: 'openai/gpt-4o-mini' }, model_info: {} }] },
  handle(_, call) {
    const { litellm_model_id: wanted } = call.query as { litellm_model_id?: string }
    const data = call.models().flatMap(({ name, targets }) =>
      targets.map(({ upstream, provider, model, price, mostOutputTokens }) => ({
        model_name: name,
        litellm_params: { model: `${upstream}/${model}` },
        model_info: {
          id: `${name}:${upstream}/${model}`,
          db_model: false,
          key: model,
          litellm_provider: provider,
          input_cost_per_token: perToken(price?.rates.input),
          output_cost_per_token: perToken(price?.rates.output),
          cache_read_input_token_cost: perToken(price?.rates.cacheRead),
          max_output_tokens: mostOutputTokens ?? null,
          max_tokens: mostOutputTokens ?? null,
        },
      })),
    )
    return { data: wanted === undefined ? data : data.filter(({ model_info: { id } }) => id === wanted) }
  },
})

export const modelRoutes: readonly AdminRoute[] = [route('model/info'), route('v1/model/info')]
