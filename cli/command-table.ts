/** The command table as data: what completions, the manual page and the tests read it from. */
import type { Argument, Command, Option } from 'commander'
import { type Example, examplesOf, groupOf } from './help.ts'

export interface DescribedArgument {
  /** As in its usage: `<id>`, `[file...]`. */
  readonly usage: string
  readonly description: string
  readonly choices: readonly string[]
}

export interface DescribedOption {
  /** `--kind <kind>`, with its short form before. */
  readonly usage: string
  readonly names: readonly string[]
  /** Of the value; absent where it takes none. */
  readonly value?: { readonly name: string; readonly required: boolean; readonly choices: readonly string[] }
  readonly description: string
}

export interface DescribedCommand {
  /** Words after `agent-anchor`, a space between; empty for the program itself. */
  readonly path: string
  readonly description: string
  readonly group?: string
  readonly arguments: readonly DescribedArgument[]
  readonly options: readonly DescribedOption[]
  readonly examples: readonly Example[]
  readonly commands: readonly DescribedCommand[]
}

export function describe(command: Command, path = ''): DescribedCommand {
  const group = path.includes(' ') ? undefined : groupOf(path)
  return {
    path,
    description: command.description(),
    ...(group === undefined ? {} : { group: group.replace(/:$/, '') }),
    arguments: command.registeredArguments.map(argument),
    options: command.options.map(option),
    examples: examplesOf(path),
    commands: command.commands.map((each) => describe(each, `${path} ${each.name()}`.trimStart())),
  }
}

/** The command and all below it, parents first. */
export const flattened = (command: DescribedCommand): DescribedCommand[] => [
  command,
  ...command.commands.flatMap(flattened),
]

function argument(given: Argument): DescribedArgument {
  const { required, variadic, description, argChoices } = given
  const name = `${given.name()}${variadic ? '...' : ''}`
  return { usage: required ? `<${name}>` : `[${name}]`, description, choices: argChoices ?? [] }
}

function option({
  flags,
  short,
  long,
  required,
  optional,
  description,
  argChoices,
}: Option): DescribedOption {
  const name = /[<[]([^>\]]+)[>\]]$/.exec(flags)?.[1]?.replace(/\.\.\.$/, '')
  return {
    usage: flags,
    names: [short, long].filter((each) => each !== undefined),
    ...(name === undefined || !(required || optional)
      ? {}
      : { value: { name, required, choices: argChoices ?? [] } }),
    description,
  }
}
