/**
 * No key of the gateway lies in clear anywhere that outlives it: its directories, its logs, the environment and
 * arguments of any process, a core dump. Each search is shown to find a canary that was planted where it looks.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createPrivateKey, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readAnchors } from '../../daemon/chain-writer/anchors.ts'
import { formatVerifierKey } from '../../daemon/ledger/note.ts'
import { PROXY_ACCOUNT, RECORDER_ACCOUNT } from '../../daemon/supervisor/accounts.ts'
import { vaultPlace } from '../../daemon/supervisor/vault-place.ts'
import { openVault } from '../../daemon/vault/open-vault.ts'
import { openSealed } from '../../daemon/vault/sealed-file.ts'
import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { coreOf, type Needle, needle, search, searchFiles } from '../lab/key-search.ts'
import { startLab } from '../lab/lab.ts'
import { REPOSITORY } from '../lab/places.ts'

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
  const script = `import time; held = bytes.fromhex('${canary.bytes.toString('hex')}'); print(1, flush=True); time.sleep(600)`
  const holder = spawn('/usr/bin/python3', ['-c', script], { env: {}, stdio: ['ignore', 'pipe', 'ignore'] })
  await once(holder.stdout, 'data')
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

let logKey: string | undefined

interface KeyRow {
  readonly name: string
  readonly id: string
  readonly sealedBy: string
}
const list = async () => (await gateway.json('keys', 'list')).keys as KeyRow[]
/** Waits until a tree that holds the leaf is anchored. */
async function anchoredPast(leaf: number): Promise<void> {
  const end = Date.now() + 60_000
  const size = () => Number(readAnchors(gateway.paths.chainState).chains[0]?.anchors.at(-1)?.size ?? 0)
  while (size() <= leaf && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 250))
}
const idOf = async (name: string) => (await list()).find((key) => key.name === name)?.id

t.test(
  'keys rotate under load: each record is in the log, what the old body key sealed opens, nothing is lost',
  async (t) => {
    const before = await list()
    logKey = readAnchors(gateway.paths.chainState).chains[0]?.logKey
    t.same(
      before.map(({ name }) => name),
      ['log', 'gateway', 'body', 'fingerprint', 'ca'],
    )
    t.notMatch(JSON.stringify(before), new RegExp(keys.map(({ bytes }) => bytes.toString('hex')).join('|')))
    const [old] = (await gateway.json('records', '--kind', 'exchange', '--limit', '1')).records as {
      id: string
      leaf: number
    }[]
    await anchoredPast(old?.leaf ?? 0)
    const stop = load()
    for (const name of ['log', 'body', 'gateway']) {
      const rotated = await gateway.json('keys', 'rotate', name)
      t.match(
        rotated,
        { key: name, from: before.find((key) => key.name === name)?.id, state: 'in-force' },
        name,
      )
      t.equal(await idOf(name), rotated.to)
    }
    t.match(
      await gateway.json('keys', 'rotate', 'fingerprint'),
      { state: 'prepared' },
      'the workers have theirs',
    )
    await stop()
    const rows = (await gateway.json('records', '--kind', 'audit', '--limit', '1000')).records as {
      record: { event: string; detail: { key: string } }
    }[]
    const rotations = rows.flatMap(({ record }) =>
      record.event === 'key-rotated' ? [record.detail.key] : [],
    )
    t.same(rotations, ['gateway', 'body', 'log', 'log'], 'newest first; the oldest names the first key')
    const shown = await gateway.json('show', old?.id ?? '', '--bodies')
    t.ok((shown.bodies as Record<string, string>)['response.body'], 'a body under the old key')
    const verified = await gateway.json('verify')
    t.equal(verified.verified, true, JSON.stringify(verified.findings, null, 1))
    const history = (verified.findings as { check: string; detail: string }[]).find(
      ({ check }) => check === 'keys',
    )
    t.match(history?.detail, /^2 keys of the log in one line/)
    t.equal((await gateway.cli('export', old?.id ?? '', '-o', '/root/old.json')).code, 0)
    const known = ['--receipt', '/root/old.json', '--offline', '--key', gateway.paths.verifierKey]
    const receipt = await gateway.json('verify', ...known)
    t.match(receipt, { verdict: 'verified' }, 'the key of today leads to the one that signed it')
    t.match(
      (receipt.findings as { check: string; detail: string }[]).find(({ check }) => check === 'key'),
      { result: 'proved', detail: /spoke for trees of/ },
    )
  },
)

