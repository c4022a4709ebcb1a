/** What administrators write, as schemas: the admin API, the configuration file and the docs all come from here. */
import { Type } from 'typebox'
import { OPERATORS } from '../../core/routing/conditions.ts'
import { BUCKETS } from '../../core/usage.ts'

const closed = { additionalProperties: false }
const Json = Type.Record(Type.String(), Type.Unknown())
const dollars = Type.String({
  pattern: '^\\d{1,12}(\\.\\d{1,9})?$',
  examples: ['2.50'],
  description: 'Dollars, as a decimal string.',
})
const choice = <T extends string>(...values: readonly T[]) => Type.Union(values.map((value) => Type.Literal(value)))
const milliseconds = Type.Integer({ minimum: 1, maximum: 86_400_000 })

export const Mode = Type.Union([Type.Literal('off'), Type.Literal('observe'), Type.Literal('enforce')])
export const ModuleChange = Type.Object(
  {
    mode: Type.Optional(Mode),
    settings: Type.Optional(Json),
    unlocked: Type.Optional(Type.Boolean({ description: 'Places below may make it looser, not only stricter.' })),
  },
  closed,
)
export const Override = Type.Object({ modules: Type.Record(Type.String(), ModuleChange) }, closed)
export const ModuleSecret = Type.Object({ secret: Type.String({ minLength: 1, maxLength: 8_192 }) }, closed)

/** A name or a value that would break out of its line is refused here, not at the first call (T57). */
const Headers = Type.Record(Type.String(), Type.String({ pattern: '^[\\t\\x20-\\x7e]*$' }), {
  propertyNames: Type.String({ pattern: '^[A-Za-z0-9-]+$' }),
})

