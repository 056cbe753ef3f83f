/** `agent-anchor completion SHELL`: what makes a shell complete the commands; without any delay, since it asks nobody. */
import { Argument } from 'commander'
import { print, printJson, type Register } from '../command.ts'
import { describe } from '../command-table.ts'
import { completionFor, SHELLS, type Shell } from '../completion/completion.ts'
import { ExitCode } from '../exit-code.ts'

export const completion: Register = (program, act) =>
  program
    .command('completion')
    .addArgument(new Argument('<shell>', 'for which shell').choices(SHELLS))
    .description('print the completion of the commands for a shell')
    .action(
      act(async ({ json }, shell) => {
        const script = completionFor(shell as Shell, describe(program))
        if (json) printJson({ shell, script })
        else print(script)
        return ExitCode.healthy
      }),
    )
