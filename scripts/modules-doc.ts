/**
 * Writes docs/modules.md from the module list: what each module is for, its settings with their defaults and limits, its
 * routes and errors. `--check` fails if the committed page differs.
 */
import type { TObject, TSchema } from 'typebox'
import { LAYERS, type Module } from '../src/core/module.ts'
import { inOrder } from '../src/core/pipeline.ts'
import { modules as list } from '../src/modules/index.ts'
import { cell, writeOrCheck } from './page.ts'

const code = (text: string): string => `\`${text}\``

interface Described extends TSchema {
  readonly type?: string
  readonly default?: unknown
  readonly description?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly const?: unknown
  readonly anyOf?: readonly Described[]
}

function takes(schema: Described): string {
  if (schema.anyOf) return schema.anyOf.map(takes).join(' or ')
  if (schema.const !== undefined) return code(JSON.stringify(schema.const))
  const { type = 'anything', minimum, maximum } = schema
  const limits = [minimum === undefined ? '' : `from ${minimum}`, maximum === undefined ? '' : `to ${maximum}`]
  return [type, ...limits.filter(Boolean)].join(' ')
}

function settingsTable(settings: TObject): string {
  const rows = Object.entries(settings.properties as Readonly<Record<string, Described>>).map(
    ([name, schema]) =>
      `| ${code(name)} | ${cell(takes(schema))} | ${code(JSON.stringify(schema.default ?? null))} | ${cell(schema.description ?? '')} |`,
  )
  if (rows.length === 0) return 'It has no settings.'
  return ['| setting | takes | default | |', '|---|---|---|---|', ...rows].join('\n')
}

function chapter(module: Module): string {
  const { id, summary, layer, fault, requires = [], settings, admin = [], errors = {} } = module
  const facts = [
    `Layer *${layer}*`,
    `${code(module.default)} unless told`,
    fault === 'open' ? 'goes on without it if it fails' : 'answers 503 if it fails',
    ...(requires.length > 0 ? [`needs ${requires.map(code).join(', ')}`] : []),
  ]
  const routes = admin.map(
    (route) => `- ${code(`${route.method} ${route.root ? '' : '/api'}/${route.path}`)}: ${route.summary}`,
  )
  const refusals = Object.entries(errors).map(
    ([name, kind]) => `| ${code(name)} | ${kind.status} | ${cell(kind.message)} |`,
  )
  return [
    `## ${code(id)}`,
    summary,
    `${facts.join('; ')}.`,
    settingsTable(settings),
    ...(routes.length > 0 ? [routes.join('\n')] : []),
    ...(refusals.length > 0 ? [['| refuses with | status | message |', '|---|---|---|', ...refusals].join('\n')] : []),
  ].join('\n\n')
}

export function modulesPage(modules: readonly Module[] = list as unknown as readonly Module[]): string {
  const chapters = inOrder(modules.map((module) => ({ module }))).map(({ module }) => chapter(module))
  return `# Modules

<!-- Written by scripts/modules-doc.ts from src/modules; edit there. -->

Every feature that can be off is a module. \`PUT /api/modules/{id}\` with \`{"mode", "settings"}\`, or
\`npm start -- modules set <id> <mode>\`, switches it; the next request runs under the new state, and a restart keeps it.
A module that is off is not part of what a request passes through, and its own routes answer 404 \`module_disabled\`.

- \`off\`: it is not there.
- \`observe\`: it runs, and what it would have done is noted in the request's trace and in its counters, but nothing is
  done. Only modules that act in no other phase than route, admit, transform, meter and stream can observe; others
  answer 400.
- \`enforce\`: it acts.

The modules stand in the order in which a request passes them: ${LAYERS.join(', ')}.

${chapters.join('\n\n')}
`
}

if (import.meta.main) writeOrCheck('docs/modules.md', modulesPage(), 'scripts/modules-doc.ts')
