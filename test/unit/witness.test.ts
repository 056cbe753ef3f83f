/** What a witness cosigns, and what it never does. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { parseSignedCheckpoint, type SignedCheckpoint } from '../../daemon/ledger/checkpoint.ts'
import { cosigner, verifyCosigned } from '../../daemon/ledger/cosignature.ts'
import { checkCosigned, writeCosigned } from '../../daemon/ledger/cosigned-file.ts'
import { LedgerError } from '../../daemon/ledger/errors.ts'
import { ed25519Signer, formatNote, noteText, parseVerifierKey } from '../../daemon/ledger/note.ts'
import { openReader } from '../../daemon/ledger/reader.ts'
import { formatAddCheckpoint, parseAddCheckpoint } from '../../daemon/witness/add-checkpoint.ts'
import { CosignedState } from '../../daemon/witness/cosigned-state.ts'
import { knownLogs, witness } from '../../daemon/witness/witness.ts'
import { grow, leaf, ORIGIN, open, signer, temporaryDirectory } from './ledger-fixture.ts'

const COSIGNER = cosigner('witness.example/w1', Buffer.alloc(32, 60))
const NOW = 1_790_000_000_000

type Handler = ReturnType<typeof witness>

/** A log with checkpoints of these sizes, and a fork of it that differs from its third leaf on. */
const dir = temporaryDirectory(t)
const forkDir = temporaryDirectory(t)
const checkpoints = new Map<number, SignedCheckpoint>()
const fork = new Map<number, SignedCheckpoint>()
t.before(async () => {
  let last = 0
  for (const size of [0, 3, 5, 9, 300]) {
    await grow(dir, last, size)
    checkpoints.set(size, openReader(dir).checkpoint()!)
    last = size
  }
  const other = await open(forkDir)
  for (let i = 0; i < 9; i++) await other.append(i < 3 ? leaf(i) : Buffer.from(`other ${i}`))
  await other.close()
  fork.set(9, openReader(forkDir).checkpoint()!)
})

function start(
  t: Test,
  stateDir = temporaryDirectory(t),
  logs = [signer.verifierKey],
): { handle: Handler; stateDir: string } {
  return { handle: witness({ dir: stateDir, cosigner: COSIGNER, logs, now: () => NOW }), stateDir }
}

const post = (handle: Handler, body: string | Buffer) =>
  handle({ method: 'POST', path: '/add-checkpoint', gzip: false, body: Buffer.from(body) })

function request(oldSize: number, size: number): string {
  const proof = oldSize <= size ? openReader(dir).consistencyProof(BigInt(oldSize), BigInt(size)) : []
  return formatAddCheckpoint({ oldSize: BigInt(oldSize), proof, note: checkpoints.get(size)!.note })
}

t.test('cosigns each checkpoint that extends the last one, and the same again', async (t) => {
  const { handle } = start(t)
  let last = 0
  for (const size of [0, 3, 3, 5, 300]) {
    const answer = await post(handle, request(last, size))
    t.equal(answer.status, 200, String(answer.body))
    const note = `${checkpoints.get(size)!.note}${answer.body}`
    const { cosignatures } = verifyCosigned(note, signer.verifierKey, [COSIGNER.verifierKey])
    t.same(cosignatures, [{ name: 'witness.example/w1', time: BigInt(NOW / 1000) }])
    last = size
  }
})

t.test('answers with its size where the client is behind or ahead of it', async (t) => {
  const { handle } = start(t)
  for (const [old, size] of [
    [0, 5],
    [0, 9],
    [3, 9],
    [9, 300],
  ] as const) {
    const answer = await post(handle, request(old, size))
    if (old === 0 && size === 5) t.equal(answer.status, 200)
    else {
      t.equal(answer.status, 409)
      t.equal(answer.body, '5\n')
      t.equal(answer.headers?.['content-type'], 'text/x.tlog.size')
    }
  }
})

