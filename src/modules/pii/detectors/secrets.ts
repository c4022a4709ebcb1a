/** Keys and tokens: by the prefixes their issuers gave them, or by what stands before a value that no word looks like. */
import type { Detector } from '../detector.ts'

const WORD = /^[\w.~+/=-]+/

/** Vendors of language models. */
export const apiKey: Detector = {
  entity: 'API_KEY',
  needs: /sk-|AIza|gsk_|xai-|hf_|r8_|pplx-|nvapi-|csk-|fw_|tgp_|AQ\./,
  pattern:
    /(?<![\w-])(?:sk-(?:proj-|svcacct-|admin-|ant-|or-|sy-|lf-)?[\w-]{20,256}|AIza[\w-]{35}|(?:gsk|hf|r8|fw)_[A-Za-z0-9]{20,128}|tgp_v1_[\w-]{20,64}|xai-[A-Za-z0-9]{40,128}|pplx-[A-Za-z0-9]{32,128}|nvapi-[\w-]{40,128}|csk-[a-z0-9]{40,64}|AQ\.[\w-]{40,128})/g,
  check: (found) => /\d/.test(found),
  certainty: 11,
  goesOn: WORD,
}

/** Clouds. */
export const cloudKey: Detector = {
  entity: 'CLOUD_KEY',
  needs: /A(?:KIA|SIA|BIA|CCA)|ya29\.|GOCSPX-|AccountKey=|SharedAccessKey=|sig=|dop_v1_|aws_secret/i,
  pattern:
    /(?<![\w-])(?:(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?!\w)|ya29\.[\w-]{20,256}|GOCSPX-[\w-]{20,40}|dop_v1_[0-9a-f]{64}|(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{42,86}={0,2})|sig=([A-Za-z0-9%+/]{40,80}(?:=|%3D)?)|aws_secret_access_key["']? ?[=:] ?["']?([A-Za-z0-9+/]{40}))/gi,
  certainty: 11,
  goesOn: WORD,
}

/** Everybody else whose tokens are known by their beginning. */
export const accessToken: Detector = {
  entity: 'ACCESS_TOKEN',
  needs:
    /gh[pousr]_|github_pat_|glpat-|xox|xapp-|hooks\.slack|[sr]k_|whsec_|SG\.|npm_|pypi-|shp|dapi|lin_api_|ntn_|figd_|AGE-SECRET|:AA|key-|SK[0-9a-f]{32}/,
  pattern:
    /(?<![\w-])(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255}|glpat-[\w-]{20,64}|xox[abeoprs]-[\w-]{10,200}|xapp-\d-[\w-]{10,200}|hooks\.slack\.com\/services\/([\w/]{20,100})|[sr]k_(?:live|test)_[A-Za-z0-9]{16,128}|whsec_[A-Za-z0-9+/=]{20,80}|SG\.[\w-]{16,32}\.[\w-]{16,64}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,200}|shp(?:at|ca|pa|ss)_[0-9a-f]{32}|dapi[0-9a-f]{32}|lin_api_[A-Za-z0-9]{32,64}|ntn_[A-Za-z0-9]{40,64}|figd_[\w-]{30,64}|AGE-SECRET-KEY-1[0-9A-Z]{58}|\d{8,10}:AA[\w-]{32,35}|key-[0-9a-f]{32}|SK[0-9a-f]{32})(?!\w)/g,
  certainty: 11,
  goesOn: WORD,
}

export const jwt: Detector = {
  entity: 'JWT',
  needs: 'eyJ',
  pattern:
    /(?<![\w-])eyJ(?:[\w-]{60,4096}(?:\.[\w-]{0,8192}){0,4}|[\w-]{8,59}\.(?:eyJ[\w-]{2,8192})?(?:\.[\w-]{0,4096}){0,3})/g,
  certainty: 11,
  goesOn: /^[\w.-]+/,
}

/** To its end, or to where the text ends. */
export const privateKey: Detector = {
  entity: 'PRIVATE_KEY',
  needs: '-----BEGIN',
  pattern:
    /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)[\s\S])*(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?/g,
  certainty: 11,
}

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
