#!/usr/bin/env node
/**
 * Verifies an export of a Stockyard audit trail. One file, nothing but Node's own modules, meant to be read before it is
 * trusted. It shares no code with the program that wrote the export.
 *
 *   node audit-verifier.mjs <export.jsonl | export.csv> [--key name+id+key]… [--checkpoint file]…
 *
 * An export is a frame and records. The frame holds a checkpoint: a signed note (c2sp.org/signed-note, Ed25519) of three
 * lines (origin, number of leaves, root) as in c2sp.org/tlog-checkpoint. A leaf is a record's bytes; hashes, root and proofs
 * are those of RFC 9162. Keys change daily: the last checkpoint of a key has a fourth line, "next-key …", and thereby
 * vouches for the next. What you bring is a key or a checkpoint that you kept; everything else follows from it.
 *
 * What it answers: every record is what was written (or which is not), none is missing, added or moved, each key was
 * named by the one before it, and the log continues the checkpoints you kept. Exit status 0 means all of that.
 */
import { createHash, createPublicKey, verify } from 'node:crypto'
import { createReadStream, readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

// ---- canonical JSON, RFC 8785: only the frame and the head need it; a record's bytes are hashed as they stand

export function canonical(value) {
  if (typeof value === 'string' && !value.isWellFormed()) throw new Error('a lone surrogate')
  if (typeof value === 'number' && !Number.isFinite(value)) throw new Error('not a finite number')
  if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object') throw new Error(`a ${typeof value}`)
  const keys = Object.keys(value).sort()
  return `{${keys.map((key) => `${canonical(key)}:${canonical(value[key])}`).join(',')}}`
}

// ---- Merkle tree, RFC 9162

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest()
const ZERO = Buffer.from([0])
const ONE = Buffer.from([1])
export const leafHash = (text) => sha256(ZERO, text)
const nodeHash = (left, right) => sha256(ONE, left, right)
const EMPTY = sha256()
const half = (n) => Math.floor(n / 2)
const bytes = (text) => Buffer.from(text, 'base64')
const proper = (hashes) => hashes.every((hash) => hash.length === 32)

/** Climbs from a node to the root. `fn` and `sn` are the numbers of the node and of the last one, as the RFC names them. */
function climb(fn, sn, proof, step) {
  for (const p of proof) {
    if (sn === 0) return false
    const fromLeft = fn % 2 === 1 || fn === sn
    step(p, fromLeft)
    while (fromLeft && fn !== 0 && fn % 2 === 0) [fn, sn] = [half(fn), half(sn)]
    ;[fn, sn] = [half(fn), half(sn)]
  }
  return sn === 0
}

/** Section 2.1.3.2: a leaf is at this place of the tree. */
export function verifyInclusion(index, size, leaf, proof, root) {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return false
  if (!proper([leaf, root, ...proof])) return false
  let r = leaf
  const arrived = climb(index, size - 1, proof, (p, fromLeft) => {
    r = fromLeft ? nodeHash(p, r) : nodeHash(r, p)
  })
  return arrived && r.equals(root)
}

/** Section 2.1.4.2: the first tree is the beginning of the second. */
export function verifyConsistency(first, second, firstRoot, secondRoot, proof) {
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(second) || first < 0 || first > second) return false
  if (first === second)
    return proof.length === 0 && firstRoot.equals(secondRoot) && (first > 0 || firstRoot.equals(EMPTY))
  if (first === 0 || !proper([firstRoot, secondRoot, ...proof])) return false
  const path = 2 ** Math.round(Math.log2(first)) === first ? [firstRoot, ...proof] : proof
  if (path.length === 0) return false
  let [fn, sn] = [first - 1, second - 1]
  while (fn % 2 === 1) [fn, sn] = [half(fn), half(sn)]
  let fr = path[0]
  let sr = path[0]
  const arrived = climb(fn, sn, path.slice(1), (p, fromLeft) => {
    if (fromLeft) fr = nodeHash(p, fr)
    sr = fromLeft ? nodeHash(p, sr) : nodeHash(sr, p)
  })
  return arrived && fr.equals(firstRoot) && sr.equals(secondRoot)
}

/** A tree that grows leaf by leaf: the roots of its complete subtrees, the largest first. */
function growingTree() {
  const roots = []
  let size = 0
  return {
    size: () => size,
    add(leaf) {
      let carried = leaf
      for (let n = size; n % 2 === 1; n = half(n)) carried = nodeHash(roots.pop(), carried)
      roots.push(carried)
      size++
    },
    root: () => (size === 0 ? EMPTY : roots.reduceRight((right, left) => nodeHash(left, right))),
  }
}

// ---- signed notes and checkpoints

