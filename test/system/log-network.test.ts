/** A gateway whose log is served and witnessed, seen from another machine; also where little else may leave. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import t from 'tap'
import { readLiveState } from '../../cli/live-state.ts'
import { cosigner } from '../../daemon/ledger/cosignature.ts'
import { ForeignVerifier } from '../foreign-verifier/verifier.ts'
import { LINK } from '../lab/addresses.ts'
import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { killUntilTold } from '../lab/gateway-children.ts'
import { caused, remedied } from '../lab/health.ts'
import { startLab } from '../lab/lab.ts'
import { spawnIn } from '../lab/network.ts'

t.setTimeout(240_000)
await enterLab(import.meta.url)
const lab = await startLab()
const CONFIG = '/etc/agent-anchor/gateway.yaml'
const http = (entries: boolean) => `http: {listen: '0.0.0.0:8480', entries: ${entries}}`
const gateway = await startGateway(`ledger: {${http(true)}}\n`)
const foreign = ForeignVerifier.build((argv, options) => spawnIn('internet', 'root', argv, options))
t.teardown(async () => {
  await foreign.end()
  await gateway.stop()
  await lab.stop()
})

const key = async () => (await readFile(gateway.paths.verifierKey, 'utf8')).trim()
const url = `http://${LINK.host4}:8480`
const call = () =>
  lab.run('agent1', ['curl', '-sS', '-H', 'Authorization: Bearer k', 'https://api.openai.com/v1/models'])
const until = async <T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> => {
  const end = Date.now() + 60_000
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (Date.now() > end) throw new Error(`${what}: not within 60 s`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
const follow = (question = {}) =>
  until('the log is served', async () => {
    const answer = await foreign.ask('follow', { key: await key(), log: url, entries: true, ...question })
    return answer.ok && answer
  })
const restart = async (settings: string) => {
  await gateway.stop()
  await writeFile(CONFIG, settings)
  await gateway.start()
}
/** It witnesses itself. */
const witnessSettings = async () =>
  `witness: {listen: '127.0.0.1:8481', name: w.example/self, logs: ['${await key()}']}`
const states = async () => (await readLiveState(gateway.config)).health

t.test('a monitor on another machine follows the log of a running gateway', async (t) => {
  const first = await follow()
  for (let i = 0; i < 3; i++) t.equal((await call()).code, 0)
  const next = await until('three more records', async () => {
    const answer = await follow({ note: Buffer.from(first.checkpoint!) })
    return answer.size >= first.size + 3n && answer
  })
  t.ok(next.tiles > 0, `from ${first.size} to ${next.size} leaves, consistent, every entry read`)
  t.match((await gateway.cli('status')).stdout, /served +log-server on 0\.0\.0\.0:8480/)
})

t.test('who serves has an account without rights, and no way to more', async (t) => {
  const server = (await gateway.state())?.children.find(({ name }) => name === 'log-server')
  const status = await readFile(`/proc/${server?.pid}/status`, 'utf8')
  t.match(status, /^CapEff:\t0+$/m)
  t.match(status, /^CapBnd:\t0+$/m)
  t.match(status, /^NoNewPrivs:\t1$/m)
  t.notMatch(status, /^Uid:\t0/m)
  t.match(await readFile(`/proc/${server?.pid}/cmdline`, 'utf8'), /--permission/)
})

t.test('a server that is killed comes back, and nothing else notices', async () => {
  const server = async () => (await gateway.state())?.children.find(({ name }) => name === 'log-server')
  const before = (await server())?.pid
  process.kill(before!, 'SIGKILL')
  await until('another process', async () => {
    const now = await server()
    return now?.state === 'running' && now.pid !== before
  })
  await follow()
})

