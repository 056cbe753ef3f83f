/** /etc/environment, which pam_env(8) reads for logins, su, cron and ssh. */
import type { ClientVariable } from '../client-environment.ts'
import { renderAssignments } from './assignments.ts'
import type { EnvironmentSink } from './environment-sink.ts'
import { markedFileSink } from './marked-file.ts'

export const ETC_ENVIRONMENT = '/etc/environment'

export function etcEnvironmentSink(options: {
  variables: readonly ClientVariable[]
  root?: string
}): EnvironmentSink {
  return markedFileSink({
    name: 'etc-environment',
    reaches: 'logins, su, cron, ssh',
    path: ETC_ENVIRONMENT,
    root: options.root,
    render: (outside) => renderAssignments(options.variables, outside),
  })
}