t.test('never cosigns two roots of one size, a fork, or a step back', async (t) => {
  const { handle } = start(t)
  t.equal((await post(handle, request(0, 9))).status, 200)
  const twin = formatAddCheckpoint({ oldSize: 9n, proof: [], note: fork.get(9)!.note })
  const split = await post(handle, twin)
  t.equal(split.status, 409, 'another root of the same size')
  t.equal(split.body, '9\n')
  t.equal((await post(handle, request(9, 5))).status, 400, 'a smaller tree by the right old size')
  t.equal((await post(handle, request(5, 5))).status, 409, 'a smaller tree by its own size')
  const { handle: atThree } = start(t)
  t.equal((await post(atThree, request(0, 5))).status, 200)
  const proof = openReader(forkDir).consistencyProof(5n, 9n)
  const forked = formatAddCheckpoint({ oldSize: 5n, proof, note: fork.get(9)!.note })
  t.equal((await post(atThree, forked)).status, 422, 'a tree that does not extend the last one')
  t.equal((await post(atThree, request(5, 9))).status, 200, 'the true one still can be')
})

t.test('refuses proofs that are not exactly the one', async (t) => {
  const { handle } = start(t)
  await post(handle, request(0, 5))
  const good = openReader(dir).consistencyProof(5n, 300n)
  const { note } = checkpoints.get(300)!
  for (const proof of [[], good.slice(1), good.toReversed(), [...good, good[0]!]]) {
    t.equal((await post(handle, formatAddCheckpoint({ oldSize: 5n, proof, note }))).status, 422)
  }
  const { handle: fresh } = start(t)
  t.equal(
    (await post(fresh, formatAddCheckpoint({ oldSize: 0n, proof: good, note }))).status,
    422,
    'from nothing it is empty',
  )
})

t.test('knows only its logs, by their keys', async (t) => {
  const { handle } = start(t)
  const foreignSigner = ed25519Signer('other.example/log', Buffer.alloc(32, 9))
  const text = noteText(checkpoints.get(5)!.note)
  const sign = (by: typeof signer, of: string) =>
    formatNote(of, parseVerifierKey(by.verifierKey), by.sign(Buffer.from(of)))
  const unknown = sign(foreignSigner, text.replace(ORIGIN, 'other.example/log'))
  t.equal((await post(handle, formatAddCheckpoint({ oldSize: 0n, proof: [], note: unknown }))).status, 404)
  const impostor = ed25519Signer(ORIGIN, Buffer.alloc(32, 9))
  for (const note of [sign(impostor, text), sign(foreignSigner, text), forged(checkpoints.get(5)!.note)]) {
    t.equal((await post(handle, formatAddCheckpoint({ oldSize: 0n, proof: [], note }))).status, 403)
  }
  const { handle: both } = start(t, undefined, [signer.verifierKey, impostor.verifierKey])
  const rotated = formatAddCheckpoint({ oldSize: 0n, proof: [], note: sign(impostor, text) })
  t.equal((await post(both, rotated)).status, 200, 'a log may have several keys')
})

const forged = (note: string) => note.replace(/\n(\d+)\n/, (_, size) => `\n${BigInt(size) + 1n}\n`)

t.test('refuses what is not a request', async (t) => {
  const { handle } = start(t)
  const good = request(0, 5)
  for (const bad of [
    '',
    '\n\n',
    'old',
    'old \n\n',
    good.replace('old 0', 'old 00'),
    good.replace('old 0', 'old -1'),
    good.replace('old 0', 'OLD 0'),
    good.replace('old 0', 'old 0 '),
    good.replace('old 0\n', 'old 0\nAAAA\n'),
    good.replace('old 0\n', `old 0\n${`${Buffer.alloc(32).toString('base64')}\n`.repeat(64)}`),
    good.replace('\n\n', '\n'),
    good.replaceAll('\n', '\r\n'),
    good.slice(0, -1),
    `\n${good}`,
  ]) {
    t.equal((await post(handle, bad)).status, 400, JSON.stringify(bad.slice(0, 40)))
  }
  t.equal((await post(handle, Buffer.from([0x6f, 0x6c, 0x64, 0xff]))).status, 400)
  const at63 = good.replace('old 0\n', `old 0\n${`${Buffer.alloc(32).toString('base64')}\n`.repeat(63)}`)
  t.equal((await post(handle, at63)).status, 422, '63 hashes are read')
  t.equal(
    (await handle({ method: 'GET', path: '/add-checkpoint', gzip: false, body: Buffer.alloc(0) })).status,
    405,
  )
  t.equal((await handle({ method: 'POST', path: '/', gzip: false, body: Buffer.from(good) })).status, 404)
})

