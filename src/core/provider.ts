/**
 * A vendor's definition: where it is, how to sign, which dialect each of its endpoints speaks, its environment
 * variables and quirks. An OpenAI-compatible one is about ten lines of data.
 */
import type { TObject } from 'typebox'
import type { Betas } from './betas.ts'
import type { Framing, UpstreamComplaint } from './dialect.ts'
import type { ErrorCode } from './errors.ts'
import type { JsonObject, JsonValue } from './request.ts'
import type { Signer, SignerParts } from './signing.ts'

export interface EndpointCall {
  /** The model's name at the upstream, as the client or a route gave it: an endpoint that puts it into a path encodes it. */
  readonly model: string
  readonly stream: boolean
  /** The upstream's own, as the provider's schema left them. */
  readonly options: JsonObject
}
/** Appended to the base URL. Undefined: this model is not reached that way here. */
export type Endpoint = string | ((call: EndpointCall) => string | undefined)
/** Undefined where the vendor does not serve this model by this dialect. */
export const pathOf = (endpoint: Endpoint | undefined, call: EndpointCall): string | undefined =>
  typeof endpoint === 'function' ? endpoint(call) : endpoint

export interface Provider {
  /** The file's name, and the id of the upstream that its environment variable makes. */
  readonly id: string
  readonly title: string
  /** What LiteLLM calls it, besides its id. */
  readonly litellm?: readonly string[]
  /** Without a trailing slash; OpenAI-compatible ones include their version segment. Absent: must be configured. */
  readonly baseUrl?: string
  /** Where it follows from the upstream's options (a region, a resource). */
  readonly baseUrlOf?: (options: JsonObject) => string | undefined
  /** What an upstream at this vendor may say besides: a closed schema with defaults, checked with the configuration. */
  readonly options?: TObject
  /** Where a developer gets a key; shown by `doctor` and the docs. */
  readonly docs?: string
  /** Variables of the vendor's own SDK. Only LLM-specific ones: never a general credential. */
  readonly environment?: { readonly key: string; readonly baseUrl?: string }
  /** Runs on the developer's own machine and needs no key. */
  readonly local?: boolean
  /** The headers that carry the credential; absent: `Authorization: Bearer`. */
  readonly sign?: (secret: string) => Readonly<Record<string, string>>
  /** A caller's own sign-in at this vendor: what its tokens look like, and the headers that carry one. They go to nobody else. */
  readonly signIn?: { readonly token: RegExp; readonly sign: (token: string) => Readonly<Record<string, string>> }
  /** Instead of `sign`, where the whole call is signed or the credential expires. Made once for each upstream. */
  readonly signer?: (parts: SignerParts) => Signer
  /** Sent with every call. */
  readonly headers?: Readonly<Record<string, string>>
  /** Dialect id → endpoint. The first that can serve the operation is used when the client's own is not among them. */
  readonly speaks: Readonly<Record<string, Endpoint>>
  /** How this vendor cuts the stream of a dialect, where it is not the dialect's own way. */
  readonly framing?: Readonly<Record<string, Framing>>
  /** Top-level body fields that this vendor wants set or (undefined) gone, in a dialect that it serves in its own way. */
  readonly edits?: (
    dialect: string,
    call: EndpointCall & { readonly headers: Readonly<Record<string, string | undefined>> },
  ) => Readonly<Record<string, JsonValue | undefined>> | undefined
  /** Where this vendor counts a request's input for free: by dialect, the path, and the body to send for a written one. */
  readonly counts?: Readonly<
    Record<string, { readonly endpoint: Endpoint; ask(body: JsonObject, model: string): JsonObject }>
  >
  /** The header of its answers that names the call, where it is not the usual one. */
  readonly requestId?: string
  /**
   * Beginnings of paths that are about the account itself (members, keys, bills), or that hand out credentials of it: never
   * relayed, whoever asks.
   */
  readonly administration?: readonly string[]
  /** What work in batches costs here, in percent of the list price; absent: 100. */
  readonly batchPercent?: number
  /** Path of the free list of models, if there is one. */
  readonly models?: string
  /** The price table's name for this vendor; absent: no list price is known. */
  readonly catalog?: string
  /** Client request headers that may go to this vendor, besides the general few. */
  readonly forward?: readonly string[]
  /** Where it serves another vendor's models: which of that one's trial features it takes. */
  readonly betas?: Betas
  /** What this vendor means by an error, where its status and code do not say it by the general rules. */
  readonly classify?: (status: number, complaint: UpstreamComplaint) => ErrorCode | undefined
  readonly quirks?: {
    /** Reads the fields with which clients say where a request may go, and routes by them itself. */
    readonly routes?: boolean
    /** The field that carries the output limit, where the vendor refuses the standard one. */
    readonly outputLimitField?: string
    /** Takes Anthropic's cache markers in a dialect that has none of its own. */
    readonly cacheControl?: boolean
    /** Does not know `stream_options.include_usage` (it would answer 400). */
    readonly noStreamOptions?: boolean
  }
}

/** One thing a vendor says: under this status (absent: any), these words in its code, type or message. */
export type Saying = readonly [status: number | undefined, words: RegExp, means: ErrorCode]

/** A vendor's sayings as its `classify`; the first that fits counts, and none leaves it to the general rules. */
export function sayings(table: readonly Saying[]): NonNullable<Provider['classify']> {
  return (status, { code, type, message }) => {
    const said = `${code ?? ''} ${type ?? ''} ${message ?? ''}`
    return table.find(([when, words]) => (when === undefined || when === status) && words.test(said))?.[2]
  }
}

/** The headers that carry a credential to a vendor without a signer. */
export const authorized = (sign: Provider['sign'] | undefined, secret: string): Readonly<Record<string, string>> =>
  sign ? sign(secret) : { authorization: `Bearer ${secret}` }

export const defineProvider = (provider: Provider): Provider => provider
