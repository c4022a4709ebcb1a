/**
 * Any other path of a vendor's own API: passed on as it is, with its usage read where there is any. What the other
 * formats that are only relayed are made of stands here too.
 */
import { relayOnly } from './relay-only.ts'

export default relayOnly({ id: 'native', operation: 'native', hasErrors: true })

export { type Family, relayOnly } from './relay-only.ts'
export { usageIn } from './usage.ts'
