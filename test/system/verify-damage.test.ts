/**
 * What `verify` says of a state directory in which one file was changed, cut or taken away: with the daemon stopped,
 * killed, and running. Nearly all of it in this process, through the functions of the command.
 */
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import t, { type Test } from 'tap'
import { type Evidence, openEvidence } from '../../cli/evidence.ts'
import { verifyRecord, verifyStore } from '../../cli/verification.ts'
import { AnchorError } from '../../daemon/base/errors.ts'
import { readAnchors } from '../../daemon/chain-writer/anchors.ts'
import { SEGMENT_HEADER } from '../../daemon/ledger/wal-frame.ts'
import { type Finding, holds } from '../../daemon/receipt/findings.ts'
import { INDEX_FILE, openIndexDatabase } from '../../daemon/recorder/index/database.ts'
import { chatCall, curlCommand, openaiCommand } from '../lab/client-commands.ts'
import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { startLab } from '../lab/lab.ts'

await enterLab(import.meta.url)
t.setTimeout(300_000)
const seed = Number(process.env.TAP_DAMAGE_SEED ?? randomBytes(4).readUInt32LE())
t.comment(`TAP_DAMAGE_SEED=${seed}`)
const lab = await startLab({ wireLog: false })
const gateway = await startGateway()
t.teardown(async () => {
  await gateway.stop()
  await lab.stop()
})

/** A state directory and the configuration that names it. */
interface Place {
  readonly state: string
  readonly config: string
}

const running: Place = { state: gateway.config.stateDir, config: '/etc/agent-anchor/gateway.yaml' }
/** In memory, on the file system of the state directory, so that files can be moved out of it. */
const away = join(dirname(running.state), 'away')
mkdirSync(away)

/** A number below `limit` for this seed and these words: a run with the same seed meets the same bytes. */
function random(limit: number, ...words: (string | number)[]): number {
  const digest = createHash('sha256')
    .update([seed, ...words].join('\0'))
    .digest()
  return digest.readUInt32LE() % limit
}

/** Every file of a state directory, relative to it. */
const filesOf = (state: string): string[] =>
  readdirSync(state, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(state, join(entry.parentPath, entry.name)))
    .sort()

/**
 * SQLite's index of its WAL (locks and a cache, made anew by the first to open the database); what anvil saves; what waits
 * for the log, which alone vouches for it (docs/decisions/013).
 */
const OTHERS = /^(recorder\/index\.sqlite-shm|chain\/development\/.*|firewall\/evidence\.jsonl)$/
/** May be gone: caches, what an in-flight transaction left, a mark that only says that there must be a segment. */
const DISPENSABLE =
  /^(firewall\/(addresses\.json|alive)|chain\/[a-z]+\.journal\.json|recorder\/journal\/open)$/
const INDEX = /^recorder\/index\.sqlite(-wal)?$/

/** A partial tile that a wider one has replaced: nothing needs it any more, and it may go at any time. */
function isSuperseded(file: string, files: readonly string[]): boolean {
  if (!/\/tile\/.*\.p\/\d+$/.test(file)) return false
  const width = (name: string) => Number(basename(name))
  const siblings = files.filter((other) => dirname(other) === dirname(file))
  return files.includes(dirname(file).slice(0, -2)) || siblings.some((other) => width(other) > width(file))
}

const evidenceOf = (place: Place): Promise<Evidence> =>
  openEvidence({ config: place.config, json: false }, 'verify')

interface Verdict {
  readonly holds: boolean
  /** All that was said. */
  readonly text: string
}

/** As the command does: an error is an answer too, but only one of ours, with its remedy. */
async function verdict(place: Place): Promise<Verdict> {
  try {
    return verdictOf(await verifyStore(await evidenceOf(place)))
  } catch (error) {
    if (error instanceof AnchorError) return { holds: false, text: `${error.message}\n${error.remedy}` }
    throw error
  }
}

const verdictOf = (findings: readonly Finding[]): Verdict => ({
  holds: holds(findings),
  text: findings
    .filter(({ result }) => result !== 'proved')
    .map(({ detail }) => detail)
    .join('\n'),
})

type Rows = readonly (readonly string[])[]

/** What the index says, read as `verify` reads it; undefined where it can't be read. */
function indexRows(place: Place): Rows | undefined {
  let database: ReturnType<typeof openIndexDatabase>
  try {
    database = openIndexDatabase(join(place.state, 'recorder', INDEX_FILE))
    const all = (sql: string) =>
      database
        ?.prepare(sql)
        .all()
        .map((row) => JSON.stringify(row)) ?? []
    const tables = ['record', 'place', 'erased', 'expired']
    return database && tables.map((table) => all(`SELECT * FROM ${table}`))
  } catch {
    return undefined
  } finally {
    database?.close()
  }
}

