/** What an administrator chooses for all budgets; a budget's own row says the rest. */
import { type Static, Type } from 'typebox'

const choice = <const T extends string>(values: readonly T[], chosen: T, description: string) =>
  Type.Union(
    values.map((value) => Type.Literal(value)),
    { default: chosen, description },
  )

export const settings = Type.Object(
  {
    reserve: choice(
      ['worst-case', 'expected'],
      'worst-case',
      'What a call holds until it is over: the most it can cost, or what such calls used to cost.',
    ),
    onInsufficient: choice(
      ['reject', 'clamp', 'fallback'],
      'reject',
      'When too little is left, where the budget itself does not say: refuse, ask for a shorter answer, or leave out dearer targets.',
    ),
    unpriced: choice(
      ['refuse', 'allow-and-flag', 'zero'],
      'refuse',
      'A model without a known price under a budget: refuse it, let it pass and say so, or take it for free.',
    ),
    thresholds: Type.Array(Type.Number({ minimum: 1, maximum: 1_000 }), {
      default: [50, 80, 100],
      description: 'Percent of a budget at which somebody is told, where the budget itself does not say.',
    }),
    webhookUrl: Type.Optional(
      Type.String({
        maxLength: 2_048,
        description: 'Where thresholds are told, signed as Standard Webhooks with the module’s secret "webhook".',
      }),
    ),
  },
  { additionalProperties: false },
)
export type Settings = Static<typeof settings>
