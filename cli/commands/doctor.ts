/** `agent-anchor doctor`: tries the ways round as an ordinary user would, and says whether each was caught. */
import type { Health } from '../../daemon/base/health.ts'
import { print, printJson, type Register } from '../command.ts'
import { type Check, examine } from '../doctor/doctor.ts'
import { openEvidence } from '../evidence.ts'
import { ExitCode } from '../exit-code.ts'
import { readLiveState } from '../live-state.ts'
import { table } from '../terminal.ts'

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
        try {
          for await (const check of examine(evidence)) {
            checks.push(check)
            if (!options.json) print(line(check))
          }
        } finally {
          evidence.index.close()
        }
        const caught = checks.length > 0 && checks.every(({ result }) => result === 'held')
        const wrong = health.filter(({ severity }) => severity !== 'info')
        if (options.json) printJson({ holds: caught, policy: supervisor.policy.name, checks, health })
        else {
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

const remedied = ({ title, remedy }: Health) => `${title}\n  ${remedy}`

function summary(checks: readonly Check[], policy: string): string {
  const held = checks.filter(({ result }) => result === 'held').length
  if (held === checks.length)
    return `enforcement holds: ${held} of ${checks.length} tries were caught (policy ${policy})`
  return `enforcement is NOT proved: ${held} of ${checks.length} tries were caught (policy ${policy}); see docs/operating.md`
}
