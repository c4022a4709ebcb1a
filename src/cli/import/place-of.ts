/** Where one deployment of LiteLLM's `model_list` calls: address, options, headers and key of what becomes an upstream. */
import type { Provider } from '../../core/provider.ts'
import type { JsonValue } from '../../core/request.ts'
import { parseStrict } from '../../core/settings.ts'
import { type Fields, rowOf, variableOf } from './fields.ts'
import { addressOf, isElsewhere, type Place, type Secret, type Surroundings } from './places.ts'
import type { Report } from './report.ts'

const OPTIONS: readonly (readonly [field: string, option: string])[] = [
  ['api_version', 'apiVersion'],
  ['aws_region_name', 'region'],
  ['region_name', 'region'],
  ['vertex_project', 'project'],
  ['vertex_location', 'location'],
  ['aws_profile_name', 'profile'],
  ['aws_role_name', 'roleArn'],
  ['aws_web_identity_token', 'tokenFile'],
  ['tenant_id', 'tenant'],
  ['client_id', 'clientId'],
]

export function placeOf(named: Provider, params: Fields, around: Surroundings, report: Report): Place | undefined {
  const at = params.at
  const missing = (field: string, why: string): undefined => {
    report.missing.push({ at: `${at} ${field}`.trim(), why })
  }
  /** No secret: what a variable holds now may be written. */
  const plain = (field: string): string | undefined => {
    const text = params.text(field)
    const variable = variableOf(text)
    if (variable === undefined) return text
    const value = around.environment[variable]
    if (value)
      report.differs.push({ at: `${at} ${field}`, why: `the file holds what ${variable} was when it was made.` })
    else missing(field, `${variable} is not set here, and the file cannot refer to it; set it and import again.`)
    return value || undefined
  }
  let provider = named
  const own = plain('api_base') ?? plain('base_url') ?? plain('aws_bedrock_runtime_endpoint')
  params.take('base_url')
  params.take('aws_bedrock_runtime_endpoint')
  if (own !== undefined && !(/^https?:\/\/[^\s@?#]+$/.test(own) && URL.canParse(own))) {
    return missing(
      '',
      'its api_base is no address that an upstream can have (http or https, without a name, query or fragment).',
    )
  }
  if (own !== undefined && isElsewhere(provider, own)) {
    provider = around.providers.find(({ id }) => id === 'custom') ?? provider
    report.differs.push({
      at,
      why: `${new URL(own).host} is not ${named.title}'s: taken for a server with the OpenAI API, without list prices. If it is a way to ${named.title}, write provider: ${named.id}.`,
    })
  }
  const known: Readonly<Record<string, unknown>> = provider.options?.properties ?? {}
  const options: Record<string, JsonValue> = {}
  for (const [field, option] of OPTIONS) {
    if (option in known) {
      const value = plain(field)
      if (value !== undefined) options[option] = value
    }
  }
  if (options.profile !== undefined && 'credentials' in known) options.credentials = 'profile'
  if (options.roleArn !== undefined) {
    if (typeof options.tokenFile === 'string') options.credentials = 'web-identity'
    else {
      delete options.roleArn
      missing('aws_role_name', 'a role is taken on with a web identity only (options roleArn and tokenFile).')
    }
  }
  const secret = secretOf(params, known, options)
  const address = own === undefined ? {} : addressOf(provider, own, options)
  if (address.resource !== undefined) options.resource = address.resource
  const headers: Record<string, string> = {}
  const account = params.text('organization')
  const given = { ...rowOf(params.take('extra_headers')), ...rowOf(params.take('headers')) }
  if (account !== undefined) given['OpenAI-Organization'] = account
  for (const [header, value] of Object.entries(given)) {
    const isSecret = variableOf(value) !== undefined || /auth|key|token|secret|cookie|password/i.test(header)
    if (isSecret) missing(`header ${header}`, 'a header that is secret, or in a variable, cannot stand in the file.')
    else if (typeof value === 'string' && /^[\t\x20-\x7e]*$/.test(value) && /^[A-Za-z0-9-]+$/.test(header))
      headers[header] = value
    else missing(`header ${header}`, 'not a header as it may be sent.')
  }
  try {
    if (provider.options) parseStrict(provider.options, options, 'options')
    else if (Object.keys(options).length > 0) return missing('', `${provider.title} has no options.`)
  } catch (error) {
    return missing('', `no upstream at ${provider.title} can be made of it: ${(error as Error).message}`)
  }
  if ((address.baseUrl ?? provider.baseUrl ?? provider.baseUrlOf?.(options)) === undefined) {
    return missing('', `an upstream at ${provider.title} needs an address: give it an api_base and import again.`)
  }
  return { provider, ...(address.baseUrl === undefined ? {} : { baseUrl: address.baseUrl }), options, headers, secret }
}

function secretOf(
  params: Fields,
  known: Readonly<Record<string, unknown>>,
  options: Record<string, JsonValue>,
): Secret {
  const told = (field: string): Secret | undefined => {
    const value = params.take(field)
    const name = variableOf(value)
    if (name !== undefined) return { kind: 'variable', name }
    const text = rowOf(value) ? JSON.stringify(value) : typeof value === 'number' ? String(value) : value
    return typeof text === 'string' && text !== '' ? { kind: 'literal', value: text, where: field } : undefined
  }
  if ('clientId' in known) {
    const secret = told('client_secret')
    if (secret) options.credentials = 'client-secret'
    if (secret) return secret
  }
  if ('project' in known) {
    const file = params.text('vertex_credentials')
    if (file !== undefined && variableOf(file) === undefined && !file.trimStart().startsWith('{')) {
      options.credentialsFile = file
      return { kind: 'none' }
    }
    const secret = told('vertex_credentials')
    if (secret) return secret
  }
  if ('roleArn' in known) {
    const [id, key, session] = ['aws_access_key_id', 'aws_secret_access_key', 'aws_session_token'].map((field) =>
      params.text(field),
    )
    if (id !== undefined && key !== undefined) {
      options.credentials = 'keys'
      const where = `aws_access_key_id and aws_secret_access_key${session ? ' and aws_session_token' : ''}, with a colon between`
      return { kind: 'literal', value: [id, key, session].join('\n'), where }
    }
  }
  return told('api_key') ?? { kind: 'none' }
}
