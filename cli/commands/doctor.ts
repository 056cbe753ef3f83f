/** `agent-anchor doctor`: tries the ways round as an ordinary user would, and says whether each was caught. */
import type { Health } from '../../daemon/base/health.ts'
import { print, printJson, type Register } from '../command.ts'
import { type Check, examine } from '../doctor/doctor.ts'
import { lately } from '../doctor/lately.ts'
import type { Refuser } from '../doctor/refusers.ts'
import { openEvidence } from '../evidence.ts'
import { ExitCode } from '../exit-code.ts'
import { readLiveState } from '../live-state.ts'
import { printable, table } from '../terminal.ts'

const MARK: Record<Check['result'], string> = { held: 'held', failed: 'FAILED', 'not-run': 'NOT RUN' }

export const doctor: Register = (program, act) =>
  program
    .command('doctor')
    .description('proves enforcement live: an ordinary user tries the ways round, and each must be caught')
    .action(
      act(async (options) => {
        const evidence = await openEvidence(options, 'doctor')
        const { supervisor, health } = await readLiveState(evidence.config)
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
          refusing = lately(evidence)
        } finally {
          evidence.index.close()
        }
        const caught = checks.length > 0 && checks.every(({ result }) => result === 'held')
        const wrong = health.filter(({ severity }) => severity !== 'info')
        if (options.json)
          printJson({ holds: caught, policy: supervisor.policy.name, checks, refusing, health })
        else {
          for (const each of refusing) print(`\n${refusal(each)}`)
          for (const each of wrong) print(`\n${remedied(each)}`)
          print(`\n${summary(checks, supervisor.policy.name)}`)
        }
        if (!caught) return ExitCode.error
        return wrong.length > 0 ? ExitCode.degraded : ExitCode.healthy
      }),
    )

const WIDTH = 46
const line = ({ check, result, detail }: Check) =>
  table([[MARK[result].padEnd(7), check.padEnd(WIDTH), detail]])

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
