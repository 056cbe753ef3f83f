/** What of the machine around the gateway can stand in its way: looked at, never changed. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { ClientVariable } from '../../ca/client-environment.ts'
import { messageOf } from '../../daemon/base/errors.ts'
import { readSteps } from '../../daemon/supervisor/authority/history.ts'
import { introducedAt } from '../../daemon/supervisor/authority/introduced.ts'
import type { Layout } from '../../daemon/supervisor/layout.ts'
import { childEnvironment, programRoot } from '../../daemon/supervisor/program.ts'
import type { Evidence } from '../evidence.ts'
import { callersIn } from './callers.ts'
import type { Check } from './check.ts'
import { clockCheck, type Kept } from './clock.ts'
import { conflicts } from './conflicts.ts'
import { heardLately } from './heard.ts'
import { lately } from './lately.ts'
import { othersRules, resolver } from './network.ts'
import { oldProcesses } from './old-processes.ts'
import { runningProcesses } from './running.ts'

export interface Machine {
  readonly evidence: Evidence
  readonly variables: readonly ClientVariable[]
  /** Uids of the gateway's accounts. */
  readonly own: ReadonlySet<number>
}

/** One generator a subject, so that a slow one holds up no other. */
export function machineChecks(machine: Machine): AsyncGenerator<Check>[] {
  const { paths } = machine.evidence
  return [
    guarded('running programs', () => programs(machine)),
    guarded('clock', async () => [clockCheck(await kept(), await heardLately(machine.evidence))]),
    guarded('rules of others', othersRules),
    guarded('permissions', () => permissions(paths)),
    guarded('start at boot', async () => [await atBoot()]),
  ]
}

/** A check that breaks has not been run. */
async function* guarded(check: string, look: () => Promise<readonly Check[]>): AsyncGenerator<Check> {
  try {
    yield* await look()
  } catch (error) {
    yield { check, result: 'not-run', detail: messageOf(error) }
  }
}

const tool = promisify(execFile)
const said = async (program: string, ...args: string[]) =>
  (await tool(program, args, { env: childEnvironment, timeout: 10_000 })).stdout.trim()

async function programs({ evidence, variables, own }: Machine): Promise<readonly Check[]> {
  const { caCertificate, keysDirectory } = evidence.paths
  const running = await runningProcesses()
  const introduced = introducedAt(await readSteps(keysDirectory), await readFile(caCertificate, 'utf8'))
  const callers = [...callersIn(lately(evidence, 'exchange')), ...callersIn(lately(evidence, 'refusal'))]
  const trust = { variables, introduced, callers, own, ownPrograms: programRoot }
  return [
    ...oldProcesses(running, trust),
    ...conflicts(running),
    ...(await resolver(evidence.config, running)),
  ]
}

/** Of systemd's bus: without one the machine's way of keeping time isn't known to us. */
async function kept(): Promise<Kept> {
  if (!existsSync('/run/systemd/system')) return 'unknown'
  const word = await said('timedatectl', 'show', '--property=NTPSynchronized', '--value')
  return word === 'yes' ? 'yes' : 'no'
}

/** Who may look: a mode beyond these lets others read keys or content. */
async function permissions({ keysDirectory, recorderState }: Layout): Promise<Check[]> {
  const check = 'permissions'
  const open: string[] = []
  for (const [path, allowed] of [
    [keysDirectory, 0o755],
    [recorderState, 0o700],
  ] as const) {
    const { mode } = await stat(path)
    if ((mode & 0o777 & ~allowed) !== 0) open.push(`${path} has mode ${(mode & 0o777).toString(8)}`)
  }
  if (open.length === 0)
    return [{ check, result: 'held', detail: 'keys and records are closed to other users' }]
  return open.map((detail) => ({
    ...{ check, result: 'attention', detail },
    remedy: 'Take the others’ rights away (chmod), and find out who could read it.',
  }))
}

const UNITS = ['agent-anchor-fence.service', 'agent-anchor.service']

async function atBoot(): Promise<Check> {
  const check = 'start at boot'
  if (!existsSync('/run/systemd/system'))
    return { check, result: 'attention', detail: 'no systemd here: whatever starts services must start it' }
  const states = await Promise.all(
    UNITS.map((unit) => said('systemctl', 'is-enabled', unit).catch(() => 'not enabled')),
  )
  const off = UNITS.filter((_, i) => states[i] !== 'enabled')
  return off.length === 0
    ? { check, result: 'held', detail: 'fence and gateway are enabled' }
    : {
        ...{ check, result: 'attention', detail: `not enabled: ${off.join(', ')}` },
        remedy: `sudo systemctl enable ${off.join(' ')}`,
      }
}
