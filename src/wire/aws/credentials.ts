/**
 * Where AWS credentials come from, by the kind that an administrator named: keys, a profile of the shared files, the
 * container's endpoint (ECS, EKS pod identity), a web identity token (IRSA), or the instance's metadata service. AWS's own resolvers open
 * connections of their own; these go through the one egress.
 */
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { SignerParts } from '../../core/signing.ts'
import { type Fetched, Fresh } from '../fresh.ts'
import { askFor, askForToken, noCredential, objectFrom } from '../token-call.ts'
import { type Profile, profilesOf } from './profiles.ts'
import { type AwsCredentials, awsSignature } from './signature.ts'

export const AWS_SOURCES = ['keys', 'profile', 'container', 'web-identity', 'instance'] as const
export type AwsSource = (typeof AWS_SOURCES)[number]

export interface AwsAccount {
  readonly source: AwsSource
  readonly region: string
  readonly profile?: string
  readonly roleArn?: string
  readonly tokenFile?: string
}

type Got = Fetched<AwsCredentials>
const CONTAINER_HOST = '169.254.170.2'
/** Where EKS pod identity agents listen. */
const POD_HOSTS = ['169.254.170.23', 'fd00:ec2::23']
const INSTANCE = '169.254.169.254'
const MOST_HOPS = 5

export const awsCredentials = (parts: SignerParts, account: AwsAccount): Fresh<AwsCredentials> =>
  new Fresh(() => fetched(parts, account), parts.now)

/** `key id:secret key` or, with a session token, `key id:secret key:token`. Base64 has no colon. */
export function keysOf(upstream: string, secret: string | undefined): AwsCredentials {
  const [accessKeyId, secretAccessKey, sessionToken] = (secret ?? '').split(':')
  if (!accessKeyId || !secretAccessKey) {
    throw noCredential(
      upstream,
      'its secret must be "<access key id>:<secret access key>", with ":<session token>" if any',
    )
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) }
}

function fetched(parts: SignerParts, account: AwsAccount): Promise<Got> {
  switch (account.source) {
    case 'profile':
      return ofProfile(parts, account)
    case 'container':
      return ofContainer(parts)
    case 'web-identity':
      return ofWebIdentity(parts, account.region, account.roleArn, account.tokenFile)
    case 'instance':
      return ofInstance(parts)
    case 'keys':
      return Promise.reject(noCredential(parts.upstream, 'no keys are configured'))
  }
}

async function ofProfile(parts: SignerParts, account: AwsAccount): Promise<Got> {
  const { variable, file, upstream } = parts
  const home = (name: string): string => join(variable('HOME') ?? homedir(), '.aws', name)
  const read = (path: string): Promise<string> => file(path).catch(() => '')
  const [config, credentials] = await Promise.all([
    read(variable('AWS_CONFIG_FILE') ?? home('config')),
    read(variable('AWS_SHARED_CREDENTIALS_FILE') ?? home('credentials')),
  ])
  const profiles = profilesOf(config, credentials)
  const follow = async (name: string, hops: number): Promise<Got> => {
    const profile = profiles.get(name)
    if (!profile) throw noCredential(upstream, `AWS's shared files have no profile "${name}"`)
    if (hops > MOST_HOPS) throw noCredential(upstream, `the profiles lead from one to the next without end`)
    const { role_arn: role, source_profile: source, web_identity_token_file: token } = profile
    const region = profile.region ?? account.region
    if (role !== undefined && token !== undefined) return ofWebIdentity(parts, region, role, token)
    if (role !== undefined && source !== undefined) {
      // A profile that is its own source has the keys and the role.
      const { value } = source === name ? keysIn(profile, name, upstream) : await follow(source, hops + 1)
      return assumed(parts, region, role, profile, value)
    }
    return keysIn(profile, name, upstream)
  }
  return follow(account.profile ?? variable('AWS_PROFILE') ?? 'default', 0)
}

function keysIn(profile: Profile, name: string, upstream: string): Got {
  const { aws_access_key_id: accessKeyId, aws_secret_access_key: secretAccessKey, aws_session_token: token } = profile
  if (!accessKeyId || !secretAccessKey) {
    const needs = ['credential_process', 'sso_session', 'sso_start_url'].find((setting) => profile[setting])
    const why = needs ? `is made by ${needs}, which is not supported` : 'has neither keys nor a role'
    throw noCredential(upstream, `profile "${name}" ${why}`)
  }
  return { value: { accessKeyId, secretAccessKey, ...(token ? { sessionToken: token } : {}) } }
}

async function assumed(
  parts: SignerParts,
  region: string,
  role: string,
  profile: Profile,
  source: AwsCredentials,
): Promise<Got> {
  const form = new URLSearchParams({
    Action: 'AssumeRole',
    Version: '2011-06-15',
    RoleArn: role,
    RoleSessionName: profile.role_session_name ?? 'stockyard',
    ...(profile.external_id ? { ExternalId: profile.external_id } : {}),
  }).toString()
  const url = stsOf(parts, region)
  const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' }
  const call = { method: 'POST', url, headers, body: [Buffer.from(form)] } as const
  const signature = await awsSignature(call, source, { region, service: 'sts' }, parts.now())
  const whom = 'the security token service'
  const text = await askForToken(parts, {
    whom,
    method: 'POST',
    url,
    headers: { ...headers, ...signature },
    body: form,
  })
  return ofSts(parts, text, 'AssumeRole')
}

