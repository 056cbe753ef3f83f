/** Files of NAME=value lines that no shell expands, as pam_env(8) and sudo read them. Pure. */
import { type ClientVariable, type KeptVariable, keptVariable } from '../client-environment.ts'
import type { Rendered } from './marked-file.ts'

/** Comments, an optional "export", quotes round the value, the last wins. */
export function parseAssignments(text: string): Map<string, string> {
  const values = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*(?:export\s+)?([A-Za-z0-9_]+)=(.*)$/.exec(line)
    if (match !== null) values.set(match[1]!, match[2]!.trim().replace(/^["'](.*?)["']?$/, '$1'))
  }
  return values
}

/** Where the user sets one of our variables, theirs stays and ours is left out. */
export function mergeVariables(
  variables: readonly ClientVariable[],
  theirs: ReadonlyMap<string, string>,
): { ours: ClientVariable[]; kept: KeptVariable[] } {
  return {
    ours: variables.filter(({ name }) => !theirs.has(name)),
    kept: variables.flatMap((variable) => {
      const value = theirs.get(variable.name)
      return value === undefined ? [] : (keptVariable(variable, value) ?? [])
    }),
  }
}

/** Tells who opens the file what the block is for. */
export const PURPOSE = "# So that programs with roots of their own trust this machine's LLM gateway."

/** The block for a file of assignments in which the user has `outside`. */
export function renderAssignments(variables: readonly ClientVariable[], outside: string): Rendered {
  const { ours, kept } = mergeVariables(variables, parseAssignments(outside))
  return {
    kept,
    lines: [
      PURPOSE,
      ...kept.map(({ name }) => `# ${name} stays as it is set below.`),
      ...ours.map(({ name, value }) => `${name}=${value}`),
    ],
  }
}
