/**
 * What OpenAI keeps for its callers, by the beginning of the path. A POST to a root makes an object, a GET lists them, and
 * whatever follows an id belongs to that object: who has it may do with it what the API offers.
 */

export interface Root {
  readonly path: string
  readonly kind: string
  /** POSTs below the root that make one too, instead of naming one: `/videos/edits`. */
  readonly makers?: readonly string[]
  /** Cannot be made by a POST to the root, as it comes to be some other way. */
  readonly unmade?: true
  /** Cannot be listed: its vendor has no such list, or it is the gateway's own. */
  readonly unlisted?: true
  /** Fields of answers with ids of further objects, and their kinds. */
  readonly yields?: Readonly<Record<string, string>>
  /** Work that goes on after the call: booked when it is over. */
  readonly settles?: true
  /** A call that makes one runs a model, which costs. */
  readonly paid?: true
}

export const ROOTS: readonly Root[] = [
  { path: '/files', kind: 'file' },
  { path: '/uploads', kind: 'upload', unlisted: true, yields: { 'file.id': 'file' } },
  { path: '/batches', kind: 'batch', settles: true, yields: { output_file_id: 'file', error_file_id: 'file' } },
  {
    path: '/fine_tuning/jobs',
    kind: 'fine-tuning-job',
    yields: { fine_tuned_model: 'model', result_files: 'file' },
  },
  { path: '/models', kind: 'model', unmade: true, unlisted: true },
  { path: '/vector_stores', kind: 'vector-store' },
  { path: '/conversations', kind: 'conversation', unlisted: true, yields: { 'data.id': 'item' } },
  { path: '/containers', kind: 'container' },
  {
    path: '/responses',
    kind: 'response',
    unmade: true,
    unlisted: true,
    settles: true,
    yields: { 'output.id': 'item', 'output.container_id': 'container', 'data.id': 'item' },
  },
  { path: '/chat/completions', kind: 'chat-completion', unmade: true },
  { path: '/evals', kind: 'eval' },
  { path: '/assistants', kind: 'assistant' },
  { path: '/threads', kind: 'thread', makers: ['runs'], unlisted: true, yields: { thread_id: 'thread' } },
  { path: '/videos/characters', kind: 'character', unlisted: true },
  { path: '/videos', kind: 'video', makers: ['edits', 'extensions'], paid: true },
  { path: '/skills', kind: 'skill' },
  { path: '/audio/voice_consents', kind: 'voice-consent' },
  { path: '/audio/voices', kind: 'voice', unlisted: true },
]

/** Nothing is kept: the grader is run, the file is looked at. */
export const STATELESS: readonly string[] = [
  '/fine_tuning/alpha/graders/run',
  '/fine_tuning/alpha/graders/validate',
  '/content_provenance_checks',
]

/** Fields of requests that name objects. */
export const REFERENCES: readonly string[] = [
  'file_id',
  'file_ids',
  'input_file_id',
  'training_file',
  'validation_file',
  'vector_store_id',
  'vector_store_ids',
  'container_id',
  'container',
  'conversation',
  'previous_response_id',
  'assistant_id',
  'thread_id',
  'eval_id',
  'video_id',
  'skill_id',
  'consent',
]
