import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { classify } from '../core/classify.ts'
import type { UpstreamComplaint } from '../core/dialect.ts'
import type { ErrorCode } from '../core/errors.ts'
import { type Provider, pathOf } from '../core/provider.ts'
import type { JsonObject } from '../core/request.ts'
import { parseStrict } from '../core/settings.ts'

const FOLDER = import.meta.dirname
const files = readdirSync(FOLDER).filter((file) => file.endsWith('.ts') && !/^index\.ts$|\.test\.ts$/.test(file))
const definitions = new Map<string, Provider>()
for (const file of files) {
  const { default: provider } = (await import(`./${file}`)) as { default: Provider }
  if (!provider.baseUrl?.startsWith('builtin:')) definitions.set(file.slice(0, -3), provider)
}
const all = [...definitions.values()]
const provider = (id: string): Provider => {
  const found = definitions.get(id)
  assert.ok(found, `there is no provider ${id}`)
  return found
}

/** A dialect is a folder or a file of its own. */
const DIALECTS = readdirSync(`${FOLDER}/../dialects`).map((entry) => entry.replace(/\.ts$/, ''))
/** Options under which each definition that has some is looked at, and models of all the makers that it tells apart. */
const OPTIONS: Readonly<Record<string, JsonObject>> = {
  vertex: { project: 'my-project', location: 'europe-west1' },
  bedrock: { region: 'eu-central-1' },
  azure: { resource: 'mine', apiVersion: '2024-10-21' },
  'azure-foundry': { resource: 'mine' },
}
const MODELS = [
  'some-model',
  'claude-sonnet-4-5@20250929',
  'eu.anthropic.claude-sonnet-4-5-20250929-v1:0',
  'meta/llama',
  'cohere.embed-v4:0',
  'cohere.rerank-v3-5:0',
  'text-embedding-005',
]

test('each definition has the id of its file, a title, and a page about its keys', () => {
  assert.ok(definitions.size >= 35)
  for (const [name, { id, title, docs }] of definitions) {
    assert.equal(id, name)
    assert.match(id, /^[a-z][a-z0-9-]*$/)
    assert.ok(title.length > 1, id)
    assert.match(docs ?? '', /^https:\/\/[a-z0-9.-]+(?:\/|$)/, id)
  }
  assert.equal(new Set(all.map(({ title }) => title)).size, all.length)
})

test('no id is one of the reserved first path segments', () => {
  const reserved =
    'api console health metrics v1 v1alpha v1beta v1beta1 key team user organization customer budget spend model models litellm mcp'
  for (const id of reserved.split(' ')) assert.ok(!definitions.has(id), id)
})

