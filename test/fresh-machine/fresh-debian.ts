/** What every test on a fresh machine starts from: a booted Debian in a laboratory, with a copy of this tree in it. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { enterLab } from '../lab/enter.ts'
import { type Lab, startLab } from '../lab/lab.ts'
import { npmCacheOf, offlineNpm, requireNpmCache } from '../lab/npm-cache.ts'
import { insideLab, REPOSITORY } from '../lab/places.ts'
import type { Outcome } from '../lab/process.ts'
import { bareDebian, buildBareDebian, buildFurnishedDebian, furnishedDebian, type Suite } from './layers.ts'
import { type Machine, startMachine } from './machine.ts'

const NPM = '/var/tmp/npm'
export const SOURCE = '/root/agent-anchor'
export const INSTALL = `${SOURCE}/installers/install.sh`

export const said = ({ stdout, stderr }: Outcome): string => stdout + stderr

export interface FreshDebian {
  readonly lab: Lab
  readonly machine: Machine
  /** A path of the machine, seen from the laboratory. */
  inMachine(path: string): string
  /** Runs a program as root, in an environment whose npm needs no registry. */
  asRoot(...argv: readonly string[]): Promise<Outcome>
  /** The installed command. */
  gateway(...args: readonly string[]): Promise<Outcome>
  /** Properties of a systemd unit, by their names. */
  show(unit: string): Promise<Record<string, string>>
}

/**
 * Boots it; it is stopped when the test file ends. Outside the laboratory this enters first and never returns.
 *
 * @param scriptUrl `import.meta.url` of the test file
 * @param furnished with all that agents are written in, and what the installer needs; else the barest Debian
 */
export async function startFreshDebian(
  scriptUrl: string,
  suite: Suite,
  { furnished = false } = {},
): Promise<FreshDebian> {
  t.setTimeout(900_000)
  if (!insideLab()) {
    requireNpmCache()
    if (furnished) buildFurnishedDebian(suite)
    else buildBareDebian(suite)
  }
  await enterLab(scriptUrl)
  const lab = await startLab()
  const machine = await startMachine({
    layers: furnished ? furnishedDebian(REPOSITORY, suite) : bareDebian(REPOSITORY, suite),
    directory: '/var/tmp/machine',
  })
  t.teardown(async () => {
    await machine.stop()
    await lab.stop()
  })
  const inMachine = (path: string) => join(machine.root(), path)
  const asRoot = (...argv: readonly string[]) =>
    machine.run(argv, { env: offlineNpm(NPM), timeoutMs: 240_000 })
  // As a clone has it; a copy, since two installs of a tree that is being worked on would be two different ones.
  cpSync(REPOSITORY, inMachine(SOURCE), {
    recursive: true,
    filter: (path) => !/\/(node_modules|\.git|\.cache|\.tap)$/.test(path),
  })
  cpSync(npmCacheOf(REPOSITORY), inMachine(NPM), { recursive: true })
  return {
    lab,
    machine,
    inMachine,
    asRoot,
    gateway: (...args) => asRoot('/usr/local/bin/agent-anchor', ...args),
    async show(unit) {
      const lines = (await asRoot('systemctl', 'show', unit)).stdout.split('\n')
      return Object.fromEntries(
        lines.map((line) => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]),
      )
    },
  }
}
