/** `agent-anchor status`: one screen, and an exit code that scripts can live with. */
import { InvalidArgumentError } from 'commander'
import { loadConfig } from '../../daemon/config/config.ts'
import { type GlobalOptions, print, printJson, type Register } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { type LiveState, readLiveState } from '../live-state.ts'
import { statusText } from '../status/text.ts'
import { type Verdict, verdictOf, verdictText } from '../status/verdict.ts'
import { watchScreen } from '../status/watch-screen.ts'
import { lookOf, printable } from '../terminal.ts'

const CODE: Record<Verdict, ExitCode> = {
  holds: ExitCode.healthy,
  warnings: ExitCode.degraded,
  errors: ExitCode.degraded,
  starting: ExitCode.degraded,
  stopping: ExitCode.degraded,
  'not-running': ExitCode.notRunning,
  unknown: ExitCode.error,
}

export const statusCode = (state: LiveState): ExitCode => CODE[verdictOf(state)]

const SECONDS = 2

/** Of `--watch` without a number. */
function seconds(text: string): number {
  if (/^[0-9]{1,4}(\.[0-9]{1,3})?$/.test(text) && Number(text) >= 0.2) return Number(text)
  throw new InvalidArgumentError('seconds from 0.2 on are wanted')
}

interface Options extends GlobalOptions {
  readonly watch?: number | true
}

export const status: Register = (program, act) =>
  program
    .command('status')
    .description('whether what is promised holds now: enforcement, capture, log, anchors, keys, disk')
    .option('--watch [seconds]', `show it again every so many seconds (${SECONDS}), until Ctrl-C`, seconds)
    .addHelpText(
      'after',
      "\nExits 0 where all is well, 4 where something needs attention, 3 where no gateway runs, 1 where that can't be told.",
    )
    .action(
      act(async (given) => {
        const { watch: every, config: file, json } = given as Options
        const config = loadConfig(file)
        const look = () => readLiveState(config)
        if (every !== undefined) return watch(look, every === true ? SECONDS : every, json)
        const state = await look()
        if (json) printJson(document(state))
        else print(statusText(state, new Date(), lookOf(process.stdout)))
        return statusCode(state)
      }),
    )

const document = (state: LiveState) => {
  const { supervisor, recorder, authorityUntil, health } = state
  return {
    state: supervisor?.phase ?? (state.running === 'no' ? 'not-running' : 'unknown'),
    verdict: verdictOf(state),
    complete: supervisor !== undefined && recorder !== undefined,
    supervisor,
    recorder,
    authorityUntil,
    health,
  }
}

/** @returns the code of the last status shown */
async function watch(look: () => Promise<LiveState>, every: number, json: boolean): Promise<ExitCode> {
  const { stdout } = process
  let code: ExitCode = ExitCode.error
  const looked = async () => {
    const state = await look()
    code = statusCode(state)
    return { state, at: new Date() }
  }
  await watchScreen(looked, every * 1000, {
    stream: stdout,
    inPlace: !json && stdout.isTTY && process.env.TERM !== 'dumb',
    screen: ({ state, at }) =>
      `${statusText(state, at, lookOf(stdout))}\n\n${at.toISOString()}, every ${every} s; Ctrl-C ends`,
    line: ({ state, at }) =>
      json ? printJson(document(state)) : print(printable(`${at.toISOString()} ${verdictText(state)}`)),
  })
  return code
}
