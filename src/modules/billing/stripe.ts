/** Stripe's own library, which reaches Stripe by the host's rules and by no other way. Loaded when it is first needed. */
import type Stripe from 'stripe'
import type { Host } from '../../core/module.ts'
import type { Settings } from './settings.ts'

const CALL_MS = 20_000
const MOST_ANSWER = 1 << 20
/** Of the connection, so the host's. */
const OWN_HEADERS: readonly string[] = ['content-length', 'connection', 'host']

export interface StripeParts {
  readonly client: Stripe
  readonly StripeError: typeof Stripe.errors.StripeError
}

/** Undefined while there is no key (`PUT /api/modules/billing/secrets/stripe-key`). */
export async function stripeOf(
  host: Host,
  settings: NonNullable<Settings['stripe']>,
): Promise<StripeParts | undefined> {
  const key = host.secretOf('stripe-key')
  if (key === undefined || key === '') return undefined
  const { default: Library } = await import('stripe')
  const base = new URL(settings.baseUrl ?? 'https://api.stripe.com')
  const client = new Library(key, {
    host: base.hostname,
    ...(base.port === '' ? {} : { port: base.port }),
    protocol: base.protocol === 'http:' ? 'http' : 'https',
    // What is tried again is decided where it is written down.
    maxNetworkRetries: 0,
    telemetry: false,
    httpClient: {
      getClientName: () => 'stockyard',
      async makeRequest(name, port, path, method, headers, data, protocol) {
        const answer = await host.call({
          method: method as 'GET' | 'POST',
          url: `${protocol}://${name}${port === '' || port === '443' ? '' : `:${port}`}${path}`,
          headers: Object.fromEntries(
            Object.entries(headers)
              .map(([header, value]) => [header.toLowerCase(), String(value)] as const)
              .filter(([header]) => !OWN_HEADERS.includes(header)),
          ),
          body: Buffer.from(data ?? ''),
          timeoutMs: CALL_MS,
          maxAnswerBytes: MOST_ANSWER,
        })
        return {
          getStatusCode: () => answer.status,
          getHeaders: () => answer.headers,
          getRawResponse: () => answer,
          toStream: () => answer.body,
          toJSON: async () => JSON.parse(answer.body.toString('utf8')),
        }
      },
    },
  })
  return { client, StripeError: Library.errors.StripeError }
}
