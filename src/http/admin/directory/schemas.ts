/** What administrators write and read of the directory. All objects are closed: what is not named here is refused, and never answered. */
import { type TProperties, type TSchema, Type } from 'typebox'
import { PERMISSIONS, ROLES } from '../../../core/directory.ts'
import { BUCKETS } from '../../../core/usage.ts'

export const closed = { additionalProperties: false }
/** No colon and no slash: an id stands in paths and in names of places. */
export const Id = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$', examples: ['my-team.1'] })
const Name = Type.String({ minLength: 1, maxLength: 200 })
const Time = Type.String({
  pattern: '^\\d{4}-\\d{2}-\\d{2}T[\\d:.]+(Z|[+-]\\d{2}:\\d{2})$',
  examples: ['2027-01-31T12:00:00Z'],
})
const Text = Type.String({ minLength: 1, maxLength: 256 })
const names = (description: string) => Type.Array(Text, { maxItems: 1_000, description })

const member = {
  name: Name,
  blocked: Type.Boolean(),
  models: names('Public model names that may be asked for; `*` stands for anything. Absent: all.'),
  upstreams: names('Upstream ids that may be used; `*` stands for anything. Absent: all.'),
  endpoints: names('What may be done, as `chat` or `embeddings`. Absent: all but what must be given by name.'),
  ipRanges: names('Addresses and ranges from which it may be used. Absent: all.'),
  tags: Type.Array(Text, { maxItems: 32 }),
  metadata: Type.Record(Type.String({ maxLength: 256 }), Type.Unknown(), { maxProperties: 64 }),
  permissions: Type.Array(Type.Union(PERMISSIONS.map((name) => Type.Literal(name))), {
    description: 'What the headers of its own requests may loosen. Above a key it is a ceiling.',
  }),
}
const Role = Type.Union(ROLES.map((role) => Type.Literal(role)))
export const Membership = Type.Object({ organization: Type.Optional(Id), team: Type.Optional(Id), role: Role }, closed)
const kept = {
  id: Type.String(),
  version: Type.Integer(),
  createdAt: Type.String(),
  updatedAt: Type.String(),
}

type Fields = Readonly<Record<string, TSchema>>
const optional = (fields: Fields): TProperties =>
  Object.fromEntries(Object.entries(fields).map(([name, schema]) => [name, Type.Optional(schema)]))
/** In a change an absent field stays as it is, and null takes it away. */
const clearable = (fields: Fields): TProperties =>
  Object.fromEntries(
    Object.entries(fields).map(([name, schema]) => [name, Type.Optional(Type.Union([schema, Type.Null()]))]),
  )

export const OrganizationDraft = Type.Object({ id: Type.Optional(Id), ...optional(member) }, closed)
export const OrganizationChange = Type.Object(clearable(member), closed)
export const OrganizationRow = Type.Object({ ...kept, ...optional(member) }, closed)

export const TeamDraft = Type.Object({ id: Type.Optional(Id), organization: Id, ...optional(member) }, closed)
export const TeamChange = Type.Object(clearable(member), closed)
export const TeamRow = Type.Object({ ...kept, organization: Id, ...optional(member) }, closed)

const Email = Type.String({ pattern: '^[^\\s@]+@[^\\s@]+$', maxLength: 320, examples: ['ada@example.com'] })
export const Password = Type.String({ minLength: 12, maxLength: 1_024 })
export const UserDraft = Type.Object(
  {
    id: Type.Optional(Id),
    kind: Type.Optional(Type.Union([Type.Literal('user'), Type.Literal('service')])),
    email: Type.Optional(Email),
    password: Type.Optional(Password),
    memberships: Type.Optional(Type.Array(Membership, { maxItems: 200 })),
    ...optional(member),
  },
  closed,
)
export const UserChange = Type.Object(
  { ...clearable({ ...member, email: Email }), memberships: Type.Optional(Type.Array(Membership, { maxItems: 200 })) },
  closed,
)
export const UserRow = Type.Object(
  {
    ...kept,
    kind: Type.String(),
    email: Type.Optional(Type.String()),
    subject: Type.Optional(Type.String()),
    memberships: Type.Array(Membership),
    ...optional(member),
  },
  closed,
)
export const PasswordChange = Type.Object({ password: Password, current: Type.Optional(Type.String()) }, closed)

const place = { organization: Id, team: Id, user: Id }
export const KeyDraft = Type.Object(
  {
    ...optional({ ...place, ...member, expiresAt: Time }),
    expiresInSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 3_153_600_000 })),
  },
  closed,
)
export const KeyChange = Type.Object(clearable({ ...member, expiresAt: Time }), closed)
const keyRow = { ...kept, ...optional({ ...place, ...member, expiresAt: Type.String(), overlapUntil: Type.String() }) }
export const KeyRow = Type.Object(keyRow, closed)
export const KeyShown = Type.Object({ key: Type.String(), ...keyRow }, closed)
export const Rotation = Type.Object(
  { overlapSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 31_536_000, default: 86_400 })) },
  closed,
)
/** The same, where there is no body. */
export const CutQuery = Type.Object(
  { cut: Type.Optional(Type.String({ description: '`1`: end what is running too, not only what comes.' })) },
  closed,
)
export const Cut = Type.Object(
  { cut: Type.Optional(Type.Boolean({ description: 'End what is running too, not only what comes.' })) },
  closed,
)

