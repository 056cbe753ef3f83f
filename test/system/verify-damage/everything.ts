/** Every change to every file of a state directory, each named by `verify` or of no consequence. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Test } from 'tap'
import { INDEX, indexRows, isHarmless, type Rows } from './index-rows.ts'
import { filesOf, fingerprint, type Place } from './place.ts'
import { type Spoiling, spoilings } from './spoiling.ts'
import { type Verdict, verdict } from './verdict.ts'

/**
 * SQLite's index of its WAL (locks and a cache, made anew by the first to open the database); what anvil saves, which is
 * no evidence: what it holds is asked of the chain.
 */
const OTHERS = /^(recorder\/index\.sqlite-shm|chain\/development\/.*)$/
const EVIDENCE = 'firewall/evidence.jsonl'
/** May be gone: caches, what an in-flight transaction left, a mark that only says that there must be a segment. */
const DISPENSABLE =
  /^(firewall\/(addresses\.json|alive)|chain\/[a-z]+\.journal\.json|recorder\/journal\/open)$/

/** A partial tile that a wider one has replaced: nothing needs it any more, and it may go at any time. */
function isSuperseded(file: string, files: readonly string[]): boolean {
  if (!/\/tile\/.*\.p\/\d+$/.test(file)) return false
  const width = (name: string) => Number(basename(name))
  const siblings = files.filter((other) => dirname(other) === dirname(file))
  return files.includes(dirname(file).slice(0, -2)) || siblings.some((other) => width(other) > width(file))
}

/** What is wrong with the answer to one change of one file; undefined for a right one. */
async function fault(place: Place, file: string, files: readonly string[], spoiling: Spoiling, rows: Rows) {
  const path = join(place.state, file)
  const undo = spoiling.spoil(path)
  const spoilt = existsSync(path) ? readFileSync(path) : undefined
  let answer: Verdict
  let untouched: boolean
  let harmless = false
  try {
    answer = await verdict(place)
    const after = existsSync(path) ? readFileSync(path) : undefined
    untouched = spoilt === undefined ? after === undefined : after?.equals(spoilt) === true
    // Looked at before it is put right again.
    if (INDEX.test(file)) harmless = isHarmless(indexRows(place), rows, spoiling.kind !== 'flip')
  } finally {
    undo()
  }
  if (!untouched) return 'verify changed it'
  const wal = spoiling.kind === 'gone' && /\/(wal|journal)\/\d+\.(wal|seg)$/.test(file)
  // Which number the file had that is gone, nobody knows. The index and its WAL are one database.
  const name = wal ? dirname(file) : INDEX.test(file) ? 'recorder/index.sqlite' : file
  const named = answer.text.includes(join(place.state, name))
  if (named && !answer.holds) return undefined
  if (harmless && answer.holds) return undefined
  if (spoiling.kind === 'gone' && answer.holds) {
    if (isSuperseded(file, files) || DISPENSABLE.test(file)) return undefined
    if (file === 'chain/anchors.json' && named) return undefined
  }
  // As after a power loss: nothing of it is synced (docs/decisions/058).
  if (spoiling.kind === 'cut' && answer.holds && file === EVIDENCE) return undefined
  return answer.holds ? 'went unnoticed' : `is not named:\n${answer.text}`
}

/**
 * Tries everything on every file; each file is whole again before the next.
 * @param running beside a gateway: less, and not on what it writes in place all the time
 */
export async function everything(t: Test, places: readonly Place[], running = false): Promise<void> {
  const [first] = places as [Place]
  const files = filesOf(first.state)
  const own = files.filter((file) => !OTHERS.test(file) && !(running && file === EVIDENCE))
  const before = fingerprint(first.state, own)
  // The lock has no bytes.
  const queue = own.filter((file) => file !== 'recorder/ledger/lock')
  t.comment(`${queue.length} files: ${queue.join(' ')}`)
  const rows = indexRows(first)
  if (rows === undefined) throw new Error('the index cannot be read')
  let cases = 0
  await Promise.all(
    places.map(async (place) => {
      for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
        const { size } = statSync(join(place.state, file))
        const all = spoilings(file, size, INDEX.test(file) ? 8 : 1)
        const chosen = running ? all.filter((_, i) => i === all.length - 1 || i % 3 === 1) : all
        for (const spoiling of chosen) {
          cases++
          const wrong = await fault(place, file, files, spoiling, rows)
          if (wrong !== undefined) t.fail(`${file} ${spoiling.what} ${wrong}`)
        }
        const restored = await verdict(place)
        if (!restored.holds) t.fail(`${file} restored: ${restored.text}`)
      }
    }),
  )
  for (const place of places) t.same(fingerprint(place.state, own), before, 'verify wrote nothing')
  t.comment(`${cases} cases`)
  t.ok(cases > files.length, `${cases} changes, each named or of no consequence`)
}
