/**
 * From power-on to power-off no provider is reached past the gateway, on a machine whose own firewall flushes all rules
 * as it starts and stops, as Debian's does.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import t, { type Test } from 'tap'
import { OPENAI } from '../lab/addresses.ts'
import { bareLink, dressLink } from '../lab/network.ts'
import { insideLab } from '../lab/places.ts'
import { PROBE_UNITS, type Probe, plantProbe, readProbes } from './boot-probe.ts'
import { ARCHIVE, bundledSuite, carryBundle, requireBundle } from './bundle.ts'
import { INSTALL, said, startFreshDebian } from './fresh-debian.ts'
import type { Suite } from './layers.ts'
import { until } from './until.ts'

const FENCE = 'agent-anchor-fence.service'
const DAEMON = 'agent-anchor.service'
const DROP_IN = '/etc/systemd/system/agent-anchor-fence.service.d/test.conf'
/** How often the fence is started while /tmp is emptied; one start in six failed when it minded. */
const STARTS = 20

export async function bootOrder(scriptUrl: string, suite: Suite): Promise<void> {
  if (!insideLab()) requireBundle()
  // The bundle carries packages of the release that it was made on: there it is installed from on the barest Debian.
  const offline = bundledSuite() === suite
  const { lab, machine, inMachine, asRoot, show } = await startFreshDebian(scriptUrl, suite, {
    furnished: !offline,
  })
  const second = async (unit: string, moment: string) =>
    Number((await show(unit))[`${moment}TimestampMonotonic`]) / 1e6
  const served = async () => {
    const daemon = await second(DAEMON, 'ActiveEnter')
    const answered = ({ from, provider }: Probe) => from > daemon && provider === 60
    await until(
      () => daemon > 0 && readProbes(inMachine).some(answered),
      'the daemon answers in the place of the provider',
    )
  }
  /** Starts the fence `times` in a row while `meanwhile` holds. @returns what the journal has of it */
  const starts = async (t: Test, times: number, settings: string, meanwhile: string) => {
    mkdirSync(dirname(inMachine(DROP_IN)), { recursive: true })
    writeFileSync(inMachine(DROP_IN), `[Unit]\nStartLimitIntervalSec=0\n[Service]\n${settings}\n`)
    const since = `--since=@${Math.floor(Date.now() / 1000)}`
    const started = await asRoot(
      'sh',
      '-c',
      `systemctl daemon-reload; ${meanwhile}
       for _ in $(seq ${times}); do systemctl restart ${FENCE} || exit; done`,
    )
    t.equal(started.code, 0, said(started))
    const { stdout } = await asRoot('journalctl', '--boot', '--output=cat', '--unit', FENCE, since)
    t.ok(stdout.split('Finished ').length > times, 'so many starts stand in the journal')
    return stdout
  }

  if (offline) {
    t.test('a bare Debian without network installs from a bundle, packages of the system too', async (t) => {
      rmSync(inMachine('/var/cache/apt/archives'), { recursive: true })
      carryBundle(inMachine)
      await bareLink()
      const bare = await asRoot('sh', '-c', 'command -v nft || command -v curl || command -v ip')
      t.not(bare.code, 0, `the machine has none of them yet: ${bare.stdout}`)
      const installed = await asRoot(INSTALL, '--offline', ARCHIVE)
      t.equal(installed.code, 0, said(installed))
      t.match(installed.stderr, /installing .*nftables.* from the bundle/)
      t.match(installed.stdout, /\nverified\n/)
      // Whoever never had a network knows no address yet.
      await dressLink()
      await asRoot('systemctl', 'restart', DAEMON)
      const fence = inMachine('/var/lib/agent-anchor/firewall/fence.nft')
      await until(() => readFileSync(fence, 'utf8').includes(OPENAI.address4), 'the fence knows the provider')
    })
  } else {
    t.test('installs', async (t) => {
      const installed = await asRoot(INSTALL)
      t.equal(installed.code, 0, said(installed))
    })
  }

  t.test('no address of a provider is reached from power-on to power-off, past the gateway', async (t) => {
    plantProbe(inMachine, lab.rootCertificate)
    const enabled = await asRoot('systemctl', 'enable', '--quiet', 'nftables.service', ...PROBE_UNITS)
    t.equal(enabled.code, 0, said(enabled))
    // The link is there when the machine starts, but neither up nor with an address: that is networkd's to do.
    t.equal(await machine.reboot(bareLink), 'running', await complaints())
    const fence = await second(FENCE, 'ActiveEnter')
    t.ok((await second('nftables.service', 'ActiveEnter')) > 0, "the machine's own rules were loaded")
    await served()
    const daemon = await second(DAEMON, 'ActiveEnter')
    const boot = readProbes(inMachine)
    const stop = await uptime()
    t.equal(await machine.reboot(bareLink), 'running', await complaints())
    const manager = await asRoot('systemctl', 'show', '--value', '--property=UserspaceTimestampMonotonic')
    const all = readProbes(inMachine)
    const shutdown = all.filter(({ from, to }) => from > stop && to < Number(manager.stdout) / 1e6)

    t.ok(boot[0]!.from < fence, 'the first try was before the fence stood')
    t.ok(boot[0]!.other === 7, 'and before there was a network')
    const open = boot.filter(({ from, to, other }) => from > fence && to < daemon && other === 0)
    t.ok(open.length > 0, 'then there was a network, and no daemon yet')
    t.ok(
      // The proxy answers a moment before systemd has heard that the daemon is ready.
      open.every(({ provider }) => provider === 7 || provider === 60),
      'and the provider was refused',
    )
    const refused = shutdown.filter(({ provider, other }) => provider === 7 && other === 0)
    t.ok(refused.length > 0, 'as the machine went down the provider was refused, and others were not')
    t.same(
      all.filter(({ provider }) => provider === 0),
      [],
      'never was it the provider',
    )
  })

  // Debian 13 empties no /tmp at boot, and its systemd makes no /dev in there.
  if (suite === 'bookworm') {
    t.test('the fence comes up while somebody empties /tmp, as Debian 12 does at boot', async (t) => {
      const emptying = 'while :; do find /tmp -mindepth 1 -delete; done >/dev/null 2>&1 & trap "kill $!" EXIT'
      t.notMatch(await starts(t, STARTS, '', emptying), 'NAMESPACE', 'confined each time')
    })

    t.test('where its confinement can’t be made it comes up without', async (t) => {
      await asRoot('sh', '-c', `systemctl stop ${DAEMON}; nft delete table inet aa_fence`)
      const readOnly = 'mount -t tmpfs -o ro read-only /tmp; trap "umount /tmp" EXIT'
      t.match(await starts(t, 1, 'PrivateDevices=yes', readOnly), 'NAMESPACE', 'it could not be confined')
      const { stdout } = await asRoot('nft', 'list', 'table', 'inet', 'aa_fence')
      t.match(stdout, OPENAI.address4, 'and stands')
    })
  }

  async function complaints(): Promise<string> {
    const failed = await asRoot('systemctl', '--failed', '--no-legend')
    const warnings = await asRoot('journalctl', '--boot', '--priority=warning', '--output=cat', '--lines=30')
    return failed.stdout === '' ? 'no unit failed' : `${failed.stdout}${warnings.stdout}`
  }
  async function uptime(): Promise<number> {
    return Number((await asRoot('cat', '/proc/uptime')).stdout.split(' ')[0])
  }
}