t.test('of requests at the same time only one can win', async (t) => {
  const { handle } = start(t)
  const answers = await Promise.all(
    [request(0, 5), request(0, 3), request(0, 9), request(0, 300)].map((r) => post(handle, r)),
  )
  t.same(answers.map(({ status }) => status).sort(), [200, 409, 409, 409])
})

t.test('it is durable before it answers, and remembered by the next', async (t) => {
  const { handle, stateDir } = start(t)
  await post(handle, request(0, 5))
  const [file] = readdirSync(stateDir)
  t.equal(parseSignedCheckpoint(readFileSync(join(stateDir, file!), 'utf8')).size, 5n)
  const { handle: next } = start(t, stateDir)
  t.equal((await post(next, request(0, 9))).status, 409)
  t.equal((await post(next, request(5, 9))).status, 200)
})

t.test('where it can not write it does not cosign', async (t) => {
  const stateDir = temporaryDirectory(t)
  const { handle } = start(t, stateDir)
  rmSync(stateDir, { recursive: true })
  await t.rejects(post(handle, request(0, 5)))
  t.notOk(existsSync(stateDir))
})

t.test('a damaged memory is not taken for none', async (t) => {
  const { handle, stateDir } = start(t)
  await post(handle, request(0, 5))
  const file = join(stateDir, readdirSync(stateDir)[0]!)
  for (const bytes of [
    '',
    'nonsense',
    forged(readFileSync(file, 'utf8')),
    fork.get(9)!.note.replace(ORIGIN, 'x'),
  ]) {
    writeFileSync(file, bytes)
    await t.rejects(post(handle, request(0, 9)), { code: 'CHECKPOINT_DAMAGED' })
  }
})

t.test('names what was changed of what it cosigned', async (t) => {
  const { handle, stateDir } = start(t)
  await post(handle, request(0, 5))
  const check = () =>
    [...new CosignedState(stateDir).check(knownLogs([signer.verifierKey]))].map(({ file }) => file)
  const [file = ''] = readdirSync(stateDir)
  writeFileSync(join(stateDir, `${file}.next`), 'what a crash cut off')
  t.same(check(), [])
  const good = readFileSync(join(stateDir, file))
  for (let at = 0; at < good.length; at++) {
    const bad = Buffer.from(good)
    bad[at]! ^= 1
    writeFileSync(join(stateDir, file), bad)
    if (check()[0] !== file) t.fail(`byte ${at}`)
  }
  writeFileSync(join(stateDir, file), good)
  writeFileSync(join(stateDir, 'stray'), good)
  t.same(check(), ['stray'])
})

t.test('a cosigned checkpoint is checked against the tree and the signatures', async (t) => {
  const { note } = checkpoints.get(9)!
  const good = `${note}${COSIGNER.cosign(noteText(note), 1n)}`
  const check = async (text: string, keys = [COSIGNER.verifierKey]) => {
    await writeCosigned(dir, text)
    return [...checkCosigned(dir, [signer.verifierKey], keys)].map(({ what }) => what)
  }
  t.same(await check(good), [])
  t.match(await check(good.replace(/.{6}=*\n$/, 'AAAAA=\n')), [/does not fit|base64/])
  t.match(await check(forged(good)), [/does not fit the note/])
  const { note: other } = fork.get(9)!
  t.match(await check(other), ['the 9 leaves that were cosigned are not those stored'])
  t.match(await check('nonsense'), [/not a signed note/])
  rmSync(join(dir, 'cosigned'))
  t.same([...checkCosigned(dir, [signer.verifierKey], [])], [])
})

t.test('no bytes make the reading of a request fail otherwise than by a LedgerError', async () => {
  const good = request(5, 300)
  const cut = fc.tuple(fc.nat(good.length), fc.nat(8), fc.string({ unit: 'binary' }))
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 400 }),
    cut.map(([at, count, insert]) => Buffer.from(good.slice(0, at) + insert + good.slice(at + count))),
  )
  fc.assert(
    fc.property(bytes, (bytes) => {
      try {
        const parsed = parseAddCheckpoint(bytes)
        return Buffer.from(bytes).equals(Buffer.from(formatAddCheckpoint(parsed)))
      } catch (error) {
        return error instanceof LedgerError
      }
    }),
    { numRuns: 2000 },
  )
})
