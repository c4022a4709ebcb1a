/**
 * How makers' models turn text into tokens, as far as we can tell from outside (state of 2026-11): for OpenAI's its own
 * encodings; for the others those same encodings and by how much their counts differ, fitted to recorded answers whose
 * usage is known. What surrounds the text (a message's frame, a call's) is each maker's own.
 */

export interface Tokens {
  readonly encoding: 'o200k' | 'cl100k'
  /** Tokens of this maker for one of the encoding's. */
  readonly factor: number
  readonly perRequest: number
  readonly perMessage: number
  readonly perCall: number
  readonly perThought: number
  readonly perTool: number
  readonly perImage: number
  readonly perDocument: number
}

const OPENAI: Tokens = {
  encoding: 'o200k',
  factor: 1,
  // Each message is framed by three tokens, and the answer is primed with three.
  perRequest: 3,
  perMessage: 3,
  perCall: 8,
  perThought: 0,
  perTool: 8,
  perImage: 765,
  perDocument: 2_000,
}
const CLAUDE: Tokens = {
  ...OPENAI,
  factor: 1.2,
  perRequest: 3,
  perMessage: 4,
  perCall: 20,
  perThought: 12,
  perTool: 12,
  perImage: 1_500,
}
// The newer generation makes about a third more of the same text; fitted to one long recorded answer.
const CLAUDE_NEW: Tokens = { ...CLAUDE, factor: 1.345 }
const GEMINI: Tokens = {
  ...OPENAI,
  perRequest: 2,
  perMessage: 1,
  perCall: 6,
  perTool: 10,
  perImage: 258,
  perDocument: 1_000,
}
const OPEN: Tokens = { ...OPENAI, factor: 1.01, perMessage: 4, perCall: 14, perThought: 2, perTool: 12 }

const FAMILIES: readonly (readonly [name: RegExp, tokens: Tokens])[] = [
  [/claude-(?:opus-4[.-][78]|(?:opus|sonnet|haiku|fable)-[5-9])/, CLAUDE_NEW],
  [/claude/, CLAUDE],
  [/gemini|gemma/, GEMINI],
  [
    /^(?:ft:)?(?:gpt-4(?:-|$)|gpt-3\.5|gpt-35)|text-embedding|davinci-002|babbage-002/,
    { ...OPENAI, encoding: 'cl100k' },
  ],
  [/gpt|^(?:ft:)?o[1-9](?:-|$)|codex|chatgpt/, OPENAI],
  [/deepseek/, { ...OPEN, factor: 1.015, perCall: 36 }],
  [/grok/, { ...OPEN, factor: 0.99 }],
  // What Cohere bills leaves its templates out.
  [/command|aya|embed-v|rerank/, { ...OPEN, factor: 1.02, perRequest: 0, perMessage: 0, perCall: 0, perThought: 0 }],
]

/** Makers may stand before a name: `anthropic/claude-…`, `us.anthropic.claude-…`. */
export function tokensOf(model: string): Tokens {
  const name = model.slice(model.lastIndexOf('/') + 1).toLowerCase()
  return FAMILIES.find(([pattern]) => pattern.test(name))?.[1] ?? OPEN
}
