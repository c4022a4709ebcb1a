/** OpenAI's moderation: what is wrong with a text or a picture. It is free. */
import { relayOnly } from './native/index.ts'

export default relayOnly({
  id: 'openai-moderations',
  operation: 'moderation',
  endpoints: {
    under: '/moderations',
    roots: ['/moderations'],
    deed: (method, path) => (method === 'POST' && path === '/moderations' ? { free: true } : undefined),
  },
})
