/** E-mail addresses: RFC 5321 in its everyday part, internationalized letters included. */
import type { Detector } from '../detector.ts'

const LOCAL = /[\p{L}\p{N}._%+-]/u
const MOST_LOCAL = 64

/** Backwards from the at sign over what may stand in front of it. */
function localPart(text: string, at: number): number {
  let from = at
  while (from > 0 && at - from <= MOST_LOCAL && isLocal(text, from - 1)) from--
  if (at - from > MOST_LOCAL) return -1
  while (from < at && !/[\p{L}\p{N}_]/u.test(text[from] as string)) from++
  return from < at ? from : -1
}
function isLocal(text: string, position: number): boolean {
  const code = text.charCodeAt(position)
  if (code < 128)
    return (code >= 97 && code <= 122) || (code >= 48 && code <= 57) || LOCAL.test(text[position] as string)
  return LOCAL.test(text[position] as string)
}

export const email: Detector = {
  entity: 'EMAIL',
  needs: '@',
  pattern: /@(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?\.){1,6}\p{L}{2,24}(?![\p{L}\p{N}@])/gu,
  head: localPart,
  check: (found) => !found.includes('..') && !found.includes('.@'),
  certainty: 11,
}

/** Written so that machines overlook it: `jane (at) example (dot) com`, `jane @ example . com`. */
export const emailSpelled: Detector = {
  entity: 'EMAIL',
  needs: / ?@ | @|[([{] ?(?:at|dot)| dot /i,
  pattern:
    /(?<![\p{L}\p{N}._%+-])[\p{L}\p{N}_][\p{L}\p{N}._%+-]{0,63}(?: ?@ ?| ?[([{] ?at ?[)\]}] ?| at )[\p{L}\p{N}][\p{L}\p{N}-]{0,40}(?:(?: ?\. ?| ?[([{] ?dot ?[)\]}] ?| dot )[\p{L}\p{N}-]{1,30}){0,3}(?: ?\. ?| ?[([{] ?dot ?[)\]}] ?| dot )(?:com|org|net|edu|gov|io|de|fr|es|it|pt|nl|uk|us|eu|ch|at|info|biz|dev|co|ai|example)(?![\p{L}\p{N}])/giu,
  check: (found) => /[@([{]/.test(found) || / at .* dot /i.test(found),
  certainty: 8,
  requestsOnly: true,
}
