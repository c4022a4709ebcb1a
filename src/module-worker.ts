/** The worker thread in which a module's program runs; the store starts it. Beside main the only file that knows both. */
import { audit } from './modules/audit/program.ts'
import { guardrails } from './modules/guardrails/program.ts'
import { pii } from './modules/pii/program.ts'
import { runProgram } from './store/local/program.ts'

runProgram({ audit, guardrails, pii })
