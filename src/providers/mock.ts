/** The built-in echo: answers without a key, on any machine, so that the first request of a newcomer works. */
import { defineProvider } from '../core/provider.ts'

export default defineProvider({
  id: 'mock',
  title: 'Built-in echo',
  baseUrl: 'builtin:echo',
  local: true,
  catalog: 'local',
  speaks: { 'openai-chat': '/chat/completions', 'openai-embeddings': '/embeddings' },
})
