/** The command table of `agent-anchor`. */
import { Command, CommanderError } from 'commander'
import { AnchorError, messageOf } from '../daemon/base/errors.ts'
import { programVersion } from '../daemon/supervisor/program.ts'
import type { GlobalOptions, Register } from './command.ts'
import { printJson } from './command.ts'
import { daemon } from './commands/daemon.ts'
import { demo } from './commands/demo.ts'
import { exportReceipt } from './commands/export.ts'
import { records } from './commands/records.ts'
import { show } from './commands/show.ts'
import { status } from './commands/status.ts'
import { uninstall } from './commands/uninstall.ts'
import { verify } from './commands/verify.ts'
import { ExitCode } from './exit-code.ts'
import { printable } from './terminal.ts'

const commands: readonly Register[] = [status, records, show, verify, exportReceipt, demo, daemon, uninstall]

const program = new Command('agent-anchor')
  .description("Records AI agents' LLM traffic: mandatory, complete and provable.")
  .version(programVersion)
  .option(
    '--config <file>',
    'configuration (default: /etc/agent-anchor/gateway.yaml, or the defaults without it)',
  )
  .option('--json', 'print one JSON document (with a schemaVersion) instead of text')
  .showHelpAfterError('(see agent-anchor --help)')
  .addHelpText(
    'after',
    '\nExit codes: 0 healthy or done, 1 error (or a verification that failed), 2 usage, 3 not running, 4 degraded.',
  )
  .exitOverride()

/** Wraps a command's action: global options first, errors to stderr with their remedy, exit code set. */
const act =
  (action: (options: GlobalOptions, ...args: string[]) => Promise<ExitCode>) =>
  async (...given: unknown[]): Promise<void> => {
    const command = given.at(-1) as Command
    const options = command.optsWithGlobals<GlobalOptions>()
    const args = given.slice(0, -2) as string[]
    process.exitCode = await action({ ...options, json: options.json === true }, ...args).catch(
      (error: unknown) => fail(error, options.json === true),
    )
  }

function fail(error: unknown, json: boolean): ExitCode {
  if (error instanceof AnchorError) {
    if (json) printJson({ error: { code: error.code, message: error.message, remedy: error.remedy } })
    process.stderr.write(`agent-anchor: ${multiline(error.message)}\n${multiline(error.remedy)}\n`)
    return ExitCode.error
  }
  if (json) printJson({ error: { code: 'UNEXPECTED', message: messageOf(error) } })
  process.stderr.write(`agent-anchor: ${multiline(messageOf(error))}\n`)
  if (error instanceof Error && error.stack && process.env.AGENT_ANCHOR_DEBUG)
    process.stderr.write(`${error.stack}\n`)
  return ExitCode.error
}

const multiline = (text: string) => text.split('\n').map(printable).join('\n')

// A reader that stops early (`agent-anchor records | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(ExitCode.healthy)
  throw error
})

for (const register of commands) register(program, act)
try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof CommanderError)) throw error
  process.exitCode = error.exitCode === 0 ? ExitCode.healthy : ExitCode.usage
}
