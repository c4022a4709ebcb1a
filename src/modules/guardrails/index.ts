/**
 * What may be asked and answered: rules of an administrator, in their order, over all texts of requests and replies. A rule
 * blocks, redacts or flags. After `pii`, so what was hidden there is not seen here.
 */
import { defineModule } from '../../core/module.ts'
import { hides } from '../../core/texts.ts'
import { Background } from './background.ts'
import { compiledFor } from './compiled.ts'
import { GuardStage } from './reply-stage.ts'
import { RequestCheck } from './request.ts'
import { settings } from './settings.ts'
import { patternFinder } from './spans.ts'
import { judgeOf } from './whole.ts'

export default defineModule({
  id: 'guardrails',
  summary:
    'Checks requests and answers against rules: patterns, topics, secrets, code, language, injection, JSON schema, services of others.',
  layer: 'content',
  after: ['pii'],
  overridable: true,
  default: 'off',
  fault: 'closed',
  // Models and services of others are asked; each has a time limit of its own.
  patienceMs: 120_000,
  settings,
  errors: {
    guardrail_blocked: {
      status: 400,
      blame: 'client',
      retry: 'never',
      final: true,
      message: 'The guardrail "{rule}" stopped this: {reason}.',
    },
    guardrail_unreadable: {
      status: 400,
      blame: 'client',
      retry: 'never',
      final: true,
      message: 'The guardrails cannot look into the request: {problem}.',
    },
  },
  check({ rules }) {
    const problems: string[] = []
    const ids = new Set<string>()
    for (const rule of rules) {
      if (ids.has(rule.id)) problems.push(`There are two rules "${rule.id}".`)
      ids.add(rule.id)
      try {
        if (rule.type === 'regex') patternFinder(rule.patterns)
        if (rule.type === 'json-schema') judgeOf(rule, 'reply')
      } catch (error) {
        problems.push(`Rule "${rule.id}" is not accepted: ${error instanceof Error ? error.message : String(error)}.`)
      }
      if (rule.type === 'length' && rule.maxCharacters === undefined && rule.maxTokens === undefined) {
        problems.push(`Rule "${rule.id}" has no limit.`)
      }
    }
    return problems
  },
  async start(host, chosen) {
    const onRequests = await compiledFor(chosen.rules, 'request')
    const onReplies = await compiledFor(chosen.rules, 'reply')
    const background = new Background(host)
    const requests = new RequestCheck(host, onRequests, background)
    return {
      ...(onRequests.length === 0
        ? {}
        : {
            transform(x, request) {
              const unseen = chosen.unreadable === 'refuse' ? hides(x, request) : undefined
              if (unseen) host.refuse('guardrail_unreadable', unseen)
              return requests.check(x, request)
            },
          }),
      ...(onReplies.length === 0
        ? {}
        : { stream: (x) => new GuardStage(host, x, onReplies, chosen.holdBack, background) }),
    }
  },
})
