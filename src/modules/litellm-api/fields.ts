/**
 * Fields of LiteLLM's requests. What this gateway has is typed here; what it has not is named too, so that a script which
 * asks for it is told, and one that sends it empty goes on.
 */
import { type TProperties, type TSchema, Type } from 'typebox'
import { badRequest } from '../../core/errors.ts'
import type { AdminRoute } from '../../core/module.ts'
import type { JsonObject } from '../../core/request.ts'

const closed = { additionalProperties: false }
const orNull = (schema: TSchema) => Type.Optional(Type.Union([schema, Type.Null()]))
const text = Type.String({ minLength: 1, maxLength: 256 })
const texts = Type.Array(text, { maxItems: 1_000 })
const money = Type.Number({ minimum: 0, maximum: 999_999_999_999 })
const count = Type.Integer({ minimum: 0 })
const any = Type.Optional(Type.Unknown())

/** Money and rates, for whatever may have them. */
const figures = {
  max_budget: orNull(money),
  budget_duration: orNull(text),
  soft_budget: orNull(money),
  tpm_limit: orNull(count),
  rpm_limit: orNull(count),
  max_parallel_requests: orNull(count),
}
const byModel = {
  model_max_budget: orNull(
    Type.Record(
      text,
      Type.Union([
        money,
        Type.Object(
          { budget_limit: money, max_budget: Type.Optional(money), time_period: Type.Optional(text) },
          closed,
        ),
      ]),
    ),
  ),
  model_rpm_limit: orNull(Type.Record(text, count)),
  model_tpm_limit: orNull(Type.Record(text, count)),
}
const row = {
  models: orNull(texts),
  metadata: orNull(Type.Record(Type.String({ maxLength: 256 }), Type.Unknown(), { maxProperties: 64 })),
  tags: orNull(Type.Array(text, { maxItems: 32 })),
  blocked: orNull(Type.Boolean()),
}

/** Known over there; not here. By name, with what to do instead where there is something. */
const ABSENT: Readonly<Record<string, string>> = {
  access_group_ids: 'there are no access groups; list the models',
  agent_id: '',
  aliases: 'aliases are for everybody: make one with PUT /api/aliases/{name}',
  allowed_cache_controls: 'give the key the permission "cache" (PUT /api/keys/{id})',
  allowed_passthrough_routes: 'give the key the endpoint "native" (PUT /api/keys/{id})',
  allowed_routes: 'use "endpoints" (PUT /api/keys/{id})',
  allowed_vector_store_indexes: '',
  auto_rotate: 'rotate with /key/regenerate',
  budget_fallbacks: '',
  budget_id: 'there are no shared budgets; say max_budget and budget_duration',
  budget_limits: 'make further budgets with POST /api/budgets',
  config: '',
  enforced_params: '',
  guardrails: 'use overrides (PUT /api/overrides/key:{id})',
  key: 'keys are made by the gateway and cannot be chosen',
  key_type: 'use "endpoints" (PUT /api/keys/{id})',
  model_aliases: 'aliases are for everybody: make one with PUT /api/aliases/{name}',
  new_key: 'keys are made by the gateway and cannot be chosen',
  new_master_key: 'the admin key is set where the gateway is started',
  object_permission: '',
  permissions: 'use "permissions" (PUT /api/keys/{id})',
  policies: '',
  project_id: '',
  prompts: '',
  rotation_interval: 'rotate with /key/regenerate',
  router_settings: 'routing is set with PUT /api/routes/{model}',
  rpm_limit_type: '',
  send_invite_email: 'no e-mail is sent from here',
  spend: 'what was spent is the sum of the ledger',
  sso_user_id: 'it is learned when somebody signs in',
  team_member_budget: 'say max_budget_in_team for each member',
  team_member_key_duration: '',
  team_member_permissions: 'what members may do is said by their role',
  team_member_rpm_limit: '',
  team_member_tpm_limit: '',
  temp_budget_expiry: 'use "raises" (PUT /api/budgets/{id})',
  temp_budget_increase: 'use "raises" (PUT /api/budgets/{id})',
  throttle_on_budget_exceeded: '',
  tpm_limit_type: '',
}
const absent = (...except: string[]): TProperties =>
  Object.fromEntries(Object.keys(ABSENT).flatMap((name) => (except.includes(name) ? [] : [[name, any]])))

