/** `agent-anchor trust …`: what this machine's programs are to trust. */
import type { Register } from '../command.ts'
import { installTrust } from '../trust/install.ts'
import { listTrust } from '../trust/list.ts'
import { registerRotate } from '../trust/rotate-command.ts'

export const trust: Register = (program, act) => {
  const command = program
    .command('trust')
    .description("which of this machine's stores and runtimes trust the gateway's CA")

  command
    .command('list', { isDefault: true })
    .description('every store and runtime that is found, with its state and what mends it')
    .action(act((options) => listTrust(options)))

  command
    .command('install')
    .description('bring every store up to date, also those that came after the installation')
    .action(act((options) => installTrust(options)))

  registerRotate(command, act)
}
