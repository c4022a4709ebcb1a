/**
 * OpenAI's images, made, edited and varied. Newer models report tokens; older ones are paid by the picture, so pictures
 * are counted where no tokens are.
 */
import { tokenCount, type Usage } from '../core/usage.ts'
import { relayOnly, usageIn } from './native/index.ts'
import { listOf } from './openai-chat/index.ts'

const PATH = /^\/images\/(?:generations|edits|variations)$/

export default relayOnly({
  id: 'openai-images',
  operation: 'images',
  endpoints: {
    under: '/images',
    roots: ['/images'],
    deed: (method, path) => (method === 'POST' && PATH.test(path) ? {} : undefined),
  },
  fields: { prompt: 'string' },
  last: /\.completed$/,
  usageOf(body): Usage | undefined {
    const image = tokenCount(listOf(body.data).length)
    return usageIn(body) ?? (image > 0 ? { source: 'provider', calls: { image } } : undefined)
  },
})
