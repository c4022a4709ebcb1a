/** What an administrator sets of the trail. */
import { type Static, Type } from 'typebox'

const closed = { additionalProperties: false }
const levels = [
  Type.Literal('off'),
  Type.Literal('decisions'),
  Type.Literal('metadata'),
  Type.Literal('content-commitment'),
] as const
const url = (pattern: string, description: string) => Type.String({ pattern, description })

const File = Type.Object(
  {
    kind: Type.Literal('file'),
    path: Type.String({ pattern: '^/', description: 'Absolute; on another disk than the data.' }),
  },
  closed,
)
const Syslog = Type.Object(
  {
    kind: Type.Literal('syslog'),
    url: url('^syslog(\\+tcp)?://[^/\\s]+$', '`syslog://host:514` or `syslog+tcp://host:601`'),
  },
  closed,
)
const Webhook = Type.Object(
  {
    kind: Type.Literal('webhook'),
    url: url('^https?://\\S+$', 'Takes each checkpoint as JSON.'),
    secret: Type.Optional(Type.String({ description: 'The name of the secret with which calls are signed.' })),
  },
  closed,
)
const S3 = Type.Object(
  {
    kind: Type.Literal('s3'),
    endpoint: url('^https?://[^/\\s]+$', 'Of the service; the bucket comes after it in the path.'),
    bucket: Type.String({ pattern: '^[a-z0-9.-]{3,63}$' }),
    prefix: Type.String({ default: '', pattern: '^[\\w./-]*$' }),
    region: Type.String({ default: 'us-east-1' }),
    accessKeyId: Type.String({ minLength: 1 }),
    secret: Type.String({ default: 's3', description: 'The name of the secret that is the access key.' }),
    lockDays: Type.Integer({
      default: 365,
      minimum: 0,
      maximum: 36_500,
      description: 'Object lock (compliance); 0: none.',
    }),
  },
  closed,
)
const Witness = Type.Object(
  {
    kind: Type.Literal('witness'),
    url: url('^https?://\\S+$', 'Of a `stockyard witness`, or another that speaks C2SP tlog-witness.'),
    key: Type.Optional(Type.String({ description: 'Its public key; then its signature is checked.' })),
  },
  closed,
)

export const settings = Type.Object(
  {
    level: Type.Union([...levels], { default: 'metadata', description: 'What is recorded of exchanges.' }),
    scopes: Type.Record(Type.String({ pattern: '^(organization|team|user|key)/.+$' }), Type.Union([...levels]), {
      default: {},
      description:
        'Another level for `organization/<id>`, `team/<id>`, `user/<id>` or `key/<id>`; the narrowest counts.',
    }),
    mode: Type.Union([Type.Literal('async'), Type.Literal('strict')], {
      default: 'async',
      description: 'strict: nothing goes upstream before its intent is on the disk.',
    }),
    origin: Type.String({
      default: 'stockyard',
      pattern: '^[A-Za-z0-9._/-]{1,100}$',
      description: 'The first part of the name under which a new log is known.',
    }),
    commitBytes: Type.Integer({
      default: 262_144,
      minimum: 256,
      maximum: 16_777_216,
      description: 'How much of each body is committed to; as much as module `logs` keeps.',
    }),
    anchors: Type.Array(Type.Union([File, Syslog, Webhook, S3, Witness]), {
      default: [],
      maxItems: 20,
      description: 'Where checkpoints are kept outside the database.',
    }),
    devices: Type.Array(File, {
      default: [],
      maxItems: 10,
      description: 'In strict mode: files on other disks that may take an intent when the database cannot.',
    }),
  },
  closed,
)
export type Settings = Static<typeof settings>
export type AnchorSettings = Settings['anchors'][number]
export type DeviceSettings = Settings['devices'][number]
