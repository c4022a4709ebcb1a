/** A statement as CSV: a line each, what is of earlier months marked, and the total last. */
import type { Content, Line } from './statements.ts'

const COLUMNS = [
  'statement',
  'account',
  'month',
  'kind',
  'team',
  'model',
  'calls',
  'inputTokens',
  'outputTokens',
  'currency',
  'amount',
]

/** A text that a spreadsheet would take for a formula is told to be a text. */
function cell(value: string | number | null): string {
  if (value === null) return ''
  if (typeof value === 'number') return String(value)
  const plain = /^[=+\-@\t\r]/.test(value) && !/^-?\d+(?:\.\d+)?$/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain
}

export function statementCsv(content: Content): string {
  const head = [content.number ?? 'draft', content.account, content.month]
  const line = (kind: string) => (one: Line) => [
    ...head,
    kind,
    one.team,
    one.model,
    one.calls,
    one.inputTokens,
    one.outputTokens,
    'USD',
    one.chargeUsd,
  ]
  const sum = (currency: string, amount: string) => [...head, 'total', null, null, null, null, null, currency, amount]
  const rows = [
    COLUMNS,
    ...content.lines.map(line('usage')),
    ...content.corrections.map(line('correction')),
    sum('USD', content.totalUsd),
    ...(content.total ? [sum(content.total.currency, content.total.amount)] : []),
  ]
  return rows.map((cells) => `${cells.map(cell).join(',')}\r\n`).join('')
}
