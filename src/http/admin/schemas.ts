/** What administrators write, as schemas: the admin API, the configuration file and the docs all come from here. */
import { Type } from 'typebox'
import { BUCKETS } from '../../core/usage.ts'

const closed = { additionalProperties: false }
const Json = Type.Record(Type.String(), Type.Unknown())
const dollars = Type.String({ pattern: '^\\d{1,12}(\\.\\d{1,9})?$', description: 'Dollars, as a decimal string.' })
const milliseconds = Type.Integer({ minimum: 1, maximum: 86_400_000 })

export const Mode = Type.Union([Type.Literal('off'), Type.Literal('observe'), Type.Literal('enforce')])
export const ModuleChange = Type.Object({ mode: Type.Optional(Mode), settings: Type.Optional(Json) }, closed)
export const ModuleSecret = Type.Object({ secret: Type.String({ minLength: 1, maxLength: 8_192 }) }, closed)

/** A name or a value that would break out of its line is refused here, not at the first call (T57). */
const Headers = Type.Record(Type.String(), Type.String({ pattern: '^[\\t\\x20-\\x7e]*$' }), {
  propertyNames: Type.String({ pattern: '^[A-Za-z0-9-]+$' }),
})

export const Upstream = Type.Object(
  {
    provider: Type.String({ description: 'A provider id; see docs/providers.md.' }),
    baseUrl: Type.Optional(Type.String({ pattern: '^https?://[^\\s@?#]+$' })),
    options: Type.Optional(Json),
    credentials: Type.Optional(
      Type.Array(
        Type.Object(
          {
            id: Type.String({ pattern: '^[\\w.-]{1,64}$' }),
            secret: Type.Optional(Type.String({ minLength: 1, description: 'Written, never read back.' })),
            weight: Type.Optional(Type.Number({ minimum: 0 })),
          },
          closed,
        ),
        { maxItems: 100 },
      ),
    ),
    headers: Type.Optional(Headers),
    models: Type.Optional(Type.Array(Type.String())),
    callerKeys: Type.Optional(Type.Boolean()),
    allowHosts: Type.Optional(Type.Array(Type.String())),
  },
  closed,
)

export const Target = Type.Object(
  {
    upstream: Type.String(),
    model: Type.String({ minLength: 1 }),
    weight: Type.Optional(Type.Number({ minimum: 0 })),
    defaults: Type.Optional(Json),
    overrides: Type.Optional(Json),
  },
  closed,
)
export const Route = Type.Object(
  {
    strategy: Type.Optional(Type.Literal('priority')),
    targets: Type.Array(Target, { minItems: 1, maxItems: 100 }),
    unsupported: Type.Optional(Type.Union([Type.Literal('reject'), Type.Literal('drop')])),
    timeouts: Type.Optional(
      Type.Object(
        {
          connectMs: Type.Optional(milliseconds),
          headersStreamedMs: Type.Optional(milliseconds),
          headersUnstreamedMs: Type.Optional(milliseconds),
          firstContentMs: Type.Optional(milliseconds),
          idleMs: Type.Optional(milliseconds),
          totalMs: Type.Optional(milliseconds),
        },
        closed,
      ),
    ),
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
export const Price = Type.Object(
  {
    from: Type.Optional(Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}(T[\\d:.]+Z)?$' })),
    rates: Type.Object(Object.fromEntries(BUCKETS.map((bucket) => [bucket, Type.Optional(dollars)])), {
      ...closed,
      description: 'Dollars per million tokens.',
    }),
    perRequest: Type.Optional(dollars),
    perCall: Type.Optional(Type.Record(Type.String(), dollars)),
  },
  closed,
)
export const Prices = Type.Object({ prices: Type.Array(Price, { minItems: 1 }) }, closed)

const FileCredential = {
  id: Type.String({ pattern: '^[\\w.-]{1,64}$' }),
  weight: Type.Optional(Type.Number({ minimum: 0 })),
}
/** A file names credentials; their secrets are set apart, by API or command, and never stand in it. */
const FileUpstream = Type.Object(
  {
    ...Upstream.properties,
    credentials: Type.Optional(Type.Array(Type.Object(FileCredential, closed), { maxItems: 100 })),
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
  },
  closed,
)
