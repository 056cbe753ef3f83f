/** `agent-anchor trust …`: what this machine's programs are to trust. */
import type { Register } from '../command.ts'
import { registerRotate } from '../trust/rotate-command.ts'

export const trust: Register = (program, act) => {
  registerRotate(program.command('trust').description("what this machine's programs are to trust"), act)
}
