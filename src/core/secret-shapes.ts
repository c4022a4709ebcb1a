/**
 * What keys and tokens look like whose issuers gave them a form of their own: for whoever must keep them from leaving. All
 * patterns are global and linear.
 */
export interface SecretShape {
  /** The name in settings and placeholders. */
  readonly entity: string
  /** Every match contains this. */
  readonly needs: string | RegExp
  /** The secret is the last group, where there is one. */
  readonly pattern: RegExp
  check?(found: string): boolean
  /** What belongs to a longer one, after the match. */
  readonly goesOn?: RegExp
}

const WORD = /^[\w.~+/=-]+/

/** Vendors of language models. */
const apiKey: SecretShape = {
  entity: 'API_KEY',
  needs: /sk-|AIza|gsk_|xai-|hf_|r8_|pplx-|nvapi-|csk-|fw_|tgp_|AQ\./,
  pattern:
    /(?<![\w-])(?:sk-(?:proj-|svcacct-|admin-|ant-|or-|sy-|lf-)?[\w-]{20,256}|AIza[\w-]{35}|(?:gsk|hf|r8|fw)_[A-Za-z0-9]{20,128}|tgp_v1_[\w-]{20,64}|xai-[A-Za-z0-9]{40,128}|pplx-[A-Za-z0-9]{32,128}|nvapi-[\w-]{40,128}|csk-[a-z0-9]{40,64}|AQ\.[\w-]{40,128})/g,
  check: (found) => /\d/.test(found),
  goesOn: WORD,
}

/** Clouds. */
const cloudKey: SecretShape = {
  entity: 'CLOUD_KEY',
  needs: /A(?:KIA|SIA|BIA|CCA)|ya29\.|GOCSPX-|AccountKey=|SharedAccessKey=|sig=|dop_v1_|aws_secret/i,
  pattern:
    /(?<![\w-])(?:(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?!\w)|ya29\.[\w-]{20,256}|GOCSPX-[\w-]{20,40}|dop_v1_[0-9a-f]{64}|(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{42,86}={0,2})|sig=([A-Za-z0-9%+/]{40,80}(?:=|%3D)?)|aws_secret_access_key["']? ?[=:] ?["']?([A-Za-z0-9+/]{40}))/gi,
  goesOn: WORD,
}

/** Everybody else whose tokens are known by their beginning. */
const accessToken: SecretShape = {
  entity: 'ACCESS_TOKEN',
  needs:
    /gh[pousr]_|github_pat_|glpat-|xox|xapp-|hooks\.slack|[sr]k_|whsec_|SG\.|npm_|pypi-|shp|dapi|lin_api_|ntn_|figd_|AGE-SECRET|:AA|key-|SK[0-9a-f]{32}/,
  pattern:
    /(?<![\w-])(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255}|glpat-[\w-]{20,64}|xox[abeoprs]-[\w-]{10,200}|xapp-\d-[\w-]{10,200}|hooks\.slack\.com\/services\/([\w/]{20,100})|[sr]k_(?:live|test)_[A-Za-z0-9]{16,128}|whsec_[A-Za-z0-9+/=]{20,80}|SG\.[\w-]{16,32}\.[\w-]{16,64}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,200}|shp(?:at|ca|pa|ss)_[0-9a-f]{32}|dapi[0-9a-f]{32}|lin_api_[A-Za-z0-9]{32,64}|ntn_[A-Za-z0-9]{40,64}|figd_[\w-]{30,64}|AGE-SECRET-KEY-1[0-9A-Z]{58}|\d{8,10}:AA[\w-]{32,35}|key-[0-9a-f]{32}|SK[0-9a-f]{32})(?!\w)/g,
  goesOn: WORD,
}

const jwt: SecretShape = {
  entity: 'JWT',
  needs: 'eyJ',
  pattern:
    /(?<![\w-])eyJ(?:[\w-]{60,4096}(?:\.[\w-]{0,8192}){0,4}|[\w-]{8,59}\.(?:eyJ[\w-]{2,8192})?(?:\.[\w-]{0,4096}){0,3})/g,
  goesOn: /^[\w.-]+/,
}

/** To its end, or to where the text ends. */
const privateKey: SecretShape = {
  entity: 'PRIVATE_KEY',
  needs: '-----BEGIN',
  pattern:
    /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)[\s\S])*(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?/g,
}

export const SECRET_SHAPES: readonly SecretShape[] = [privateKey, jwt, apiKey, cloudKey, accessToken]
