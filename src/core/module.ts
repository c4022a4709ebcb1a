/**
 * The contract of a feature that can be switched off. A module is a definition (data) whose `start` turns settings into
 * hooks; the pipeline compiles the hooks of all modules that are on. A module that is off is not there at all.
 */
import type { Static, TObject } from 'typebox'
import type { Act } from './acting.ts'
import type { Directory, Draft, Grant } from './directory.ts'
import type { OpenOutlet } from './egress.ts'
import type { ErrorDetails, ErrorKind, Refusal } from './errors.ts'
import type { Attempt, Caller, Exchange, Plan, Principal, Target } from './exchange.ts'
import type { InnerChat } from './inner.ts'
import type { Replay } from './kept.ts'
import type { Keyring } from './keys.ts'
import type { NanoUsd } from './money.ts'
import type { Reply, ReplyEvent } from './reply.ts'
import type { JsonObject, ModelRequest } from './request.ts'
import type { Action, Actor } from './roles.ts'
import type { Ledger, Mode, ScopedCache, Tables, TablesDefinition } from './store.ts'
import type { Price, Usage } from './usage.ts'

export type Awaitable<T> = T | Promise<T>

/** When a hook runs, in this order. */
export const PHASES = [
  'authenticate',
  'route',
  'admit',
  'transform',
  'call',
  'attempt',
  'meter',
  'stream',
  'settle',
  'record',
] as const
export type Phase = (typeof PHASES)[number]

/** How deep in the onion. Requests go down this list, replies climb back up. */
export const LAYERS = ['identity', 'limits', 'routing', 'content', 'memory', 'books'] as const
export type Layer = (typeof LAYERS)[number]

/** Phases that can run without effect. A module is observable if it hooks nothing else. */
export const OBSERVABLE: readonly Phase[] = ['route', 'admit', 'transform', 'meter', 'stream']

/** Something taken before the call. Core closes every hold exactly once, however the exchange ends. */
export interface Hold {
  /** Bytes went upstream: the final cost and usage over all attempts. */
  settle(cost: NanoUsd, usage: Usage): Awaitable<void>
  /** Nothing was used. */
  release(): Awaitable<void>
}

/** Something that is used up and comes back by itself. Who lets requests wait for it says whose turn it is. */
export interface Scarce {
  /** How many hold a part of it that may come back before its time. */
  lent: number
  /** Set while there is a line for it: nobody else may take of it. */
  turn?: Exchange | undefined
  /** Called when something came back. */
  freed?: (() => void) | undefined
}
/** A place in the line for something scarce, which is given up once the exchange was admitted, or was not. */
export interface Turn {
  readonly scarce: Scarce
  over(): void
}
/**
 * Admission was refused for want of something `scarce`: resolves when it may be asked for again. `turn` is what it gave
 * before, if that was in vain. Throws, as a rule the refusal itself, where waiting is of no use.
 */
export type Wait = (x: Exchange, refusal: Refusal, turn: Turn | undefined) => Promise<Turn>

/** What `admit` may do besides taking a hold: make the call smaller, never larger. */
export interface Narrowed {
  readonly hold?: Hold
  readonly maxOutputTokens?: number
  readonly dropTargets?: readonly Target[]
}

/** A place in the reply's way out. May hold back, change, split or drop events. */
export interface Stage {
  /** Throws a refusal to stop the reply: a body is refused, a stream gets the finish of a filter and ends in the error. */
  push(event: ReplyEvent): readonly ReplyEvent[]
  /** The reply is over: what is still held back. */
  end?(): readonly ReplyEvent[]
  /**
   * All of the reply has passed, and its end is still here: a refusal keeps it. For what needs the whole, or time. What it
   * returns goes out before the end.
   */
  last?(): Awaitable<readonly ReplyEvent[] | undefined>
  /** What a log may keep of the reply instead of the client's bytes, at most so many: a stage that hides text has it. */
  keeps?(mostBytes: number): Buffer
}

/** How far a reply has come: never its text. */
export interface Progress {
  readonly bytes: number
  readonly estimatedOutputTokens: number
}

export interface Hooks {
  /**
   * Who is asking? The first module that knows ends the search; a refusal that is thrown ends the exchange. One that is
   * returned is the answer unless somebody else knows the caller; being on this machine is then not enough.
   */
  authenticate(x: Caller): Awaitable<Principal | Refusal | undefined>
  /** Where may it go? Each module refines the plan. */
  route(x: Exchange, plan: Plan): Awaitable<Plan>
  /** May they? All must agree; what was taken comes back as a hold. */
  admit(x: Exchange): Awaitable<Hold | Narrowed | undefined>
  /** What exactly is asked? Returns the same object where nothing changes. */
  transform(x: Exchange, request: ModelRequest): Awaitable<ModelRequest>
  /** Around all attempts together. `signal` replaces the exchange's own, where the call must outlive its client. */
  call(x: Exchange, next: (signal?: AbortSignal) => Promise<Reply>): Awaitable<Reply>
  /** Around one attempt. */
  attempt(x: Exchange, attempt: Attempt, next: () => Promise<Reply>): Awaitable<Reply>
  /** After each batch of the reply. Throws a refusal to end it. */
  meter(x: Exchange, progress: Progress): void
  /** Asked once a reply. */
  stream(x: Exchange): Stage | undefined
  /** Exactly once, after the last attempt is booked and before the client has the end of its answer. */
  settle(x: Exchange): Awaitable<void>
  /** After the answer, in batches. */
  record(ended: readonly Exchange[]): Awaitable<void>
}