/** What one key of several may be used for; above it the next key is taken. */
const KeyLimits = Type.Object(
  {
    requestsPerMinute: Type.Optional(Type.Integer({ minimum: 1 })),
    tokensPerMinute: Type.Optional(Type.Integer({ minimum: 1 })),
    concurrent: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  closed,
)

const Pem = Type.String({ pattern: '^\\s*-----BEGIN ', maxLength: 200_000 })
const network = {
  proxy: Type.Optional(Type.String({ pattern: '^(direct|https?://[^\\s@/?#]+/?)$' })),
  ca: Type.Optional(Pem),
  certificate: Type.Optional(Pem),
}
const written = { description: 'Written, never read back.' }
const Network = Type.Object(
  {
    ...network,
    certificateKey: Type.Optional({ ...Pem, ...written }),
    proxyCredentials: Type.Optional(Type.String({ minLength: 1, maxLength: 1_000, ...written })),
  },
  closed,
)

export const Upstream = Type.Object(
  {
    provider: Type.String({ description: 'A provider id; see docs/providers.md.' }),
    baseUrl: Type.Optional(Type.String({ pattern: '^https?://[^\\s@?#]+$', examples: ['https://api.example.com/v1'] })),
    options: Type.Optional(Json),
    credentials: Type.Optional(
      Type.Array(
        Type.Object(
          {
            id: Type.String({ pattern: '^[\\w.-]{1,64}$' }),
            secret: Type.Optional(Type.String({ minLength: 1, description: 'Written, never read back.' })),
            weight: Type.Optional(Type.Number({ minimum: 0 })),
            limits: Type.Optional(KeyLimits),
          },
          closed,
        ),
        { maxItems: 100 },
      ),
    ),
    headers: Type.Optional(Headers),
    models: Type.Optional(Type.Array(Type.String())),
    callerKeys: Type.Optional(Type.Boolean()),
    callerPays: Type.Optional(
      Type.Boolean({ description: 'What a caller’s own key is used for here is booked at no cost.' }),
    ),
    allowHosts: Type.Optional(Type.Array(Type.String())),
    network: Type.Optional(Network),
    healthCheck: Type.Optional(
      Type.Object(
        {
          everyMs: Type.Integer({ minimum: 100, maximum: 3_600_000 }),
          path: Type.Optional(Type.String({ pattern: '^/[\\w./~%-]*$', maxLength: 500 })),
        },
        closed,
      ),
    ),
  },
  closed,
)

const Timeouts = Type.Object(
  {
    connectMs: Type.Optional(milliseconds),
    headersStreamedMs: Type.Optional(milliseconds),
    headersUnstreamedMs: Type.Optional(milliseconds),
    firstContentMs: Type.Optional(milliseconds),
    idleMs: Type.Optional(milliseconds),
    totalMs: Type.Optional(milliseconds),
  },
  closed,
)
const PriceCap = Type.Object(
  { input: Type.Optional(dollars), output: Type.Optional(dollars) },
  {
    ...closed,
    description: 'Dollars per million tokens; a target that costs more, or nobody knows what, is left out.',
  },
)
const Capabilities = Type.Object(
  {
    contextTokens: Type.Optional(Type.Integer({ minimum: 1 })),
    outputTokens: Type.Optional(Type.Integer({ minimum: 1 })),
    input: Type.Optional(Type.Array(choice('text', 'image', 'audio', 'video', 'document'))),
    refuses: Type.Optional(Type.Array(Type.String(), { description: 'Body fields that it answers with a 400.' })),
  },
  { ...closed, description: 'What this target can take, where the catalog does not know it or is wrong.' },
)
const tag = Type.String({ pattern: '^[\\w.:/-]{1,64}$' })
const Use = Type.Array(tag, { minItems: 1, maxItems: 100, description: 'Targets with any of these tags.' })

export const Target = Type.Object(
  {
    upstream: Type.String(),
    model: Type.String({ minLength: 1 }),
    weight: Type.Optional(Type.Number({ minimum: 0 })),
    order: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 1_000, description: 'Asked only when all with a lower one have failed.' }),
    ),
    tags: Type.Optional(Type.Array(tag, { maxItems: 50 })),
    timeouts: Type.Optional(Timeouts),
    capabilities: Type.Optional(Capabilities),
    maxPrice: Type.Optional(PriceCap),
    defaults: Type.Optional(Json),
    overrides: Type.Optional(Json),
    continues: Type.Optional(
      Type.Boolean({ description: 'Goes on with an answer that another target left unfinished.' }),
    ),
  },
  closed,
)
const names = Type.Optional(Type.Array(Type.String({ minLength: 1 }), { maxItems: 20 }))
const label = Type.Optional(Type.String({ minLength: 1, maxLength: 100 }))
export const Route = Type.Object(
  {
    strategy: Type.Optional(choice('priority', 'weighted', 'round-robin', 'least-busy', 'latency', 'cost', 'usage')),
    targets: Type.Array(Target, { minItems: 1, maxItems: 100 }),
    sticky: Type.Optional(
      Type.Object(
        {
          by: Type.Optional(
            Type.Array(choice('session', 'prompt-cache-key', 'prefix', 'principal'), { minItems: 1, maxItems: 4 }),
          ),
          ttlSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 604_800 })),
        },
        { ...closed, description: 'Keeps a conversation where its beginning is in the prompt cache.' },
      ),
    ),
    rules: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: label,
            when: Type.Array(
              Type.Object(
                { field: Type.String(), operator: choice(...OPERATORS), value: Type.Optional(Type.Unknown()) },
                closed,
              ),
              { maxItems: 20 },
            ),
            use: Use,
          },
          closed,
        ),
        { maxItems: 100, description: 'The first whose conditions all hold decides which targets are asked.' },
      ),
    ),
    splits: Type.Optional(
      Type.Array(Type.Object({ name: label, percent: Type.Number({ minimum: 0, maximum: 100 }), use: Use }, closed), {
        maxItems: 20,
        description: 'Shares of the traffic, the same for the same person each time.',
      }),
    ),
    mirror: Type.Optional(
      Type.Object(
        {
          upstream: Type.String(),
          model: Type.String({ minLength: 1 }),
          percent: Type.Optional(Type.Number({ minimum: 0, maximum: 100 })),
        },
        { ...closed, description: 'Gets a copy in the background, which is logged and booked and never returned.' },
      ),
    ),
    fallbacks: Type.Optional(
      Type.Object(
        { contextWindow: names, contentPolicy: names, general: names },
        { ...closed, description: 'Other names to go to, by why the targets above cannot serve.' },
      ),
    ),
    maxPrice: Type.Optional(PriceCap),
    requireParameters: Type.Optional(
      Type.Boolean({ description: 'Leaves out targets that would answer a field of the request with a 400.' }),
    ),
    continuations: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 3,
        description: 'How often a stream that breaks off may go on at a target that continues.',
      }),
    ),
    unsupported: Type.Optional(choice('reject', 'drop')),
    timeouts: Type.Optional(Timeouts),
  },
  closed,
)
export const Alias = Type.Object(
  {
    model: Type.String({
      minLength: 1,
      description: 'A public name or upstream/model; its * takes what the name matched.',
    }),
    defaults: Type.Optional(Json),
    overrides: Type.Optional(Json),
  },
  closed,
)
const Rates = Type.Object(Object.fromEntries(BUCKETS.map((bucket) => [bucket, Type.Optional(dollars)])), {
  ...closed,
  description: 'Dollars per million tokens.',
})
export const Price = Type.Object(
  {
    from: Type.Optional(Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}(T[\\d:.]+Z)?$' })),
    organization: Type.Optional(Type.String({ minLength: 1, description: 'Only for calls of this organization.' })),
    key: Type.Optional(Type.String({ minLength: 1, description: 'Only for calls with this key.' })),
    rates: Rates,
    tiers: Type.Optional(
      Type.Array(
        Type.Object(
          { aboveInputTokens: Type.Integer({ minimum: 0, maximum: 1_000_000_000 }), rates: Rates },
          { ...closed, description: 'Other rates for all of a request whose input exceeds this.' },
        ),
        { maxItems: 20 },
      ),
    ),
    serviceTiers: Type.Optional(
      Type.Record(
        Type.String({ pattern: '^[a-z][a-z0-9_-]{0,31}$' }),
        Type.String({ pattern: '^\\d{1,3}(\\.\\d{1,4})?$' }),
        {
          description: 'What calls that the provider served at such a tier pay of the rates, e.g. `{"flex": "0.5"}`.',
        },
      ),
    ),
    perRequest: Type.Optional(dollars),
    perCall: Type.Optional(Type.Record(Type.String(), dollars)),
  },
  closed,
)
export const Prices = Type.Object({ prices: Type.Array(Price, { minItems: 1 }) }, closed)

const FileCredential = {
  id: Type.String({ pattern: '^[\\w.-]{1,64}$' }),
  weight: Type.Optional(Type.Number({ minimum: 0 })),
  limits: Type.Optional(KeyLimits),
}
/** A file names credentials; their secrets are set apart, by API or command, and never stand in it. */
const FileUpstream = Type.Object(
  {
    ...Upstream.properties,
    credentials: Type.Optional(Type.Array(Type.Object(FileCredential, closed), { maxItems: 100 })),
    network: Type.Optional(Type.Object(network, closed)),
  },
  closed,
)

/** `stockyard.yaml`: the same objects under the same names. Secrets are never in it. */
export const File = Type.Object(
  {
    modules: Type.Optional(Type.Record(Type.String(), ModuleChange)),
    upstreams: Type.Optional(Type.Record(Type.String(), FileUpstream)),
    routes: Type.Optional(Type.Record(Type.String(), Route)),
    aliases: Type.Optional(Type.Record(Type.String(), Alias)),
    prices: Type.Optional(Type.Record(Type.String(), Type.Array(Price, { minItems: 1 }))),
    overrides: Type.Optional(Type.Record(Type.String(), Override)),
  },
  closed,
)
