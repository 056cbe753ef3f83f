/** A running log over HTTP, followed by a monitor that shares no code with us. No root and no network needed. */
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { parseSignedCheckpoint } from '../../daemon/ledger/checkpoint.ts'
import { freePort, startServer } from '../foreign-verifier/served-log.ts'
import { ForeignVerifier } from '../foreign-verifier/verifier.ts'
import { appendLeaves, open, signer, temporaryDirectory } from '../unit/ledger-fixture.ts'

t.setTimeout(120_000)

const foreign = ForeignVerifier.build()
t.teardown(() => foreign.end())
const key = signer.verifierKey
const dir = temporaryDirectory(t)
const port = await freePort()
const listen = { address: '127.0.0.1', port }
const ledger = await open(dir, { checkpointIntervalMs: 50 })
const server = await startServer('log-server', { listen, ledger: dir, entries: true }, [
  `--allow-fs-read=${dir}/`,
])
t.teardown(() => server.stop())

const CHECKPOINTS = 20
const seen: Buffer[] = []

t.test('it follows the log from checkpoint to checkpoint while leaves are appended', async (t) => {
  let appended = 0
  const appending = (async () => {
    while (seen.length < CHECKPOINTS) {
      // Steps of odd sizes, so that checkpoints end anywhere in a tile.
      const next = appended + 1 + ((appended * 7) % 97)
      await appendLeaves(ledger, appended, next)
      appended = next
      await setTimeout(5)
    }
    await ledger.close()
  })()
  let size = 0n
  const follow = async () => {
    const note = seen.at(-1)
    const step = await foreign.ask('follow', { key, log: server.url, entries: true, ...(note && { note }) })
    if (!step.ok) throw new Error(step.error)
    size = step.size
    const newest = Buffer.from(step.checkpoint!)
    if (note === undefined || !newest.equals(note)) seen.push(newest)
  }
  while (seen.length < CHECKPOINTS) await follow()
  await appending
  await follow()
  t.equal(
    size,
    BigInt(appended),
    `${seen.length} checkpoints, each consistent with the one before, each entry seen`,
  )
})

t.test('under every checkpoint that it saw the whole log can still be read', async (t) => {
  for (const note of seen) {
    const { size } = parseSignedCheckpoint(note.toString())
    const answer = await foreign.ask('log', { key, log: server.url, entries: true, note })
    t.ok(answer.ok, `${size} leaves${answer.error === undefined ? '' : `: ${answer.error}`}`)
  }
})

t.test('nothing went wrong on the way', async (t) => {
  t.equal(server.said(), '')
})
