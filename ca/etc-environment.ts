/**
 * /etc/environment, which pam_env(8) reads for logins, su, cron and ssh: NAME=value lines that no shell
 * expands. Where the user sets one of our variables, theirs stays and ours is left out.
 */
import { type ClientVariable, type EnvironmentSink, keptVariable } from './client-environment.ts'
import { markedFileSink } from './marked-file.ts'

export function etcEnvironmentSink(options: {
  variables: readonly ClientVariable[]
  root?: string
}): EnvironmentSink {
  return markedFileSink({
    name: 'etc-environment',
    path: '/etc/environment',
    root: options.root,
    render(outside) {
      const theirs = parseEnvironment(outside)
      const ours = options.variables.filter(({ name }) => !theirs.has(name))
      const kept = options.variables.flatMap((variable) => {
        const value = theirs.get(variable.name)
        return value === undefined ? [] : (keptVariable(variable, value) ?? [])
      })
      return {
        kept,
        lines: [
          "# So that programs with roots of their own trust this machine's LLM gateway.",
          ...kept.map(({ name }) => `# ${name} stays as it is set below.`),
          ...ours.map(({ name, value }) => `${name}=${value}`),
        ],
      }
    },
  })
}

/** Assignments as pam_env reads them: comments, an optional "export", quotes round the value, the last wins. */
function parseEnvironment(text: string): Map<string, string> {
  const values = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*(?:export\s+)?([A-Za-z0-9_]+)=(.*)$/.exec(line)
    if (match !== null) values.set(match[1]!, match[2]!.trim().replace(/^["'](.*?)["']?$/, '$1'))
  }
  return values
}
