// Preloaded into the process of each test file: ends it when its time is long over. What it tests may handle SIGTERM, with
// which scripts/test.ts asks first, and a file that never ends would hold up everything behind it.
import { isMainThread } from 'node:worker_threads'

if (isMainThread) {
  const seconds = Number(process.env.STOCKYARD_TEST_SECONDS)
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), (seconds + 10) * 1_000).unref()
}