export function parseKey(text) {
  const [, name, id, key] = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/.exec(text) ?? []
  const typed = bytes(key ?? '')
  if (typed.length !== 33 || typed[0] !== 1) throw new Error(`"${text}" is not an Ed25519 key as name+id+key`)
  if (sha256(`${name}\n`, typed).subarray(0, 4).toString('hex') !== id) throw new Error('the id of a key is wrong')
  const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), typed.subarray(1)])
  return { name, id, key: createPublicKey({ key: der, format: 'der', type: 'spki' }) }
}

/** The checkpoint in a note, and a function that says whether a key signed it. */
export function openNote(note) {
  const border = note.lastIndexOf('\n\n')
  if (border < 0 || !note.endsWith('\n')) throw new Error('not a signed note')
  const text = note.slice(0, border + 1)
  const lines = note.slice(border + 2, -1).split('\n')
  const signatures = lines.map((line) => {
    const [, name, signature] = /^\u2014 (\S+) ([A-Za-z0-9+/]+=*)$/.exec(line) ?? []
    if (name === undefined) throw new Error('a signature cannot be read')
    return { name, id: bytes(signature).subarray(0, 4).toString('hex'), signature: bytes(signature).subarray(4) }
  })
  const [origin, size, root, ...extensions] = text.slice(0, -1).split('\n')
  if (!/^(0|[1-9]\d{0,15})$/.test(size ?? '') || bytes(root ?? '').length !== 32) throw new Error('not a checkpoint')
  const nextKey = extensions.find((line) => line.startsWith('next-key '))?.slice('next-key '.length)
  return {
    origin,
    size: Number(size),
    root: bytes(root),
    nextKey,
    signedBy(keyText) {
      const { name, id, key } = parseKey(keyText)
      return signatures.some((s) => s.name === name && s.id === id && verify(null, Buffer.from(text), key, s.signature))
    },
  }
}

// ---- an export

/** What must hold before any record is looked at. Returns the tree's root, and kept roots that the records must pass. */
function judgeFrame(frame, keys, kept, complain) {
  const newest = openNote(frame.checkpoint)
  const claim = (holds, problem) => holds || complain(problem)
  const continues = (old, proof) =>
    verifyConsistency(old.size, newest.size, old.root, newest.root, (proof ?? []).map(bytes))
  claim(newest.origin === frame.origin, 'the checkpoint is of another log')
  claim(newest.signedBy(frame.epochs.at(-1).key), 'the checkpoint is not signed by the newest key')
  const trusted = frame.epochs.findIndex(({ key }) => keys.includes(key))
  claim(keys.length === 0 || trusted >= 0, 'none of your keys is a key of this log')
  for (let i = Math.max(trusted, 0); i + 1 < frame.epochs.length; i++) {
    const { key, from, last, proof } = frame.epochs[i]
    const who = `the key that signed from record ${from} on`
    const end = last === undefined ? undefined : openNote(last)
    const vouches = end?.origin === frame.origin && end.nextKey === frame.epochs[i + 1].key && end.signedBy(key)
    if (claim(vouches, `${who} did not name the key after it`) === true)
      claim(continues(end, proof), `the log does not continue what ${who} signed`)
  }
  const wholeInstance = frame.organization === null && frame.whole
  const marks = []
  for (const old of kept.map(openNote)) {
    const who = `your checkpoint of ${old.size} records`
    const shown = frame.consistency?.from === old.size
    if (old.origin !== frame.origin) complain(`${who} is of another log`)
    else if (old.size > newest.size) complain(`the log has ${newest.size} records: cut off or rolled back since ${who}`)
    else if (wholeInstance) marks.push({ ...old, who })
    else if (!shown) complain(`the export was not made with continues=${old.size}`)
    else claim(continues(old, frame.consistency.proof), `the log does not continue ${who}`)
  }
  if (frame.organization === null) {
    claim(frame.size === newest.size, 'the export and its checkpoint are of different sizes')
    return { root: newest.root, marks: marks.sort((a, b) => a.size - b.size) }
  }
  const { leaf, record, proof } = frame.head
  const signed = verifyInclusion(leaf, newest.size, leafHash(canonical(record)), proof.map(bytes), newest.root)
  claim(signed, 'the head of the organization is not in the signed log')
  const own = record.kind === 'head' && record.organization === frame.organization
  claim(own && record.size === String(frame.size), 'the head is not that of this organization and size')
  return { root: bytes(record.root), marks }
}

const LINE = /^\{"hash":"([A-Za-z0-9+/]{43}=)","leaf":(\d{1,16}),(?:"proof":(\[[^\]]*\]),)?"record":(\{.*\})\}$/s

