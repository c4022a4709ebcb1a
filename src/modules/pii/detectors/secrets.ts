/** Keys and tokens: by the prefixes their issuers gave them, or by what stands before a value that no word looks like. */
import { SECRET_SHAPES } from '../../../core/secret-shapes.ts'
import type { Detector } from '../detector.ts'

/** Forms that only keys have. */
export const knownSecrets: readonly Detector[] = SECRET_SHAPES.map((shape) => ({ ...shape, certainty: 11 }))

/** A value after a word like "password" that looks drawn rather than written. */
export const secret: Detector = {
  entity: 'SECRET',
  needs: /pass|pwd|secret|token|key|credent|contras|senha|kennwort/i,
  pattern:
    /(?:passw(?:or[dt])?|passwd|pwd|secret|token|api[ _-]?key|access[ _-]?key|auth[ _-]?key|credentials?|kennwort|mot de passe|contraseña|senha|passphrase)["']?(?: number)?(?: (?:of|for|von|de|di|do|da) [^\s:=]{1,20})?(?: (?:is|lautet|ist|est(?: le| la)?|es|è|é)(?= ))? ?(?:=>|[:=])? ?["']?([^\s"'<>,;{}|`\\()[\]]{8,128})/gi,
  check: looksDrawn,
  certainty: 5,
  goesOn: /^[^\s"'<>,;{}|`\\()[\]]+/,
}

/** Mixed kinds of characters, or long and without a pattern; never a placeholder, a path, a name or a call. */
function looksDrawn(found: string): boolean {
  if (/^[$%*]|:\/\/|^\.{1,2}\/|^(.)\1*$|\.(?:ts|js|py|md|json|com)$/i.test(found)) return false
  const kinds = [/[a-z]/, /[A-Z]/, /\d/, /[^A-Za-z0-9]/].filter((kind) => kind.test(found)).length
  if (found.length < 16) return kinds >= 3 && /\d/.test(found)
  return kinds >= 2 && /\d/.test(found) && entropy(found) >= 3
}

/** Bits per character. */
function entropy(text: string): number {
  const counts = new Map<string, number>()
  for (const char of text) counts.set(char, (counts.get(char) ?? 0) + 1)
  let bits = 0
  for (const count of counts.values()) bits -= (count / text.length) * Math.log2(count / text.length)
  return bits
}
