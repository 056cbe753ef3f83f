/**
 * Launcher of the development chain: `node main.ts PORT STATEDIR`, under the account that owns STATEDIR. anvil writes
 * its state in place, so a kill or a full disk can leave half a file, and then it refuses to start: such a file is
 * set aside first. The launcher then becomes anvil (execve): no second process stays, and the parent's signals, its
 * death signal and the exit status are anvil's own.
 */
import { renameSync, statSync } from 'node:fs'
import { argv, env, execve, stderr } from 'node:process'
import { AnchorError, messageOf } from '../base/errors.ts'
import { anvilCommand, setAsideFile, stateFile } from './development-chain.ts'
import { isLoadable } from './development-state.ts'

const [, , port, directory] = argv
try {
  if (!port || !directory) throw new Error('usage: main.ts PORT STATEDIR')
  const file = stateFile(directory)
  if (statSync(file, { throwIfNoEntry: false }) && !isLoadable(file)) {
    renameSync(file, setAsideFile(directory))
    stderr.write(`${file} is damaged; set aside, the development chain starts anew\n`)
  }
  const [command, ...args] = anvilCommand(Number(port), directory)
  if (!execve) throw new Error('this system cannot replace a process (execve)')
  execve(command, [command, ...args], env as Record<string, string>)
} catch (error) {
  stderr.write(`${messageOf(error)}\n${error instanceof AnchorError ? `${error.remedy}\n` : ''}`)
  process.exitCode = 1
}
