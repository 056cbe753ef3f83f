/**
 * DefaultEnvironment= of systemd-system.conf(5), with which every system service starts. A unit's own Environment=
 * wins over it, which would not be so for a drop-in of service.d. systemd reads system.conf, then drop-ins by name,
 * each adding to what is there: ours comes early, so that the user's win also where they come later.
 */
import type { ClientVariable, KeptVariable } from '../client-environment.ts'
import { mergeVariables, PURPOSE } from './assignments.ts'
import { type DropIn, readDropIn, readDropIns } from './drop-ins.ts'
import type { EnvironmentSink, Tool } from './environment-sink.ts'
import { markedFileSink } from './marked-file.ts'

const PATH = '/etc/systemd/system.conf.d/00-agent-anchor-gateway.conf'

export function systemdDefaultSink(options: {
  variables: readonly ClientVariable[]
  run: Tool
  root?: string
}): EnvironmentSink {
  const root = options.root ?? '/'
  return markedFileSink({
    name: 'systemd-default',
    reaches: 'systemd services',
    path: PATH,
    root,
    needs: '/run/systemd/system',
    async render(outside) {
      const main = await readDropIn(root, '/etc/systemd/system.conf')
      const dropIns = (await readDropIns(root, 'systemd/system.conf.d')).filter(({ path }) => path !== PATH)
      const [before, after] = [dropIns.filter(isBefore), dropIns.filter((file) => !isBefore(file))]
      const own = { path: PATH, real: PATH, text: outside }
      const { values, emptiedBy } = readDefaults([...(main ? [main] : []), ...before], [own, ...after])
      const { ours, kept } = mergeVariables(options.variables, values)
      return {
        kept: [...kept, ...(emptiedBy === undefined ? [] : ours.map((each) => emptied(each, emptiedBy)))],
        lines: [
          PURPOSE,
          '[Manager]',
          ...ours.map(({ name, value }) => `DefaultEnvironment=${name}=${value}`),
        ],
      }
    },
    announce: () => options.run('systemctl', 'daemon-reload'),
  })
}

const isBefore = ({ path }: DropIn): boolean =>
  path.slice(path.lastIndexOf('/') + 1) < PATH.slice(PATH.lastIndexOf('/') + 1)

function emptied({ name, value, runtimes }: ClientVariable, file: string): KeptVariable {
  const remedy =
    `${file} empties DefaultEnvironment= and so takes it away: set ${name}=${value} there as well, ` +
    `otherwise ${runtimes} in services may refuse the gateway's certificates.`
  return { name, theirs: 'unset in systemd services', remedy }
}

/** What they set, and which file takes away what came before it, ours with it. */
function readDefaults(before: readonly DropIn[], after: readonly DropIn[]) {
  const values = new Map<string, string>()
  let emptiedBy: string | undefined
  for (const file of [...before, ...after]) {
    for (const assigned of defaultEnvironments(file.text)) {
      if (assigned === '') {
        values.clear()
        if (after.includes(file)) emptiedBy = file.path
      }
      for (const word of words(assigned)) {
        const at = word.indexOf('=')
        if (at > 0) values.set(word.slice(0, at), word.slice(at + 1))
      }
    }
  }
  return { values, emptiedBy }
}

/** The right-hand sides, in order; a backslash at its end lets a line go on (systemd.syntax(7)). */
function defaultEnvironments(text: string): string[] {
  let section = ''
  const found: string[] = []
  for (const line of text.replaceAll(/\\\r?\n/g, ' ').split(/\r?\n/)) {
    section = /^\s*\[(.*)\]\s*$/.exec(line)?.[1] ?? section
    const value = /^\s*DefaultEnvironment\s*=(.*)$/.exec(line)?.[1]
    if (section === 'Manager' && value !== undefined) found.push(value.trim())
  }
  return found
}

/** Words as systemd splits them: quotes hold one together, a backslash takes the next character as it is. */
function words(text: string): string[] {
  return [...text.matchAll(/(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\.|[^\s"'\\])+/g)].map(([word]) =>
    word
      .replaceAll(/"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'/g, (_, a, b) => a ?? b)
      .replaceAll(/\\(.)/g, '$1'),
  )
}
