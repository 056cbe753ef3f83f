/** `agent-anchor records`: the newest records, a line each; no bodies are read. */
import { InvalidArgumentError, Option } from 'commander'
import { type Agent, LogRecord } from '../../daemon/recorder/record.ts'
import { print, printJson, type Register } from '../command.ts'
import { openEvidence } from '../evidence.ts'
import { ExitCode } from '../exit-code.ts'
import { table } from '../terminal.ts'
import { recordsErase } from './records-erase.ts'

interface Options {
  readonly limit: number
  readonly kind?: string
  readonly provider?: string
  readonly uid?: number
}

const wholeNumber = (text: string): number => {
  if (!/^[0-9]{1,9}$/.test(text)) throw new InvalidArgumentError('a whole number is wanted')
  return Number(text)
}

const atLeastOne = (text: string): number => {
  const count = wholeNumber(text)
  if (count === 0) throw new InvalidArgumentError('at least 1 is wanted')
  return count
}

const KINDS = LogRecord.options.map(({ shape }) => shape.kind.value)

export const records: Register = (program, act) => {
  const command = program
    .command('records')
    .description('list what was recorded, newest first')
    .option('-n, --limit <count>', 'how many', atLeastOne, 20)
    .addOption(new Option('--kind <kind>', 'only of this kind').choices(KINDS))
    .option('--provider <id>', 'only of this provider')
    .option('--uid <uid>', 'only of agents under this user id', wholeNumber)
    .action(
      act(async (options) => {
        const { index } = await openEvidence(options, 'records')
        const { limit, kind, provider, uid } = options as unknown as Options
        const rows = index.list({ limit, kind, provider, uid })
        if (options.json) {
          printJson({ records: rows.map(({ bytes, ...row }) => ({ ...row, record: parse(bytes) })) })
          return ExitCode.healthy
        }
        const cell = (value: string | number | null) => (value === null ? '-' : String(value))
        print(
          table([
            ['ID', 'TIME', 'KIND', 'AGENT', 'PROVIDER', 'MODEL', 'STATUS', 'TOKENS', 'OUTCOME'],
            ...rows.map((row) => [
              row.id,
              row.time,
              row.kind,
              agentText(parse(row.bytes)),
              cell(row.provider),
              cell(row.model),
              cell(row.status),
              row.input_tokens === null ? '-' : `${row.input_tokens}+${row.output_tokens ?? 0}`,
              cell(row.outcome ?? whatHappened(row.bytes)),
            ]),
          ]),
        )
        return ExitCode.healthy
      }),
    )
  recordsErase(command, act)
}

interface Told {
  readonly agent?: Agent
  readonly event?: string
  readonly rule?: string
  readonly cause?: string
  readonly count?: number
}

/** Who it was, as shortly as it can be told; names are what the agent made them. */
function agentText({ agent }: Told): string {
  if (!agent) return '-'
  const { uid, container, unit, processes = [], more = 0 } = agent
  const [first] = processes
  const others = processes.length - 1 + more
  const named = first && (others > 0 ? `${first.name} +${others}` : first.name)
  const where = container === undefined ? unit : shortened(container)
  const about = [named, where].filter((part) => part !== undefined).join(', ')
  const who = uid === undefined ? 'unknown' : `uid ${uid}`
  return about === '' ? who : `${who} (${about})`
}

/** Runtimes name containers by 64 digits and show twelve. */
const shortened = (container: string) => container.replace(/([0-9a-f]{12})[0-9a-f]{52}$/, '$1')

/** Records without an outcome say in their own words what they are about. */
function whatHappened(bytes: Uint8Array): string | null {
  const { event, rule, cause, count = 1 } = parse(bytes)
  const told = event ?? rule ?? cause
  if (told === undefined) return null
  return count === 1 ? told : `${told} ×${count}`
}

const parse = (bytes: Uint8Array): Told => JSON.parse(Buffer.from(bytes).toString('utf8'))
