import { randomBytes, randomUUIDv7 } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { PartWriter } from '../../daemon/recorder/bodies/part-writer.ts'
import { openBodies } from '../../daemon/recorder/body-reader.ts'
import { blankJournal } from '../../daemon/recorder/erasure/blank-journal.ts'
import { eraseContent } from '../../daemon/recorder/erasure/erase.ts'
import { Finaliser } from '../../daemon/recorder/finalise/finaliser.ts'
import { parseLeaf, storedParts } from '../../daemon/recorder/index/row.ts'
import { openIndex } from '../../daemon/recorder/index-reader.ts'
import { recoverJournal } from '../../daemon/recorder/intake/recover.ts'
import { damage, faulty, forEach, journalled, listen } from './recorder-finaliser-fixture.ts'
import { FakeProxy, startMessage, temporaryDirectory } from './recorder-fixtures.ts'
import { plaintext } from './recorder-plaintext.ts'
import { startRecorder } from './recorder-process.ts'

t.setTimeout(180_000)

const BY = { uid: 0, loginUid: 1000 }
/** All requests begin with the same and have a middle that all but the first two share; words at the end are their own. */
const shared = randomBytes(60_000).toString('base64')
const pair = randomBytes(30_000).toString('base64')
const own = Array.from({ length: 6 }, (_, i) => `own words of ${i}: ${randomBytes(3000).toString('base64')}`)
const small = (i: number) => `a short prompt of ${i}`
const bodyOf = (i: number) =>
  Buffer.from(i === 5 ? small(i) : JSON.stringify([shared, i < 2 ? pair : '', own[i], small(i)]))

/** Six exchanges in packs and log; the journal's segment still stands. */
async function recorded(fs = realFileSystem) {
  const made = await journalled(6, {}, bodyOf)
  const heard = listen()
  const finaliser = await Finaliser.open({ ...made.options, fs, retry: { first: 5, most: 20 } }, heard.events)
  for (const request of made.requests) finaliser.push({ type: 'exchange', request })
  await heard.until(6)
  const ids = made.requests.map(({ id }) => id)
  const { start, options } = made
  const open = async () => Finaliser.open({ ...options, fs: realFileSystem }, listen().events)
  const erase = (through: Finaliser, some: string[]) =>
    through.between((stores) => eraseContent(stores, stores, some, BY, () => {}))
  const blank = (some: string[]) =>
    blankJournal({ dir: options.journal, bodyKey: start.bodyKey, fs: realFileSystem }, some)
  return { ...made, finaliser, ids, open, erase, blank, says: () => plaintext(start.stateDir, start.bodyKey) }
}
type Recorded = Awaited<ReturnType<typeof recorded>>

function partsOf({ start }: Pick<Recorded, 'start'>, id: string) {
  const index = openIndex(start.stateDir)
  const parts = storedParts(parseLeaf(index.get(id)!.bytes))
  index.close()
  return parts
}

/** That every record but these reads as it was recorded. */
function allReadBut(t: Test, made: Recorded, erased: readonly string[]): void {
  const bodies = openBodies(made.start.stateDir, made.start.bodyKey)
  for (const [i, id] of made.ids.entries()) {
    const [, body] = partsOf(made, id)
    if (erased.includes(id)) t.throws(() => bodies.read(body!.digest), { code: 'NOT_FOUND' }, `${i} is gone`)
    else t.ok(bodies.read(body!.digest).bytes.equals(bodyOf(i)), `${i} reads`)
  }
  bodies.close()
}

