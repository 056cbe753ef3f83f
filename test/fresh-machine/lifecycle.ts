/**
 * installers/install.sh as a user runs it on a new Debian with systemd: what it would do, what it takes back when it
 * fails, upgrade from the commit before, capture, restart, kill, reboot, power cut, uninstall. One test file a suite.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { EXAMPLE, OPENAI } from '../lab/addresses.ts'
import { insideLab, PATH, REPOSITORY } from '../lab/places.ts'
import { ARCHIVE, requireBundle } from './bundle.ts'
import { dryRunTells } from './dry-run.ts'
import { INSTALL, SOURCE, said, startFreshDebian } from './fresh-debian.ts'
import type { Suite } from './layers.ts'
import { differences, type MachineState, stateOf } from './machine-state.ts'
import { previousTreeOf, takePreviousTree } from './previous-tree.ts'
import { CURL, probes, UNITS } from './probes.ts'
import { firstInstallsRollBack, upgradesRollBack } from './rollback.ts'
import { serviceBehaviours } from './service.ts'
import { unpackSources } from './sources.ts'

const PREVIOUS = '/var/tmp/previous'
const CAROLS = '/home/carol/agent-anchor'
const field = (status: string, name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1]

export async function lifecycle(scriptUrl: string, suite: Suite): Promise<void> {
  if (!insideLab()) {
    requireBundle()
    takePreviousTree()
  }
  const fresh = await startFreshDebian(scriptUrl, suite)
  const { lab, machine, inMachine, asRoot, gateway, show } = fresh
  const probing = probes(fresh)
  const { areActive, call, captures, sizeOfLog } = probing

  /** What this machine is before the gateway comes. */
  let before: MachineState
  const sources = await unpackSources(fresh)

  t.test('--dry-run changes nothing on a bare Debian, and tells what it lacks', async (t) => {
    const bare = await stateOf(machine)
    const told = await asRoot(INSTALL, '--dry-run')
    t.equal(told.code, 0, said(told))
    t.match(told.stdout, /apt-get would install nftables .*curl.* npm /)
    t.same(differences(bare, await stateOf(machine)), [])
  })

  t.test('what the installer needs of a bare Debian comes from apt-get', async (t) => {
    const bare = await asRoot('sh', '-c', 'command -v nft || command -v curl || command -v npm')
    t.not(bare.code, 0, `the machine has none of them yet: ${bare.stdout}`)
    const got = await asRoot(
      'sh',
      '-c',
      `. ${SOURCE}/installers/prepare.sh; need_packages; need_packages npm python3 libpcap0.8`,
    )
    t.equal(got.code, 0, said(got))
    // The commit before goes without a compiler, which costs half a minute: its sensor is blind until the upgrade.
    await asRoot('sh', '-c', 'rm /var/cache/apt/archives/g++*')
  })

  t.test('the machine has a user, rules of its own, and a service that calls out early', async (t) => {
    const certificates = inMachine('usr/local/share/ca-certificates')
    mkdirSync(certificates, { recursive: true })
    writeFileSync(join(certificates, 'internet.crt'), lab.rootCertificate)
    const probe = (site: { name: string; address4: string }) =>
      `ExecStart=-/bin/sh -c '${CURL} --output /dev/null --resolve ${site.name}:443:${site.address4} https://${site.name}/; ` +
      `echo "${site.name} $?" >>/var/tmp/early'`
    writeFileSync(
      inMachine('etc/systemd/system/early.service'),
      [
        ...['[Unit]', 'DefaultDependencies=no', 'After=local-fs.target network-pre.target'],
        ...['Before=network.target', 'Wants=network.target', '[Service]', 'Type=oneshot', 'User=alice'],
        ...[probe(OPENAI), probe(EXAMPLE), '[Install]', 'WantedBy=multi-user.target', ''],
      ].join('\n'),
    )
    for (const command of [
      'useradd --create-home --shell /bin/bash alice',
      'useradd --create-home --shell /bin/bash bob',
      'useradd --create-home --shell /bin/bash carol',
      "echo 'carol ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/carol",
      `cp -r ${SOURCE} ${CAROLS} && chown -R carol: ${CAROLS}`,
      'update-ca-certificates',
      // Debian's own file: it flushes the ruleset first, at each boot.
      'systemctl enable --now nftables.service',
      'systemctl enable early.service',
    ]) {
      const outcome = await asRoot('sh', '-c', command)
      t.equal(outcome.code, 0, `${command}: ${said(outcome)}`)
    }
    before = await stateOf(machine)
    t.match(before.get('rules'), /table inet filter/)
  })

  firstInstallsRollBack(fresh, sources)

  t.test('the commit before this one installs, from the npm registry', async (t) => {
    mkdirSync(inMachine(PREVIOUS))
    const unpack = ['-xf', previousTreeOf(REPOSITORY), '-C', inMachine(PREVIOUS)]
    execFileSync('tar', unpack, { env: { PATH } })
    const outcome = await asRoot(`${PREVIOUS}/installers/install.sh`)
    t.equal(outcome.code, 0, said(outcome))
    await captures(t, 'by the commit before')
  })

  upgradesRollBack(fresh, probing, sources)

  t.test('the upgrade ends with a captured call, its verified receipt and a healthy status', async (t) => {
    const outcome = await asRoot(sources.install)
    t.equal(outcome.code, 0, said(outcome))
    t.match(outcome.stdout, /proved +inclusion/)
    t.match(outcome.stdout, /\nverified\n/)
    t.match(outcome.stdout, /\nOK: /)
  })

  t.test("two users' agents are captured, each as its own", async (t) => {
    await captures(t, 'from alice', 'alice')
    await captures(t, 'from bob', 'bob')
    t.match((await gateway('status')).stdout, /no tampering since the start/, 'installing is none')
  })

  t.test('the service has said that it is ready, and says that it lives', async (t) => {
    await areActive(t)
    const service = await show('agent-anchor.service')
    t.match(service, { Type: 'notify', NotifyAccess: 'main', SubState: 'running', Result: 'success' })
    const started = Number(service.ActiveEnterTimestampMonotonic)
    t.ok(
      started > Number(service.ExecMainStartTimestampMonotonic) + 100_000,
      'ready came with time, not with the start',
    )
    await captures(t, 'after the installation')
  })

  t.test('the children have no capabilities and no way to any; the supervisor has its own few', async (t) => {
    const { supervisor } = JSON.parse((await gateway('status', '--json')).stdout)
    const statusOf = (pid: number) => readFileSync(inMachine(`proc/${pid}/status`), 'utf8')
    const names = supervisor.children.map(({ name }: { name: string }) => name).sort()
    t.same(names, ['development-chain', 'proxy-1', 'proxy-2', 'recorder', 'sensor'])
    for (const { name, pid } of supervisor.children) {
      const status = statusOf(pid)
      const own = /^(proxy|sensor)/.exec(name)?.[1]
      const account = own === undefined ? 'agent-anchor' : `agent-anchor-${own}`
      const { stdout: uid } = await asRoot('id', '--user', account)
      t.equal(field(status, 'Uid'), Array(4).fill(uid.trim()).join('\t'), `${name} runs as ${account}`)
      t.equal(field(status, 'Groups'), '', `${name} has no groups`)
      t.equal(field(status, 'NoNewPrivs'), '1', `${name} can gain no privileges`)
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) {
        t.equal(field(status, set), '0000000000000000', `${name}: ${set} is empty`)
      }
      // What the sensor opened its captures and left root with stays in its bound, which no-new-privileges makes
      // worthless: SETGID 6, SETUID 7, NET_ADMIN 12, NET_RAW 13.
      const bound = name === 'sensor' ? '00000000000030c0' : '0000000000000000'
      t.equal(field(status, 'CapBnd'), bound, `${name}: CapBnd`)
    }
    // capabilities(7): CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, KILL 5, SETGID 6, SETUID 7, SETPCAP 8, NET_ADMIN 12,
    // NET_RAW 13, SYS_PTRACE 19.
    const own = [0, 1, 3, 5, 6, 7, 8, 12, 13, 19].reduce((mask, bit) => mask | (1 << bit), 0)
    const status = statusOf(supervisor.pid)
    for (const set of ['CapPrm', 'CapEff', 'CapBnd']) {
      t.equal(Number.parseInt(field(status, set) ?? '', 16), own, `the supervisor's ${set}`)
    }
  })

  t.test('systemd-analyze thinks it well confined', async (t) => {
    for (const [unit, limit] of [
      // What is left of it stands in docs/decisions/051, line by line.
      ['agent-anchor.service', 3.5],
      ['agent-anchor-fence.service', 1.6],
    ] as const) {
      const { stdout } = await asRoot('systemd-analyze', 'security', '--no-pager', unit)
      const verdict = stdout.trim().split('\n').at(-1) ?? ''
      t.comment(verdict)
      t.ok(Number(/: ([\d.]+)/.exec(verdict)?.[1]) <= limit, verdict)
    }
  })

  t.test('an install that changes nothing, or nothing that the daemon runs, drops no call', async (t) => {
    const first = await show('agent-anchor.service')
    const held = machine.login(
      'alice',
      `${CURL} --no-buffer --header 'authorization: Bearer sk-alice' --header 'content-type: application/json' \
        --header 'x-lab: pace=1000' --data '{"model":"gpt-5","stream":true,"messages":[{"role":"user",
        "content":"one two three four five six seven eight nine ten eleven twelve"}]}' \
        https://${OPENAI.name}/v1/chat/completions`,
    )
    for (const install of [sources.install, sources.otherWords]) {
      const outcome = await asRoot(install)
      t.equal(outcome.code, 0, said(outcome))
    }
    t.match(readFileSync(inMachine('opt/agent-anchor/README.md'), 'utf8'), /Other words\.\n$/)
    const streamed = await held
    t.equal(streamed.code, 0, said(streamed))
    t.match(streamed.stdout, /\[DONE\]/, 'a stream that had begun before came to its end')
    const second = await show('agent-anchor.service')
    t.equal(second.MainPID, first.MainPID)
    t.equal(second.NRestarts, first.NRestarts)
  })

  serviceBehaviours(fresh)

  t.test('killed, it is back and captures', async (t) => {
    const { MainPID, NRestarts } = await show('agent-anchor.service')
    await asRoot('systemctl', 'kill', '--signal=KILL', 'agent-anchor.service')
    const again = async () => {
      const now = await show('agent-anchor.service')
      return now.ActiveState === 'active' && now.MainPID !== MainPID ? now : undefined
    }
    let now: Record<string, string> | undefined
    for (let tries = 0; tries < 200 && !now; tries++) {
      now = await again()
      if (!now) await sleep(100)
    }
    t.equal(Number(now?.NRestarts), Number(NRestarts) + 1)
    await captures(t, 'after a kill')
  })

  t.test('stopped, it lets nobody through to a provider and everybody through elsewhere', async (t) => {
    await asRoot('systemctl', 'stop', 'agent-anchor.service')
    t.not((await call('alice', 'with the gateway stopped')).code, 0)
    const elsewhere = await machine.login('alice', `${CURL} https://${EXAMPLE.name}/`)
    t.equal(elsewhere.code, 0, said(elsewhere))
    const started = await asRoot('systemctl', 'start', 'agent-anchor.service')
    t.equal(started.code, 0, said(started))
  })

  t.test('a reboot: the fence stands before the network, the log goes on', async (t) => {
    const size = sizeOfLog()
    t.equal(await machine.reboot(), 'running')
    await areActive(t)
    const at = async (unit: string, moment: string) =>
      Number((await show(unit))[`${moment}TimestampMonotonic`])
    const fence = await at('agent-anchor-fence.service', 'ActiveEnter')
    t.ok(fence > 0)
    t.ok(fence <= (await at('network-pre.target', 'ActiveEnter')), 'before network-pre.target')
    t.ok(fence < (await at('network.target', 'ActiveEnter')), 'before network.target')
    t.ok(fence < (await at('agent-anchor.service', 'InactiveExit')), 'before the daemon')
    t.ok(
      (await at('nftables.service', 'ActiveEnter')) <= fence,
      "after the machine's own rules, which flush all others",
    )
    t.equal(
      readFileSync(inMachine('var/tmp/early'), 'utf8'),
      // curl(1): 7, could not connect.
      `${OPENAI.name} 7\n${EXAMPLE.name} 0\n`,
      'a service that called before the daemon was there got to no provider, and everywhere else',
    )
    await captures(t, 'after a reboot')
    const verified = await gateway('verify')
    t.equal(verified.code, 0, said(verified))
    t.ok(sizeOfLog() > size, 'the log has grown on')
  })

  t.test('a power cut: up again, the log holds', async (t) => {
    const size = sizeOfLog()
    t.equal(await machine.cutPower(), 'running')
    await areActive(t)
    await captures(t, 'after a power cut')
    const verified = await gateway('verify')
    t.equal(verified.code, 0, said(verified))
    t.ok(sizeOfLog() > size, 'the log has grown on')
  })

  const uninstallsWithoutTrace = (when: string) =>
    t.test(`uninstall --purge leaves nothing, ${when}`, async (t) => {
      const refused = await gateway('uninstall', '--purge')
      t.equal(refused.code, 1, 'records do not go without a confirmation')
      t.match(refused.stderr, /--yes/)
      const outcome = await gateway('uninstall', '--purge', '--yes')
      t.equal(outcome.code, 0, said(outcome))
      for (const unit of UNITS) t.equal((await show(unit)).LoadState, 'not-found', `${unit} is gone`)
      t.equal((await asRoot('systemctl', 'is-system-running')).stdout, 'running\n')
      t.same(
        differences(before, await stateOf(machine)),
        [],
        'disk, users, units, rules and settings are as before',
      )
      const direct = await call('alice', 'without a gateway')
      t.equal(direct.code, 0, said(direct))
      const last = (await lab.wireLog()).at(-1)
      t.match(last, { site: OPENAI.name }, 'providers are reached directly again')
    })

  uninstallsWithoutTrace('after an upgrade, a reboot and a power cut')

  dryRunTells(fresh, {
    install: sources.install,
    async asUser() {
      return machine.login(
        'carol',
        `${CAROLS}/installers/install.sh --unattended --policy strict --offline ${ARCHIVE}`,
      )
    },
  })

  uninstallsWithoutTrace('after an install by a user with sudo')
}
