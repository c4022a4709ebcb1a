/** Several calls of the administration that are one to whoever asked: when one is refused, those before it are taken back. */

export type Undo = (step: () => Promise<unknown>) => void

export async function together<T>(work: (undo: Undo) => Promise<T>): Promise<T> {
  const undone: (() => Promise<unknown>)[] = []
  try {
    return await work((step) => undone.push(step))
  } catch (error) {
    // What cannot be taken back is told by the error that made it necessary, not by another.
    for (const step of undone.reverse()) await step().catch(() => {})
    throw error
  }
}
