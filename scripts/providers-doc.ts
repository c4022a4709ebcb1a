/**
 * Writes docs/providers.md from the definitions in src/providers. `--check` fails if the committed page is not what
 * would be written.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type Endpoint, type Provider, pathOf } from '../src/core/provider.ts'

const FOLDER = new URL('../src/providers/', import.meta.url)
const PAGE = new URL('../docs/providers.md', import.meta.url)

async function definitions(): Promise<Provider[]> {
  const files = readdirSync(FOLDER).filter((file) => file.endsWith('.ts') && !/^index\.ts$|\.test\.ts$/.test(file))
  const modules = await Promise.all(files.map((file) => import(new URL(file, FOLDER).href)))
  const all = modules.map((module) => (module as { default: Provider }).default)
  return all
    .filter((provider) => !provider.baseUrl?.startsWith('builtin:'))
    .sort((a, b) => a.title.localeCompare(b.title, 'en'))
}

const code = (text: string): string => `\`${text}\``

/** Placeholders where an option stands in the path, and a model of each kind that a vendor tells apart. */
const SHOWN = { project: '{project}', location: '{location}' }
const KINDS = [
  'MODEL',
  'claude-MODEL',
  'anthropic.claude-MODEL',
  'cohere.embed-MODEL',
  'cohere.rerank-MODEL',
  'maker/MODEL',
  'embedding-MODEL',
]

const endpointText = (endpoint: Endpoint): string => {
  for (const model of KINDS) {
    const path = pathOf(endpoint, { model, stream: false, options: SHOWN })
    if (path === undefined) continue
    const shown = path.replace(encodeURIComponent(model), '{model}')
    return model === 'MODEL' ? shown : `${shown} (${model.replace('MODEL', '…')})`
  }
  return ''
}

function notesOf(provider: Provider): string {
  const notes: string[] = []
  if (provider.local) notes.push('local: needs no key, list price 0')
  else if (!provider.environment) notes.push('never adopted from the environment')
  if (provider.catalog === undefined) notes.push('no list prices')
  if (provider.sign) notes.push(`key sent as ${code(Object.keys(provider.sign('')).join(', '))}`)
  if (provider.quirks?.noStreamOptions) notes.push(`${code('stream_options')} is not sent`)
  if (provider.signer) notes.push('signs its calls, see below')
  if (provider.forward) notes.push(`passes on ${provider.forward.map(code).join(', ')}`)
  return notes.join('; ')
}

function row(provider: Provider): string {
  const { title, docs, id, environment, baseUrl, speaks } = provider
  const cells = [
    docs ? `[${title}](${docs})` : title,
    code(id),
    environment
      ? [environment.key, environment.baseUrl].flatMap((name) => (name ? [code(name)] : [])).join('<br>')
      : '–',
    baseUrl ? code(baseUrl) : provider.baseUrlOf ? 'from its options' : 'to be configured',
    Object.entries(speaks)
      .map(([dialect, endpoint]) => `${dialect} ${code(endpointText(endpoint))}`)
      .join('<br>'),
    notesOf(provider),
  ]
  return `| ${cells.join(' | ')} |`
}

interface Field {
  readonly description?: string
  readonly default?: unknown
  readonly anyOf?: readonly { readonly const?: string }[]
}

/** The options of each provider that has some, with what their schemas say of them. */
function optionsOf({ title, options }: Provider): string {
  if (!options) return ''
  const needed = new Set<string>(options.required ?? [])
  const rows = Object.entries(options.properties as Record<string, Field>).map(([name, field]) => {
    const usual = field.default === undefined ? '' : ` (${code(String(field.default))} if left out)`
    const must = needed.has(name) && field.default === undefined ? ', needed' : ''
    const words = (field.anyOf ?? []).flatMap((word) => (word.const === undefined ? [] : [code(word.const)]))
    const oneOf = words.length > 0 ? ` One of ${words.join(', ')}.` : ''
    return `| ${code(name)}${must} | ${field.description ?? ''}${oneOf}${usual} |`
  })
  return `### ${title}\n\n| option | what it says |\n|---|---|\n${rows.join('\n')}\n`
}

const page = (providers: readonly Provider[]): string => `# Providers

<!-- Written by scripts/providers-doc.ts from src/providers; edit there. -->

A key in one of these environment variables becomes an upstream of the provider's id at the next start; a local server
becomes one as soon as its base URL variable is set. Anything else is added through the admin API with the same ids. Only
variables that belong to an LLM service are adopted: a general credential never is, even where it would work.

A base URL has no trailing slash. It includes the version segment wherever the default in the table does, also in the
variables: for the local servers that is \`/v1\`, and for the others it is what the vendor's own SDK expects.

Prices come from a dated table in the project; a provider without list prices is relayed and counted, and its calls are
flagged as unpriced until an administrator enters a price. Any other server that speaks the OpenAI API is ${code('custom')}.

| provider | id | environment | base URL | endpoints | notes |
|---|---|---|---|---|---|
${providers.map(row).join('\n')}

## Options

What an upstream at these providers says besides: \`options\` in the admin API and in \`stockyard.yaml\`,
\`--option name=value\` in the command:

\`\`\`
stockyard upstreams set bedrock --provider bedrock --option region=eu-central-1 --option credentials=web-identity
\`\`\`

Credentials that are fetched are fetched once for all calls, renewed before they end while calls go on with the old ones, and
replaced once when the vendor refuses them. Whatever is asked for them is asked through the same guarded way out as the
calls themselves. A secret of Bedrock is a Bedrock API key, or \`<access key id>:<secret access key>\` with
\`:<session token>\` if there is one; one of Vertex AI is the JSON of a service account or of a federation.

${providers
  .map(optionsOf)
  .filter((text) => text !== '')
  .join('\n')}`

const text = page(await definitions())
if (process.argv.includes('--check')) {
  let committed = ''
  try {
    committed = readFileSync(PAGE, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  if (committed !== text) {
    console.error('docs/providers.md is not what scripts/providers-doc.ts writes; run: node scripts/providers-doc.ts')
    process.exitCode = 1
  }
} else {
  writeFileSync(PAGE, text)
}