t.test('what was erased is nowhere on disk, and what others share with it stays', async (t) => {
  const made = await recorded()
  const { ids, start, finaliser, says } = made
  const salts = openBodies(start.stateDir, start.bodyKey)
  const salt = salts.read(partsOf(made, ids[0]!)[1]!.digest).salt
  salts.close()
  for (const text of [own[0]!, small(0)]) t.ok(says().includes(text))
  const result = await made.erase(finaliser, [ids[0]!, ids[5]!])
  await made.blank([ids[0]!, ids[5]!])
  t.same(result, { erased: [ids[0], ids[5]], skipped: [] })
  const left = says()
  for (const text of [own[0]!.slice(0, 40), own[0]!.slice(-40), small(0), small(5)])
    t.notOk(left.includes(text))
  t.notOk(left.includes(salt), 'nor the salt')
  allReadBut(t, made, [ids[0]!, ids[5]!])
  t.same(await damage(start), [])
  await made.erase(finaliser, [ids[1]!])
  await made.blank([ids[1]!])
  t.notOk(says().includes(pair.slice(1000, 1100)), 'what only the two had goes with the second')
  t.ok(says().includes(shared.slice(1000, 1100)), 'what the rest have stays')
  allReadBut(t, made, [ids[0]!, ids[1]!, ids[5]!])
  await finaliser.close()
  t.same(await damage(start), [])
  t.same(
    readdirSync(path.join(start.stateDir, 'packs'), { recursive: true }).filter((n) =>
      /going|making\//.test(String(n)),
    ),
    [],
  )
})

t.test('the log says who erased what, and the index tells it, also when it is made anew', async (t) => {
  const made = await recorded()
  const { ids, start, finaliser } = made
  await made.erase(finaliser, [ids[2]!])
  await finaliser.close()
  const look = () => {
    const index = openIndex(start.stateDir)
    const gone = made.ids.map((id) => index.gone(index.get(id)!))
    const [audit] = index.list({ kind: 'audit' })
    index.close()
    return { gone, audit: parseLeaf(audit!.bytes) }
  }
  const { gone, audit } = look()
  t.match(audit, {
    kind: 'audit',
    event: 'content-erased',
    detail: { records: ids[2], count: 1, parts: 4, uid: 0, loginUid: 1000 },
  })
  t.match(gone, [undefined, undefined, { id: audit.id }, undefined, undefined, undefined])
  for (const suffix of ['', '-wal', '-shm']) {
    rmSync(path.join(start.stateDir, `index.sqlite${suffix}`), { force: true })
  }
  await (await made.open()).close()
  t.same(look(), { gone, audit })
  allReadBut(t, made, [ids[2]!])
  t.same(await damage(start), [])
})

t.test('what can’t be erased is said, with the reason', async (t) => {
  const made = await recorded()
  const { ids, finaliser, start } = made
  const unknown = randomUUIDv7()
  const index = () => openIndex(start.stateDir)
  await made.erase(finaliser, [ids[3]!])
  const reader = index()
  const audit = reader.list({ kind: 'audit' })[0]!.id
  reader.close()
  t.same(await made.erase(finaliser, [unknown, ids[3]!, audit, ids[4]!, ids[4]!]), {
    erased: [ids[4]],
    skipped: [
      { id: unknown, why: 'no such record' },
      { id: ids[3], why: 'erased before' },
      { id: audit, why: 'no content was kept' },
    ],
  })
  await finaliser.close()
  t.same(await damage(start), [])
})

t.test('what went with the erased is stored again when it comes again', async (t) => {
  const made = await recorded()
  const { ids, finaliser, start } = made
  await made.erase(finaliser, [ids[0]!, ids[1]!])
  const digest = await finaliser.between(async ({ packs, keys, index }) => {
    const writer = new PartWriter(keys, packs)
    writer.write(bodyOf(1))
    const part = writer.finish()
    index.add([], await packs.commit())
    return part.digest
  })
  const bodies = openBodies(start.stateDir, start.bodyKey)
  t.ok(bodies.read(digest).bytes.equals(bodyOf(1)))
  bodies.close()
  await finaliser.close()
  t.same(await damage(start), [])
})

