/**
 * installers/install.sh as a user runs it, in the laboratory's own root file system and without systemd: install,
 * capture, install again, uninstall.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, globSync, lstatSync, readFileSync } from 'node:fs'
import t from 'tap'
import { enterLab } from '../lab/enter.ts'
import { startLab } from '../lab/lab.ts'
import { spawnIn } from '../lab/network.ts'
import { npmCacheOf, offlineNpm, requireNpmCache } from '../lab/npm-cache.ts'
import { insideLab, NODE, PATH, REPOSITORY } from '../lab/places.ts'
import { collect } from '../lab/process.ts'
import { until } from './chain-anvil.ts'
import { snapshot } from './snapshot.ts'

if (!insideLab()) requireNpmCache()
t.setTimeout(300_000)
await enterLab(import.meta.url)
const lab = await startLab()
t.teardown(() => lab.stop())

const NPM = '/var/tmp/npm'
cpSync(npmCacheOf(REPOSITORY), NPM, { recursive: true })
// The laboratory has the accounts; the installer shall make them.
for (const name of ['agent-anchor', 'agent-anchor-proxy', 'agent-anchor-sensor'])
  execFileSync('userdel', [name], { env: { PATH } })

const asRoot = (...argv: string[]) =>
  collect(
    spawnIn('host', 'root', argv, { env: { PATH, LANG: 'C.UTF-8', ...offlineNpm(NPM) }, stdio: 'pipe' }),
    {
      timeoutMs: 120_000,
    },
  )
const programRoot = '/opt/agent-anchor'
const ownNode = () => globSync(`${programRoot}/installers/runtime/node_modules/node-linux-*/bin/node`)[0]!
const command = (...args: string[]) => asRoot('/usr/local/bin/agent-anchor', ...args)

/** Each with what prints it. */
const COMMAND_FILES = [
  ['/usr/local/share/bash-completion/completions/agent-anchor', 'completion', 'bash'],
  ['/usr/local/share/zsh/site-functions/_agent-anchor', 'completion', 'zsh'],
  ['/usr/local/share/man/man8/agent-anchor.8', 'manual'],
] as const

/** useradd and userdel keep backups of their files, and hand out subordinate ids. */
const BOOKKEEPING = /^\/etc\/(passwd|group|shadow|gshadow|subuid|subgid)-?$|^\/etc\/\.pwd\.lock$/

// The laboratory's bundle is the machine's until it is regenerated, which the installer would be blamed for.
execFileSync('update-ca-certificates', ['--fresh'], { env: { PATH }, stdio: 'ignore' })
const before = snapshot()
const rules = async () => (await asRoot('nft', 'list', 'ruleset')).stdout

t.test('install.sh ends with a captured call, its verified receipt and a healthy status', async (t) => {
  const { code, stdout, stderr } = await asRoot(`${REPOSITORY}/installers/install.sh`)
  t.equal(code, 0, stdout + stderr)
  t.match(stdout, /WILL NOT survive a reboot/)
  t.match(stdout, /proved +inclusion/)
  t.match(stdout, /proved +anchor development.*development chain: no independent evidence/)
  t.match(stdout, /\nverified\n/)
  t.match(stdout, /\nOK: /)
  t.equal((await command('status')).code, 0)
})

t.test('shells and man know the command from then on', async (t) => {
  for (const [path, ...argv] of COMMAND_FILES)
    t.equal(readFileSync(path, 'utf8').trim(), (await command(...argv)).stdout.trim(), path)
})

t.test(
  "what the daemon's accounts run was compiled ahead, and nobody but root may write there",
  async (t) => {
    const cache = `${programRoot}/.compile-cache`
    for (const [name, part] of [
      ['agent-anchor', 'recorder'],
      ['agent-anchor-proxy', 'proxy'],
      ['agent-anchor-sensor', 'sensor'],
      ['root', 'log-server'],
    ] as const) {
      const heard = await asRoot(
        ...[
          'setpriv',
          `--reuid=${name}`,
          `--regid=${name}`,
          '--clear-groups',
          'env',
          `NODE_COMPILE_CACHE=${cache}`,
        ],
        ...['NODE_COMPILE_CACHE_PORTABLE=1', 'NODE_DEBUG_NATIVE=COMPILE_CACHE'],
        ...[ownNode(), `${programRoot}/daemon/${part}/main.ts`],
      )
      t.match(heard.stderr, /retrieving transpile cache for StrippedTypeScript .*main\.ts\.\.\.success/, name)
      t.notMatch(heard.stderr, /no transpile cache for/, `${name}: no file was left to compile`)
    }
    const writable = await asRoot(
      'find',
      cache,
      '!',
      '-type',
      'l',
      '(',
      '!',
      '-user',
      'root',
      '-o',
      '-perm',
      '/022',
      ')',
    )
    t.same(writable, { ...writable, code: 0, stdout: '' })
  },
)

t.test('an ordinary agent is captured from then on', async (t) => {
  const call = await lab.run('agent1', [
    NODE,
    `${REPOSITORY}/test/lab/clients/openai.mjs`,
    JSON.stringify({ apiKey: 'sk-x', prompt: 'hi' }),
  ])
  t.equal(call.code, 0, call.stdout + call.stderr)
  const newest = async () =>
    JSON.parse((await command('records', '--kind', 'exchange', '--json')).stdout).records[0]
  await until('the call is recorded', async () => (await newest()).uid === 4001)
  t.match(await newest(), { uid: 4001, provider: 'openai', status: 200 })
})

t.test('an install that changes nothing restarts nothing', async (t) => {
  const pid = async () => JSON.parse((await command('status', '--json')).stdout).supervisor.pid as number
  const first = await pid()
  const { code, stdout, stderr } = await asRoot(`${REPOSITORY}/installers/install.sh`)
  t.equal(code, 0, stdout + stderr)
  t.match(stdout, /is up to date/)
  t.equal(await pid(), first)
})

t.test('agents can read neither keys nor records', async (t) => {
  for (const path of [
    '/etc/agent-anchor/host.key',
    '/var/lib/agent-anchor/keys/log.sealed',
    '/var/lib/agent-anchor/recorder',
  ]) {
    t.not((await lab.run('agent1', ['cat', path])).code, 0, path)
    t.not(
      (await lab.run('agent1', ['ls', path === '/var/lib/agent-anchor/recorder' ? path : `${path}/..`])).code,
      0,
    )
  }
  t.equal((await lab.run('agent1', ['/usr/local/bin/agent-anchor', 'records'])).code, 1)
  t.equal(
    (await lab.run('agent1', ['/usr/local/bin/agent-anchor', 'status'])).code,
    0,
    'status is for everybody',
  )
})

t.test('uninstall undoes it; evidence and keys stay until a purge', async (t) => {
  t.match(await rules(), /aa_fence/)
  const { code, stdout, stderr } = await command('uninstall')
  t.equal(code, 0, stdout + stderr)
  t.equal(await rules(), '', 'no rule is left')
  const after = snapshot()
  const kept = ['/etc/agent-anchor', '/etc/agent-anchor/host.key', '/etc/agent-anchor/install-manifest.json']
  const paths = [...new Set([...before.keys(), ...after.keys()])].filter((path) => !BOOKKEEPING.test(path))
  const changed = paths.filter((path) => before.get(path) !== after.get(path) && !kept.includes(path))
  t.same(changed, [], 'every file is as before')
  for (const [path] of COMMAND_FILES) t.notOk(existsSync(path), `${path} is gone`)
  t.ok(existsSync('/var/lib/agent-anchor/recorder/ledger/checkpoint'), 'the log is kept')
  t.equal(lstatSync('/var/lib/agent-anchor/recorder/ledger/checkpoint').uid, 0, 'and belongs to root now')
  const passwd = readFileSync('/etc/passwd', 'utf8')
  t.notMatch(passwd, /agent-anchor/)
  const call = await lab.run('agent1', [
    'curl',
    '-sS',
    '-H',
    'Authorization: Bearer k',
    'https://api.openai.com/v1/models',
  ])
  t.equal(call.code, 0, 'providers are reachable directly again')
})

t.test('a new install goes on with the kept log, and uninstall --purge leaves nothing', async (t) => {
  const again = await asRoot(`${REPOSITORY}/installers/install.sh`)
  t.equal(again.code, 0, again.stdout + again.stderr)
  const listed = JSON.parse((await command('records', '--provider', 'openai', '--json')).stdout)
  t.ok(listed.records.length > 0, 'the old records are there')
  t.equal((await command('verify')).code, 0)
  const { code, stdout, stderr } = await command('uninstall', '--purge', '--yes')
  t.equal(code, 0, stdout + stderr)
  for (const path of [
    '/etc/agent-anchor',
    '/var/lib/agent-anchor',
    '/var/log/agent-anchor',
    '/run/agent-anchor',
    '/opt/agent-anchor',
  ]) {
    t.notOk(existsSync(path), `${path} is gone`)
  }
})