async function ofWebIdentity(parts: SignerParts, region: string, role?: string, tokenFile?: string): Promise<Got> {
  const { variable, upstream } = parts
  const arn = role ?? variable('AWS_ROLE_ARN')
  const path = tokenFile ?? variable('AWS_WEB_IDENTITY_TOKEN_FILE')
  if (!arn || !path) throw noCredential(upstream, 'a web identity needs a role and a token file')
  const token = (await readToken(parts, path)).trim()
  const form = new URLSearchParams({
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleArn: arn,
    RoleSessionName: variable('AWS_ROLE_SESSION_NAME') ?? 'stockyard',
    WebIdentityToken: token,
  })
  const text = await askForToken(parts, {
    whom: 'the security token service',
    method: 'POST',
    url: stsOf(parts, region),
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
    body: form.toString(),
  })
  return ofSts(parts, text, 'AssumeRoleWithWebIdentity')
}

const stsOf = ({ variable }: SignerParts, region: string): string =>
  `${variable('AWS_ENDPOINT_URL_STS') ?? `https://sts.${region}.${region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com'}`}/`

function readToken({ file, upstream }: SignerParts, path: string): Promise<string> {
  return file(path).catch(() => {
    throw noCredential(upstream, `the token file ${path} cannot be read`)
  })
}

/** Asked for JSON, STS wraps its answer in two objects; dates are then seconds. */
function ofSts({ upstream }: SignerParts, text: string, action: string): Got {
  const whom = 'the security token service'
  const outer = objectFrom(upstream, whom, text)
  const response = outer[`${action}Response`] as Record<string, Record<string, unknown>> | undefined
  return credentialsIn(upstream, whom, response?.[`${action}Result`]?.Credentials)
}

async function ofContainer(parts: SignerParts): Promise<Got> {
  const { variable, upstream } = parts
  const relative = variable('AWS_CONTAINER_CREDENTIALS_RELATIVE_URI')
  const full = variable('AWS_CONTAINER_CREDENTIALS_FULL_URI')
  if (!relative && !full) throw noCredential(upstream, 'no container credentials are offered to this process')
  const url = relative ? new URL(relative, `http://${CONTAINER_HOST}`) : URL.parse(full as string)
  if (!url) throw noCredential(upstream, 'the address of the container credentials is not valid')
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const known = host === CONTAINER_HOST || POD_HOSTS.includes(host)
  const isLocal = host === 'localhost' || host === '::1' || host.startsWith('127.')
  if (url.protocol !== 'https:' && !known && !isLocal) {
    throw noCredential(upstream, 'container credentials are offered by a host that is neither local nor encrypted')
  }
  const tokenFile = variable('AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE')
  const token = tokenFile ? (await readToken(parts, tokenFile)).trim() : variable('AWS_CONTAINER_AUTHORIZATION_TOKEN')
  const whom = "the container's credential endpoint"
  const text = await askForToken(parts, {
    whom,
    method: 'GET',
    url: url.href,
    headers: token ? { authorization: token } : {},
    ...(known ? { allowHost: host } : {}),
  })
  return credentialsIn(upstream, whom, objectFrom(upstream, whom, text))
}

/** Version 2 of the instance's metadata service alone: a token first, then what it gives. */
async function ofInstance(parts: SignerParts): Promise<Got> {
  const { variable, upstream } = parts
  const base = variable('AWS_EC2_METADATA_SERVICE_ENDPOINT') ?? `http://${INSTANCE}`
  const whom = "the instance's metadata service"
  const reach = base.includes(INSTANCE) ? { whom, allowHost: INSTANCE } : { whom }
  const { status, text: token } = await askFor(parts, {
    ...reach,
    method: 'PUT',
    url: `${base}/latest/api/token`,
    headers: { 'x-aws-ec2-metadata-token-ttl-seconds': '21600' },
  })
  if (status !== 200) throw noCredential(upstream, `${whom} gave no token (${status})`)
  const headers = { 'x-aws-ec2-metadata-token': token }
  const url = `${base}/latest/meta-data/iam/security-credentials/`
  const role = (await askForToken(parts, { ...reach, method: 'GET', url, headers })).trim().split('\n')[0]
  if (!role) throw noCredential(upstream, 'the instance has no role')
  const text = await askForToken(parts, { ...reach, method: 'GET', url: url + encodeURIComponent(role), headers })
  return credentialsIn(upstream, whom, objectFrom(upstream, whom, text))
}

function credentialsIn(upstream: string, whom: string, given: unknown): Got {
  const c = (given ?? {}) as Readonly<Record<string, unknown>>
  const { AccessKeyId, SecretAccessKey, Expiration } = c
  const session = c.SessionToken ?? c.Token
  if (typeof AccessKeyId !== 'string' || typeof SecretAccessKey !== 'string') {
    throw noCredential(upstream, `${whom} gave an answer without credentials`)
  }
  const expiresAt = typeof Expiration === 'number' ? Expiration * 1_000 : Date.parse(String(Expiration))
  return {
    value: {
      accessKeyId: AccessKeyId,
      secretAccessKey: SecretAccessKey,
      ...(typeof session === 'string' ? { sessionToken: session } : {}),
    },
    ...(Number.isNaN(expiresAt) ? {} : { expiresAt }),
  }
}
