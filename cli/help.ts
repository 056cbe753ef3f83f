/** What `--help` and the manual page say beyond the command table itself: groups, examples, exit codes. */
import type { Command } from 'commander'
import { EXIT_MEANINGS } from './exit-code.ts'

/** In the order of `--help`. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  'How it stands:': ['status', 'doctor', 'logs', 'metrics'],
  'What was recorded, and its proof:': ['records', 'show', 'verify', 'export', 'chain', 'ledger'],
  'What is in force:': ['policy', 'keys', 'trust', 'env'],
  'This machine:': ['demo', 'daemon', 'uninstall', 'completion', 'manual', 'help'],
}

const OTHERS = 'Others:'

export interface Example {
  readonly command: string
  readonly does: string
}

/** By the command's path; whoever adds one has it checked against the table (test/unit/cli-commands.test.ts). */
const EXAMPLES: Readonly<Record<string, readonly Example[]>> = {
  '': [
    { command: 'agent-anchor status', does: 'whether what is promised holds now' },
    { command: 'sudo agent-anchor doctor', does: 'prove it by trying the ways round' },
    { command: 'sudo agent-anchor records --kind refusal', does: 'what was refused' },
    { command: 'sudo agent-anchor verify', does: 'check everything that is stored' },
  ],
  status: [
    { command: 'agent-anchor status --watch 5', does: 'again every five seconds, until Ctrl-C' },
    {
      command: 'agent-anchor status --json',
      does: 'one document for a script; docs/formats.md has its fields',
    },
  ],
  records: [
    { command: 'sudo agent-anchor records -n 100 --provider anthropic', does: 'the newest hundred there' },
    { command: 'sudo agent-anchor records --kind gap', does: 'when the promise did not hold' },
  ],
  show: [
    { command: 'sudo agent-anchor show 01a2074e-6736 --bodies', does: 'with what was sent and received' },
  ],
  verify: [
    { command: 'sudo agent-anchor verify 01a2074e-6736', does: 'one record, then the store' },
    {
      command: 'agent-anchor verify --receipt receipt.json --key log.vkey',
      does: 'anybody’s receipt, on any machine',
    },
  ],
  export: [
    { command: 'sudo agent-anchor export 01a2074e-6736 -o receipt.json', does: 'a receipt of one record' },
    { command: 'sudo agent-anchor export 01a2074e..01a2074f -o receipt.json', does: 'of all between two' },
  ],
  'ledger fsck': [
    { command: 'sudo agent-anchor ledger fsck', does: 'hash every byte again; the gateway may run' },
    {
      command: 'agent-anchor ledger fsck --dir copy --key log.vkey',
      does: 'a copy, on a machine without a gateway',
    },
  ],
  'policy explain': [
    {
      command: 'agent-anchor policy explain --provider openai --model gpt-5',
      does: 'which rule decides, and why',
    },
  ],
  'keys rotate': [
    { command: 'sudo agent-anchor keys rotate log', does: 'a new key that the old one vouches for' },
  ],
  completion: [
    {
      command: 'agent-anchor completion bash | sudo tee /usr/share/bash-completion/completions/agent-anchor',
      does: 'where the installer did not put it',
    },
  ],
  manual: [{ command: 'agent-anchor manual | man -l -', does: 'read it where it is not installed' }],
}

export const groupOf = (command: string): string | undefined =>
  Object.entries(GROUPS).find(([, names]) => names.includes(command))?.[0]

export const examplesOf = (path: string): readonly Example[] => EXAMPLES[path] ?? []

/** Puts the groups, the examples and the exit codes into the help of each command that is loaded. */
export function dressHelp(program: Command): void {
  const help = program.createCommand('help').argument('[command]').description('the help of a command')
  program.addHelpCommand(help.helpGroup(groupOf('help') ?? OTHERS))
  for (const command of program.commands) command.helpGroup(groupOf(command.name()) ?? OTHERS)
  program.addHelpText('after', () => `${examplesText('')}\n\n${exitText()}`)
  for (const command of program.commands) dress(command, command.name())
}

function dress(command: Command, path: string): void {
  if (examplesOf(path).length > 0) command.addHelpText('after', examplesText(path))
  for (const each of command.commands) dress(each, `${path} ${each.name()}`)
}

function examplesText(path: string): string {
  const examples = examplesOf(path).map(({ command, does }) => `  ${command}\n      ${does}`)
  return ['\nExamples:', ...examples].join('\n')
}

const exitText = (): string =>
  ['Exit codes:', ...EXIT_MEANINGS.map(([code, meaning]) => `  ${String(code).padEnd(3)}  ${meaning}`)].join(
    '\n',
  )
