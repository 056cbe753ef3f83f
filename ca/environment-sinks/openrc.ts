/**
 * OpenRC's rc.conf, which a shell reads before each service that it starts: what is exported there, services inherit,
 * busybox's crond and its jobs among them. What is set stays.
 */
import type { ClientVariable } from '../client-environment.ts'
import type { EnvironmentSink } from './environment-sink.ts'
import { markedFileSink } from './marked-file.ts'
import { posixScript } from './profile-d.ts'

export function openrcSink(options: {
  variables: readonly ClientVariable[]
  root?: string
}): EnvironmentSink {
  return markedFileSink({
    name: 'openrc',
    reaches: 'OpenRC services',
    path: '/etc/rc.conf',
    root: options.root,
    needs: '/sbin/openrc-run',
    render: () => ({ kept: [], lines: posixScript(options.variables) }),
  })
}
