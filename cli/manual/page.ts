/** The manual page in the macros of man(7), from the command table; pure. */
import type { DescribedArgument, DescribedCommand, DescribedOption } from '../command-table.ts'
import { EXIT_MEANINGS } from '../exit-code.ts'
import { bold, indented, paragraph, section, subsection } from './roff.ts'

const FILES: readonly (readonly [path: string, what: string])[] = [
  ['/etc/agent-anchor/gateway.yaml', 'the configuration; the defaults hold without it'],
  ['/etc/agent-anchor/policies', 'policies of this machine'],
  ['/var/lib/agent-anchor', 'what was recorded, its log, and the sealed keys'],
  ['/run/agent-anchor', 'what the running gateway says of itself, and its sockets'],
  ['/var/log/agent-anchor/agent-anchor.log', "the gateway's own log; no content of exchanges"],
]

export function manualPage(table: DescribedCommand, version: string): string {
  return [
    `.TH AGENT\\-ANCHOR 8 "" "agent\\-anchor ${version}" "System Administration"`,
    section('NAME'),
    `agent\\-anchor \\- records AI agents' LLM traffic: mandatory, complete and provable`,
    section('SYNOPSIS'),
    `${bold('agent-anchor')} [\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]`,
    section('DESCRIPTION'),
    paragraph(
      'The kernel hands every connection to an LLM provider to a transparent proxy; each exchange becomes a record in a tamper-evident log, whose root is anchored on chains. Without the gateway such calls are refused.',
    ),
    paragraph(
      'Standard output is for data, standard error for diagnosis. An error says what to do next. Ids of records may be shortened.',
    ),
    section('OPTIONS'),
    ...table.options.map(optionText),
    section('COMMANDS'),
    ...groups(table).flatMap(([group, commands]) => [paragraph(`${group}:`), ...commands.map(commandText)]),
    section('EXIT STATUS'),
    ...EXIT_MEANINGS.map(([code, meaning]) => indented(bold(String(code)), meaning)),
    section('FILES'),
    ...FILES.map(([path, what]) => indented(`\\fI${path}\\fR`, what)),
    section('EXAMPLES'),
    ...table.examples.map(({ command, does }) => indented(bold(command), does)),
    section('SEE ALSO'),
    `${bold('nft')}(8), ${bold('systemctl')}(1), ${bold('journalctl')}(1)`,
    '',
  ].join('\n')
}

function groups({ commands }: DescribedCommand): [string, DescribedCommand[]][] {
  const found = new Map<string, DescribedCommand[]>()
  for (const command of commands) {
    const group = command.group ?? 'Others'
    found.set(group, [...(found.get(group) ?? []), command])
  }
  return [...found]
}

/** A command that only holds others has no usage of its own. */
function commandText(command: DescribedCommand): string {
  const { path, description, arguments: given, options, examples, commands } = command
  const usage = [bold(`agent-anchor ${path}`), ...given.map(({ usage }) => `\\fI${usage}\\fR`)].join(' ')
  return [
    subsection(options.length > 0 ? `${usage} [\\fIoptions\\fR]` : usage),
    paragraph(description),
    ...given.filter((one) => one.description !== '').map(argumentText),
    ...options.map(optionText),
    ...examples.map(({ command: line, does }) => indented(bold(line), does)),
    ...commands.map(commandText),
  ].join('\n')
}

const argumentText = ({ usage, description, choices }: DescribedArgument): string =>
  indented(`\\fI${usage}\\fR`, description + oneOf(choices))

const optionText = ({ usage, description, value }: DescribedOption): string =>
  indented(bold(usage), description + oneOf(value?.choices ?? []))

const oneOf = (choices: readonly string[]): string => (choices.length === 0 ? '' : `: ${choices.join(', ')}`)
