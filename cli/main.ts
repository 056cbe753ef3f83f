/** The command table of `agent-anchor`. */
import { Command, CommanderError } from 'commander'
import { AnchorError, messageOf } from '../daemon/base/errors.ts'
import { programVersion } from '../daemon/supervisor/program.ts'
import type { GlobalOptions, Register } from './command.ts'
import { printJson } from './command.ts'
import { ExitCode } from './exit-code.ts'
import { dressHelp } from './help.ts'
import { printable } from './terminal.ts'

/** The table, in the order of `--help`. Each is loaded when it is asked for: `status` must not pay for the daemon. */
const commands: Readonly<Record<string, () => Promise<Register>>> = {
  status: async () => (await import('./commands/status.ts')).status,
  metrics: async () => (await import('./commands/metrics.ts')).metrics,
  doctor: async () => (await import('./commands/doctor.ts')).doctor,
  logs: async () => (await import('./commands/logs.ts')).logs,
  records: async () => (await import('./commands/records.ts')).records,
  show: async () => (await import('./commands/show.ts')).show,
  verify: async () => (await import('./commands/verify.ts')).verify,
  export: async () => (await import('./commands/export.ts')).exportReceipt,
  chain: async () => (await import('./commands/chain.ts')).chain,
  ledger: async () => (await import('./commands/ledger.ts')).ledger,
  policy: async () => (await import('./commands/policy.ts')).policy,
  keys: async () => (await import('./commands/keys.ts')).keys,
  trust: async () => (await import('./commands/trust.ts')).trust,
  env: async () => (await import('./commands/env.ts')).env,
  demo: async () => (await import('./commands/demo.ts')).demo,
  daemon: async () => (await import('./commands/daemon.ts')).daemon,
  uninstall: async () => (await import('./commands/uninstall.ts')).uninstall,
  completion: async () => (await import('./commands/completion.ts')).completion,
  manual: async () => (await import('./commands/manual.ts')).manual,
}

/** What these print is about all the others. */
const ABOUT_ALL = new Set(['completion', 'manual'])
const TAKES_VALUE = new Set(['--config', '--passphrase-fd', '--pin-fd'])

/** The command that the arguments name; undefined for help, or for what only the parser can tell. */
function asked(words: readonly string[]): string | undefined {
  const word = words.find((w, i) => !w.startsWith('-') && !TAKES_VALUE.has(words[i - 1] ?? ''))
  if (word === undefined || ABOUT_ALL.has(word)) return undefined
  return Object.hasOwn(commands, word) ? word : undefined
}

const program = new Command('agent-anchor')
  .description("Records AI agents' LLM traffic: mandatory, complete and provable.")
  .version(programVersion)
  .option(
    '--config <file>',
    'configuration (default: /etc/agent-anchor/gateway.yaml, or the defaults without it)',
  )
  .option('--json', 'print one JSON document (with a schemaVersion) instead of text')
  .option('--passphrase-fd <n>', "read the vault's passphrase from this file descriptor")
  .option('--pin-fd <n>', "read the PIN of the vault's token from this file descriptor")
  .showHelpAfterError('(see agent-anchor --help)')
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

const name = asked(process.argv.slice(2))
for (const load of name === undefined ? Object.values(commands) : [commands[name]])
  (await load?.())?.(program, act)
dressHelp(program)
try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof CommanderError)) throw error
  process.exitCode = error.exitCode === 0 ? ExitCode.healthy : ExitCode.usage
}
