/** One more try for an answer that is not the JSON that was wanted: the same model is shown what it said, and what is wrong. */
import type { Exchange } from '../../core/exchange.ts'
import type { Host } from '../../core/module.ts'
import type { Message } from '../../core/request.ts'
import type { Rule } from './settings.ts'

type JsonRule = Extract<Rule, { type: 'json-schema' }>

export const repairs = (rule: Rule, x: Exchange): rule is JsonRule =>
  rule.type === 'json-schema' && rule.repair && x.operation === 'chat' && !x.inner

const said = (role: 'user' | 'assistant', text: string): Message => ({ role, parts: [{ type: 'text', text }] })

/** The other answer. Rejects when there is none. */
export async function anotherAnswer(
  host: Host,
  x: Exchange,
  rule: JsonRule,
  answer: string,
  problem: string,
): Promise<string> {
  const asked = x.transformed ?? x.request()
  if (asked.operation !== 'chat') throw new Error('only chats can be asked again')
  const { tools: _, toolChoice: __, parallelToolCalls: ___, hostedTools: ____, choices: _____, ...request } = asked
  const wish = `Your answer cannot be used: ${problem}. Answer again, with JSON that satisfies this schema and nothing else:\n${JSON.stringify(rule.schema)}`
  const messages = [...asked.messages, ...(answer === '' ? [] : [said('assistant', answer)]), said('user', wish)]
  const text = await host.exchange(x, {
    request: { ...request, model: x.model, stream: false, messages },
    timeoutMs: rule.repairTimeoutMs,
    signal: x.signal,
  })
  return /^\s*```(?:json)?\s*\n([\s\S]*?)\n```\s*$/.exec(text)?.[1] ?? text
}
