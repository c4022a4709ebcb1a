/** What an administrator sets for all statements and for Stripe; what somebody is charged stands in their terms. */
import { type Static, Type } from 'typebox'

const closed = { additionalProperties: false }

const Rate = Type.Object(
  {
    currency: Type.String({ pattern: '^[A-Z]{3}$' }),
    from: Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}$', description: 'The day from which it holds.' }),
    perUsd: Type.String({
      pattern: '^\\d{1,9}(\\.\\d{1,9})?$',
      description: 'What a dollar is worth, as decimal text.',
    }),
  },
  closed,
)
const Stripe = Type.Object(
  {
    eventName: Type.String({ pattern: '^[A-Za-z0-9_.-]{1,100}$', description: 'The name of the meter’s events.' }),
    everySeconds: Type.Integer({
      default: 300,
      minimum: 1,
      maximum: 86_400,
      description: 'How often usage is pushed.',
    }),
    baseUrl: Type.Optional(
      Type.String({ pattern: '^https?://[^/\\s]+$', description: 'Instead of Stripe’s own address.' }),
    ),
  },
  closed,
)

export const settings = Type.Object(
  {
    issuer: Type.Array(Type.String({ maxLength: 100 }), {
      default: [],
      maxItems: 8,
      description: 'Who issues statements: name, address, tax number, a line each.',
    }),
    numberPrefix: Type.String({
      default: '',
      pattern: '^[A-Za-z0-9/_-]{0,16}$',
      description: 'What stands before the number of a statement.',
    }),
    timeZone: Type.String({
      default: 'UTC',
      maxLength: 64,
      description: 'Whose months statements are about. A statement begins where the one before it ended.',
    }),
    exchangeRates: Type.Array(Rate, {
      default: [],
      maxItems: 1_000,
      description: 'For statements in other currencies: the newest that has begun when the month ends is taken.',
    }),
    stripe: Type.Optional(Stripe),
  },
  closed,
)
export type Settings = Static<typeof settings>