t.test(
  'whatever call of the disk fails, the next start finishes the erasure or there was none',
  async (t) => {
    const counter = faulty()
    const probe = await recorded(counter.fs)
    const before = counter.state.calls
    await probe.erase(probe.finaliser, [probe.ids[0]!])
    const used = counter.state.calls - before
    await probe.finaliser.close()
    t.ok(used > 15, `${used} calls`)
    const kinds = new Set<string>()
    let erased = 0
    await forEach(used, async (fail) => {
      const { fs, state } = faulty()
      const made = await recorded(fs)
      // From this call on nothing works any more, as when the machine dies.
      state.at = state.calls + fail
      const failed = await made.erase(made.finaliser, [made.ids[0]!]).then(
        () => false,
        () => true,
      )
      for (const hit of state.hits) kinds.add(hit)
      await made.finaliser.close().catch(() => {})
      state.at = Number.POSITIVE_INFINITY
      const next = await made.open()
      await next.close()
      const index = openIndex(made.start.stateDir)
      const gone = index.gone(index.get(made.ids[0]!)!) !== undefined
      index.close()
      const label = `call ${fail} (${state.hits[0]}): ${gone ? 'erased' : 'not erased'}`
      if (!failed && !gone) t.fail(`${label}, and was said to be`)
      await made.blank([made.ids[0]!])
      const left = made.says().includes(own[0]!.slice(0, 40))
      if (gone === left && gone) t.fail(`${label}: content is left`)
      for (const what of await damage(made.start)) t.fail(`${label}: ${what}`)
      allReadBut(t, made, gone ? [made.ids[0]!] : [])
      if (gone) erased++
    })
    t.ok(erased > used / 2, `${erased} of ${used} were in the log by then`)
    t.ok(
      ['writev', 'datasync', 'sync', 'rename', 'unlink'].every((kind) => kinds.has(kind)),
      [...kinds].join(' '),
    )
  },
)

t.test('a damaged pack is not written anew: what else it holds may come back from a backup', async (t) => {
  const made = await recorded()
  const { start, ids } = made
  await made.finaliser.close()
  const pack = path.join(start.stateDir, 'packs', '0000000001.pack')
  const whole = readFileSync(pack)
  const bytes = Buffer.from(whole)
  bytes[bytes.length >> 1]! ^= 1
  writeFileSync(pack, bytes)
  const finaliser = await made.open()
  await t.rejects(made.erase(finaliser, [ids[0]!]), { code: 'DAMAGED', message: /0000000001\.pack/ })
  await finaliser.close()
  t.ok(readFileSync(pack).equals(bytes), 'it stands')
  const damaged = await made.open()
  t.match(damaged.health(), [{ code: 'recorder.erasure', severity: 'error' }])
  await t.rejects(
    made.erase(damaged, [ids[0]!]),
    { code: 'DAMAGED' },
    'asked again, it is not said to be done',
  )
  const index = openIndex(start.stateDir)
  t.ok(index.holds(partsOf(made, ids[0]!)[1]!.digest), 'and the index says that it is there')
  index.close()
  await damaged.close()
  writeFileSync(pack, whole)
  const restored = await made.open()
  t.same(restored.health(), [])
  await restored.close()
  await made.blank([ids[0]!])
  t.notOk(made.says().includes(own[0]!.slice(0, 40)), 'with the pack restored, the start finishes it')
  allReadBut(t, made, [ids[0]!])
  t.same(await damage(start), [])
})

t.test('an attempt that failed leaves nothing behind of what is erased later', async (t) => {
  const made = await journalled(6, {}, bodyOf)
  const heard = listen()
  const finaliser = await Finaliser.open(
    { ...made.options, fs: realFileSystem, retry: { first: 5, most: 20 } },
    heard.events,
  )
  // Packs are synced, and then the ledger fails: the exchanges are taken up again, under other salts.
  let appends = 0
  const append = finaliser.stores.ledger.append.bind(finaliser.stores.ledger)
  finaliser.stores.ledger.append = (bytes) =>
    appends++ === 0 ? Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' })) : append(bytes)
  for (const request of made.requests) finaliser.push({ type: 'exchange', request })
  await heard.until(6)
  const id = made.requests[0]!.id
  t.ok(plaintext(made.start.stateDir, made.start.bodyKey).includes(small(0)))
  await finaliser.between((stores) => eraseContent(stores, stores, [id], BY, () => {}))
  await finaliser.close()
  await blankJournal({ dir: made.options.journal, bodyKey: made.start.bodyKey, fs: realFileSystem }, [id])
  const left = plaintext(made.start.stateDir, made.start.bodyKey)
  t.notOk(left.includes(small(0)))
  t.notOk(left.includes(own[0]!.slice(0, 40)))
  t.same(await damage(made.start), [])
})