/**
 * Whether the index can be believed without a word: it says what it said (SQLite keeps bytes that mean nothing: free
 * space, superseded frames), or, cut at the end of a commit as a power loss would, less of it.
 */
function isHarmless(rows: Rows | undefined, before: Rows, cut: boolean): boolean {
  if (rows === undefined) return false
  return rows.every((list, i) => {
    const said = new Set(before[i])
    return list.every((row) => said.has(row)) && (cut || list.length === said.size)
  })
}

/** Changes the bytes of a file in place, as a disk would: the daemon may have it open. */
function overwrite(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, 'r+')
  writeSync(fd, bytes, 0, bytes.length, 0)
  closeSync(fd)
  if (statSync(path).size !== bytes.length) truncateSync(path, bytes.length)
}

interface Spoiling {
  readonly what: string
  readonly kind: 'flip' | 'cut' | 'gone'
  /** @returns its inverse */
  spoil(path: string): () => void
}

const flip = (at: number, bit: number): Spoiling => ({
  what: `byte ${at} flipped (bit ${bit})`,
  kind: 'flip',
  spoil(path) {
    const whole = readFileSync(path)
    const bytes = Buffer.from(whole)
    bytes[at]! ^= 1 << bit
    overwrite(path, bytes)
    return () => overwrite(path, whole)
  },
})

const cut = (to: number): Spoiling => ({
  what: `cut to ${to} bytes`,
  kind: 'cut',
  spoil(path) {
    const whole = readFileSync(path)
    truncateSync(path, to)
    return () => overwrite(path, whole)
  },
})

const gone: Spoiling = {
  what: 'taken away',
  kind: 'gone',
  spoil(path) {
    // Moved, not removed, so that a daemon that has it open goes on with it afterwards.
    const elsewhere = join(away, createHash('sha256').update(path).digest('hex'))
    renameSync(path, elsewhere)
    return () => renameSync(elsewhere, path)
  },
}

/** First, middle, last and `more` random bytes; cut to nothing, to the half and by one; gone. */
function spoilings(file: string, size: number, more: number): Spoiling[] {
  const bit = (at: number) => random(8, file, 'bit', at)
  const places = [0, size >> 1, size - 1, ...Array.from({ length: more }, (_, i) => random(size, file, i))]
  const flips = size === 0 ? [] : [...new Set(places)].map((at) => flip(at, bit(at)))
  const cuts = size === 0 ? [] : [...new Set([0, size >> 1, size - 1])].map(cut)
  return [...flips, ...cuts, gone]
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
  return answer.holds ? 'went unnoticed' : `is not named:\n${answer.text}`
}

/** Copies of a state directory, in which changes are tried at the same time: verify waits more than it works. */
function copies(state: string, name: string, count: number): Place[] {
  return Array.from({ length: count }, (_, i) => {
    const copy = join(away, `${name}-${i}`)
    execFileSync('cp', ['-a', state, copy])
    const config = join(away, `${name}-${i}.yaml`)
    writeFileSync(config, `stateDir: ${copy}\n`)
    return { state: copy, config }
  })
}

/** Name and content of every file that is the gateway's own. */
const fingerprint = (state: string): string[] =>
  filesOf(state)
    .filter((file) => !OTHERS.test(file))
    .map(
      (file) =>
        `${file} ${createHash('sha256')
          .update(readFileSync(join(state, file)))
          .digest('hex')}`,
    )

