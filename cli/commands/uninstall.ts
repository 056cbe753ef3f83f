/** `agent-anchor uninstall`: undoes the install manifest; evidence and keys stay unless purged. */
import { uninstall as undoInstall } from '../../installers/uninstall.ts'
import { requireRoot } from '../cli-error.ts'
import { print, printJson, type Register } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { table } from '../terminal.ts'

const describe = (step: object): string =>
  Object.entries(step)
    .filter(([key]) => key !== 'sha256')
    .map(([, value]) => String(value))
    .join(' ')

export const uninstall: Register = (program, act) =>
  program
    .command('uninstall')
    .description('take the gateway off this machine: rules, variables, trust, service, program')
    .option(
      '--purge',
      'also delete records, keys, logs and the changed configuration: no proof survives this',
    )
    .action(
      act(async (options) => {
        requireRoot('uninstall')
        const purge = (options as { purge?: boolean }).purge === true
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
