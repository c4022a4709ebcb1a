/** OpenAI's sound: text to speech, and speech to text in its own or in English words. */
import { relayOnly } from './native/index.ts'

export default relayOnly({
  id: 'openai-audio',
  operation: 'audio',
  endpoints: {
    under: '/audio',
    roots: ['/audio/speech', '/audio/transcriptions', '/audio/translations'],
    deed: (method, path) => (method === 'POST' && path.split('/').length === 3 ? {} : undefined),
  },
  last: /\.done$/,
})
