/**
 * /etc/profile.d/agent-anchor-gateway.sh, which POSIX login shells read, also where there is no PAM to read
 * /etc/environment. A variable that is set already, even to nothing, is the user's and stays.
 */
import type { ClientVariable } from '../client-environment.ts'
import { PURPOSE } from './assignments.ts'
import type { EnvironmentSink } from './environment-sink.ts'
import { markedFileSink } from './marked-file.ts'

export function profileSink(options: {
  variables: readonly ClientVariable[]
  root?: string
}): EnvironmentSink {
  return markedFileSink({
    name: 'profile-d',
    reaches: 'login shells',
    path: '/etc/profile.d/agent-anchor-gateway.sh',
    root: options.root,
    render: () => ({ kept: [], lines: posixScript(options.variables) }),
  })
}

/** For any shell of POSIX's kind. */
export function posixScript(variables: readonly ClientVariable[]): string[] {
  return [
    PURPOSE,
    '# What is set stays.',
    ...variables.map(({ name, value }) => {
      // A variable that points at a file which is gone would break curl, git and requests.
      const usable = value.startsWith('/') ? ` && [ -r '${value}' ]` : ''
      return `if [ -z "\${${name}+set}" ]${usable}; then export ${name}='${value}'; fi`
    }),
  ]
}