t.test('what a crash left of an exchange half put into a pack is erased with it', async (t) => {
  const long = randomBytes(3 << 20).toString('base64')
  const made = await journalled(2, {}, (i) => Buffer.from(i === 0 ? small(0) : long))
  const [before, taken] = made.requests
  const run = async (packMs: number, use: (finaliser: Finaliser) => Promise<void>) => {
    const heard = listen()
    const options = { ...made.options, packMs, fs: realFileSystem }
    const finaliser = await Finaliser.open(options, heard.events)
    await use(finaliser)
    await finaliser.close()
    return heard
  }
  const record = async (finaliser: Finaliser, request: typeof before) => {
    finaliser.push({ type: 'exchange', request: request! })
    await finaliser.between(async () => {})
  }
  await run(3_600_000, async (finaliser) => {
    await record(finaliser, before)
    await finaliser.between(async ({ packs, keys }) => {
      new PartWriter(keys, packs).write(Buffer.from(long))
      await packs.drain()
    })
  })
  // By the time of the next start that pack is too old to be gone on with.
  await run(0, async (finaliser) => {
    await record(finaliser, taken)
    await finaliser.between((stores) => eraseContent(stores, stores, [taken!.id], BY, () => {}))
  })
  rmSync(made.options.journal, { recursive: true })
  const left = plaintext(made.start.stateDir, made.start.bodyKey)
  t.ok(left.includes(small(0)))
  for (let at = 0; at < long.length; at += 100_000) t.notOk(left.includes(long.slice(at, at + 500)))
  t.same(await damage(made.start), [])
})

t.test('the journal’s copy is blanked beside what goes on', async (t) => {
  const made = await recorded()
  const { ids, options, start, finaliser } = made
  await made.erase(finaliser, [ids[0]!])
  await finaliser.close()
  t.ok(made.says().includes(own[0]!.slice(0, 40)), 'the journal has it still')
  await made.blank([ids[0]!])
  t.notOk(made.says().includes(own[0]!.slice(0, 40)))
  const { exchanges, cuts } = recoverJournal(options.journal, start.bodyKey)
  t.same([...exchanges.keys()], ids.slice(1))
  t.same(cuts, [])
})

t.test('an index that lost what it had learned of an erasure learns it again', async (t) => {
  const made = await recorded()
  const { ids, start } = made
  const file = path.join(start.stateDir, 'index.sqlite')
  await made.finaliser.close()
  const old = readFileSync(file)
  const first = await made.open()
  await made.erase(first, [ids[0]!])
  await first.close()
  writeFileSync(file, old)
  const second = await made.open()
  t.same(await damage(start), [])
  allReadBut(t, made, [ids[0]!])
  await made.erase(second, [ids[1]!])
  await second.close()
  allReadBut(t, made, [ids[0]!, ids[1]!])
  t.same(await damage(start), [])
})

t.test('killed at any moment of an erasure, the recorder finishes it with its next start', async (t) => {
  const start = startMessage(temporaryDirectory())
  let running = await startRecorder(start)
  const ids: string[] = []
  let pending = 0
  for (let round = 0; round < 5; round++) {
    const proxy = await FakeProxy.connect(start.socket)
    for (let i = 0; i < 4; i++) {
      const sent = await proxy.request({ body: Buffer.from(`${round}/${i} ${own[i]}`) })
      proxy.respond(sent.exchange)
      ids.push(sent.id)
    }
    await running.state(({ records }) => Number(records) >= ids.length)
    const doomed = ids.slice(-4, -2)
    running.child.send({ type: 'erase', ids: doomed, uid: 0 })
    // From before the record of it to after the last step, a little later with each round.
    await new Promise((resolve) => setTimeout(resolve, round * 45))
    proxy.socket.destroy()
    await running.kill()
    running = await startRecorder(start)
    await running.state(({ pending: waiting }) => waiting === 0)
    const index = openIndex(start.stateDir)
    const gone = doomed.map((id) => index.gone(index.get(id)!) !== undefined)
    index.close()
    t.equal(gone[0], gone[1], 'both or none')
    if (!gone[0]) pending++
    const left = plaintext(start.stateDir, start.bodyKey)
    for (const i of [0, 1]) {
      const there = left.includes(`${round}/${i} own words`)
      t.equal(there, !gone[0], `round ${round}: ${gone[0] ? 'erased, and gone' : 'not erased, and there'}`)
    }
    t.ok(left.includes(`${round}/3 own words`))
    t.same(await damage(start), [])
  }
  t.comment(`killed ${pending} times of 5 before the log had it`)
  t.ok(pending < 5)
  t.equal(await running.stop(), 0)
})
