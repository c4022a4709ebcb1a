/**
 * Program code and SQL, by signs that prose does not have. Each sign has a weight, and a text with two points holds code; how
 * often that is right says guardrails-accuracy.md.
 */
import type { Looks } from './looks.ts'

type Sign = readonly [points: number, pattern: { test(text: string): boolean }]

/** One thing, and another at most so many characters after it: found in one pass, however often either stands. */
function followed(first: RegExp, second: RegExp, least: number, most: number): Sign[1] {
  return {
    test(text) {
      first.lastIndex = 0
      let next = -1
      for (let match = first.exec(text); match; match = first.exec(text)) {
        const end = match.index + match[0].length
        if (next < end + least) {
          second.lastIndex = end + least
          const found = second.exec(text)
          if (!found) return false
          next = found.index
        }
        if (next - end <= most) return true
      }
      return false
    },
  }
}

const CODE: readonly Sign[] = [
  [2, followed(/^ {0,3}(?:```|~~~) ?(?:[a-z+#]{1,12})? *\n/gm, /[(){}=;:<>]/g, 0, 4_000)],
  [2, /^#!\/(?:usr\/)?bin\//m],
  [2, /^[ \t]{0,80}#include\s{0,20}[<"]\w/m],
  [
    2,
    /^[ \t]{0,80}(?:public|private|protected)\s{1,20}(?:static\s{1,20}|final\s{1,20}|async\s{1,20}|override\s{1,20}){0,3}[\w<>[\]?]{1,120}\s{1,20}\w{1,80}\s{0,20}\(/m,
  ],
  [
    2,
    /^[ \t]{0,80}(?:async\s{1,20})?def\s{1,20}\w{1,80}\s{0,20}\([^)\n]{0,200}\)\s{0,20}(?:->\s{0,20}[^:\n]{1,60})?:/m,
  ],
  [
    2,
    /^[ \t]{0,80}(?:export\s{1,20})?(?:default\s{1,20})?(?:async\s{1,20})?function\*?\s{0,20}\w*\s{0,20}\([^)\n]{0,200}\)\s{0,20}(?::\s{0,20}[^{\n]{1,80})?\{/m,
  ],
  [
    2,
    /^[ \t]{0,80}(?:pub\s{1,20})?(?:async\s{1,20})?(?:fn|func)\s{1,20}(?:\([^)\n]{1,60}\)\s{0,20})?\w{1,80}\s{0,20}(?:<[^>\n]{1,60}>)?\([^)\n]{0,200}\)[^.\n]{0,80}\{/m,
  ],
  [
    2,
    /^[ \t]{0,80}(?:export\s{1,20})?(?:abstract\s{1,20})?(?:class|interface|struct|enum|trait)\s{1,20}[A-Z]\w*[^.\n]{0,80}[{:][ \t]{0,80}$/m,
  ],
  [2, /<\?php\b|<script\b[^>]{0,200}>|<!DOCTYPE html>/i],
  [
    2,
    /^[ \t]{0,80}(?:import|from)\s{1,20}[\w.]{1,120}\s{1,20}import\s{1,20}\w|^[ \t]{0,80}import\s{1,20}(?:[\w*{][^'"\n]{0,120}\s{1,20}from\s{1,20})?['"][^'"\n]+['"]|^[ \t]{0,80}using\s{1,20}[A-Z][\w.]+;|^[ \t]{0,80}import\s{1,20}[a-z]\w*(?:\.\w{1,80})+(?:\.\*)?;/m,
  ],
  [
    2,
    /^[ \t]{0,80}(?:const|let|var|val|auto)\s{1,20}(?:[\w$]+|\{[^}\n]{1,80}\})(?:\s{0,20}:\s{0,20}[^=\n]{1,60})?\s{0,20}=[^=]/m,
  ],
  [2, /=>\s{0,20}\{|\)\s{0,20}=>\s{0,20}[\w({[]/],
  [1, /^[ \t]{0,80}(?:if|for|while|switch|elif|catch)\s{0,20}\(.{1,200}\)\s{0,20}\{?[ \t]{0,80}$/m],
  [
    1,
    /^[ \t]{0,80}(?:for\s{1,20}\w{1,80}(?:\s{0,20},\s{0,20}\w{1,80})?\s{1,20}in\s{1,20}.{1,120}|if\s{1,20}.{1,120}|while\s{1,20}.{1,120}|else|try|except\b.{0,60}|with\s{1,20}.{1,120}\s{1,20}as\s{1,20}\w{1,80}):[ \t]{0,80}$/m,
  ],
  [1, /^[ \t]{0,80}[\w.$[\]]{1,120}\s{0,20}(?:[-+*/|&]?=|:=)\s{0,20}[^=\n]{1,200};?[ \t]{0,80}$/m],
  [1, /;[ \t]{0,9}\n[^\n]{0,200};[ \t]{0,9}(?:\n|$)/],
  [1, /\b\w{1,80}\.\w{1,80}\([^)\n]{0,200}\)(?:\.\w{1,80}\(|;|\s{0,20}$)/m],
  [1, /\b(?:print|printf|println|console\.log|echo|return|malloc|len|range|require)\s{0,20}\([^)\n]{0,200}\)/],
  [
    1,
    /^[ \t]{0,80}(?:return|throw|raise|yield|await|break|continue)\b[^.\n]{0,120};\s{0,20}$|^[ \t]{0,80}return\s{1,20}[\w([{'"][^.\n]{0,120}$/m,
  ],
  [1, /<\/(?:div|span|p|a|ul|li|table|body|html|button|form)>/],
  [
    1,
    /^[ \t]{0,80}[.#]?[\w-]+(?:\s{0,20}[,>]\s{0,20}[.#]?[\w-]{1,80}){0,20}\s{0,20}\{\s{0,20}\n?\s{0,20}[\w-]{1,120}\s{0,20}:\s{0,20}[^;\n]{1,120};/m,
  ],
  [1, /^\$ (?:sudo |npm |pip |git |docker |curl |cd |kubectl |apt )/m],
]

const SQL: readonly Sign[] = [
  [2, followed(/\bSELECT\b/g, /\bFROM\b\s{1,20}["`[\]\w.]/g, 1, 600)],
  [
    2,
    /\bselect\b\s{1,20}(?:distinct\s{1,20})?(?:\*|count\s{0,20}\(|[\w.]+(?:\s{0,20},\s{0,20}[\w.]{1,80}){1,60})[\s\S]{0,200}?\bfrom\b\s{1,20}["`\w.]+/i,
  ],
  [
    2,
    /\bselect\b\s{1,20}[\w.]{1,120}\s{1,20}from\b\s{1,20}["`\w.]{1,120}\s{1,20}(?:where|order\s{1,20}by|group\s{1,20}by|limit\s{1,20}\d|(?:inner |left |right )?join)\b/i,
  ],
  [
    2,
    /\binsert\s{1,20}into\s{1,20}["`[\]\w.]{1,120}\s{0,20}(?:\([^)]{1,400}\)\s{0,20})?(?:values\s{0,20}\(|select\b)/i,
  ],
  [2, /\bupdate\s{1,20}["`[\]\w.]{1,120}\s{1,20}set\s{1,20}["`[\]\w.]{1,120}\s{0,20}=/i],
  [
    2,
    /\bdelete\s{1,20}from\s{1,20}["`[\]\w.]{1,120}\s{0,20}(?:;|$|\bwhere\s{1,20}["`\w.]{1,120}\s{0,20}(?:=|<|>|in\b|like\b|is\b))/im,
  ],
  [
    2,
    /\b(?:create|alter)\s{1,20}(?:or\s{1,20}replace\s{1,20})?(?:table|view|index|database|schema)\s{1,20}(?:if\s{1,20}not\s{1,20}exists\s{1,20})?["`[\]\w.]{1,120}\s{0,20}(?:\(|as\b|add\b|drop\b|on\b|;)/i,
  ],
  [
    2,
    /\b(?:drop|truncate)\s{1,20}(?:table|view|index|database|schema)\s{1,20}(?:if\s{1,20}exists\s{1,20})?["`[\]\w.]{1,120}\s{0,20}(?:;|$|cascade\b|--)/im,
  ],
  [2, /\bunion\s{1,20}(?:all\s{1,20})?select\b/i],
  [
    2,
    /\b(?:grant|revoke)\s{1,20}(?:all|select|insert|update|delete)\b[^.\n]{0,80}\bon\s{1,20}[\w.]{1,120}\s{1,20}(?:to|from)\b/i,
  ],
  [2, /'\s{0,20}(?:or|and)\s{1,20}(?:'?\d+'?\s{0,20}=\s{0,20}'?\d+|'[^']*'\s{0,20}=\s{0,20}')/i],
]

const SETS = { code: CODE, sql: SQL } as const
const ENOUGH = 2

export function codeLooks(kinds: readonly (keyof typeof SETS)[]): Looks {
  return (text) => {
    for (const kind of kinds) {
      let points = 0
      for (const [worth, pattern] of SETS[kind]) {
        if (!pattern.test(text)) continue
        points += worth
        if (points >= ENOUGH) return kind
      }
    }
    return undefined
  }
}
