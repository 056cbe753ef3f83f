/** fish's conf.d, which it reads before the user's own files; it reads none of the other shells'. What is set stays. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ClientVariable } from '../client-environment.ts'
import { PURPOSE } from './assignments.ts'
import type { EnvironmentSink } from './environment-sink.ts'
import { markedFileSink } from './marked-file.ts'

/** Distributions', and Homebrew's on both kinds of Mac. */
const DIRECTORIES = ['/etc/fish', '/opt/homebrew/etc/fish', '/usr/local/etc/fish']

export function fishSink(options: { variables: readonly ClientVariable[]; root?: string }): EnvironmentSink {
  const { variables, root = '/' } = options
  const directory = DIRECTORIES.find((path) => existsSync(join(root, path))) ?? '/etc/fish'
  return markedFileSink({
    name: 'fish',
    reaches: 'fish',
    path: `${directory}/conf.d/agent-anchor-gateway.fish`,
    root,
    needs: directory,
    render: () => ({ kept: [], lines: [PURPOSE, ...variables.map(line)] }),
  })
}

function line({ name, value }: ClientVariable): string {
  // A variable that points at a file which is gone would break curl, git and requests.
  const usable = value.startsWith('/') ? `; and test -r '${value}'` : ''
  return `if not set -q ${name}${usable}; set -gx ${name} '${value}'; end`
}
