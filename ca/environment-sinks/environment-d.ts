/**
 * environment.d(5), from which systemd makes the environment of each user's services and, in many desktops, of
 * everything that they start. First by its name, so that whatever else is set there wins; and `${NAME:-…}` lets
 * through what the session had before.
 */
import { join } from 'node:path'
import type { ClientVariable } from '../client-environment.ts'
import { mergeVariables, PURPOSE, parseAssignments } from './assignments.ts'
import { readDropIns } from './drop-ins.ts'
import type { EnvironmentSink } from './environment-sink.ts'
import { ETC_ENVIRONMENT } from './etc-environment.ts'
import { markedFileSink } from './marked-file.ts'

const PATH = '/etc/environment.d/00-agent-anchor-gateway.conf'

export function environmentDSink(options: {
  variables: readonly ClientVariable[]
  root?: string
}): EnvironmentSink {
  const root = options.root ?? '/'
  return markedFileSink({
    name: 'environment-d',
    reaches: "users' services",
    path: PATH,
    root,
    needs: '/run/systemd/system',
    async render(outside) {
      const others = (await readDropIns(root, 'environment.d')).filter(
        // A link to /etc/environment stands there as well: what that says is for another sink to mind.
        ({ path, real }) => path !== PATH && real !== join(root, ETC_ENVIRONMENT),
      )
      const theirs = [...others.map(({ text }) => text), outside].map(parseAssignments)
      const { ours, kept } = mergeVariables(options.variables, new Map(theirs.flatMap((map) => [...map])))
      return { kept, lines: [PURPOSE, ...ours.map(({ name, value }) => `${name}=\${${name}:-${value}}`)] }
    },
  })
}
