/**
 * The second half of installers/install.sh, run by the gateway's own Node from the installed tree: accounts,
 * configuration, CA and trust, fence, service, and one captured call as proof. Idempotent. What fails, or is
 * interrupted, is taken back.
 */
import { parseArgs } from 'node:util'
import { AnchorError, messageOf } from '../daemon/base/errors.ts'
import { type InstallOptions, installation } from './install-steps.ts'
import { type OpenManifest, openManifest } from './manifest.ts'
import { type TakenBack, takeSteps } from './step.ts'
import { undo } from './undo.ts'

const complain = (text: string) => process.stderr.write(`${text}\n`)

function report(error: unknown): void {
  complain(`\ninstall.sh: ${messageOf(error)}`)
  if (error instanceof AnchorError) complain(error.remedy)
}

function describe({ what, error }: TakenBack): string {
  const name = typeof what === 'string' ? `${what} put back` : `${what.kind} undone`
  return error === undefined ? `  ${name}` : `  ${name}: FAILED: ${error}`
}

/** install.sh has checked them: what it doesn't know doesn't come here. */
function readOptions(argv: readonly string[]): Omit<InstallOptions, 'signal'> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      // It compared the trees.
      'same-program': { type: 'boolean' },
      'in-place': { type: 'boolean' },
      policy: { type: 'string' },
      chain: { type: 'string' },
      rpc: { type: 'string', multiple: true },
    },
  })
  const chain = values.chain === undefined ? undefined : { name: values.chain, rpc: values.rpc ?? [] }
  return {
    inPlace: values['in-place'] === true,
    programChanged: !values['same-program'],
    settings: { policy: values.policy, chain },
  }
}

async function install(manifest: OpenManifest): Promise<boolean> {
  const interruption = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => interruption.abort())
  }
  const { signal } = interruption
  const options = readOptions(process.argv.slice(2))
  const before = [...manifest.steps]
  const steps = installation(manifest, { ...options, signal })
  const takenBack = await takeSteps(steps.steps, {
    manifest,
    undo: steps.undo,
    signal,
    onRollback(step, error) {
      report(error)
      complain(`Taking back what was done up to the step "${step.name}":`)
    },
  })
  if (takenBack === undefined) return true
  for (const each of takenBack) complain(describe(each))
  // Evidence that was kept before stays root's own: the accounts that owned it for a moment are gone again.
  if (takenBack.some(({ what }) => typeof what === 'object' && what.kind === 'account')) {
    for (const entry of before) if (entry.kind === 'state') await undo(entry, false)
  }
  return false
}

try {
  if (!(await install(await openManifest()))) process.exitCode = 1
} catch (error) {
  report(error)
  process.exitCode = 1
}
