/** What starts the gateway: units and init scripts as they are written into a layout, and what is called for them. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { removeUnit, serviceManager } from '../../installers/services/find.ts'
import type { ServiceHost } from '../../installers/services/service-manager.ts'
import { renderUnit } from '../../installers/services/unit-file.ts'
import { scratch } from './scratch.ts'

const CONFIG = {
  stateDir: '/var/lib/agent-anchor',
  runtimeDir: '/run/agent-anchor',
  logDir: '/srv/log of $& it',
  shutdown: { drainMs: 0 },
}

/** A machine that is a directory, and notes what is called. @param files that are there, by their paths */
function machine(files: readonly string[], fails: (call: string) => boolean = () => false) {
  const root = scratch()
  for (const file of files) {
    mkdirSync(join(root, dirname(file)), { recursive: true })
    writeFileSync(join(root, file), '')
  }
  const calls: string[] = []
  const host: ServiceHost = {
    root,
    async run(...argv) {
      const call = argv.join(' ')
      if (call === 'sh -c command -v nft') return '/usr/sbin/nft\n'
      calls.push(call)
      if (fails(call)) throw new Error(call)
      return call.startsWith('journalctl') ? 'gateway.yaml:4:5: unknown key\n' : ''
    },
    async succeeds(...argv) {
      calls.push(argv.join(' '))
      return !fails(argv.join(' '))
    },
  }
  const read = (path: string) => readFileSync(join(root, path), 'utf8')
  return { root, host, read, taken: () => calls.splice(0) }
}

const SYSTEMD = '/run/systemd/system/x'
const OPENRC = '/run/openrc/softlevel'

t.test('the service manager is told by what it leaves in /run', async (t) => {
  const named = (files: string[]) => serviceManager(CONFIG, machine(files).host).name
  t.equal(named([SYSTEMD]), 'systemd')
  t.equal(named([OPENRC]), 'openrc')
  t.equal(named([]), 'none')
})

t.test('systemd: units from their templates, started at boot; written again they are the same', async (t) => {
  const { host, read, taken } = machine([SYSTEMD])
  const manager = serviceManager(CONFIG, host)
  t.equal(await manager.install(CONFIG), true)
  t.same(taken(), [
    'systemctl daemon-reload',
    'systemctl enable --quiet agent-anchor-fence.service agent-anchor.service',
  ])
  for (const { path } of manager.units) t.notMatch(read(path), /@[A-Z_]+@/, `${path} is whole`)
  const [fence, daemon] = manager.units.map(({ path }) => read(path))
  const load = "|| exec /usr/sbin/nft -f /var/lib/agent-anchor/firewall/fence.nft'\n"
  t.match(fence, load)
  t.notMatch(fence, 'supervisor.json', 'a file that may be left behind says nothing of a daemon')
  t.notMatch(fence, /^PrivateDevices/m, 'what is made in /tmp can fail at boot')
  const [, , beside] = manager.units.map(({ path }) => read(path))
  t.match(
    beside,
    /^ExecStop=\n.*flush ruleset.*fence\.nft; } \| \/usr\/sbin\/nft -f - \|\| exec \/usr\/sbin\/nft flush ruleset'$/m,
  )
  for (const moment of ['ExecStartPost', 'ExecReload'])
    t.match(beside, new RegExp(`^${moment}=-.*${load.trim().replace('||', '\\|\\|')}$`, 'm'), moment)
  t.match(daemon, `ReadWritePaths=-/var/lib/agent-anchor -/run/agent-anchor -${CONFIG.logDir}\n`)
  t.notMatch(daemon, 'LoadCredentialEncrypted', 'an absent credential would end the unit')
  t.equal(await manager.install(CONFIG), false)
})

