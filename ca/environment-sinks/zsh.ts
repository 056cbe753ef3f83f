/**
 * zshenv, the one file that every zsh reads, login or not: what reaches it by no session, and all of macOS, whose
 * logins read neither /etc/environment nor profile.d. What is set stays.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ClientVariable } from '../client-environment.ts'
import type { EnvironmentSink } from './environment-sink.ts'
import { markedFileSink } from './marked-file.ts'
import { posixScript } from './profile-d.ts'

export function zshSink(options: { variables: readonly ClientVariable[]; root?: string }): EnvironmentSink {
  const { variables, root = '/' } = options
  // Debian, Arch and Alpine build zsh with /etc/zsh, others with /etc itself.
  const own = existsSync(join(root, '/etc/zsh'))
  return markedFileSink({
    name: 'zsh',
    reaches: 'zsh',
    path: own ? '/etc/zsh/zshenv' : '/etc/zshenv',
    root,
    needs: own ? '/etc/zsh' : '/bin/zsh',
    render: () => ({ kept: [], lines: posixScript(variables) }),
  })
}