test('base URLs are encrypted unless local, and have neither trailing slash, query nor credentials', () => {
  for (const { id, baseUrl, local } of all) {
    if (baseUrl === undefined) continue
    const url = new URL(baseUrl)
    if (local) assert.equal(url.hostname, '127.0.0.1', id)
    else assert.equal(url.protocol, 'https:', id)
    assert.ok(!/[/?#@]$|[?#@]/.test(baseUrl), id)
  }
})

test('environment variables are unique, belong to an LLM service, and are never a general credential', () => {
  const names = all.flatMap(({ environment }) => (environment ? Object.values(environment) : []))
  assert.equal(new Set(names).size, names.length)
  for (const name of names) {
    assert.match(name, /^[A-Z][A-Z0-9_]+$/)
    // Two of AWS's belong to its LLM service alone.
    if (/_BEDROCK(?:_RUNTIME)?$/.test(name)) continue
    assert.doesNotMatch(name, /^(?:GITHUB|GH|HF|AWS|GOOGLE_APPLICATION|CLOUDFLARE|SCW|AZURE_CLIENT|STOCKYARD)_/)
  }
  for (const { id, environment, local } of all) if (local) assert.ok(environment?.baseUrl, id)
})

test('each speaks known dialects at relative paths, and each model by one of them', () => {
  for (const { id, speaks, models } of all) {
    const options = OPTIONS[id] ?? {}
    assert.ok(Object.keys(speaks).length > 0, id)
    for (const [dialect, endpoint] of Object.entries(speaks)) {
      assert.ok(DIALECTS.includes(dialect), `${id}: ${dialect}`)
      const paths = MODELS.flatMap((model) =>
        [true, false].flatMap((stream) => pathOf(endpoint, { model, stream, options }) ?? []),
      )
      // What is only relayed may be missing in an older API of the same vendor.
      const isRelayed = /^openai-(?:images|audio|compaction|objects)$/.test(dialect)
      assert.ok(paths.length > 0 || isRelayed, `${id} reaches no model by ${dialect}`)
      for (const path of paths) assert.match(path, /^(?:|\/[A-Za-z0-9/:?=_.%@-]+)$/, `${id}: ${path}`)
    }
    const [first = ''] = Object.keys(speaks)
    const reached = Object.values(speaks).some((e) => pathOf(e, { model: 'some-model', stream: false, options }))
    assert.ok(reached, `${id}: ${first}`)
    if (models !== undefined) assert.match(models, /^\/[a-z0-9/]+$/, id)
  }
})

test('options are closed, and make a base URL that is encrypted', () => {
  for (const { id, options, baseUrlOf } of all) {
    if (!options) continue
    assert.throws(() => parseStrict(options, { ...OPTIONS[id], nonsense: 1 }), /nonsense/, id)
    const parsed = parseStrict(options, OPTIONS[id]) as JsonObject
    const url = new URL(baseUrlOf?.(parsed) ?? '')
    assert.equal(url.protocol, 'https:', id)
    // What an option says ends up in the host: it must not be able to lead elsewhere.
    for (const hostile of ['evil.example/', 'a.b@evil', 'x#', 'x?y', '..']) {
      for (const name of Object.keys(options.properties).filter((field) => /region|location|resource/.test(field))) {
        assert.throws(() => parseStrict(options, { ...OPTIONS[id], [name]: hostile }), /pattern/, `${id}: ${hostile}`)
      }
    }
  }
})

test('A18: a key travels in one header and nowhere else', () => {
  for (const { id, sign, headers } of all) {
    if (!sign) continue
    const signed = sign('the-key')
    assert.deepEqual(Object.values(signed), ['the-key'], id)
    for (const name of [...Object.keys(signed), ...Object.keys(headers ?? {})]) assert.match(name, /^[a-z-]+$/, id)
  }
})

test('no header that carries a credential, an identity or a bill is passed on', () => {
  for (const { id, forward } of all) {
    for (const name of forward ?? []) {
      assert.match(name, /^[a-z-]+$/, id)
      assert.doesNotMatch(name, /authorization|cookie|api-key|organization|project|bill|forwarded/, id)
    }
  }
})

test('a model name cannot leave its place in any path', () => {
  for (const { id, speaks } of all) {
    const options = OPTIONS[id] ?? {}
    const base = all.find((each) => each.id === id)?.baseUrlOf?.(options) ?? 'https://example.test'
    for (const [dialect, endpoint] of Object.entries(speaks)) {
      if (typeof endpoint === 'string') continue
      const places = (model: string) => {
        const path = pathOf(endpoint, { model, stream: false, options })
        return path === undefined ? undefined : new URL(base + path)
      }
      for (const evil of ['../../x', 'a?b', 'a#b', 'a%2f..', '\ud800', 'a\r\nb: c']) {
        for (const prefix of [
          '',
          'claude-',
          'anthropic.claude-',
          'cohere.rerank',
          'cohere.embed',
          'text-embedding',
          'x/',
        ]) {
          const plain = places(`${prefix}x`)
          const url = places(prefix + evil)
          if (!plain || !url) continue
          assert.equal(url.pathname.split('/').length, plain.pathname.split('/').length, `${id} ${dialect}: ${url}`)
          assert.equal(url.search + url.hash, plain.search + plain.hash, `${id} ${dialect}: ${url}`)
        }
      }
    }
  }
})

test("Gemini's model names may come with their collection", () => {
  const { speaks } = provider('gemini')
  const path = (model: string, stream = false) => {
    const endpoint = speaks['gemini-generate']
    assert.ok(typeof endpoint === 'function')
    return endpoint({ model, stream, options: {} })
  }
  assert.equal(path('gemini-2.5-pro'), '/v1beta/models/gemini-2.5-pro:generateContent')
  assert.equal(path('gemini-2.5-pro', true), '/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse')
  assert.equal(path('models/gemini-2.5-pro'), '/v1beta/models/gemini-2.5-pro:generateContent')
  assert.equal(path('tunedModels/mine'), '/v1beta/tunedModels/mine:generateContent')
  for (const hostile of [
    '../../x',
    'a/../../b',
    'a?key=1',
    'a#b',
    'a%2f..',
    'models/../files',
    '\ud800',
    'a\r\nb: c',
    '',
  ]) {
    const url = new URL(`https://example.test${path(hostile)}`)
    assert.match(url.pathname, /^\/v1beta\/models\/[^/]*:generateContent$/, hostile)
    assert.equal(url.search + url.hash, '', hostile)
  }
})

/** What vendors really say, and what it must mean. */
const SAID: readonly [provider: string, status: number, complaint: UpstreamComplaint, means: ErrorCode][] = [
  ['openai', 401, { code: 'invalid_api_key', message: 'Incorrect API key provided: sk-…' }, 'upstream_credentials'],
  ['openai', 429, { code: 'insufficient_quota', type: 'insufficient_quota' }, 'upstream_quota'],
  ['openai', 400, { code: 'billing_hard_limit_reached' }, 'upstream_quota'],
  ['openai', 429, { code: 'rate_limit_exceeded', message: 'Rate limit reached for gpt-4o' }, 'upstream_rate_limited'],
  ['openai', 429, { code: 'rate_limit_exceeded', message: 'Request too large for gpt-4o' }, 'upstream_quota'],
  ['openai', 404, { code: 'model_not_found', message: 'The model `x` does not exist' }, 'upstream_model_missing'],
  ['openai', 403, { code: 'model_not_found', message: 'Project `p` does not have access' }, 'upstream_model_missing'],
  ['openai', 403, { message: 'Project `p` does not have access to model `gpt-4.1`' }, 'upstream_model_missing'],
  ['openai', 403, { code: 'unsupported_country_region_territory' }, 'upstream_credentials'],
  ['openai', 403, { message: 'You are not allowed to sample from this account' }, 'upstream_credentials'],
  ['openai', 400, { code: 'context_length_exceeded', type: 'invalid_request_error' }, 'upstream_rejected'],
  ['openai', 400, { code: 'content_policy_violation' }, 'upstream_rejected'],
  ['openai', 500, { type: 'server_error' }, 'upstream_error'],
  ['openai', 503, { message: 'The engine is currently overloaded' }, 'upstream_overloaded'],
  ['anthropic', 400, { message: 'Your credit balance is too low to access the Anthropic API.' }, 'upstream_quota'],
  ['anthropic', 400, { message: 'You have reached your specified API usage limits.' }, 'upstream_quota'],
  ['anthropic', 400, { message: 'This organization has been disabled.' }, 'upstream_credentials'],
  ['anthropic', 400, { message: 'prompt is too long: 210000 tokens > 200000 maximum' }, 'upstream_rejected'],
  ['anthropic', 401, { type: 'authentication_error', message: 'invalid x-api-key' }, 'upstream_credentials'],
  ['anthropic', 403, { type: 'permission_error' }, 'upstream_credentials'],
  [
    'anthropic',
    403,
    { type: 'permission_error', message: 'Your API key does not have permission to use the specified resource' },
    'upstream_model_missing',
  ],
  ['anthropic', 404, { type: 'not_found_error', message: 'model: claude-x' }, 'upstream_model_missing'],
  ['anthropic', 413, { type: 'request_too_large' }, 'upstream_rejected'],
  ['anthropic', 429, { type: 'rate_limit_error' }, 'upstream_rate_limited'],
  ['anthropic', 529, { type: 'overloaded_error', message: 'Overloaded' }, 'upstream_overloaded'],
  ['gemini', 400, { code: 'API_KEY_INVALID', message: 'API key not valid.' }, 'upstream_credentials'],
  ['gemini', 400, { message: 'API key expired. Please renew the API key.' }, 'upstream_credentials'],
  ['gemini', 400, { type: 'FAILED_PRECONDITION', message: 'User location is not supported' }, 'upstream_credentials'],
  [
    'gemini',
    400,
    { code: 'INVALID_ARGUMENT', message: 'The input token count exceeds the maximum' },
    'upstream_rejected',
  ],
  ['gemini', 403, { code: 'PERMISSION_DENIED' }, 'upstream_credentials'],
  ['gemini', 404, { message: 'models/x is not found for API version v1beta' }, 'upstream_model_missing'],
  [
    'gemini',
    429,
    { message: 'You exceeded your current quota, check your billing. Limit: GenerateRequestsPerDayPerProjectPerModel' },
    'upstream_quota',
  ],
  [
    'gemini',
    429,
    { message: 'You exceeded your current quota, check your billing. limit: 0, model: gemini-3-pro' },
    'upstream_quota',
  ],
  [
    'gemini',
    429,
    { message: 'You exceeded your current quota, check your billing. limit: 10. Please retry in 34.1s.' },
    'upstream_rate_limited',
  ],
  ['gemini', 503, { code: 'UNAVAILABLE', message: 'The model is overloaded.' }, 'upstream_overloaded'],
  ['azure', 404, { code: 'DeploymentNotFound' }, 'upstream_model_missing'],
  ['azure', 400, { code: 'unknown_model', message: 'Unknown model: x' }, 'upstream_model_missing'],
  ['azure', 400, { code: 'OperationNotSupported' }, 'upstream_model_missing'],
  ['azure', 400, { code: 'content_filter' }, 'upstream_rejected'],
  ['azure', 401, { code: '401', message: 'Access denied due to invalid subscription key' }, 'upstream_credentials'],
  ['azure', 403, { message: 'Out of call volume quota. Quota will be replenished in 2 days.' }, 'upstream_quota'],
  [
    'azure',
    429,
    { code: 'NoCapacity', message: 'The system is currently experiencing high demand' },
    'upstream_overloaded',
  ],
  ['groq', 413, { code: 'rate_limit_exceeded', type: 'tokens' }, 'upstream_quota'],
  ['groq', 429, { message: 'Rate limit reached on tokens per day (TPD): Limit 100000' }, 'upstream_quota'],
  ['groq', 429, { message: 'Rate limit reached on tokens per minute (TPM): Limit 6000' }, 'upstream_rate_limited'],
  [
    'groq',
    403,
    { code: 'model_permission_blocked_project', message: 'The model `x` is blocked at the project level.' },
    'upstream_model_missing',
  ],
  ['custom', 403, { message: 'Your prompt was flagged by our moderation' }, 'upstream_rejected'],
  ['custom', 403, { message: 'Your account was flagged' }, 'upstream_credentials'],
  ['groq', 498, { message: 'flex tier capacity exceeded' }, 'upstream_overloaded'],
  ['groq', 400, { code: 'tool_use_failed' }, 'upstream_invalid'],
  ['groq', 400, { code: 'model_decommissioned' }, 'upstream_model_missing'],
  ['mistral', 400, { type: 'invalid_model', message: 'Invalid model: x', code: '1500' }, 'upstream_model_missing'],
  ['mistral', 429, { message: 'Service tier capacity exceeded for this model.', code: '3505' }, 'upstream_overloaded'],
  ['mistral', 422, { type: 'invalid_request_error' }, 'upstream_rejected'],
  ['deepseek', 402, { message: 'Insufficient Balance' }, 'upstream_quota'],
  ['deepseek', 400, { message: 'Model Not Exist' }, 'upstream_model_missing'],
  ['together', 403, { message: '`inputs` token count + `max_new_tokens` must be <= 8193' }, 'upstream_rejected'],
  ['together', 400, { message: 'Unable to access non-serverless model x' }, 'upstream_model_missing'],
  [
    'fireworks',
    412,
    { message: 'Account x is suspended, possibly due to reaching the spending limit' },
    'upstream_quota',
  ],
  ['openrouter', 402, { code: '402', message: 'Insufficient credits' }, 'upstream_quota'],
  ['openrouter', 400, { message: 'foo/bar is not a valid model ID' }, 'upstream_model_missing'],
  ['openrouter', 403, { message: 'Input was flagged for violence' }, 'upstream_rejected'],
  ['openrouter', 403, { message: 'Key limit exceeded (total limit)' }, 'upstream_quota'],
  ['openrouter', 429, { message: 'Rate limit exceeded: free-models-per-day' }, 'upstream_quota'],
  ['openrouter', 429, { message: 'Rate limit exceeded: free-models-per-min' }, 'upstream_rate_limited'],
  ['xai', 400, { message: 'Incorrect API key provided: xa***. ' }, 'upstream_credentials'],
  ['xai', 403, { message: "Your newly created team doesn't have any credits yet." }, 'upstream_quota'],
  ['xai', 403, { message: 'Content violates usage guidelines.' }, 'upstream_rejected'],
  ['xai', 429, { message: 'Your team has used all available credits' }, 'upstream_quota'],
  ['perplexity', 400, { type: 'invalid_model', message: "Invalid model 'x'" }, 'upstream_model_missing'],
  ['cerebras', 429, { code: 'queue_exceeded', message: "We're experiencing high traffic" }, 'upstream_overloaded'],
  ['cerebras', 429, { code: 'token_quota_exceeded', message: 'Tokens per day limit exceeded' }, 'upstream_quota'],
  ['cerebras', 429, { code: 'request_quota_exceeded', message: 'Requests per minute limit' }, 'upstream_rate_limited'],
  ['moonshot', 429, { type: 'exceeded_current_quota_error' }, 'upstream_quota'],
  ['moonshot', 429, { type: 'engine_overloaded_error' }, 'upstream_overloaded'],
  ['moonshot', 429, { type: 'rate_limit_reached_error' }, 'upstream_rate_limited'],
  ['nvidia', 400, { message: "Function id 'x': DEGRADED function cannot be invoked" }, 'upstream_overloaded'],
  ['huggingface', 400, { code: 'model_not_supported' }, 'upstream_model_missing'],
  ['huggingface', 402, { message: 'You have exceeded your monthly included credits' }, 'upstream_quota'],
  ['cloudflare', 400, { code: '5007', message: 'No such model @cf/x or task' }, 'upstream_model_missing'],
  ['cloudflare', 429, { code: '3036', message: 'used up your daily free allocation' }, 'upstream_quota'],
  ['cloudflare', 429, { code: '3040', message: 'Capacity temporarily exceeded' }, 'upstream_overloaded'],
  ['github-models', 413, { code: 'tokens_limit_reached' }, 'upstream_quota'],
  [
    'github-models',
    429,
    { code: 'RateLimitReached', message: 'Rate limit of 50 per 86400s for UserByModelByDay' },
    'upstream_quota',
  ],
  ['github-models', 400, { code: 'unknown_model' }, 'upstream_model_missing'],
  ['ollama', 404, { message: "model 'x' not found" }, 'upstream_model_missing'],
  ['lmstudio', 400, { message: 'No models loaded. Please load a model' }, 'upstream_model_missing'],
  ['vllm', 404, { type: 'NotFoundError', message: 'The model `x` does not exist.' }, 'upstream_model_missing'],
  ['llamacpp', 503, { message: 'Loading model', type: 'unavailable_error' }, 'upstream_overloaded'],
  ['alibaba', 400, { code: 'Arrearage', message: 'make sure your account is in good standing' }, 'upstream_quota'],
  ['alibaba', 403, { code: 'AllocationQuota.FreeTierOnly' }, 'upstream_quota'],
  ['alibaba', 403, { code: 'Model.AccessDenied' }, 'upstream_model_missing'],
  ['alibaba', 400, { code: 'DataInspectionFailed' }, 'upstream_rejected'],
  ['zai', 429, { code: '1113', message: 'Insufficient balance or no resource package.' }, 'upstream_quota'],
  ['zai', 400, { code: '1211', message: 'Unknown Model, please check the model code.' }, 'upstream_model_missing'],
  ['zhipu', 429, { code: '1305' }, 'upstream_overloaded'],
  ['zhipu', 429, { code: '1302' }, 'upstream_rate_limited'],
  ['minimax', 200, { code: '1008', message: 'insufficient balance' }, 'upstream_quota'],
  ['minimax', 200, { code: '1004', message: 'login fail' }, 'upstream_credentials'],
  ['minimax', 200, { code: '1002', message: 'rate limit' }, 'upstream_rate_limited'],
  ['novita', 403, { code: 'NOT_ENOUGH_BALANCE' }, 'upstream_quota'],
  [
    'cohere',
    429,
    { message: 'You are using a Trial key, which is limited to 1000 API calls / month' },
    'upstream_quota',
  ],
  ['cohere', 429, { message: 'Please wait and try again later: rate limit' }, 'upstream_rate_limited'],
  ['cohere', 401, { message: 'invalid api token' }, 'upstream_credentials'],
  [
    'cohere',
    404,
    { message: "model 'x' not found, make sure the correct model ID was used" },
    'upstream_model_missing',
  ],
  [
    'cohere',
    400,
    { message: 'too many tokens: total number of tokens in the prompt cannot exceed 4081' },
    'upstream_rejected',
  ],
  ['cohere', 402, { message: 'Please add or update your payment method to continue' }, 'upstream_quota'],
  ['cohere', 498, { message: 'the generation was blocked' }, 'upstream_rejected'],
  ['cohere', 503, { message: 'Service unavailable' }, 'upstream_overloaded'],
  ['voyage', 429, { message: 'You have not yet added your payment method in the billing page' }, 'upstream_quota'],
  ['voyage', 429, { message: 'Rate limit reached: RPM' }, 'upstream_rate_limited'],
  ['voyage', 401, { message: 'Provided API key is invalid.' }, 'upstream_credentials'],
  ['voyage', 400, { message: 'Model x is not supported. Supported models are …' }, 'upstream_model_missing'],
  ['voyage', 400, { message: 'The request exceeds the max context length' }, 'upstream_rejected'],
  ['jina', 402, { message: 'Insufficient account balance' }, 'upstream_quota'],
  ['jina', 403, { message: 'Insufficient balance for this key' }, 'upstream_quota'],
  ['jina', 401, { message: 'Unauthorized' }, 'upstream_credentials'],
  ['jina', 422, { message: 'Model x not found' }, 'upstream_model_missing'],
  ['jina', 429, { message: 'Rate limit exceeded' }, 'upstream_rate_limited'],
  ['bedrock', 400, { message: 'The provided model identifier is invalid.' }, 'upstream_model_missing'],
  [
    'bedrock',
    400,
    { message: "Invocation of model ID x with on-demand throughput isn't supported. Retry with an inference profile" },
    'upstream_model_missing',
  ],
  [
    'bedrock',
    403,
    { message: "You don't have access to the model with the specified model ID." },
    'upstream_model_missing',
  ],
  ['bedrock', 403, { message: 'The security token included in the request is invalid.' }, 'upstream_credentials'],
  ['bedrock', 403, { message: 'The security token included in the request is expired' }, 'upstream_credentials'],
  ['bedrock', 400, { code: 'ServiceQuotaExceededException' }, 'upstream_quota'],
  ['bedrock', 429, { message: 'Too many tokens per day, please wait before trying again.' }, 'upstream_quota'],
  ['bedrock', 429, { message: 'Too many requests, please wait before trying again.' }, 'upstream_rate_limited'],
  ['bedrock', 429, { code: 'throttlingException', message: 'Too many tokens, please wait' }, 'upstream_rate_limited'],
  ['bedrock', 429, { message: 'Model is not ready for inference.' }, 'upstream_overloaded'],
  ['bedrock', 503, { message: 'Bedrock is unable to process your request.' }, 'upstream_overloaded'],
  ['bedrock', 424, { message: 'The model failed to generate a response' }, 'upstream_error'],
  ['bedrock', 400, { message: 'Input is too long for requested model.' }, 'upstream_rejected'],
  ['bedrock', 400, { message: 'Malformed input request: #: required key [messages] not found' }, 'upstream_rejected'],
  ['vertex', 401, { code: 'UNAUTHENTICATED', message: 'ACCESS_TOKEN_EXPIRED' }, 'upstream_credentials'],
  [
    'vertex',
    403,
    { code: 'PERMISSION_DENIED', message: 'aiplatform.endpoints.predict denied' },
    'upstream_credentials',
  ],
  ['vertex', 403, { code: 'BILLING_DISABLED', message: 'This API method requires billing' }, 'upstream_quota'],
  ['vertex', 404, { message: 'Publisher Model `projects/p/…/models/x` was not found' }, 'upstream_model_missing'],
  [
    'vertex',
    429,
    { code: 'RESOURCE_EXHAUSTED', message: 'Resource exhausted. Please try again later.' },
    'upstream_rate_limited',
  ],
  ['vertex', 429, { message: 'Quota exceeded for aiplatform.googleapis.com, see billing' }, 'upstream_rate_limited'],
  ['vertex', 503, { code: 'UNAVAILABLE' }, 'upstream_overloaded'],
  [
    'vertex',
    400,
    { code: 'INVALID_ARGUMENT', message: 'The input token count exceeds the maximum' },
    'upstream_rejected',
  ],
  ['azure-foundry', 404, { code: 'DeploymentNotFound' }, 'upstream_model_missing'],
  ['azure-foundry', 400, { code: 'unknown_model', message: 'Unknown model: x' }, 'upstream_model_missing'],
  ['azure-foundry', 400, { code: 'content_filter' }, 'upstream_rejected'],
  [
    'azure-foundry',
    401,
    { code: '401', message: 'Access denied due to invalid subscription key' },
    'upstream_credentials',
  ],
  ['azure-foundry', 403, { message: 'Out of call volume quota.' }, 'upstream_quota'],
  ['azure-foundry', 429, { code: 'NoCapacity', message: 'high demand' }, 'upstream_overloaded'],
  ['azure-foundry', 529, { type: 'overloaded_error', message: 'Overloaded' }, 'upstream_overloaded'],
]

for (const [id, status, complaint, means] of SAID) {
  const said = [complaint.code, complaint.type, complaint.message].filter(Boolean).join(' ')
  test(`A75: ${id} ${status} "${said}" means ${means}`, () => {
    assert.equal(provider(id).classify?.(status, complaint) ?? classify(status, complaint), means)
  })
}

test('A75: every definition with sayings of its own is in the table above', () => {
  for (const { id, classify: own } of all)
    if (own)
      assert.ok(
        SAID.some(([named]) => named === id),
        id,
      )
})

test("A75: a plain client error stays the client's at every vendor", () => {
  for (const { id, classify: own } of all) {
    const complaint = { type: 'invalid_request_error', message: "'messages' is a required property" }
    assert.equal(own?.(400, complaint) ?? classify(400, complaint), 'upstream_rejected', id)
  }
})