const isEmpty = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === '' ||
  value === false ||
  value === 0 ||
  value === 'default' ||
  (typeof value === 'object' && Object.keys(value).length === 0)

/** Throws where something is asked for that there is not. */
export function honoured(body: unknown, ...except: string[]): JsonObject {
  const asked = (body ?? {}) as JsonObject
  for (const [name, instead] of Object.entries(ABSENT)) {
    if (except.includes(name) || isEmpty(asked[name])) continue
    throw badRequest(`"${name}" is not honored by this gateway${instead ? `: ${instead}` : ''}. Leave it out.`, name)
  }
  return asked
}

const key = {
  ...row,
  ...figures,
  ...byModel,
  key_alias: orNull(text),
  duration: orNull(text),
  user_id: orNull(text),
  team_id: orNull(text),
  organization_id: orNull(text),
}
export const KeyGenerate = Type.Object({ ...absent(), ...key }, closed)
export const KeyUpdate = Type.Object({ ...absent('key'), ...key, key: text }, closed)
export const KeyRegenerate = Type.Object(
  { ...absent('key'), ...key, key: Type.Optional(text), grace_period: orNull(text) },
  closed,
)
export const KeyNamed = Type.Object({ key: text }, closed)
export const KeyDelete = Type.Object(
  { keys: orNull(Type.Array(text, { maxItems: 1_000 })), key_aliases: orNull(Type.Array(text, { maxItems: 1_000 })) },
  closed,
)

const Role = Type.Union([Type.Literal('admin'), Type.Literal('user')])
const Member = Type.Object({ role: Role, user_id: orNull(text), user_email: orNull(text) }, closed)
const team = { ...row, ...figures, ...byModel, team_alias: orNull(text), organization_id: orNull(text) }
export const TeamNew = Type.Object(
  {
    ...absent(),
    ...team,
    team_id: orNull(text),
    members_with_roles: orNull(Type.Array(Member, { maxItems: 1_000 })),
    members: orNull(texts),
    admins: orNull(texts),
  },
  closed,
)
export const TeamUpdate = Type.Object({ ...absent(), ...team, team_id: text }, closed)
export const MemberAdd = Type.Object(
  {
    team_id: text,
    member: Type.Union([Member, Type.Array(Member, { minItems: 1, maxItems: 1_000 })]),
    max_budget_in_team: orNull(money),
  },
  closed,
)

const USER_ROLES = ['proxy_admin', 'proxy_admin_viewer', 'internal_user', 'internal_user_viewer'] as const
export type UserRole = (typeof USER_ROLES)[number]
export const UserNew = Type.Object(
  {
    ...absent(),
    ...row,
    ...figures,
    ...byModel,
    user_id: orNull(text),
    user_email: orNull(text),
    user_alias: orNull(text),
    user_role: orNull(Type.Union(USER_ROLES.map((name) => Type.Literal(name)))),
    teams: orNull(Type.Array(text, { maxItems: 200 })),
    team_id: orNull(text),
    organizations: orNull(Type.Array(text, { maxItems: 200 })),
    auto_create_key: orNull(Type.Boolean()),
    key_alias: orNull(text),
    duration: orNull(text),
  },
  closed,
)
export const Answer = Type.Object({}, { additionalProperties: true })
const optional = (...names: string[]) =>
  Type.Object(Object.fromEntries(names.map((name) => [name, Type.Optional(Type.String())])), closed)
export const KeyAsked = optional('key')
export const KeyList = optional(
  'page',
  'size',
  'user_id',
  'team_id',
  'organization_id',
  'key_alias',
  'key_hash',
  'return_full_object',
  // All that may be seen are in the list.
  'include_team_keys',
  'include_created_by_keys',
)
export const TeamAsked = optional('team_id')
export const TeamList = optional('organization_id', 'user_id')
export const UserAsked = optional('user_id')
export const SpendAsked = optional('api_key', 'user_id', 'team_id', 'request_id', 'start_date', 'end_date', 'summarize')
export const ModelAsked = optional('litellm_model_id')

/** One of LiteLLM's routes: for whoever is signed in, and answered with its names. */
export const route = (one: Omit<AdminRoute, 'root' | 'answer' | 'needs'> & Partial<AdminRoute>): AdminRoute => ({
  needs: 'signed-in',
  answer: Answer,
  ...one,
  root: true,
})
