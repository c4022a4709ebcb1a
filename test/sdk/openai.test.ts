/** The official OpenAI SDK against a gateway in this process. */
import { gatewayForAll } from './gateway.ts'
import { openaiSuite } from './openai-suite.ts'

const gateway = gatewayForAll()
openaiSuite(() => gateway().url)
