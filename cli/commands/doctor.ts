/** `agent-anchor doctor`: tries the ways round as an ordinary user would, and says whether each was caught. */
import type { Health } from '../../daemon/base/health.ts'
import { defaultConfigFile } from '../../daemon/config/config.ts'
import { type GlobalOptions, print, printJson, type Register } from '../command.ts'
import { writeBundle } from '../doctor/bundle.ts'
import type { Check } from '../doctor/check.ts'
import { examine, refusersLately } from '../doctor/doctor.ts'
import type { Refuser } from '../doctor/refusers.ts'
import { openEvidence } from '../evidence.ts'
import { ExitCode } from '../exit-code.ts'
import { readLiveState } from '../live-state.ts'
import { printable, table } from '../terminal.ts'

const MARK: Record<Check['result'], string> = {
  held: 'held',
  failed: 'FAILED',
  attention: 'LOOK',
  'not-run': 'NOT RUN',
}

interface DoctorOptions extends GlobalOptions {
  readonly bundle?: string | true
}

export const doctor: Register = (program, act) =>
  program
    .command('doctor')
    .description(
      'prove enforcement live, and look for what stands in the way of capture on this machine (as root)',
    )
    .option('--bundle [file]', 'write what somebody who helps needs to see into an archive, without secrets')
    .action(
      act(async (given) => {
        const options = given as DoctorOptions
        const evidence = await openEvidence(options, 'doctor')
        const { supervisor, recorder, health } = await readLiveState(evidence.config)
        if (supervisor === undefined) {
          if (options.json) printJson({ holds: false, checks: [], health })
          else print(`${health.map(remedied).join('\n')}\nNothing was tried.`)
          return ExitCode.notRunning
        }
        const checks: Check[] = []
        let refusing: readonly Refuser[]
        try {
          for await (const check of examine(evidence)) {
            checks.push(check)
            if (!options.json) print(line(check))
          }
          refusing = refusersLately(evidence)
        } finally {
          evidence.index.close()
        }
        const proofs = checks.filter(({ proof }) => proof)
        const caught = proofs.length > 0 && proofs.every(({ result }) => result === 'held')
        const aside = checks.some(({ proof, result }) => proof === undefined && result === 'attention')
        const wrong = health.filter(({ severity }) => severity !== 'info')
        const document = { holds: caught, policy: supervisor.policy.name, checks, refusing, health }
        const file = options.bundle === true ? `agent-anchor-support-${Date.now()}.tar.gz` : options.bundle
        const bundled =
          file === undefined
            ? undefined
            : await writeBundle(file, {
                evidence,
                configFile: options.config ?? defaultConfigFile,
                documents: { 'doctor.json': document, 'status.json': { supervisor, recorder, health } },
              })
        if (options.json)
          printJson({ ...document, ...(file === undefined ? {} : { bundle: { file, holds: bundled } }) })
        else {
          for (const each of refusing) print(`\n${refusal(each)}`)
          for (const each of wrong) print(`\n${remedied(each)}`)
          print(`\n${summary(proofs, supervisor.policy.name)}`)
          if (bundled !== undefined) print(`\n${file}, for whoever helps you, holds ${bundled.join(', ')}`)
        }
        if (!caught) return ExitCode.error
        return wrong.length > 0 || aside ? ExitCode.degraded : ExitCode.healthy
      }),
    )

const WIDTH = 46
const line = ({ check, result, detail, remedy }: Check) =>
  table([
    [MARK[result].padEnd(7), printable(check).padEnd(WIDTH), printable(detail)],
    ...(remedy === undefined ? [] : [['', '', printable(remedy)]]),
  ])

const refusal = ({ why, serverName, executable, process, uid, count, last, remedy }: Refuser) => {
  const who = executable ?? process ?? 'a program that is gone'
  const what =
    why === 'certificate-refused' ? "refuses the gateway's certificate for" : 'needs a client certificate at'
  const title = printable(`${who} (uid ${uid ?? 'unknown'}) ${what} ${serverName}`)
  return `${title}: ${count === 1 ? 'once' : `${count} times`}, last at ${last}\n  ${printable(remedy)}`
}

const remedied = ({ title, remedy }: Health) => `${title}\n  ${remedy}`

function summary(checks: readonly Check[], policy: string): string {
  const held = checks.filter(({ result }) => result === 'held').length
  if (held === checks.length)
    return `enforcement holds: ${held} of ${checks.length} tries were caught (policy ${policy})`
  return `enforcement is NOT proved: ${held} of ${checks.length} tries were caught (policy ${policy}); see docs/operating.md`
}
