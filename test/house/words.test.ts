/** What the tracked files never hold: paths of somebody's machine, and the hosts that packages came from. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from './source.ts'

const listed = spawnSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
const skip = listed.status === 0 ? false : 'not a git checkout'

// Written so that this file does not match itself.
const machinePath = /(?<![\w.~-])\/(?:work|root|home|Users)\/[\w.]/
const registryHost =
  /\b(?:registry|npm|packages?)\.(?!io\b)[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|org|net|io|dev|cn|local|internal)\b|\b(?:npm[m]irror|arti[f]actory|ver[d]accio|code[a]rtifact)\b/i

function search(files: Iterable<readonly [path: string, text: string]>, pattern: RegExp): string[] {
  return [...files].flatMap(([path, text]) =>
    text.split('\n').flatMap((line, index) => {
      const found = line.match(pattern)
      return found ? [`${path}:${index + 1}: ${found[0]}`] : []
    }),
  )
}

function* trackedText(): Generator<readonly [string, string]> {
  for (const path of listed.stdout.split('\0')) {
    if (path === '' || !existsSync(join(root, path))) continue
    const bytes = readFileSync(join(root, path))
    if (!bytes.includes(0)) yield [path, bytes.toString('utf8')]
  }
}

function state(name: string, pattern: RegExp, samples: { bad: readonly string[]; good: readonly string[] }): void {
  test(name, { skip }, () => {
    for (const text of samples.bad) assert.equal(search([['x', text]], pattern).length, 1, `does not catch ${text}`)
    for (const text of samples.good) assert.equal(search([['x', text]], pattern).length, 0, `complains about ${text}`)
    const found = search(trackedText(), pattern)
    assert.equal(found.length, 0, `\n${found.join('\n')}`)
  })
}

const slash = '/'
state('no path of a machine', machinePath, {
  bad: ['work', 'root', 'home', 'Users'].map((folder) => `see ${slash}${folder}${slash}x.ts`),
  good: ['https://example.com/work/x', 'src/root/x.ts', '~/.stockyard', '/rooted', './work/x'],
})

const dot = '.'
state('no host of a package registry', registryHost, {
  bad: [
    `https://registry${dot}npmjs${dot}org/x`,
    `https://registry${dot}corp${dot}example${dot}com`,
    `npm${dot}corp${dot}net`,
  ],
  good: ['an npm registry', 'registry.get(x)', 'npm run check', 'prom.register.metrics()', 'package.json'],
})
