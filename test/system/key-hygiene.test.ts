/**
 * No key of the gateway lies in clear anywhere that outlives it: its directories, its logs, the environment and
 * arguments of any process, a core dump. Each search is shown to find a canary that was planted where it looks.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createPrivateKey, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { PROXY_ACCOUNT, RECORDER_ACCOUNT } from '../../daemon/supervisor/accounts.ts'
import { vaultPlace } from '../../daemon/supervisor/vault-place.ts'
import { openVault } from '../../daemon/vault/open-vault.ts'
import { openSealed } from '../../daemon/vault/sealed-file.ts'
import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { coreOf, type Needle, needle, search, searchFiles } from '../lab/key-search.ts'
import { startLab } from '../lab/lab.ts'
import { NODE } from '../lab/places.ts'

t.setTimeout(240_000)
await enterLab(import.meta.url)
const lab = await startLab()
const gateway = await startGateway()
const canary = needle('canary', randomBytes(32))
const planted: ChildProcess[] = []
t.teardown(async () => {
  for (const child of planted) child.kill('SIGKILL')
  await gateway.stop()
  await lab.stop()
})

/** Every key of the gateway, as its own vault opens them. */
async function keysOf(): Promise<Needle[]> {
  const { config, paths } = gateway
  const vault = await openVault(vaultPlace(config, paths))
  const keys: Needle[] = [needle('host', readFileSync(config.vault.hostKeyFile))]
  for (const name of ['log', 'gateway', 'body', 'fingerprint']) {
    const secret = await openSealed(vault, join(paths.keysDirectory, `${name}.sealed`), `${name}-key`)
    if (secret) keys.push(needle(name, secret))
  }
  const ca = await openSealed(vault, paths.caSealedKey, 'ca-key')
  const jwk = createPrivateKey(ca ?? '').export({ format: 'jwk' })
  keys.push(needle('ca', Buffer.from(String(jwk.d), 'base64url')))
  return keys
}
const keys = await keysOf()

interface Running {
  readonly name: string
  readonly pid: number
}
async function running(): Promise<Running[]> {
  const state = await gateway.state()
  const children = (state?.children ?? []).flatMap(({ name, pid }) =>
    pid === undefined ? [] : [{ name, pid }],
  )
  return [{ name: 'supervisor', pid: state?.pid ?? 0 }, ...children]
}

/** Calls go on while everything is searched. */
function load(): () => Promise<unknown> {
  let more = true
  const call = [
    'curl',
    '-sS',
    '-H',
    'Authorization: Bearer sk-proj-hygiene',
    'https://api.openai.com/v1/models',
  ]
  const calls = (async () => {
    while (more) await lab.run('agent1', call)
  })()
  return () => {
    more = false
    return calls
  }
}

const environments = () =>
  readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return []
    return ['environ', 'cmdline'].flatMap((name) => {
      try {
        return [{ at: `/proc/${pid}/${name}`, bytes: readFileSync(`/proc/${pid}/${name}`) }]
      } catch {
        // It has ended.
        return []
      }
    })
  })

t.test('all six keys were opened, so that they can be searched for', async (t) => {
  t.same(keys.map(({ name }) => name).sort(), ['body', 'ca', 'fingerprint', 'gateway', 'host', 'log'])
})

t.test('under load no key is in the state, the logs, the runtime directory', async (t) => {
  const stop = load()
  const { stateDir, logDir, runtimeDir } = gateway.config
  const places = [stateDir, logDir, runtimeDir]
  const file = join(logDir, 'planted.txt')
  for (const form of ['hex', 'base64'] as const) {
    writeFileSync(file, `x${canary.bytes.toString(form)}`)
    t.match(searchFiles(places, [canary]), [`canary in ${file}`], `${form} would be found`)
  }
  writeFileSync(file, canary.bytes)
  t.match(searchFiles(places, [canary]), [`canary in ${file}`], 'the bytes would be found')
  rmSync(file)
  t.same(searchFiles(places, keys), [])
  await stop()
})

t.test('no key is in the environment or the arguments of any process', async (t) => {
  const sleeper = spawn('sleep', ['600'], { env: { PLANTED: canary.bytes.toString('hex') } })
  planted.push(sleeper)
  const found = (needles: readonly Needle[]) =>
    environments().flatMap(({ at, bytes }) => search(bytes, needles).map((name) => `${name} in ${at}`))
  t.match(found([canary]), [`canary in /proc/${sleeper.pid}/environ`], 'it would be found')
  t.same(found(keys), [])
  t.ok(
    (await running()).every(({ pid }) => statSync(`/proc/${pid}`).isDirectory()),
    'and they were there',
  )
})

t.test('a core dump that root makes of any of its processes holds no key', async (t) => {
  const script = `const b = Buffer.from('${canary.bytes.toString('hex')}', 'hex'); setInterval(() => b, 1000)`
  const holder = spawn(NODE, ['-e', script], { env: {} })
  planted.push(holder)
  t.same(
    search(await coreOf(holder.pid ?? 0), [canary]),
    ['canary'],
    'one of a process that keeps it would be found',
  )
  const stop = load()
  for (const { name, pid } of await running()) {
    const core = await coreOf(pid)
    t.equal(core.subarray(0, 4).toString('latin1'), '\x7fELF', `${name} has a core of ${core.length} bytes`)
    t.same(search(core, keys), [], name)
  }
  await stop()
})

t.test(
  'the kernel makes no core of those that hold keys, and their own account reads none of their memory',
  async (t) => {
    for (const { name, pid } of await running()) {
      const account = name === 'recorder' ? RECORDER_ACCOUNT : /^proxy/.test(name) ? PROXY_ACCOUNT : undefined
      if (account === undefined) continue
      t.equal(statSync(`/proc/${pid}/environ`).uid, 0, `${name} is not dumpable: proc(5) shows it as root's`)
      const read = await lab.run('root', [
        ...['setpriv', '--reuid', account, '--regid', account, '--clear-groups'],
        ...['dd', `if=/proc/${pid}/mem`, 'count=0', 'status=none'],
      ])
      t.not(read.code, 0, `${name}: its memory`)
      t.match(read.stderr, /Permission denied/)
    }
  },
)

t.test('no signal opens a debugger in one of its processes', async (t) => {
  for (const { name, pid } of await running()) {
    if (!readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('.ts')) continue
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    const caught = BigInt(`0x${/^SigCgt:\s+([0-9a-f]+)$/m.exec(status)?.[1]}`)
    t.equal((caught >> 9n) & 1n, 0n, `${name} does not catch SIGUSR1, which is 10`)
  }
})