/** What `start` gives: hooks, and what is no phase of its own. */
export interface Started extends Partial<Hooks> {
  /** Whether `call` has anything to do with this exchange; absent: always. Whatever has not costs nothing. */
  wantsCall?(x: Exchange): boolean
  /** Lets requests wait that a limit refused. At most one module has it. */
  wait?: Wait
  stop?(): Awaitable<void>
}

export type FaultMode = 'open' | 'closed'

/** All a module may touch, fenced to its id. */
export interface Host {
  readonly log: Log
  readonly metrics: Metrics
  /** Whether what its hooks decide is acted upon, or only noted. */
  readonly mode: 'observe' | 'enforce'
  /** Milliseconds since 1970. */
  now(): number
  /** When the gateway started. */
  readonly startedAt: number
  /** A call of the module's own to an address that an administrator set: guarded and bounded like any other. */
  call(call: ModuleCall): Promise<ModuleAnswer>
  /** A chat of the module's own inside `x`, booked under its name (see inner.ts): the answer's text. */
  exchange(x: Exchange, asked: InnerChat): Promise<string>
  /** Throws a refusal with a code of the module's own catalogue. */
  refuse(code: string, details?: ErrorDetails): never
  /** The same, to be returned. */
  refusal(code: string, details?: ErrorDetails): Refusal
  /** What an administrator chose for this module, here and now: for its jobs and routes, which serve all instances of it. */
  readonly chosen: Chosen
  readonly keys: Pick<Keyring, 'read'>
  /** Who there is, and the figures that apply to them. */
  readonly directory: Pick<Directory, 'epoch' | 'get' | 'proof' | 'figures' | 'list'>
  /** Money facts: what was committed, and what is being committed. */
  readonly ledger: Pick<Ledger, 'watch' | 'sums' | 'lastSeq' | 'charges' | 'charge'>
  /** Books prepaid credit that was paid for elsewhere. The same id a second time is a `conflict`. */
  credit(grant: Draft<'grant'>): Grant
  /** A secret of this module's own, kept sealed: made on first use, the same for ever. */
  secret(name: string): string
  /** Kept replies, always of one owner. */
  cacheOf(scope: string): ScopedCache
  /** Answers with a reply that was kept, as this client wants it. */
  readonly replay: Replay
  /** The module's own tables; throws if it defined none. */
  readonly tables: Tables
  readonly jobs: Jobs
  /** What outlives a settings change: counters, averages, queues in memory, kept by core under the module's id. */
  readonly memory: Map<string, unknown>
  /** Opens a file or a syslog receiver that takes lines. */
  readonly openOutlet: OpenOutlet
  /** The module's own program on a worker thread (see program.ts); it runs from the first call until it is closed. */
  readonly worker: Worker
  /** A secret that an administrator gave this module. */
  secretOf(name: string): string | undefined
  /** Hears of administrators' calls: those that change, export or reveal something, and those that were refused. */
  hear(listener: (act: Act) => void): void
  /** What keeps the module from its work, for readiness; `blocks`: no exchange can be served. Absent: all is well. */
  trouble(problem: string | undefined, blocks?: boolean): void
}
/** A module's settings as an administrator wrote them, and those of the places that differ, whatever their mode is. */
export interface Chosen {
  readonly everywhere: JsonObject
  /** By `organization:…`, `team:…` or `key:…`: what holds there, with all that is above it. */
  readonly places: ReadonlyMap<string, JsonObject>
}
export interface Worker {
  /** Rejects with what the program threw, or when the thread died; it is started again with the next call. */
  call<T>(name: string, argument: unknown): Promise<T>
  /** Ends the thread when what is under way is done; the next call starts another. */
  close(): Promise<void>
}
export interface ModuleCall {
  /** POST unless told. */
  readonly method?: 'GET' | 'POST' | 'PUT'
  readonly url: string
  /** `url` is a path behind this upstream's base URL, and the call is signed as its own calls are. */
  readonly upstream?: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
  /** For the whole call. */
  readonly timeoutMs: number
  readonly maxAnswerBytes: number
  readonly signal?: AbortSignal
}
export interface ModuleAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}
export interface Log {
  debug(message: string, facts?: object): void
  info(message: string, facts?: object): void
  warn(message: string, facts?: object): void
  error(message: string, facts?: object): void
}
export interface Metrics {
  counter(name: string, help: string): { add(n?: number): void }
  gauge(name: string, help: string, read: () => number): void
}
/** Timers that stop with the module. */
export interface Jobs {
  every(ms: number, work: () => Awaitable<void>): void
}

