/**
 * `records erase` on a whole gateway: running and stopped. What was erased is nowhere in the state directory for who
 * has every key, what shares it stays, and all that stays is proved.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readLiveState } from '../../cli/live-state.ts'
import { openHostKeyVault } from '../../daemon/vault/host-key.ts'
import { openBodyKey } from '../../daemon/vault/keys.ts'
import { chatCall, curlCommand } from '../lab/client-commands.ts'
import { enterLab } from '../lab/enter.ts'
import { caused, remedied } from '../lab/health.ts'
import { labWithGateway } from '../lab/lab-with-gateway.ts'
import { plaintext } from '../unit/recorder-plaintext.ts'

t.setTimeout(120_000)
await enterLab(import.meta.url)
const { lab, gateway } = await labWithGateway(t, { wireLog: false })
const { recorderState, keysDirectory } = gateway.paths
const bodyKey = await openBodyKey(await openHostKeyVault(gateway.config.vault.hostKeyFile), keysDirectory)
const system = `You are a helpful assistant. ${'Rules that all sessions share. '.repeat(300)}`
const words = ['violet', 'amber', 'crimson'].map(
  (color) => `the ${color} secret of this call: ${color.repeat(400)}`,
)

async function call(secret: string): Promise<string> {
  const before = new Set(await exchanges())
  const { url, headers = {}, body = '' } = chatCall('sk-x', `${system}${secret}`)
  const answer = await lab.run('agent1', curlCommand({ url, headers }, ['-d', '@-']), { input: body })
  if (answer.code !== 0) throw new Error(answer.stderr)
  for (;;) {
    const fresh = (await exchanges()).filter((id) => !before.has(id))
    if (fresh[0] !== undefined) return fresh[0]
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function exchanges(): Promise<string[]> {
  const { records } = (await gateway.json('records', '--kind', 'exchange')) as { records: { id: string }[] }
  return records.map(({ id }) => id)
}

/** Everything below the state directory: sealed files opened, all others as they are. */
function everything(): Buffer {
  const plain = [plaintext(recorderState, bodyKey)]
  for (const name of readdirSync(gateway.config.stateDir, { recursive: true }) as string[]) {
    const file = join(gateway.config.stateDir, name)
    if (existsSync(file) && statSync(file).isFile()) plain.push(readFileSync(file))
  }
  return Buffer.concat(plain)
}

const verified = async (...args: string[]) => gateway.json('verify', ...args, '--offline')
const ids = [await call(words[0]!), await call(words[1]!), await call(words[2]!)] as const

t.test('nothing goes without a yes', async (t) => {
  t.ok(everything().includes('violet'.repeat(20)), 'it is there for who has the key')
  const asked = await gateway.cli('records', 'erase', ids[0])
  t.equal(asked.code, 1)
  t.match(asked.stderr, /nothing was done.*\n.*--yes/)
  t.match(await verified(ids[0]), { verified: true })
})

t.test('the running gateway erases one record: every trace of its content, and no proof', async (t) => {
  const erased = await gateway.cli('records', 'erase', ids[0], '--yes')
  t.match(erased, { code: 0, stdout: new RegExp(`${ids[0]}: erased`) })
  const left = everything()
  t.notOk(left.includes('violet'.repeat(3)))
  t.ok(left.includes('amber'.repeat(20)))
  t.ok(left.includes('Rules that all sessions share. '), 'what the others share with it stays')
  const findings = (await verified(ids[0])) as {
    verified: boolean
    findings: { check: string; detail: string }[]
  }
  t.ok(findings.verified)
  t.match(
    findings.findings.find(({ check }) => check === 'body'),
    { result: 'not-checked', detail: /^erased at .* by uid 0/ },
  )
  t.match(await verified(ids[1]), { verified: true })
  t.match((await gateway.cli('show', ids[0], '--bodies')).stdout, /content +erased at 20.* by uid 0/)
  t.match(await gateway.json('show', ids[0]), {
    erased: { event: 'content-erased', uid: 0, records: ids[0] },
  })
  t.match((await gateway.cli('show', ids[1], '--bodies')).stdout, /amberamber/)
})

t.test('a receipt of it is made and proved as before', async (t) => {
  const file = '/tmp/erased.receipt.json'
  t.match((await gateway.cli('export', ids[0], '-o', file)).stdout, /erased at/)
  const known = ['--receipt', file, '--key', gateway.paths.verifierKey]
  t.equal((await gateway.cli('verify', ...known, '--offline')).code, 0)
})

t.test('the log says who erased what', async (t) => {
  const { records } = (await gateway.json('records', '--kind', 'audit', '-n', '100')) as {
    records: { record: { event: string; detail: object } }[]
  }
  const found = records.filter(({ record }) => record.event === 'content-erased')
  t.match(found, [{ record: { detail: { records: ids[0], count: 1, parts: 4, uid: 0 } } }])
})

t.test('recording goes on, and a second erasure of the same finds nothing', async (t) => {
  const again = await call(words[0]!)
  t.match((await gateway.cli('show', again, '--bodies')).stdout, /violetviolet/)
  t.match((await gateway.cli('records', 'erase', ids[0], '--yes')).stdout, /nothing to erase: erased before/)
  t.match(await gateway.cli('records', 'erase', again, ids[1], '--yes'), { code: 0 })
  t.notOk(everything().includes('violet'.repeat(3)))
})

t.test(
  'with the gateway stopped the command does it itself, and the gateway goes on with what it left',
  async (t) => {
    await gateway.stop()
    t.ok(everything().includes('crimson'.repeat(20)))
    const erased = await gateway.cli('records', 'erase', ids[2], '--yes')
    t.match(erased, { code: 0, stdout: new RegExp(`${ids[2]}: erased`) }, erased.stderr)
    t.notOk(everything().includes('crimson'.repeat(3)))
    t.match(await verified(ids[2]), { verified: true })
    await gateway.start()
    t.match((await gateway.cli('show', await call(words[2]!), '--bodies')).stdout, /crimsoncrimson/)
    t.match(await verified(), { verified: true })
  },
)

t.test(
  'content in a damaged pack stays, which is said, until the pack is put back from a backup',
  async (t) => {
    const states = async () => (await readLiveState(gateway.config)).health
    const id = await call(words[1]!)
    await gateway.stop()
    const packs = join(recorderState, 'packs')
    const pack = join(packs, readdirSync(packs).sort().at(-1)!)
    const backup = readFileSync(pack)
    const damaged = Buffer.from(backup)
    damaged[damaged.length >> 1]! ^= 1
    writeFileSync(pack, damaged)
    await gateway.start()
    t.not((await gateway.cli('records', 'erase', id, '--yes')).code, 0)
    const { remedy } = await caused(t, states, 'recorder.erasure')
    t.match(remedy, /^Restore this pack from a backup and restart/)
    await gateway.stop()
    writeFileSync(pack, backup)
    await gateway.start()
    await remedied(t, states, 'recorder.erasure')
    t.notOk(everything().includes('amber'.repeat(3)), 'the start finished the erasure')
  },
)
