/** Links inside the project lead somewhere, on every page that people read. */
import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { anchorsOf, ownLinksOf, readPage, root } from './markdown.ts'

for (const path of globSync(['*.md', 'docs/**/*.md'], { cwd: root })) {
  test(`the links of ${path} lead somewhere`, () => {
    const page = readPage(path)
    for (const target of ownLinksOf(page)) {
      assert.ok(existsSync(join(root, dirname(path), target)), `${target} does not exist`)
    }
    for (const [, target = '', anchor = ''] of page.matchAll(/\]\(([^)\s:#]*)#([^)\s]+)\)/g)) {
      const other = target === '' ? page : readFileSync(join(root, dirname(path), target), 'utf8')
      assert.ok(anchorsOf(other).includes(anchor), `${target}#${anchor} is no heading`)
    }
  })
}
