/**
 * What `verify` says of a state directory in which one file was changed, cut or taken away: with the daemon stopped,
 * killed, and running. Nearly all of it in this process, through the functions of the command.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { verifyRecord } from '../../cli/verification.ts'
import { readAnchors } from '../../daemon/chain-writer/anchors.ts'
import { SEGMENT_HEADER } from '../../daemon/ledger/wal-frame.ts'
import type { Finding } from '../../daemon/receipt/findings.ts'
import { chatCall, curlCommand, openaiCommand } from '../lab/client-commands.ts'
import { enterLab } from '../lab/enter.ts'
import { labWithGateway } from '../lab/lab-with-gateway.ts'
import { everything } from './verify-damage/everything.ts'
import { AWAY, copies, evidenceOf, filesOf, type Place } from './verify-damage/place.ts'
import { flip, gone, seed } from './verify-damage/spoiling.ts'
import { verdict } from './verify-damage/verdict.ts'

await enterLab(import.meta.url)
t.setTimeout(300_000)
t.comment(`TAP_DAMAGE_SEED=${seed}`)
const { lab, gateway } = await labWithGateway(t, { wireLog: false })

const running: Place = { state: gateway.config.stateDir, config: '/etc/agent-anchor/gateway.yaml' }
mkdirSync(AWAY)

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
    const { ledger, index } = await evidenceOf(running)
    const size = ledger.checkpoint()?.size
    const signed = BigInt(index.stats().records) === size
    index.close()
    const { chains } = readAnchors(gateway.paths.chainState)
    const journal = readFileSync(join(gateway.paths.chainState, 'development.journal.json'), 'utf8')
    const integrated = sizeOf(running.state, 'recorder/ledger/wal') <= SEGMENT_HEADER
    const anchored = chains[0]?.anchors.at(-1)?.size === String(size) && journal.includes('"inFlight":null')
    return signed && integrated && anchored
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
  await until('evidence waits for the log', () => statSync(gateway.paths.evidence).size > 0)
  await gateway.kill()
  t.ok(sizeOf(running.state, 'recorder/journal/0') > 1000, 'the journal holds exchanges')
  t.ok(sizeOf(running.state, 'recorder/ledger/wal') > 1000, 'the WAL holds leaves')
  await everything(t, copies(running.state, 'killed', 6))
  await gateway.start()
})

t.test('names every changed, cut or missing file after an orderly stop', async (t) => {
  await gateway.stop()
  t.same(
    filesOf(running.state).filter((file) => /index\.sqlite-|journal\/|\.tmp|\.next/.test(file)),
    [],
    'nothing is left open',
  )
  await everything(t, copies(running.state, 'stopped', 6))
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
