/** From power-on to power-off no provider is reached past the gateway. */
import { rmSync } from 'node:fs'
import t from 'tap'
import { bareLink } from '../lab/network.ts'
import { PROBE_FILES, type Probe, plantProbe, readProbes } from './boot-probe.ts'
import { INSTALL, said, startFreshDebian } from './fresh-debian.ts'
import type { Suite } from './layers.ts'
import { until } from './until.ts'

export async function bootOrder(scriptUrl: string, suite: Suite): Promise<void> {
  const { lab, machine, inMachine, asRoot, show } = await startFreshDebian(scriptUrl, suite, {
    furnished: true,
  })
  t.test('no address of a provider is reached from power-on to power-off, past the gateway', async (t) => {
    const installed = await asRoot(INSTALL)
    t.equal(installed.code, 0, said(installed))
    plantProbe(inMachine, lab.rootCertificate)
    const enabled = await asRoot(
      ...['systemctl', 'enable', '--quiet', 'boot-probe.service', 'systemd-networkd.service'],
    )
    t.equal(enabled.code, 0, said(enabled))
    // The link is there when the machine starts, but neither up nor with an address: that is networkd's to do.
    t.equal(await machine.reboot(bareLink), 'running', await complaints())
    const second = async (unit: string, moment: string) =>
      Number((await show(unit))[`${moment}TimestampMonotonic`]) / 1e6
    const fence = await second('agent-anchor-fence.service', 'ActiveEnter')
    const daemon = await second('agent-anchor.service', 'ActiveEnter')
    const answered = ({ from, provider }: Probe) => from > daemon && provider === 60
    await until(() => readProbes(inMachine).some(answered), 'the daemon answers in the place of the provider')
    const boot = readProbes(inMachine)
    const stop = await uptime()
    t.equal(await machine.reboot(bareLink), 'running', await complaints())
    const all = readProbes(inMachine)
    const manager = await asRoot('systemctl', 'show', '--value', '--property=UserspaceTimestampMonotonic')
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

    await asRoot('systemctl', 'disable', '--now', '--quiet', 'boot-probe.service', 'systemd-networkd.service')
    for (const file of PROBE_FILES) rmSync(inMachine(file), { recursive: true, force: true })
    await asRoot('systemctl', 'daemon-reload')

    async function complaints(): Promise<string> {
      const failed = await asRoot('systemctl', '--failed', '--no-legend')
      const warnings = await asRoot(
        'journalctl',
        '--boot',
        '--priority=warning',
        '--output=cat',
        '--lines=30',
      )
      return failed.stdout === '' ? 'no unit failed' : `${failed.stdout}${warnings.stdout}`
    }
    async function uptime(): Promise<number> {
      return Number((await asRoot('cat', '/proc/uptime')).stdout.split(' ')[0])
    }
  })
}
