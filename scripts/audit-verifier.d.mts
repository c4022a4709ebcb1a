/** Types of what tests use; the verifier itself is one file that needs nothing. */
type Lines = Iterable<string> | AsyncIterable<string>
export function canonical(value: unknown): string
export function leafHash(text: string | Uint8Array): Buffer
export function verifyInclusion(index: number, size: number, leaf: Buffer, proof: Buffer[], root: Buffer): boolean
export function verifyConsistency(first: number, second: number, a: Buffer, b: Buffer, proof: Buffer[]): boolean
export function linesOf(chunks: Lines): AsyncGenerator<string>
export function linesOfCsv(chunks: Lines): AsyncGenerator<string>
export function verifyExport(
  lines: Lines,
  trusted?: { keys?: string[]; checkpoints?: string[] },
): Promise<{ records: number; problems: string[] }>