/**
 * Which action, in the whole instance, a route takes; unless told, `read` for GET and `manage` for the rest. `signed-in`:
 * anybody who administers something, and the handler looks at whose it is. `caller`: those, and whoever may ask for a model.
 * `public`: anybody.
 */
export type Needs = Action | 'signed-in' | 'caller' | 'public'

/** An administrative route of a module, as data: 404 `module_disabled` while it is off. */
export interface AdminRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Below `/api/`. */
  readonly path: string
  /** Below `/` instead, for scripts that were written for another product. Is any unknown path while the module is off. */
  readonly root?: true
  readonly summary: string
  readonly query?: TObject
  readonly body?: TObject
  readonly answer: TObject
  readonly example: object
  readonly needs?: Needs
  /** A GET that reveals or exports what is told as an act of its own, as every other method is. */
  readonly told?: true
  /** Programs call it that prove themselves by a signature over the very bytes: they come as they were sent. */
  readonly signed?: true
  /** A plain object is sent as JSON, a Download as what it says it is. */
  handle(host: Host, call: AdminCall): Awaitable<unknown>
}
/** An answer that is not JSON, or too large to be put together before it is sent. */
export class Download {
  readonly contentType: string
  readonly fileName: string
  readonly chunks: AsyncIterable<string | Uint8Array>

  constructor(contentType: string, fileName: string, chunks: AsyncIterable<string | Uint8Array>) {
    this.contentType = contentType
    this.fileName = fileName
    this.chunks = chunks
  }
}
export interface AdminCall {
  /** Who administers, as records name them. */
  readonly actor: string
  /** The same with its roles, for answers that depend on them. */
  readonly who: Actor
  readonly params: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, unknown>>
  /** Of a signed route: the bytes. */
  readonly body: unknown
  /** Of the request. */
  header(name: string): string | undefined
  /** Who calls, where that is somebody who may ask for a model and administers nothing. */
  readonly caller?: Principal
  /** Another administrative route, called by the same actor: with its checks, and on the record as its own. */
  api(method: AdminRoute['method'], path: string, body?: JsonObject): Promise<unknown>
  /** What this actor or caller may ask for by name. */
  models(): readonly ModelFacts[]
  /** Of another module, in the whole instance. */
  modeOf(module: string): Mode
  /** Throws why no exchange would be taken at the moment, if so. */
  ready(): void
}
/** A public name, where it may go, and at what price now. */
export interface ModelFacts {
  readonly name: string
  readonly targets: readonly {
    readonly upstream: string
    readonly provider: string
    readonly model: string
    readonly price?: Price
    readonly mostOutputTokens?: number
  }[]
}

/** Whose text is to be forgotten: all that is named must hold. */
export interface Subject {
  readonly exchange?: string
  readonly principal?: string
  readonly user?: string
  readonly endUser?: string
  /** Who wants it so. */
  readonly actor: string
}

export interface Module<Settings extends TObject = TObject> {
  /** The folder's name; prefix of its error codes, metrics and tables. */
  readonly id: string
  /** One sentence, for the list, the docs and the console. */
  readonly summary: string
  readonly layer: Layer
  /** Ids within the same layer, only where the order matters. */
  readonly after?: readonly string[]
  /** Must be on for this one to be on. */
  readonly requires?: readonly string[]
  /** Its mode and settings may differ per organization, team or key: several of it can run side by side on one memory. */
  readonly overridable?: true
  /** What it is before anybody said anything. */
  readonly default: Mode
  readonly settings: Settings
  /** If it breaks or is late: go on without it, or stop the exchange. */
  readonly fault: FaultMode
  /** Milliseconds one hook may take before that counts as a fault. */
  readonly patienceMs?: number
  readonly errors?: Readonly<Record<string, ErrorKind>>
  readonly tables?: TablesDefinition
  readonly admin?: readonly AdminRoute[]
  /** Forgets, on the disk as well, what it keeps of a subject's text; says of how many exchanges. Also while it is off. */
  erase?(host: Host, subject: Subject): Awaitable<number>
  /** What a schema cannot say. Pure: no input or output. Each problem as a sentence. */
  check?(settings: Static<Settings>): readonly string[]
  /** What a caller may know about itself (`GET /v1/key`), in fields of this module's own. Only asked while it is on. */
  aboutCaller?(host: Host, principal: Principal): Awaitable<JsonObject>
  /** Runs on every settings change; the old hooks are stopped when their last exchange has ended. */
  start(host: Host, settings: Static<Settings>): Awaitable<Started>
}

export const defineModule = <Settings extends TObject>(module: Module<Settings>): Module<Settings> => module
