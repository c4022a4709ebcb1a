/** Configurations as people write them for LiteLLM, and what becomes of each. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { createCatalog } from '../../catalog/catalog.ts'
import { parseStrict } from '../../core/settings.ts'
import { File } from '../../http/admin/schemas.ts'
import { providers } from '../../providers/index.ts'
import { perMillion } from './deployments.ts'
import { fromLiteLLM } from './litellm.ts'
import { reportText } from './report.ts'

const catalog = createCatalog()
// biome-ignore lint/suspicious/noExplicitAny: tests reach into files of many shapes
function imported(text: string, environment: Record<string, string> = {}): { file: any; said: string; report: any } {
  const { file, report } = fromLiteLLM(parse(text, { merge: true }), { providers, catalog, environment })
  parseStrict(File, file)
  return { file, report, said: reportText(report) }
}
const has = (said: string, ...words: string[]) => {
  for (const each of words) assert.ok(said.includes(each), `${each} is not in:\n${said}`)
}

test('deployments of one name are one route, by weight, with order, timeouts, prices and limits', () => {
  const { file, said, report } = imported(`
model_list:
  - model_name: gpt-4o
    litellm_params:
      { model: azure/eu-deployment, api_base: https://acme-eu.openai.azure.com/, api_key: os.environ/AZURE_EU, api_version: "2024-10-21", rpm: 600, order: 1, timeout: 30, stream_timeout: 5 }
  - model_name: gpt-4o
    litellm_params: { model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, rpm: 200, tpm: 9000, temperature: 0.5, tags: [paid] }
  - model_name: ours
    litellm_params: { model: hosted_vllm/ours, api_base: http://10.0.0.7:8000, input_cost_per_token: 0.00000015, output_cost_per_token: 6e-7 }
    model_info: { max_input_tokens: 32000, max_tokens: 4096, mode: chat, id: abc }
`)
  assert.deepEqual(file.upstreams, {
    'azure-acme-eu': {
      provider: 'azure',
      options: { apiVersion: '2024-10-21', resource: 'acme-eu' },
      credentials: [{ id: 'main' }],
    },
    'vllm-10.0.0.7-8000': { provider: 'vllm', baseUrl: 'http://10.0.0.7:8000/v1' },
  })
  const five = { headersStreamedMs: 5_000, firstContentMs: 5_000, idleMs: 5_000 }
  assert.deepEqual(file.routes['gpt-4o'], {
    strategy: 'weighted',
    targets: [
      {
        upstream: 'azure-acme-eu',
        model: 'eu-deployment',
        weight: 600,
        order: 1,
        timeouts: { headersUnstreamedMs: 30_000, ...five },
      },
      { upstream: 'openai', model: 'gpt-4o', weight: 200, tags: ['paid'], defaults: { temperature: 0.5 } },
    ],
  })
  const [ours] = file.routes.ours.targets
  assert.deepEqual(ours.capabilities, { contextTokens: 32_000, outputTokens: 4_096 })
  assert.deepEqual(file.prices, { 'vllm-10.0.0.7-8000/ours': [{ rates: { input: '0.15', output: '0.6' } }] })
  assert.deepEqual(file.modules, { 'rate-limits': { mode: 'enforce' } })
  has(
    said,
    'stockyard upstreams set azure-acme-eu --provider azure --option apiVersion=2024-10-21 --option resource=acme-eu --secret-env AZURE_EU',
    'OPENAI_API_KEY is set where the gateway is started',
    'stockyard limits create --scope upstream=azure-acme-eu,model=gpt-4o --requests 600/minute',
    'stockyard limits create --scope upstream=openai,model=gpt-4o --tokens 9000/minute',
    'model_info.id',
  )
  assert.equal(report.differs.length, 0)
})

test('strategies, retries, timeouts, fallbacks of every kind, aliases and cool-downs', () => {
  const list = ['a', 'b', 'c'].map(
    (name) => `  - { model_name: ${name}, litellm_params: { model: groq/${name}, api_key: os.environ/GROQ_API_KEY } }`,
  )
  const { file, said } = imported(`
model_list:
${list.join('\n')}
  - { model_name: a, litellm_params: { model: mistral/a, weight: 3 } }
  - { model_name: "openai/*", litellm_params: { model: "openai/*" } }
router_settings:
  routing_strategy: latency-based-routing
  num_retries: 1
  timeout: 20
  allowed_fails: 4
  cooldown_time: 45
  fallbacks: [{ a: [b, openai/gpt-4.1, nobody] }, { ghost: [a] }]
  context_window_fallbacks: [{ a: [c] }]
  model_group_alias: { best: a, quiet: { model: b, hidden: true }, c: a }
litellm_settings:
  content_policy_fallbacks: [{ b: [a] }]
  default_fallbacks: [c]
  fallbacks: [{ b: [a] }]
  drop_params: true
  request_timeout: 600
  cache: true
  cache_params: { type: redis-semantic, ttl: 90, host: h }
`)
  assert.equal(file.routes.a.strategy, 'latency')
  assert.equal(file.routes.b.strategy, undefined)
  assert.deepEqual(file.routes.a.targets[1], { upstream: 'mistral', model: 'a', weight: 3 })
  assert.deepEqual(file.routes.a.fallbacks, { general: ['b', 'openai/gpt-4.1'], contextWindow: ['c'] })
  assert.deepEqual(file.routes.b.fallbacks, { general: ['c'], contentPolicy: ['a'] })
  assert.equal(file.routes.c.fallbacks, undefined)
  assert.equal(file.routes.a.unsupported, 'drop')
  assert.equal(file.routes.a.timeouts.headersUnstreamedMs, 20_000)
  assert.deepEqual(file.aliases, { 'openai/*': { model: 'openai/*' }, best: { model: 'a' }, quiet: { model: 'b' } })
  assert.deepEqual(file.modules, {
    failover: { mode: 'enforce', settings: { attemptsPerTarget: 2, attempts: 5 } },
    breakers: { mode: 'enforce', settings: { minimumCalls: 5, windowMs: 60_000, cooldownMs: 45_000 } },
    cache: { mode: 'enforce', settings: { ttlSeconds: 90 } },
  })
  has(
    said,
    'there is no model "nobody"',
    '(ghost)',
    'only equal requests are answered',
    'model_group_alias (c)',
    'cache_params',
  )
})

test('no secret is in the file or in what is said, and each is named with the command that sets it', () => {
  const { file, said, report } = imported(`
environment_variables: { REDIS_PASSWORD: hidden-0 }
model_list:
  - model_name: one
    litellm_params: { model: openai/gpt-4o, api_key: hidden-1, extra_headers: { Authorization: hidden-2, x-team: search } }
  - { model_name: two, litellm_params: { model: openai/gpt-4o, api_key: hidden-3 } }
  - { model_name: same, litellm_params: { model: openai/gpt-4o-mini, api_key: hidden-3 } }
  - model_name: aws
    litellm_params: { model: bedrock/converse/eu.anthropic.claude-sonnet-4-5-20250929-v1:0, aws_region_name: eu-central-1, aws_access_key_id: hidden-4, aws_secret_access_key: hidden-5 }
  - model_name: google
    litellm_params: { model: vertex_ai/gemini-2.5-pro, vertex_project: acme, vertex_location: us-central1, vertex_credentials: '{"private_key":"hidden-6"}' }
  - { model_name: url, litellm_params: { model: openai/x, api_base: "https://me:hidden-7@llm.example/v1" } }
general_settings: { master_key: hidden-8, database_url: "postgres://hidden-9" }
litellm_settings: { cache_params: { password: hidden-10 }, anything: hidden-11 }
`)
  assert.doesNotMatch(said + JSON.stringify(file), /hidden/)
  assert.deepEqual(Object.keys(file.upstreams), ['openai', 'openai-2', 'bedrock', 'vertex'])
  assert.deepEqual(file.upstreams.openai.headers, { 'x-team': 'search' })
  assert.equal(file.routes.same.targets[0].upstream, 'openai-2')
  assert.equal(file.upstreams.bedrock.options.credentials, 'keys')
  assert.deepEqual(file.modules.keys, { mode: 'enforce' })
  assert.equal(report.before.length, 4)
  has(
    said,
    'stockyard upstreams set openai-2 --provider openai --secret-env OPENAI_2_KEY',
    'header Authorization',
    'model_list[5] (url)',
    'general_settings.database_url',
    'environment_variables',
    'litellm_settings.anything',
  )
})

test("a server with the OpenAI API, an address in a variable, and providers' own places", () => {
  const { file, said } = imported(
    `
model_list:
  - { model_name: a, litellm_params: { model: openai/our-7b, api_base: os.environ/OUR_URL, api_key: none } }
  - { model_name: b, litellm_params: { model: azure/dep, api_base: os.environ/UNSET, api_key: os.environ/K } }
  - { model_name: c, litellm_params: { model: ollama_chat/llama3.2, api_base: "http://localhost:11434" } }
  - { model_name: d, litellm_params: { model: together_ai/meta-llama/Llama-3.3-70B, api_base: "https://api.together.xyz/v1/" } }
  - { model_name: e, litellm_params: { model: claude-sonnet-4-5 } }
  - { model_name: f, litellm_params: { model: replicate/x } }
  - { model_name: h, litellm_params: { model: azure_ai/mistral-large, api_base: "https://acme.services.ai.azure.com/models", api_key: os.environ/K } }
  - { model_name: g, litellm_params: { model: vertex_ai/gemini-2.5-pro } }
  - { model_name: "x-*-y", litellm_params: { model: "openai/*" } }
`,
    { OUR_URL: 'https://llm.acme.example/v1' },
  )
  assert.deepEqual(file.upstreams['custom-llm.acme.example'], {
    provider: 'custom',
    baseUrl: 'https://llm.acme.example/v1',
    credentials: [{ id: 'main' }],
  })
  assert.equal(file.routes.c.targets[0].upstream, 'ollama-localhost-11434')
  assert.equal(file.upstreams['ollama-localhost-11434'].baseUrl, 'http://localhost:11434/v1')
  assert.deepEqual(file.routes.d.targets, [{ upstream: 'together', model: 'meta-llama/Llama-3.3-70B' }])
  assert.deepEqual(file.routes.e.targets, [{ upstream: 'anthropic', model: 'claude-sonnet-4-5' }])
  assert.deepEqual(file.upstreams['azure-foundry-acme'].options, { resource: 'acme' })
  assert.deepEqual(Object.keys(file.routes), ['a', 'c', 'd', 'e', 'h'])
  has(said, 'UNSET is not set here', 'model_list[1] (b)', '"replicate/x"', 'model_list[7] (g)', 'model_list[8] (x-*-y)')
})

test('budgets of everybody, of a provider, of a deployment and of end users are made by commands', () => {
  const { file, said } = imported(`
model_list:
  - { model_name: a, litellm_params: { model: groq/x, max_budget: 5, budget_duration: 7d } }
router_settings: { provider_budget_config: { groq: { budget_limit: 0.5, time_period: 1d }, openai: { budget_limit: 1, time_period: 1d } } }
litellm_settings: { max_budget: 100, budget_duration: 30d, max_end_user_budget: 2 }
`)
  assert.deepEqual(file.modules.budgets, { mode: 'enforce' })
  has(
    said,
    'stockyard budgets create --amount 100 --window month',
    'stockyard budgets create --scope upstream=groq,model=a --amount 5 --window week',
    'stockyard budgets create --scope upstream=groq --amount 0.5 --window day',
    "stockyard budgets create --scope 'endUser=*' --amount 2 --window lifetime",
    'provider_budget_config (openai)',
  )
})

test('what is empty, of the wrong shape or hostile is said, and harms nothing', () => {
  for (const text of [
    '',
    '[]',
    'hello',
    'model_list:',
    'model_list: 7',
    'model_list: [7, null, {}, [], {model_name: x}]',
  ]) {
    const { file, report } = imported(text)
    assert.deepEqual(file, {}, text)
    assert.ok(report.missing.length > 0, text)
  }
  const { file } = imported(`
model_list: [{ model_name: __proto__, litellm_params: { model: groq/x, order: -1, weight: lots, rpm: -4 } }]
router_settings: { fallbacks: [7, { __proto__: [x] }], model_group_alias: [1], routing_strategy: dice, num_retries: 99, cooldown_time: 0 }
litellm_settings: 3
general_settings: [a]
`)
  assert.deepEqual(Object.keys(file.routes), ['__proto__'])
  assert.equal(file.modules.failover.settings.attempts, 11)
  assert.equal(perMillion(1e-20), undefined)
  assert.equal(perMillion(0), '0')
  assert.equal(perMillion(0.00001), '10')
})

test('the command writes the file once, answers as JSON, and names the place of a mistake without quoting it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'stockyard-import-'))
  try {
    const run = (...words: string[]) =>
      spawnSync(
        process.execPath,
        [resolve(import.meta.dirname, '../../../scripts/start.mjs'), 'import', 'litellm', ...words],
        {
          encoding: 'utf8',
        },
      )
    const [good, bad, out] = ['good.yaml', 'bad.yaml', 'stockyard.yaml'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ]
    writeFileSync(
      good,
      'model_list: [{ model_name: a, litellm_params: { model: groq/b, api_key: os.environ/GROQ_API_KEY } }]',
    )
    writeFileSync(bad, 'model_list:\n  - api_key: "sk-hidden\n  x: [')
    const file = { routes: { a: { targets: [{ upstream: 'groq', model: 'b' }] } } }
    const printed = run(good)
    assert.deepEqual(parse(printed.stdout), file)
    assert.match(printed.stderr, /GROQ_API_KEY/)
    assert.deepEqual(JSON.parse(run(good, '--json').stdout).file, file)
    assert.equal(run(good, '--write', out).status, 0)
    assert.deepEqual(parse(readFileSync(out, 'utf8')), file)
    const again = run(good, '--write', out)
    assert.equal(again.status, 1)
    assert.match(again.stderr, /exists/)
    const broken = run(bad)
    assert.equal(broken.status, 1)
    assert.match(broken.stderr, /not YAML: .* line \d+/)
    assert.doesNotMatch(broken.stderr + broken.stdout, /hidden/)
    assert.match(run(join(folder, 'none.yaml')).stderr, /ENOENT/)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
