/** The rules over a request, in their order: a refusal, a request with places redacted, or notes. */
import type { Exchange } from '../../core/exchange.ts'
import type { Host } from '../../core/module.ts'
import type { ModelRequest } from '../../core/request.ts'
import { eachText, mapTexts } from '../../core/texts.ts'
import { type Compiled, evidence, fired } from './compiled.ts'
import { LONG_TEXT, redacted, type Span } from './spans.ts'
import { ask } from './webhook.ts'

export function checkRequest(
  host: Host,
  rules: readonly Compiled[],
  x: Exchange,
  request: ModelRequest,
): ModelRequest | Promise<ModelRequest> {
  const texts: string[] = []
  eachText(request, (text) => texts.push(text))
  const slow = rules.some(
    ({ rule }) => rule.type === 'webhook' || (rule.type === 'regex' && texts.some((text) => text.length >= LONG_TEXT)),
  )
  const now = [...texts]
  const rest = (): ModelRequest => {
    let next = 0
    return mapTexts(request, () => now[next++] as string)
  }
  if (!slow) {
    for (const compiled of rules) atOnce(host, compiled, x, now)
    return rest()
  }
  return inTime(host, rules, x, now).then(rest)
}

async function inTime(host: Host, rules: readonly Compiled[], x: Exchange, texts: string[]): Promise<void> {
  for (const compiled of rules) {
    const { rule, finds } = compiled
    if (rule.type === 'webhook') {
      const { verdict, reason = 'as the webhook says', texts: others } = await ask(host, rule, x, 'request', texts)
      if (verdict === 'allow') continue
      fired(host, x, rule, verdict, reason)
      if (verdict === 'block') host.refuse('guardrail_blocked', { rule: rule.id, reason })
      if (verdict === 'redact') for (const [i, text] of (others ?? []).entries()) texts[i] = text
    } else if (finds && rule.type === 'regex') {
      for (const [i, text] of texts.entries()) {
        const spans =
          text.length < LONG_TEXT
            ? finds(text)
            : await host.worker.call<Span[]>('find', { patterns: rule.patterns, text })
        texts[i] = acted(host, compiled, x, text, spans)
      }
    } else atOnce(host, compiled, x, texts)
  }
}

function atOnce(host: Host, compiled: Compiled, x: Exchange, texts: string[]): void {
  const { rule, finds, judge } = compiled
  if (finds) for (const [i, text] of texts.entries()) texts[i] = acted(host, compiled, x, text, finds(text))
  const reason = judge?.(texts)
  if (reason === undefined) return
  fired(host, x, rule, rule.action, reason)
  // There is no place to redact in what is said as a whole.
  if (rule.action !== 'flag') host.refuse('guardrail_blocked', { rule: rule.id, reason })
}

function acted(host: Host, { rule }: Compiled, x: Exchange, text: string, spans: readonly Span[]): string {
  const [first] = spans
  if (!first) return text
  const reason = evidence(text, first.start, first.end)
  fired(host, x, rule, rule.action, reason)
  if (rule.action === 'block')
    host.refuse('guardrail_blocked', { rule: rule.id, reason: 'the request holds what it denies' })
  return rule.action === 'redact' ? redacted(text, spans) : text
}
