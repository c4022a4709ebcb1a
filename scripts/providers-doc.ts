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

const endpointText = (endpoint: Endpoint): string =>
  pathOf(endpoint, { model: 'MODEL', stream: false, options: {} })?.replace('MODEL', '{model}') ?? ''

function notesOf(provider: Provider): string {
  const notes: string[] = []
  if (provider.local) notes.push('local: needs no key, list price 0')
  else if (!provider.environment) notes.push('never adopted from the environment')
  if (provider.catalog === undefined) notes.push('no list prices')
  if (provider.sign) notes.push(`key sent as ${code(Object.keys(provider.sign('')).join(', '))}`)
  if (provider.quirks?.noStreamOptions) notes.push(`${code('stream_options')} is not sent`)
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
    baseUrl ? code(baseUrl) : 'to be configured',
    Object.entries(speaks)
      .map(([dialect, endpoint]) => `${dialect} ${code(endpointText(endpoint))}`)
      .join('<br>'),
    notesOf(provider),
  ]
  return `| ${cells.join(' | ')} |`
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
`

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