t.test(
  'a port that is taken, and a witness that is not there, are warnings: everything is recorded',
  async (t) => {
    await gateway.stop()
    const { verifierKey } = cosigner('nobody.example', Buffer.alloc(32, 1))
    const nobody = `witnesses: {atLeast: 1, of: [{url: 'http://127.0.0.1:8482/', key: '${verifierKey}'}]}`
    await writeFile(CONFIG, `ledger: {${http(true)}, ${await witnessSettings()}, ${nobody}}\n`)
    const squatter = spawnIn(
      'host',
      'root',
      [
        process.execPath,
        '-e',
        "const taken = (port, then) => require('net').createServer().listen(port, '0.0.0.0', then); taken(8480, () => taken(8481, () => console.log('up')))",
      ],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    await new Promise((resolve) => squatter.stdout!.once('data', resolve))
    await gateway.start()
    for (const code of ['log-server.not-listening', 'witness.not-listening'] as const) {
      const { remedy } = await caused(t, states, code)
      t.match(remedy, /^Free the port/)
    }
    await caused(t, states, 'witness.too-few')
    t.match((await gateway.cli('status')).stdout, /another program has this port/)
    t.equal((await call()).code, 0)
    squatter.kill('SIGKILL')
    await follow()
    await remedied(t, states, 'log-server.not-listening')
    await remedied(t, states, 'witness.not-listening')
  },
)

t.test('in lockdown it is served and witnessed all the same', async (t) => {
  const witnessKey = (await readFile(gateway.paths.witnessKey, 'utf8')).trim()
  const witnesses = `witnesses: {atLeast: 1, of: [{url: 'http://127.0.0.1:8481/', key: '${witnessKey}'}]}`
  await restart(`policy: lockdown\nledger: {${http(false)}, ${await witnessSettings()}, ${witnesses}}\n`)
  await until('a cosigned checkpoint', async () => (await gateway.state())?.cosigning?.size !== undefined)
  await remedied(t, states, 'witness.too-few')
  t.match((await gateway.cli('status')).stdout, /witnessed +\d+ leaves/)
  const cosigned = await until('it is served with its cosignature', async () => {
    const answer = await follow({ entries: false, cosigners: [witnessKey] })
    return answer.cosigned === 1 && answer
  })
  t.ok(cosigned.size > 0n)
  t.notOk(
    (await foreign.ask('follow', { key: await key(), log: url, entries: true })).ok,
    'entries are not served now',
  )
})

t.test('each of its processes is missed while it is gone, and comes back', async (t) => {
  for (const name of ['log-server', 'witness', 'witness-client'] as const)
    await killUntilTold(t, gateway, name)
})

t.test('verify holds, and names what was changed of all this', async (t) => {
  const failed = async () => {
    const { findings } = (await gateway.json('verify')) as { findings: { result: string; detail: string }[] }
    return findings.filter(({ result }) => result === 'failed').map(({ detail }) => detail)
  }
  await gateway.stop()
  t.same(await failed(), [])
  const { ledger, witnessKey, witnessState } = gateway.paths
  const [cosigned = ''] = await readdir(witnessState)
  for (const file of [
    `${ledger}/cosigned`,
    witnessKey,
    `${witnessKey.slice(0, -4)}sealed`,
    `${witnessState}/${cosigned}`,
  ]) {
    const good = await readFile(file)
    const bad = Buffer.from(good)
    bad[bad.length - 9]! ^= 1
    await writeFile(file, bad)
    // Whatever else it damages: a key that doesn't open fits no verifier key.
    t.match((await failed()).join('\n'), basename(file).replace(/\.(sealed|vkey)$/, ''), file)
    await writeFile(file, good)
  }
  t.same(await failed(), [])
})

t.test('an answer may wait for its witnesses, and a receipt holds their cosignatures', async (t) => {
  const witnessKey = (await readFile(gateway.paths.witnessKey, 'utf8')).trim()
  const witnesses = `witnesses: {atLeast: 1, of: [{url: 'http://127.0.0.1:8481/', key: '${witnessKey}'}]}`
  await restart(`anchoring: {acknowledge: witnessed}\nledger: {${await witnessSettings()}, ${witnesses}}\n`)
  for (let i = 0; i < 3; i++) {
    t.match(await call(), { code: 0, stdout: /./ })
    const { records } = (await gateway.json('records', '--kind', 'exchange')) as { records: { id: string }[] }
    const exported = await gateway.cli('export', records[0]!.id, '-o', '/root/receipt.json')
    t.equal(exported.code, 0, exported.stderr)
    const receipt = await readFile('/root/receipt.json', 'utf8')
    t.match(receipt, /\\n— w\.example\/self /, 'cosigned when the agent had its answer')
  }
})
