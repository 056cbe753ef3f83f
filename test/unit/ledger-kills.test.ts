/**
 * A process under load is killed at random instants, again and again on the same directory, so that damage would add
 * up. LEDGER_KILLS: how often.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { verifyCheckpoint } from '../../daemon/ledger/checkpoint.ts'
import { treeRoot } from '../../daemon/ledger/merkle-path.ts'
import { openReader } from '../../daemon/ledger/reader.ts'
import { storedNodes } from '../../daemon/ledger/tile-store.ts'
import { ledgerEntries } from '../../daemon/recorder/index/ledger-entries.ts'
import { leafOf } from './ledger-appended.ts'
import { fsck, open, signer } from './ledger-fixture.ts'

const kills = Number(process.env.LEDGER_KILLS ?? 100)
t.setTimeout(kills * 2000)

const APPENDER = fileURLToPath(new URL('ledger-appender.ts', import.meta.url))
const base = mkdtempSync(join(tmpdir(), 'ledger-kills-'))
t.teardown(() => rmSync(base, { recursive: true, force: true }))
const dir = join(base, 'log')

/** By leaf index, which run and number were acknowledged. */
const acknowledged = new Map<string, string>()
const notes = new Set<string>()
const contradictions: string[] = []

function hear(run: number, line: string): void {
  const [what, first, second] = line.split(' ')
  if (what === 'signed') notes.add(first!)
  if (what !== 'leaf') return
  const leaf = `${run} ${second}`
  if (acknowledged.has(first!)) contradictions.push(`leaf ${first}: ${acknowledged.get(first!)} and ${leaf}`)
  acknowledged.set(first!, leaf)
}

/** @returns whether the log was open when the process was killed, which is `delay` after that or after its start */
async function killed(run: number, delay: number, whenOpen: boolean): Promise<boolean> {
  const child = spawn(process.execPath, [APPENDER, dir, String(run)], {
    env: { NODE_COMPILE_CACHE: join(base, 'compiled') },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'close')
  let said = ''
  child.stderr.on('data', (bytes) => {
    said += bytes
  })
  const kill = (): unknown => setTimeout(() => child.kill('SIGKILL'), delay)
  if (!whenOpen) kill()
  let isOpen = false
  // What the pipe still holds is read after the end.
  for await (const line of createInterface(child.stdout)) {
    hear(run, line)
    if (line !== 'opened') continue
    isOpen = true
    if (whenOpen) kill()
  }
  const [code, signal] = (await ended) as [number | null, string | null]
  if (signal !== 'SIGKILL') throw new Error(`run ${run} ended by itself (${code}): ${said}`)
  return isOpen
}

t.test(`${kills} kills under load take back nothing that was acknowledged or signed`, async (t) => {
  let wereOpen = 0
  for (let run = 0; run < kills; run++) {
    // Most while leaves come and are integrated, some while it starts, replays or signs what it replayed.
    const whenOpen = run % 5 !== 4
    if (await killed(run, Math.random() * (whenOpen ? 100 : 250), whenOpen)) wereOpen++
    if (run % 25 === 24) {
      const left = (await fsck(dir)).filter(({ what }) => !what.includes('torn'))
      t.same(left, [], `whole as kill ${run + 1} left it`)
    }
  }
  const ledger = await open(dir)
  await ledger.close()
  t.same(await fsck(dir), [])
  t.same(contradictions, [], 'no index was given twice')

  const { size } = verifyCheckpoint(openReader(dir).checkpoint()!.note, signer.verifierKey)
  let wrong = 0
  let found = 0
  for (const { leaf, bytes } of ledgerEntries(dir, 0n, size)) {
    const told = acknowledged.get(String(leaf))
    if (told === undefined) continue
    found++
    const [run, number] = told.split(' ').map(Number) as [number, number]
    if (!bytes.equals(leafOf(run, number))) wrong++
  }
  t.equal(wrong, 0, 'each acknowledged leaf as it was')
  t.equal(found, acknowledged.size, 'and none missing')

  const node = storedNodes(dir, size)
  const strays = [...notes]
    .map((note) => verifyCheckpoint(Buffer.from(note, 'base64').toString(), signer.verifierKey))
    .filter((signed) => signed.size > size || !treeRoot(signed.size, node).equals(signed.root))
  t.same(strays, [], 'every checkpoint is of one history')
  const unheard = Number(size) - acknowledged.size
  t.comment(
    `${kills} kills, ${wereOpen} of an open log; ${size} leaves, ${unheard} of them never heard of; ${notes.size} checkpoints`,
  )
  t.ok(wereOpen >= kills * 0.6 && acknowledged.size > kills && notes.size > kills / 2)
})