t.test(
  'a receipt of before verifies after it, for who has the old key and for who has the new one',
  async (t) => {
    const file = '/tmp/receipt-across-keys.json'
    const rows = (await gateway.json('records', '--kind', 'exchange', '--limit', '1000')).records as {
      id: string
    }[]
    const exported = await gateway.cli('export', rows.at(-1)?.id ?? '', '--output', file)
    t.equal(exported.code, 0, exported.stderr)
    const { history } = (await gateway.json('keys', 'export-public')) as {
      history: { key: string; from?: string; to: string }[]
    }
    const change = history.find(({ key, from }) => key === 'log' && from !== undefined)
    for (const key of [change?.from, change?.to]) {
      const verified = await gateway.cli('verify', '--receipt', file, '--offline', '--key', key ?? '')
      t.match(verified.stdout, /proved +signature/, verified.stdout + verified.stderr)
      t.notMatch(verified.stdout, /failed/)
    }
    const foreign = formatVerifierKey(String(change?.to).split('+')[0] ?? '', randomBytes(32))
    const refused = await gateway.cli('verify', '--receipt', file, '--offline', '--key', foreign)
    t.match(refused.stdout, /failed/, 'and not for who has neither')
  },
)

t.test(
  'the new account anchors for the log of the old one, which authorised it by its signature',
  async (t) => {
    const account = await idOf('gateway')
    const rows = (await gateway.json('records', '--kind', 'audit', '--limit', '1000')).records as {
      leaf: number
      record: { event: string; detail: { key: string } }
    }[]
    const rotation = rows.find(
      ({ record }) => record.event === 'key-rotated' && record.detail.key === 'gateway',
    )
    const end = Date.now() + 60_000
    const anchored = () => {
      const [chain] = readAnchors(gateway.paths.chainState).chains
      return { ...chain, size: Number(chain?.anchors.at(-1)?.size ?? 0) }
    }
    while (anchored().size <= (rotation?.leaf ?? 0) && Date.now() < end)
      await new Promise((resolve) => setTimeout(resolve, 250))
    t.ok(
      anchored().size > (rotation?.leaf ?? Number.POSITIVE_INFINITY),
      'a tree that holds its record is anchored',
    )
    t.equal(anchored().gateway, account)
    t.equal(anchored().logKey, logKey, 'of the same log on the chain')
  },
)

t.test(
  'after a restart the fingerprint key is the new one too, and no key of either time lies anywhere',
  async (t) => {
    const prepared = await idOf('fingerprint')
    await gateway.stop()
    await gateway.start()
    const end = Date.now() + 30_000
    while ((await idOf('fingerprint')) === prepared && Date.now() < end)
      await new Promise((r) => setTimeout(r, 250))
    t.not(await idOf('fingerprint'), prepared)
    const all = [...keys, ...(await keysOf())]
    const { stateDir, logDir, runtimeDir } = gateway.config
    t.same(searchFiles([stateDir, logDir, runtimeDir], all), [])
    for (const { name, pid } of await running()) t.same(search(await coreOf(pid), all), [], name)
  },
)

t.test('keys move to a passphrase, and the gateway then starts with it and not without', async (t) => {
  const moved = await lab.run('root', [
    ...[
      'sh',
      '-c',
      `printf '%s' 'six random words would do nicely' | ${REPOSITORY}/cli/agent-anchor --passphrase-fd 0 keys rewrap --to passphrase`,
    ],
  ])
  t.equal(moved.code, 0, moved.stderr)
  await gateway.stop()
  await t.rejects(gateway.start(), {
    message: /the passphrase of the vault is needed, and there is no terminal/,
  })
  const back = await lab.run('root', [
    ...[
      'sh',
      '-c',
      `printf '%s' 'six random words would do nicely' | ${REPOSITORY}/cli/agent-anchor --passphrase-fd 0 keys rewrap --to host-key`,
    ],
  ])
  t.equal(back.code, 0, back.stderr)
  await gateway.start()
  t.equal((await gateway.state())?.vault, 'host-key')
})
