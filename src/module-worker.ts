/** The worker thread in which a module's program runs; the store starts it. Beside main the only file that knows both. */
import { runProgram } from './store/local/program.ts'

runProgram({})
