/**
 * Drop-ins: files beside a policy, shipped or one's own, that add rules, agents and detectors to it. Their rules stand
 * before the policy's own, and those of a file before those of the next by name: the first that matches decides.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { messageOf } from '../daemon/base/errors.ts'
import type { Catalogue } from './catalogue.ts'
import { PolicyError } from './policy-error.ts'
import type { PolicySchema } from './policy-schema.ts'
import { makesSense } from './policy-sense.ts'
import { readText } from './read-text.ts'
import { Agents, Detectors, RecordsRules, TrafficRules } from './rules-schema.ts'
import { parseYaml } from './yaml-document.ts'

type Settings = z.output<typeof PolicySchema>

export const AdditionSchema = z.strictObject({
  apiVersion: z.literal('agent-anchor/v1'),
  kind: z.literal('PolicyAddition'),
  agents: Agents,
  detectors: Detectors,
  traffic: z.strictObject({ rules: TrafficRules }).prefault({}),
  records: z.strictObject({ rules: RecordsRules }).prefault({}),
})
type Addition = z.output<typeof AdditionSchema>

/** More than anybody keeps apart. */
const MOST_FILES = 64

/** Files of the policy's directory of drop-ins, `NAME.d`, in the order that they count. @throws PolicyError FILE_UNREADABLE */
export function additionFiles(dir: string, policy: string): string[] {
  const directory = join(dir, `${policy}.d`)
  try {
    const names = readdirSync(directory).filter((name) => name.endsWith('.yaml') && !name.startsWith('.'))
    if (names.length > MOST_FILES) throw new Error(`it has more than ${MOST_FILES} files`)
    return names.sort().map((name) => join(directory, name))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw new PolicyError(
      'FILE_UNREADABLE',
      `${directory} can't be read: ${messageOf(error)}`,
      `Make ${directory} a directory that root can read, or remove it.`,
    )
  }
}

/** The policy with what these files add. @throws PolicyError at the place in the file */
export function withAdditions(base: Settings, files: readonly string[], catalogue: Catalogue): Settings {
  let before: Addition[] = []
  for (const file of files) before = [...before, parsed(base, before, file, catalogue)]
  return merged(base, before)
}

function parsed(base: Settings, before: readonly Addition[], file: string, catalogue: Catalogue): Addition {
  const text = readText(file)
  if (text === undefined) {
    throw new PolicyError('FILE_UNREADABLE', `${file} does not exist`, `Remove the link ${file}, or mend it.`)
  }
  const schema = AdditionSchema.superRefine((addition, context) => {
    const whole = merged(base, [...before, addition])
    makesSense(whole, catalogue, (path, message) =>
      context.addIssue({ code: 'custom', path: ownPath(path, before, addition), message }),
    )
  })
  return parseYaml(file, text, schema)
}

/** Where a problem of the whole policy stands in this file; what is amiss behind its rules, at their list. */
function ownPath(
  path: readonly (string | number)[],
  before: readonly Addition[],
  own: Addition,
): (string | number)[] {
  const [section, list, index, ...rest] = path
  const isRules = (section === 'traffic' || section === 'records') && list === 'rules'
  const at = isRules ? index : list
  if ((!isRules && section !== 'agents' && section !== 'detectors') || typeof at !== 'number') return []
  const count = (addition: Addition) =>
    section === 'agents' || section === 'detectors'
      ? addition[section].length
      : addition[section].rules.length
  const place = at - before.reduce((sum, addition) => sum + count(addition), 0)
  const within = place >= 0 && place < count(own)
  const key = isRules ? [section, 'rules'] : [section as string]
  if (!within) return key
  return [...key, place, ...(isRules ? rest : path.slice(2))]
}

function merged(base: Settings, additions: readonly Addition[]): Settings {
  const all = [...additions, base]
  return {
    ...base,
    agents: all.flatMap(({ agents }) => agents),
    detectors: all.flatMap(({ detectors }) => detectors),
    traffic: { ...base.traffic, rules: all.flatMap(({ traffic }) => traffic.rules) },
    records: { ...base.records, rules: all.flatMap(({ records }) => records.rules) },
  }
}
