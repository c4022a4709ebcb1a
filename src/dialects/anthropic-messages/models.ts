/**
 * What the generations of Claude models take and refuse, read off their names (state of 2026-11): which kind of
 * thinking, which efforts, sampling parameters, structured outputs, forced tools. A name that says nothing of a known
 * Claude follows the newest generation; a model of another maker that speaks this API follows none of the exceptions.
 */
export interface ModelRules {
  /** `manual`: a token budget. `adaptive`: the model decides under an effort. `both`: either may be sent. */
  readonly thinking: 'none' | 'manual' | 'both' | 'adaptive'
  /** Thinks even when not asked to: switching it off must be said. */
  readonly thinksUnasked: boolean
  /** Answers 400 to `thinking: {type: "disabled"}`. */
  readonly mustThink: boolean
  /** The highest effort it knows. */
  readonly topEffort: 'max' | 'xhigh'
  /** Takes `thinking.display`. */
  readonly display: boolean
  /** Answers 400 to temperature, top_p and top_k other than their defaults. */
  readonly fixedSampling: boolean
  /** Takes temperature, top_p and top_k while it thinks. */
  readonly samplesThinking: boolean
  /** Takes temperature or top_p, not both. */
  readonly eitherSampling: boolean
  /** `output_config.format` and strict tools. */
  readonly structured: boolean
  /** `tool_choice` `any` and `tool`. */
  readonly forcedTools: boolean
}

const OTHER_MAKERS: ModelRules = {
  thinking: 'manual',
  thinksUnasked: true,
  mustThink: false,
  topEffort: 'max',
  display: false,
  fixedSampling: false,
  samplesThinking: true,
  eitherSampling: false,
  structured: false,
  forcedTools: true,
}

/** `claude-opus-4-5-20251101`, `us.anthropic.claude-sonnet-4-6`, `claude-opus-4.7`: a minor has at most two digits. */
const FAMILY_FIRST = /claude-([a-z]+)(?:-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d))?/
/** `claude-3-5-sonnet-20241022`, `claude-3.7-sonnet`, `claude-2.1`. */
const VERSION_FIRST = /claude-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)(?:-([a-z]+))?/

export function rulesOf(model: string): ModelRules {
  const name = model.toLowerCase()
  if (!name.includes('claude')) return OTHER_MAKERS
  const { family, version } = generationOf(name)
  const isAtLeast = (least: number): boolean => version >= least
  const isUnbound = family === 'fable' || family === 'mythos'
  const isAdaptiveOnly = isAtLeast(500) || (family === 'opus' && isAtLeast(407))
  return {
    thinking: isAdaptiveOnly ? 'adaptive' : isAtLeast(406) ? 'both' : isAtLeast(307) ? 'manual' : 'none',
    thinksUnasked: isAtLeast(500),
    mustThink: isUnbound || (isAtLeast(505) && family !== 'haiku'),
    topEffort: isAdaptiveOnly ? 'xhigh' : 'max',
    display: isAtLeast(400),
    fixedSampling: isAdaptiveOnly,
    samplesThinking: false,
    eitherSampling: isAtLeast(401),
    structured: isAtLeast(405),
    forcedTools: !((isAtLeast(505) && family !== 'haiku') || (family === 'fable' && isAtLeast(501))),
  }
}

/** `version` is major × 100 + minor; a Claude without a readable version counts as 5.0. */
function generationOf(name: string): { family: string; version: number } {
  const old = VERSION_FIRST.exec(name)
  if (old) return { family: old[3] ?? 'claude', version: Number(old[1]) * 100 + Number(old[2] ?? 0) }
  const match = FAMILY_FIRST.exec(name)
  const family = match?.[1] ?? 'claude'
  if (family === 'instant') return { family, version: 100 }
  return { family, version: match?.[2] === undefined ? 500 : Number(match[2]) * 100 + Number(match[3] ?? 0) }
}