/** Tries everything on every file; each file is whole again before the next. */
async function everything(t: Test, places: readonly Place[], few: boolean): Promise<void> {
  const [first] = places as [Place]
  const files = filesOf(first.state)
  const before = fingerprint(first.state)
  // The lock has no bytes. Anvil's state is no evidence: what it holds is asked of the chain.
  const queue = files.filter((file) => file !== 'recorder/ledger/lock' && !OTHERS.test(file))
  t.comment(`${queue.length} files: ${queue.join(' ')}`)
  const rows = indexRows(first)
  if (rows === undefined) throw new Error('the index cannot be read')
  let cases = 0
  await Promise.all(
    places.map(async (place) => {
      for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
        const { size } = statSync(join(place.state, file))
        const all = spoilings(file, size, INDEX.test(file) ? 8 : 1)
        const chosen = few ? all.filter((_, i) => i === all.length - 1 || i % 3 === 1) : all
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
  for (const place of places) t.same(fingerprint(place.state), before, 'verify wrote nothing')
  t.comment(`${cases} cases`)
  t.ok(cases > files.length, `${cases} changes, each named or of no consequence`)
}

const rowsOf = async (): Promise<{ id: string; status: number | null; bytes: Uint8Array }[]> => {
  const { index } = await evidenceOf(running)
  try {
    return index.list({ limit: 1000, kind: 'exchange' })
  } finally {
    index.close()
  }
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`${what}: not within 20 s`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** `calls` JSON and as many SSE calls of the real SDK. */
async function traffic(calls: number): Promise<void> {
  const before = (await rowsOf()).length
  const sdk = (stream: boolean) =>
    lab.run('agent1', openaiCommand({ apiKey: 'sk-x', prompt: `of ${stream}`, stream, count: calls }))
  for (const call of await Promise.all([sdk(false), sdk(true)])) {
    if (call.code !== 0) throw new Error(call.stdout + call.stderr)
  }
  await until('recorded', async () => (await rowsOf()).length >= before + 2 * calls)
}

/** One request with a body of a megabyte that doesn't compress, answered in kind. */
async function largeCall(): Promise<void> {
  const { url, headers = {}, body = '' } = chatCall('sk-x', randomBytes(750_000).toString('base64'))
  const call = await lab.run('agent2', curlCommand({ url, headers }, ['-d', '@-']), { input: body })
  if (call.code !== 0) throw new Error(call.stderr)
}

/** Nothing more to be written: all is integrated, signed and anchored. */
const settled = () =>
  until('anchored', async () => {
    const size = (await evidenceOf(running)).ledger.checkpoint()?.size
    const { chains } = readAnchors(gateway.paths.chainState)
    const journal = readFileSync(join(gateway.paths.chainState, 'development.journal.json'), 'utf8')
    const integrated = sizeOf(running.state, 'recorder/ledger/wal') <= SEGMENT_HEADER
    const anchored = chains[0]?.anchors.at(-1)?.size === String(size) && journal.includes('"inFlight":null')
    return integrated && anchored
  })

/**
 * Blocks upon the newest anchor until the chain-writer has noted it as final: it then writes no more by itself. Mined
 * again and again: what is logged meanwhile gets an anchor of its own, on top of the blocks that were there.
 */
async function finality(): Promise<void> {
  const port = gateway.config.listen.ports.developmentChain
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'anvil_mine', params: ['0x100'] })
  const headers = { 'content-type': 'application/json' }
  const isFinal = () =>
    readAnchors(gateway.paths.chainState).chains[0]?.anchors.at(-1)?.finality === 'finalized'
  const patience = Date.now() + 60_000
  while (!isFinal()) {
    if (Date.now() > patience) throw new Error('the newest anchor did not become final within 60 s')
    const mined = await lab.run('root', curlCommand({ url: `http://127.0.0.1:${port}/`, headers, body }))
    if (mined.code !== 0) throw new Error(mined.stderr)
    // Longer than the chain-writer's pause between two looks.
    const look = Date.now() + 6_000
    while (!isFinal() && Date.now() < look) await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const sizeOf = (state: string, directory: string) =>
  filesOf(state)
    .filter((file) => file.startsWith(directory))
    // A segment may go between the listing and the look.
    .reduce((sum, file) => sum + (statSync(join(state, file), { throwIfNoEntry: false })?.size ?? 0), 0)

await largeCall()
await traffic(12)
const erased = (await rowsOf())[3]?.id ?? ''
const erasure = await gateway.cli('records', 'erase', erased, '--yes')
if (erasure.code !== 0) throw new Error(erasure.stderr)
await settled()

t.test('names every changed, cut or missing file beside a running daemon', async (t) => {
  t.match(await verdict(running), { holds: true, text: '' })
  await finality()
  await everything(t, [running], true)
  await traffic(1)
  t.match(await verdict(running), { holds: true, text: '' }, 'and the daemon goes on')
})

t.test('a record whose body is damaged fails by its id, and names the pack', async (t) => {
  await settled()
  const evidence = await evidenceOf(running)
  const rows = await rowsOf()
  const sizeOf = (bytes: Uint8Array) =>
    (JSON.parse(Buffer.from(bytes).toString()) as { request: { body: { size: number } } }).request.body.size
  const large = rows.find(({ bytes }) => sizeOf(bytes) > 1_000_000)
  const small = rows.find(({ bytes }) => sizeOf(bytes) < 1000)
  t.ok(large && small, JSON.stringify(rows.map(({ bytes }) => sizeOf(bytes))))
  // The pack that holds the large one; the erasure has made others.
  const packs = filesOf(running.state).filter((file) => file.endsWith('.pack'))
  const sizes = packs.map((file) => statSync(join(running.state, file)).size)
  const path = join(running.state, packs[sizes.indexOf(Math.max(...sizes))] ?? '')
  const undo = flip(statSync(path).size >> 1, 3).spoil(path)
  t.teardown(undo)
  const failed = (findings: readonly Finding[]) => findings.filter(({ result }) => result === 'failed')
  const findings = failed(await verifyRecord(evidence, large?.id ?? ''))
  t.ok(findings.length > 0, 'one of its bodies fails')
  for (const finding of findings) t.match(finding, { check: /^body /, detail: /packs\/\d+\.pack/ })
  t.same(failed(await verifyRecord(evidence, small?.id ?? '')), [], 'another record is still proved')
  const command = await gateway.cli('verify', large?.id ?? '', '--offline')
  t.equal(command.code, 1)
  t.match(command.stdout, `${path} at byte`)
  t.match(command.stdout, /NOT VERIFIED|FAILED/)
  undo()
  t.equal((await gateway.cli('verify', large?.id ?? '')).code, 0)
})

t.test('names every changed, cut or missing file after a SIGKILL in the middle of the work', async (t) => {
  const children = (await gateway.state())?.children ?? []
  await traffic(3)
  // All at once, as when the machine loses power: no child gets to tidy up.
  for (const { pid } of children) if (pid !== undefined) process.kill(pid, 'SIGKILL')
  await gateway.kill()
  t.ok(sizeOf(running.state, 'recorder/journal/0') > 1000, 'the journal holds exchanges')
  t.ok(sizeOf(running.state, 'recorder/ledger/wal') > 1000, 'the WAL holds leaves')
  await everything(t, copies(running.state, 'killed', 6), false)
  await gateway.start()
})

t.test('names every changed, cut or missing file after an orderly stop', async (t) => {
  await gateway.stop()
  t.same(
    filesOf(running.state).filter((file) => /index\.sqlite-|journal\/|\.tmp|\.next/.test(file)),
    [],
    'nothing is left open',
  )
  await everything(t, copies(running.state, 'stopped', 6), false)
})

t.test('the command says the same, by exit code, text and JSON', async (t) => {
  const [place] = copies(running.state, 'command', 1) as [Place]
  const run = (...args: string[]) => gateway.cli('--config', place.config, ...args)
  const bundle = filesOf(place.state).findLast((file) => file.includes('/tile/entries/')) ?? ''
  const files = [
    bundle,
    'recorder/index.sqlite',
    'recorder/ledger/checkpoint',
    'keys/body.sealed',
    'keys/log.vkey',
  ]
  for (const file of files) {
    const undo = flip(7, 1).spoil(join(place.state, file))
    const [text, json] = [await run('verify'), await run('verify', '--json')]
    undo()
    t.match([text.code, json.code], [1, 1], file)
    t.match(text.stdout, join(place.state, file))
    t.match(JSON.parse(json.stdout), { schemaVersion: 1, verified: false })
    t.notMatch(text.stdout + text.stderr, /^\s+at .*:\d+/m, 'no stack trace')
  }
  for (const file of ['recorder/index.sqlite', 'keys/log.vkey']) {
    const undo = file.endsWith('vkey')
      ? gone.spoil(join(place.state, file))
      : flip(7, 1).spoil(join(place.state, file))
    for (const args of [['records'], ['show', '0'], ['export', '0', '-o', '-']]) {
      const { code, stderr } = await run(...args)
      t.equal(code, 1, `${args[0]} without a good ${file}`)
      t.match(stderr, new RegExp(`${file}.*\n.+`, 's'), 'names it and says what to do')
      t.notMatch(stderr, /^\s+at .*:\d+/m)
    }
    undo()
  }
  t.match(await run('verify'), { code: 0 })
  const bad = {
    zz: /there is no record zz/,
    '0': /several records begin with 0/,
    '../../etc/passwd': /no record/,
  }
  for (const [id, said] of Object.entries(bad)) {
    for (const args of [
      ['show', id],
      ['verify', id],
      ['export', id, '-o', '-'],
    ]) {
      const { code, stderr } = await run(...args)
      t.match({ code, stderr }, { code: 1, stderr: said }, args.join(' '))
      t.match(stderr, /\n.+/, 'and what to do')
      t.notMatch(stderr, /^\s+at .*:\d+/m)
    }
  }
})