function readLine(line) {
  const [, hash, leaf, proof, text] = LINE.exec(line) ?? []
  if (text === undefined) return undefined
  let seq
  try {
    seq = JSON.parse(text).seq
  } catch {}
  return { hash, leaf: Number(leaf), proof: proof === undefined ? undefined : JSON.parse(proof), text, seq }
}

/** Takes lines of JSON; returns the number of records and what is wrong, in words. */
export async function verifyExport(lines, { keys = [], checkpoints = [] } = {}) {
  const problems = []
  const complain = (problem) => problems.length < 100 && problems.push(problem)
  const tree = growingTree()
  let frame
  let judged
  let expected = 0
  let records = 0
  let before = -1n
  for await (const line of lines) {
    if (frame === undefined) {
      try {
        frame = JSON.parse(line)
        if (frame.format !== 'stockyard-audit/1' || canonical(frame) !== line) throw new Error('it was changed')
        judged = judgeFrame(frame, keys, checkpoints, complain)
      } catch (error) {
        return { records, problems: [`the frame: ${error.message}`] }
      }
      continue
    }
    const read = readLine(line)
    if (read === undefined) {
      complain(`the record at leaf ${/"leaf":(\d+)/.exec(line)?.[1] ?? expected} cannot be read`)
      continue
    }
    records++
    const name = `record ${read.seq ?? '?'} at leaf ${read.leaf}`
    if (!/^\d{1,19}$/.test(read.seq) || BigInt(read.seq) <= before) complain(`${name} is out of order`)
    else before = BigInt(read.seq)
    const hash = leafHash(read.text)
    if (hash.toString('base64') !== read.hash) complain(`${name} is not what was written`)
    if (frame.whole ? read.leaf !== expected : read.leaf < expected) complain(`${name} should be at leaf ${expected}`)
    expected = read.leaf + 1
    if (!frame.whole) {
      const path = (read.proof ?? []).map(bytes)
      if (!verifyInclusion(read.leaf, frame.size, hash, path, judged.root)) complain(`${name} is not in the signed log`)
      continue
    }
    tree.add(hash)
    while (judged.marks[0]?.size === tree.size()) {
      const { size, root, who } = judged.marks.shift()
      if (!tree.root().equals(root)) complain(`the first ${size} records are not those of ${who}`)
    }
  }
  if (frame === undefined) return { records, problems: ['there is nothing here'] }
  if (frame.whole && tree.size() !== frame.size) complain(`${tree.size()} records are here, ${frame.size} were signed`)
  else if (frame.whole && !tree.root().equals(judged.root)) complain('the records are not those that were signed')
  return { records, problems }
}

/** Lines end with a line feed and nothing else: a record may hold U+2028, which some line readers also break at. */
export async function* linesOf(chunks) {
  let rest = ''
  for await (const chunk of chunks) {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop()
    yield* parts
  }
  if (rest !== '') yield rest
}

/** The same lines from a CSV export: its last four columns are leaf, hash, proof and record; the frame is the first row. */
export async function* linesOfCsv(chunks) {
  let row = []
  let cell = ''
  let quoted = false
  let header = true
  for await (const chunk of chunks) {
    for (const char of chunk) {
      if (char === '"') quoted = !quoted
      if (quoted || (char !== ',' && char !== '\n')) cell += char
      else {
        const text = cell.replace(/\r$/, '')
        row.push(text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text)
        cell = ''
        if (char !== '\n') continue
        const [leaf, hash, proof, record] = row.slice(-4)
        const path = proof === '' ? '' : `"proof":${JSON.stringify(proof.split(' '))},`
        if (!header) yield leaf === '' ? record : `{"hash":"${hash}","leaf":${leaf},${path}"record":${record}}`
        header = false
        row = []
      }
    }
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const options = { key: { type: 'string', multiple: true }, checkpoint: { type: 'string', multiple: true } }
  const { values, positionals: files } = parseArgs({ options, allowPositionals: true })
  const kept = (values.checkpoint ?? []).map((file) => readFileSync(file, 'utf8'))
  const trusted = { keys: values.key ?? [], checkpoints: kept }
  if (files.length !== 1)
    throw new Error('usage: audit-verifier.mjs <export> [--key name+id+key]… [--checkpoint file]…')
  const input = createReadStream(files[0], 'utf8')
  const lines = files[0].endsWith('.csv') ? linesOfCsv(input) : linesOf(input)
  const { records, problems } = await verifyExport(lines, trusted)
  for (const problem of problems) console.error(`WRONG  ${problem}`)
  if (trusted.keys.length + trusted.checkpoints.length === 0) {
    console.error('NOTE   without a key or a checkpoint of yours, this only shows that the export agrees with itself')
  }
  console.log(`${records} records, ${problems.length || 'no'} problems`)
  process.exitCode = problems.length === 0 ? 0 : 1
}
