/** The `stockyard` command: reads flags and environment, and runs what was asked for. The only file that knows everyone. */
import { program } from './cli/index.ts'

const words = process.argv.slice(2)
await (await program(words)).parseAsync(words, { from: 'user' })