const selector = { ...place, key: Text, endUser: Text, model: Text, upstream: Text, tag: Text }
const Selector = Type.Object(optional(selector), {
  ...closed,
  description: 'Which requests: all that have these values; `*` means each value by itself; {} the whole instance.',
})
const limit = {
  scope: Selector,
  counts: Type.Union(
    (['requests', 'input_tokens', 'output_tokens', 'tokens', 'parallel'] as const).map((name) => Type.Literal(name)),
  ),
  amount: Type.Integer({ minimum: 0 }),
}
const per = Type.Union((['minute', 'hour', 'day'] as const).map((name) => Type.Literal(name)))
const counted = Type.Array(Type.Union(BUCKETS.map((name) => Type.Literal(name))), {
  uniqueItems: true,
  minItems: 1,
  description: 'Which tokens count; absent: those that module `rate-limits` names.',
})
const limitMore = { per: Type.Optional(per), count: Type.Optional(counted) }
export const LimitDraft = Type.Object({ id: Type.Optional(Id), ...limit, ...limitMore }, closed)
export const LimitChange = Type.Object({ amount: Type.Optional(limit.amount) }, closed)
export const LimitRow = Type.Object({ ...kept, ...limit, ...limitMore }, closed)

const Dollars = Type.String({ pattern: '^\\d{1,12}(\\.\\d{1,9})?$', examples: ['12.50'] })
const units = ['minute', 'hour', 'day', 'week', 'month', 'quarter', 'year'] as const
const budget = {
  scope: Selector,
  amountUsd: Dollars,
  window: Type.Union([
    Type.Object(
      {
        kind: Type.Literal('calendar'),
        unit: Type.Union(units.map((unit) => Type.Literal(unit))),
        timeZone: Type.Optional(Type.String({ maxLength: 64 })),
        startDay: Type.Optional(Type.Integer({ minimum: 1, maximum: 31 })),
      },
      closed,
    ),
    Type.Object(
      { kind: Type.Literal('rolling'), seconds: Type.Integer({ minimum: 60, maximum: 316_224_000 }) },
      closed,
    ),
    Type.Object({ kind: Type.Literal('lifetime') }, closed),
  ]),
}
const budgetMore = {
  hard: Type.Boolean({ description: 'Unless false, requests are refused when it is spent.' }),
  thresholds: Type.Array(Type.Integer({ minimum: 1, maximum: 1_000 }), { maxItems: 20 }),
  onInsufficient: Type.Union((['reject', 'clamp', 'fallback'] as const).map((name) => Type.Literal(name))),
  raises: Type.Array(Type.Object({ amountUsd: Dollars, until: Time }, closed), { maxItems: 20 }),
}
export const BudgetDraft = Type.Object({ id: Type.Optional(Id), ...budget, ...optional(budgetMore) }, closed)
export const BudgetChange = Type.Object(
  { amountUsd: Type.Optional(Dollars), window: Type.Optional(budget.window), ...clearable(budgetMore) },
  closed,
)
export const BudgetRow = Type.Object({ ...kept, ...budget, ...optional(budgetMore) }, closed)

const Billed = Type.Object(optional(place), {
  ...closed,
  description: 'An organization or a team, and nothing else.',
})
const grant = { scope: Billed, amountUsd: Dollars }
const grantMore = { expiresAt: Time, note: Type.String({ maxLength: 500 }) }
export const GrantDraft = Type.Object({ id: Type.Optional(Id), ...grant, ...optional(grantMore) }, closed)
export const GrantRow = Type.Object({ ...kept, ...grant, ...optional(grantMore) }, closed)

const rates = Type.Record(Type.String({ maxLength: 64 }), Dollars, { description: 'Dollars per million tokens.' })
const OwnPrice = Type.Object(
  {
    rates,
    tiers: Type.Optional(
      Type.Array(Type.Object({ aboveInputTokens: Type.Integer({ minimum: 0 }), rates }, closed), { maxItems: 20 }),
    ),
    serviceTiers: Type.Optional(Type.Record(Type.String({ maxLength: 64 }), Dollars)),
    perRequest: Type.Optional(Dollars),
    perCall: Type.Optional(Type.Record(Type.String({ maxLength: 64 }), Dollars)),
  },
  closed,
)
const terms = {
  scope: Billed,
  payment: Type.Union((['prepaid', 'statements', 'none'] as const).map((name) => Type.Literal(name))),
}
const termsMore = {
  markup: Type.String({
    pattern: '^-?\\d{1,6}(\\.\\d{1,6})?$',
    examples: ['20'],
    description: 'Percent on what a call cost; negative is a discount. Absent: what it cost.',
  }),
  prices: Type.Record(Type.String({ maxLength: 256 }), OwnPrice, {
    maxProperties: 1_000,
    description: 'Models with a price of their own, by `upstream/model` or the name that is asked for.',
  }),
  failed: Type.Boolean({ description: 'Charge for calls that failed, too, where they cost something.' }),
  currency: Type.String({
    pattern: '^[A-Z]{3}$',
    examples: ['EUR'],
    description: 'In which statements show the total besides dollars.',
  }),
  billTo: Type.Array(Type.String({ maxLength: 100 }), { maxItems: 8, description: 'Lines of an address.' }),
  stripeCustomer: Type.String({ pattern: '^cus_[A-Za-z0-9]{1,64}$' }),
}
export const TermsDraft = Type.Object(
  { id: Type.Optional(Id), ...terms, from: Type.Optional(Time), ...optional(termsMore) },
  closed,
)
export const TermsRow = Type.Object({ ...kept, ...terms, from: Type.String(), ...optional(termsMore) }, closed)

export const Page = {
  after: Type.Optional(Type.String()),
  limit: Type.Optional(Type.String({ pattern: '^\\d{1,4}$' })),
}
export const Removed = Type.Object({ removed: Type.Boolean(), ended: Type.Optional(Type.Integer()) }, closed)