t.test('systemd: the unit names the credential once it is there', async (t) => {
  const credential = '/var/lib/agent-anchor/keys/wrapping.systemd-creds'
  const { host, read, root, taken } = machine([SYSTEMD])
  const manager = serviceManager(CONFIG, host)
  t.equal(await manager.renew(CONFIG), false, 'nothing is installed')
  await manager.install(CONFIG)
  taken()
  mkdirSync(join(root, dirname(credential)), { recursive: true })
  writeFileSync(join(root, credential), '')
  t.equal(await manager.renew(CONFIG), true)
  t.match(read(manager.units[1]!.path), new RegExp(`^LoadCredentialEncrypted=[a-z-]+:${credential}$`, 'm'))
  t.same(taken(), ['systemctl daemon-reload'])
})

t.test('systemd: a start that fails gives the daemon’s own words', async (t) => {
  const { host } = machine([SYSTEMD], (call) => call.startsWith('systemctl restart'))
  await t.rejects(serviceManager(CONFIG, host).start('restart'), {
    code: 'DAEMON_DID_NOT_START',
    message: /unknown key/,
  })
})

t.test('OpenRC: init scripts, the fence in the runlevel before the network’s', async (t) => {
  const { host, root, read, taken } = machine([OPENRC])
  const manager = serviceManager(CONFIG, host)
  t.equal(await manager.install(CONFIG), true)
  t.same(taken(), [
    'rc-update --quiet add agent-anchor-fence boot',
    'rc-update --quiet add agent-anchor default',
  ])
  for (const { path } of manager.units) {
    t.notMatch(read(path), /@[A-Z_]+@/, `${path} is whole`)
    t.equal(statSync(join(root, path)).mode & 0o777, 0o755)
  }
  t.equal(await manager.install(CONFIG), false)
  taken()
  await manager.start('restart')
  await manager.stop()
  t.same(taken(), ['rc-service agent-anchor restart', 'rc-service --ifstarted agent-anchor stop'])
})

t.test('OpenRC: a start that fails says where to look', async (t) => {
  const { host } = machine([OPENRC], (call) => call === 'rc-service agent-anchor start')
  await t.rejects(serviceManager(CONFIG, host).start('start'), { code: 'DAEMON_DID_NOT_START' })
})

for (const [there, first] of [
  [SYSTEMD, 'systemctl disable --now agent-anchor.service'],
  [OPENRC, 'rc-service agent-anchor stop'],
] as const) {
  t.test(`what was installed where ${there} is, is taken away by its path; twice is no error`, async (t) => {
    const { host, root, taken } = machine([there])
    const { units, install } = serviceManager(CONFIG, host)
    await install(CONFIG)
    taken()
    for (const unit of [...units].reverse()) {
      await removeUnit(unit, host)
      t.notOk(existsSync(join(root, unit.path)))
      await removeUnit(unit, host)
    }
    t.ok(
      taken().find((call) => !call.includes('daemon-reload')) === first,
      'stopped first, of what is started',
    )
  })
}

t.test(
  "systemd: the drop-in goes without a stop of the service that it is for, and others' stay",
  async (t) => {
    const others = '/etc/systemd/system/nftables.service.d/own.conf'
    for (const files of [[SYSTEMD], [SYSTEMD, others]]) {
      const { host, root, taken } = machine(files)
      const { units, install } = serviceManager(CONFIG, host)
      await install(CONFIG)
      taken()
      const dropIn = units.find(({ name }) => name === 'nftables.service')!
      await removeUnit(dropIn, host)
      t.same(taken(), ['systemctl daemon-reload'])
      t.equal(existsSync(join(root, dirname(dropIn.path))), files.includes(others))
    }
  },
)

/** What the units ask before they load the fence, with an nft that lists this. */
function asks(list: string): Promise<{ lives: boolean; stands: boolean }> {
  const directory = scratch()
  const nft = join(directory, 'nft')
  writeFileSync(nft, `#!/bin/sh\n${list}\n`, { mode: 0o755 })
  const { host } = machine([SYSTEMD])
  const here: ServiceHost = { ...host, run: async () => `${nft}\n` }
  return renderUnit(here, CONFIG, 'systemd/agent-anchor-fence.service').then((unit) => {
    const conditions = /^ExecStart=\+\/bin\/sh -c '(.*) \|\| (.*) \|\| exec/m.exec(unit)
    const [lives, stands] = [conditions?.[1], conditions?.[2]].map(
      (condition) => spawnSync('sh', ['-c', condition ?? 'exit 9']).status,
    )
    return { lives: lives === 0, stands: stands === 0 }
  })
}

