/** `agent-anchor uninstall`: undoes the install manifest; evidence and keys stay unless purged. */
import { planUninstall, uninstall as undoInstall } from '../../installers/uninstall.ts'
import { requireRoot } from '../cli-error.ts'
import { print, printJson, type Register } from '../command.ts'
import { confirm } from '../confirm.ts'
import { ExitCode } from '../exit-code.ts'
import { table } from '../terminal.ts'

const WORD = 'purge'

const describe = (step: object): string =>
  Object.entries(step)
    .filter(([key]) => key !== 'sha256')
    .map(([, value]) => String(value))
    .join(' ')

type Plan = Awaited<ReturnType<typeof planUninstall>>

const planText = (plan: Plan): string =>
  table(plan.filter(({ fate }) => fate !== 'gone').map(({ step, fate }) => [fate, describe(step)]))

export const uninstall: Register = (program, act) =>
  program
    .command('uninstall')
    .description('take the gateway off this machine: rules, variables, trust, service, program')
    .option(
      '--purge',
      'also delete records, keys, logs and the changed configuration: no proof survives this',
    )
    .option('--dry-run', 'say what would go and what would stay, and change nothing')
    .option('--yes', "don't ask before a purge")
    .addHelpText(
      'after',
      '\nWhat stays: packages of the distribution that the installer asked for, and whatever it did not make itself.',
    )
    .action(
      act(async (options) => {
        requireRoot('uninstall')
        const given = options as { purge?: boolean; dryRun?: boolean; yes?: boolean }
        const purge = given.purge === true
        const plan = await planUninstall(purge)
        if (given.dryRun) {
          if (options.json) printJson({ purge, plan })
          else print(planText(plan))
          return ExitCode.healthy
        }
        if (purge && !given.yes) {
          process.stderr.write(`${planText(plan)}\n\nWith the records, the proof of them goes for good.\n`)
          await confirm(WORD)
        }
        const steps = await undoInstall({ purge })
        if (options.json) printJson({ purge, steps })
        else {
          print(table(steps.map(({ step, result, error }) => [result, describe(step), error ?? ''])))
          if (steps.some(({ result }) => result === 'kept')) {
            print(
              '\nKept: records, keys and logs are evidence. `uninstall --purge` from a new install deletes them.',
            )
          }
        }
        return steps.some(({ result }) => result === 'failed') ? ExitCode.error : ExitCode.healthy
      }),
    )
