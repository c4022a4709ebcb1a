/** What was made of a LiteLLM configuration runs: secrets by the commands it names, then the file, then requests. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse, stringify } from 'yaml'
import { createCatalog } from '../../src/catalog/catalog.ts'
import { fromLiteLLM } from '../../src/cli/import/litellm.ts'
import { providers } from '../../src/providers/index.ts'
import { runGateway } from '../running/index.ts'

test('an imported configuration is applied, and its route, alias, wildcard, fallback and limits serve', async (t) => {
  const gateway = await runGateway(t, { upstreams: {} })
  const written = `
model_list:
  - model_name: assistant
    litellm_params: { model: openai/gpt-4o-mini, api_base: "${gateway.upstream.url}/v1", api_key: os.environ/OUR_KEY, input_cost_per_token: 0.000001, output_cost_per_token: 0.000002 }
  - model_name: dead
    litellm_params: { model: hosted_vllm/x, api_base: "http://127.0.0.1:1/v1" }
  - model_name: "team/*"
    litellm_params: { model: "openai/*", api_base: "${gateway.upstream.url}/v1", api_key: os.environ/OUR_KEY }
router_settings:
  num_retries: 0
  model_group_alias: { gpt-4: assistant }
  fallbacks: [{ dead: [assistant] }]
general_settings: { master_key: sk-1234 }
`
  const { file, report } = fromLiteLLM(parse(written), { providers, catalog: createCatalog(), environment: {} })
  const { upstreams } = file as {
    upstreams: Record<string, { provider: string; baseUrl: string; credentials?: { id: string }[] }>
  }
  for (const [id, { credentials, ...upstream }] of Object.entries(upstreams)) {
    if (!credentials) continue
    assert.ok(report.before.some(({ what }) => what.startsWith(`stockyard upstreams set ${id} `)))
    await gateway.admin('PUT', `upstreams/${id}`, {
      ...upstream,
      credentials: [{ id: 'main', secret: 'sk-of-the-import' }],
    })
  }
  const configuration = parse(stringify(file, { aliasDuplicateObjects: false }))
  assert.ok((await gateway.admin('POST', 'config/plan', { configuration })).changes.length > 0)
  await gateway.admin('POST', 'config/apply', { configuration })
  assert.deepEqual((await gateway.admin('POST', 'config/plan', { configuration })).changes, [])

  assert.equal(
    (await gateway.chat('assistant', 'hello')).status,
    401,
    'as with a master key, nobody calls without a key',
  )
  const { headers } = gateway.key()
  for (const model of ['assistant', 'gpt-4', 'team/gpt-4o-mini', 'dead']) {
    const answer = await gateway.chat(model, 'hello', {}, headers)
    assert.equal(answer.status, 200, `${model}: ${answer.text}`)
    assert.match(String(answer.headers['x-stockyard-upstream']), /^custom-127\.0\.0\.1/)
    assert.ok(Number(answer.headers['x-stockyard-cost-usd']) > 0, model)
  }
})
