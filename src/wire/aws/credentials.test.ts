import assert from 'node:assert/strict'
import { test } from 'node:test'
import { signerParts } from '../../../test/upstream/signing.ts'
import type { OutgoingCall } from '../../core/egress.ts'
import { GatewayError } from '../../core/errors.ts'
import { type AwsAccount, awsCredentials, keysOf } from './credentials.ts'
import { profilesOf } from './profiles.ts'

const GIVEN = { AccessKeyId: 'ASIA1', SecretAccessKey: 's3cret', Token: 'session', Expiration: '2030-01-01T00:00:00Z' }
const TAKEN = { accessKeyId: 'ASIA1', secretAccessKey: 's3cret', sessionToken: 'session' }
const STS = (action: string) => ({
  [`${action}Response`]: {
    [`${action}Result`]: {
      Credentials: {
        AccessKeyId: 'ASIA1',
        SecretAccessKey: 's3cret',
        SessionToken: 'session',
        Expiration: 1_893_456_000,
      },
    },
  },
})

async function credentials(account: Partial<AwsAccount>, parts: Parameters<typeof signerParts>[0]) {
  const { given, calls } = signerParts(parts)
  const value = await awsCredentials(given, { source: 'keys', region: 'eu-west-1', ...account }).get()
  return { value, calls }
}
const bodyOf = (call: OutgoingCall | undefined) => String(call?.body)

test('keys come as the secret, with a session token if any', () => {
  assert.deepEqual(keysOf('u', 'AKIA:wJal/+='), { accessKeyId: 'AKIA', secretAccessKey: 'wJal/+=' })
  assert.deepEqual(keysOf('u', 'AKIA:wJal:IQo=='), {
    accessKeyId: 'AKIA',
    secretAccessKey: 'wJal',
    sessionToken: 'IQo==',
  })
  assert.throws(() => keysOf('u', 'AKIA'), /There is no credential for upstream "u": its secret must be/)
})

test('A103: a web identity is changed for credentials at the token service, with the token as it is now', async () => {
  const { value, calls } = await credentials(
    { source: 'web-identity' },
    {
      variables: { AWS_ROLE_ARN: 'arn:aws:iam::1:role/r', AWS_WEB_IDENTITY_TOKEN_FILE: '/var/token' },
      files: { '/var/token': 'jwt.of.pod\n' },
      answers: [STS('AssumeRoleWithWebIdentity')],
    },
  )
  assert.deepEqual(value, TAKEN)
  assert.equal(calls[0]?.url, 'https://sts.eu-west-1.amazonaws.com/')
  const form = new URLSearchParams(bodyOf(calls[0]))
  assert.deepEqual([form.get('RoleArn'), form.get('WebIdentityToken')], ['arn:aws:iam::1:role/r', 'jwt.of.pod'])
  assert.equal(calls[0]?.headers.authorization, undefined, 'nothing signs it')
})

test('A103: a container is asked where it says, with its token, and nowhere that is neither local nor encrypted', async () => {
  const pod = {
    AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://169.254.170.23/v1/credentials',
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '/var/pod',
  }
  const { value, calls } = await credentials(
    { source: 'container' },
    { variables: pod, files: { '/var/pod': 'pod-token' }, answers: [GIVEN] },
  )
  assert.deepEqual(value, TAKEN)
  assert.equal(calls[0]?.headers.authorization, 'pod-token')
  assert.deepEqual(calls[0]?.allowHosts, ['169.254.170.23'])
  const ecs = await credentials(
    { source: 'container' },
    { variables: { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/v2/credentials/x' }, answers: [GIVEN] },
  )
  assert.equal(ecs.calls[0]?.url, 'http://169.254.170.2/v2/credentials/x')
  await assert.rejects(
    credentials(
      { source: 'container' },
      { variables: { AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://evil.example/' }, answers: [GIVEN] },
    ),
    /neither local nor encrypted/,
  )
})

test('an instance is asked by version 2 of its metadata service', async () => {
  const { value, calls } = await credentials({ source: 'instance' }, { answers: ['imds-token', 'my-role\n', GIVEN] })
  assert.deepEqual(value, TAKEN)
  assert.deepEqual(
    calls.map(({ method, url }) => `${method} ${url.replace('http://169.254.169.254/latest/', '')}`),
    ['PUT api/token', 'GET meta-data/iam/security-credentials/', 'GET meta-data/iam/security-credentials/my-role'],
  )
  assert.equal(calls[2]?.headers['x-aws-ec2-metadata-token'], 'imds-token')
})

test('a profile leads to its role by the keys of another', async () => {
  const files = {
    '/h/.aws/config': '[profile app]\nrole_arn = arn:aws:iam::1:role/app\nsource_profile = base\nregion = us-west-2\n',
    '/h/.aws/credentials': '[base]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = abc ; mine\n',
  }
  const { value, calls } = await credentials(
    { source: 'profile', profile: 'app' },
    { variables: { HOME: '/h' }, files, answers: [STS('AssumeRole')] },
  )
  assert.deepEqual(value, TAKEN)
  assert.equal(calls[0]?.url, 'https://sts.us-west-2.amazonaws.com/')
  assert.match(calls[0]?.headers.authorization ?? '', /Credential=AKIDEXAMPLE\/\d{8}\/us-west-2\/sts\/aws4_request/)
  await assert.rejects(credentials({ source: 'profile', profile: 'none' }, { files }), /no profile "none"/)
})

test('what a profile would have to run is refused by name, and a circle is noticed', async () => {
  const variables = { AWS_CONFIG_FILE: '/c', AWS_SHARED_CREDENTIALS_FILE: '/none' }
  const made =
    '[default]\ncredential_process = /bin/evil\n[profile a]\nrole_arn=r\nsource_profile=b\n[profile b]\nrole_arn=r\nsource_profile=a\n'
  const of = (profile: string) => credentials({ source: 'profile', profile }, { variables, files: { '/c': made } })
  await assert.rejects(of('default'), /credential_process, which is not supported/)
  await assert.rejects(of('a'), /without end/)
})

test('the shared files may be spelled as AWS allows', () => {
  const profiles = profilesOf(
    '[profile "a b"]\nregion=x\n# c\n[default]\nregion = y\ns3 =\n  region = z\n',
    '[default]\nAWS_ACCESS_KEY_ID=k\n',
  )
  assert.deepEqual(profiles.get('a b'), { region: 'x' })
  assert.deepEqual(profiles.get('default'), { region: 'y', s3: '', aws_access_key_id: 'k' })
})

test('A103: a token service that refuses is our trouble, told without what was sent', async () => {
  await assert.rejects(
    credentials(
      { source: 'web-identity', roleArn: 'arn:aws:iam::1:role/r', tokenFile: '/t' },
      {
        files: { '/t': 'secret.jwt' },
        answers: [{ status: 403, body: { Error: { Code: 'AccessDenied', Message: 'Not authorized' } } }],
      },
    ),
    (error) =>
      error instanceof GatewayError &&
      error.code === 'upstream_credentials' &&
      error.kind.retry === 'elsewhere' &&
      /answered 403: Not authorized/.test(error.message) &&
      !error.message.includes('secret.jwt'),
  )
})
