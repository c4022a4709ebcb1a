/** Changes settings inside a file that belongs to somebody else: what is not meant stays as it is, byte for byte if it can. */
import { parseDocument, YAMLMap, YAMLSeq } from 'yaml'
import type { Settings, Value } from './clients.ts'

/** Throws if the file cannot be understood: then nothing is to be written. */
export function changed(before: string, settings: Settings): string {
  switch (settings.format) {
    case 'json':
      return json(before, settings)
    case 'yaml':
      return yaml(before, settings)
    case 'toml':
      return settings.set.reduce(toml, before)
    case 'env':
      return settings.set.reduce(env, before)
  }
}

type Place = readonly string[]
type Entry = readonly [place: Place, value: Value]

function json(before: string, { set }: Settings): string {
  const parsed: unknown = before.trim() === '' ? {} : JSON.parse(before)
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw new Error('it holds no JSON object')
  const indent = /^(?:\{\r?\n)([ \t]+)"/.exec(before)?.[1] ?? '  '
  const merged = set.reduce((object, [place, value]) => placed(object, place, value), parsed as Readonly<Tree>)
  return `${JSON.stringify(merged, null, indent)}\n`
}
interface Tree {
  [name: string]: unknown
}

function placed(object: Readonly<Tree>, [name = '', ...deeper]: Place, value: Value): Tree {
  const inner = object[name]
  const isTree = typeof inner === 'object' && inner !== null && !Array.isArray(inner)
  const next = deeper.length === 0 ? value : placed(isTree ? (inner as Tree) : {}, deeper, value)
  return name in object
    ? Object.fromEntries(Object.entries(object).map(([n, old]) => [n, n === name ? next : old]))
    : Object.fromEntries([...Object.entries(object), [name, next]])
}

function yaml(before: string, { set, item }: Settings): string {
  const document = parseDocument(before)
  const [problem] = document.errors
  if (problem) throw problem
  for (const [place, value] of set) document.setIn([...place], value)
  if (item) {
    if (!document.has('name')) document.set('name', 'Main config')
    if (!document.has('version')) document.set('version', '1.0.0')
    if (!document.has('schema')) document.set('schema', 'v1')
    const list = document.get(item.list)
    const node = parseDocument(item.text).contents
    if (!(list instanceof YAMLSeq)) document.set(item.list, document.createNode([node]))
    else {
      const at = list.items.findIndex((each) => each instanceof YAMLMap && each.get('name') === item.name)
      if (at < 0) list.add(node)
      else list.set(at, node)
    }
  }
  return String(document)
}

/** A place is a key at the top, or a table and a key in it. Values are on one line. */
function toml(before: string, [place, value]: Entry): string {
  const [table, key] = place.length === 1 ? [undefined, place[0] as string] : [place[0] as string, place[1] as string]
  const line = `${key} = ${JSON.stringify(value)}`
  const lines = before === '' ? [] : before.replace(/\n$/, '').split('\n')
  const isTable = (text: string): boolean => /^\s*\[/.test(text)
  let from = 0
  if (table !== undefined) {
    const at = lines.findIndex((text) => text.trim().replace(/\s*#.*$/, '') === `[${table}]`)
    if (at < 0) return `${[...lines, ...(lines.length > 0 ? [''] : []), `[${table}]`, line].join('\n')}\n`
    from = at + 1
  }
  const next = lines.findIndex((text, i) => i >= from && isTable(text))
  const to = next < 0 ? lines.length : next
  const known = lines.findIndex(
    (text, i) => i >= from && i < to && text.split('=', 1)[0]?.trim() === key && text.includes('='),
  )
  if (known >= 0) lines[known] = line
  else {
    let end = to
    while (end > from && lines[end - 1]?.trim() === '') end--
    // A key at the top that is followed by a table keeps its distance.
    const gap = table === undefined && end === 0 && lines.length > 0 ? [''] : []
    lines.splice(end, 0, line, ...gap)
  }
  return `${lines.join('\n')}\n`
}

function env(before: string, [place, value]: Entry): string {
  const [name = ''] = place
  const line = `${name}=${String(value)}`
  const lines = before === '' ? [] : before.replace(/\n$/, '').split('\n')
  const at = lines.findIndex((text) => new RegExp(`^\\s*(?:export\\s+)?${name}\\s*=`).test(text))
  if (at >= 0) lines[at] = line
  else lines.push(line)
  return `${lines.join('\n')}\n`
}

/** What goes and what comes, with the unchanged lines around in place. */
export function difference(before: string, after: string): string[] {
  const [a, b] = [linesOf(before), linesOf(after)]
  const common: number[][] = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0))
  const at = (i: number, j: number): number => common[i]?.[j] ?? 0
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const row = common[i] as number[]
      row[j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1))
    }
  }
  const out: string[] = []
  let [i, j] = [0, 0]
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      out.push(`  ${a[i]}`)
      i++
      j++
    } else if (j < b.length && (i === a.length || at(i, j + 1) >= at(i + 1, j))) out.push(`+ ${b[j++]}`)
    else out.push(`- ${a[i++]}`)
  }
  return out
}
const linesOf = (text: string): string[] => (text === '' ? [] : text.replace(/\n$/, '').split('\n'))