t.test('the fence is loaded unless the kernel says that a daemon lives', async (t) => {
  const table = (body: string) =>
    `case "$*" in *aa_redirect) printf 'table inet aa_redirect {${body}\\n}\\n';; *) exit 1;; esac`
  t.same(await asks(table(' # progname nft\\n\\tflags owner')), { lives: true, stands: false })
  t.same(await asks(table('')), { lives: false, stands: false }, 'a table that nobody owns is nobody’s')
  t.same(await asks('exit 1'), { lives: false, stands: false })
  t.same(await asks('case "$*" in *aa_fence) echo table;; *) exit 1;; esac'), {
    lives: false,
    stands: true,
  })
  t.same(await asks('kill -9 $$'), { lives: false, stands: false }, 'an nft that breaks')
})

/** Runs a function of an init script as OpenRC would, with `nft` and `agent-anchor` that say how they are called. */
function initScript(script: string, what: string, { exits = 0, fence = true, lives = false } = {}) {
  const directory = scratch()
  mkdirSync(join(directory, 'firewall'))
  if (fence) writeFileSync(join(directory, 'firewall/fence.nft'), '')
  const program = join(directory, 'program')
  writeFileSync(program, `#!/bin/sh\necho "called $*"\nexit ${exits}\n`, { mode: 0o755 })
  const text = readFileSync(join(import.meta.dirname, '../../installers/openrc', script), 'utf8')
    .replaceAll('@STATE_DIR@', directory)
    .replaceAll('@NFT@', program)
    .replaceAll('@PROGRAM@', program)
    .replaceAll('@DAEMON_LIVES@', String(lives))
  const file = join(directory, 'script')
  writeFileSync(file, text)
  // eend gives back what it is told.
  const openrc =
    'ebegin() { :; }; eend() { return "$1"; }; need() { echo "need $*"; }; want() { echo "want $*"; };'
  const more = 'after() { echo "after $*"; }; before() { echo "before $*"; }'
  const shell = `${openrc} ${more}\n. ${file}\n${what}; echo "exit $?"`
  return execFileSync('sh', ['-eu', '-c', `set +e; ${shell}`], { encoding: 'utf8' }).replaceAll(directory, '')
}

t.test(
  'OpenRC: the fence is loaded, and an error of it is the script’s; that of the raw frames isn’t',
  async (t) => {
    const loaded = 'called -f /firewall/fence.nft\ncalled -f /firewall/egress.nft\n'
    t.equal(initScript('agent-anchor-fence', 'start'), `${loaded}exit 0\n`)
    t.equal(initScript('agent-anchor-fence', 'start', { exits: 1 }), `${loaded}exit 1\n`)
    t.equal(initScript('agent-anchor-fence', 'start', { fence: false }), 'exit 0\n', 'before the first start')
    t.equal(initScript('agent-anchor-fence', 'start', { lives: true }), 'exit 0\n', 'beside a daemon')
    t.equal(initScript('agent-anchor-fence', 'stop'), 'exit 0\n', 'it stays')
    t.match(initScript('agent-anchor-fence', 'depend'), /^before net$/m)
  },
)

t.test('OpenRC: a reload fails where the policy is bad', async (t) => {
  t.equal(initScript('agent-anchor', 'reload'), 'called policy reload\nexit 0\n')
  t.equal(initScript('agent-anchor', 'reload', { exits: 1 }), 'called policy reload\nexit 1\n')
  t.match(initScript('agent-anchor', 'depend'), /^after agent-anchor-fence net$/m)
})
