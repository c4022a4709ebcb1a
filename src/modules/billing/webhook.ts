/**
 * What Stripe tells: a checkout that was paid becomes credit. Whatever does not carry a fresh signature of the module's
 * secret is refused, the same signature twice as well, and without a secret there is nobody to talk to. A payment that is
 * told again under a new signature, as Stripe does until it is answered, has no second effect.
 */
import { createHash } from 'node:crypto'
import type StripeTypes from 'stripe'
import type { Selector } from '../../core/directory.ts'
import { badRequest, failure, GatewayError } from '../../core/errors.ts'
import type { AdminCall, Host } from '../../core/module.ts'
import { formatDollars, nanoUsdOf } from '../../core/money.ts'
import type { TermsBook } from './terms.ts'

const TOLERANCE_SECONDS = 300
const PAID: readonly string[] = ['checkout.session.completed', 'checkout.session.async_payment_succeeded']
const NANOS_PER_CENT = 10_000_000n

export async function stripeWebhook(host: Host, book: TermsBook, call: AdminCall): Promise<object> {
  const secret = host.secretOf('stripe-webhook')
  if (secret === undefined || secret.trim() === '') throw failure('not_found', { what: 'such endpoint' })
  const event = await verified(call, secret, host.now())
  const hash = createHash('sha256')
    .update(call.header('stripe-signature') as string)
    .digest('hex')
  const { changes } = await host.tables.run('sign', { hash, at: host.now() })
  if (changes === 0) throw badRequest('This signature was used before; a delivery that is repeated is signed anew.')
  if (!PAID.includes(event.type)) return { received: true, effect: 'none' }
  const session = event.data.object as StripeTypes.Checkout.Session
  if (session.payment_status !== 'paid') return { received: true, effect: 'none' }
  return { received: true, ...credited(host, book, session) }
}

async function verified(call: AdminCall, secret: string, now: number): Promise<StripeTypes.Event> {
  const { body } = call
  const header = call.header('stripe-signature')
  if (!Buffer.isBuffer(body) || body.length === 0 || header === undefined)
    throw badRequest('A delivery has a body and a signature of it in "stripe-signature".')
  const { default: Library } = await import('stripe')
  try {
    const event = Library.webhooks.constructEvent(body, header, secret, TOLERANCE_SECONDS, undefined, now)
    const timestamp = Number(/(?:^|,)t=(\d{1,12})(?:,|$)/.exec(header)?.[1] ?? Number.NaN)
    // The library bounds its age only.
    if (!(timestamp - now / 1_000 <= TOLERANCE_SECONDS)) throw new Error('the signature is of the future')
    return event
  } catch {
    throw badRequest('The signature is not one of this endpoint’s secret over these bytes, made within five minutes.')
  }
}

/** Whose credit it is, by the reference that the checkout was given, else by the customer who paid. */
function credited(host: Host, book: TermsBook, session: StripeTypes.Checkout.Session): object {
  const { currency, amount_total: cents, client_reference_id: reference } = session
  const customer = typeof session.customer === 'string' ? session.customer : session.customer?.id
  const account = accountOf(book, reference, customer)
  if (account === undefined || currency !== 'usd' || cents === null || cents <= 0) {
    host.log.error('a payment is nobody’s credit; book it by hand', { session: session.id, currency, cents })
    return { effect: 'none' }
  }
  const [kind, id] = account.split(':') as ['organization' | 'team', string]
  const scope: Selector = { [kind]: id }
  const amountUsd = formatDollars(nanoUsdOf(BigInt(cents) * NANOS_PER_CENT))
  try {
    const grant = host.credit({ id: `stripe-${session.id}`, scope, amountUsd, note: `Stripe ${session.id}` })
    return { effect: 'credited', grant: grant.id }
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'conflict')
      return { effect: 'none', grant: `stripe-${session.id}` }
    throw error
  }
}

function accountOf(book: TermsBook, reference: string | null, customer: string | undefined): string | undefined {
  return book
    .accounts()
    .find(
      (account) =>
        account === reference || (customer !== undefined && book.all(account)[0]?.terms.stripeCustomer === customer),
    )
}
