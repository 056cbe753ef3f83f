/** `agent-anchor manual`: the manual page, or the command table itself as data. */
import { programVersion } from '../../daemon/supervisor/program.ts'
import { print, printJson, type Register } from '../command.ts'
import { describe } from '../command-table.ts'
import { ExitCode } from '../exit-code.ts'
import { manualPage } from '../manual/page.ts'

export const manual: Register = (program, act) =>
  program
    .command('manual')
    .description('print the manual page (for man -l -); with --json, all commands and options as data')
    .action(
      act(async ({ json }) => {
        const table = describe(program)
        if (json) printJson({ program: table })
        else print(manualPage(table, programVersion))
        return ExitCode.healthy
      }),
    )
