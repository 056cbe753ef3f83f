/** What zod found wrong, in words for the person who wrote the file, each at its place in the YAML tree. */
import type { Document } from 'yaml'
import { z } from 'zod'
import { nearest } from './nearest.ts'
import type { Finding } from './problem.ts'
import { keySpans, positionOf } from './yaml-position.ts'

type Issue = z.core.$ZodIssue

const NAMES: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a mapping',
  record: 'a mapping',
  array: 'a list',
}

const typeName = (name: string): string => NAMES[name] ?? name

function valueName(value: unknown): string {
  if (value === null) return 'nothing'
  if (typeof value === 'number') return String(value)
  if (Array.isArray(value)) return 'a list'
  return typeName(typeof value)
}

const quoted = (names: readonly unknown[]): string => names.map((name) => `\`${String(name)}\``).join(', ')

/** What an issue is about: a key, or an entry of a list (counted from 1). */
function subject(path: readonly PropertyKey[] = []): string {
  const [parent, last] = [path.at(-2), path.at(-1)]
  if (typeof last !== 'number') return last === undefined ? 'this' : `\`${String(last)}\``
  return `entry ${last + 1}${parent === undefined ? '' : ` of \`${String(parent)}\``}`
}

function choices(
  path: readonly PropertyKey[] | undefined,
  input: unknown,
  values: readonly unknown[],
): string {
  const list = values.length === 1 ? quoted(values) : `one of ${quoted(values)}`
  if (input === undefined) return `missing key ${subject(path)}: it must be ${list}`
  const guess = typeof input === 'string' ? nearest(input, values.map(String)) : undefined
  const found = typeof input === 'string' ? `\`${input.slice(0, 80)}\`` : valueName(input)
  return `${subject(path)} must be ${list}, not ${found}${guess ? `; did you mean \`${guess}\`?` : ''}`
}

function bound(
  issue: z.core.$ZodRawIssue<z.core.$ZodIssueTooBig | z.core.$ZodIssueTooSmall>,
): string | undefined {
  const [limit, side] = issue.code === 'too_big' ? [issue.maximum, 'most'] : [issue.minimum, 'least']
  if (typeof issue.input === 'number') return `${subject(issue.path)} must be at ${side} ${limit}`
  const unit = issue.origin === 'string' ? 'characters' : 'entries'
  return `${subject(issue.path)} must have at ${side} ${limit} ${unit}`
}

/** Checks `value` against `schema`: its data, or all that is wrong with it. */
export function validate<Schema extends z.ZodType>(
  document: Document,
  value: unknown,
  schema: Schema,
): { data: z.output<Schema> } | { findings: Finding[] } {
  /** The keys that stood to choice, by the list of unknown ones: zod's issue names only the latter. */
  const known = new WeakMap<object, readonly string[]>()
  const result = schema.safeParse(value, {
    error(issue) {
      switch (issue.code) {
        case 'unrecognized_keys':
          if (issue.inst instanceof z.ZodObject) known.set(issue.keys, Object.keys(issue.inst.shape))
          return undefined
        case 'invalid_type':
          return issue.input === undefined
            ? `missing key ${subject(issue.path)}: it must be ${typeName(issue.expected)}`
            : `${subject(issue.path)} must be ${typeName(issue.expected)}, not ${valueName(issue.input)}`
        case 'too_big':
        case 'too_small':
          return bound(issue)
        case 'invalid_value':
          return choices(issue.path, issue.input, issue.values)
        case 'invalid_union': {
          // Left empty where the schema has no words of its own; `findingsOf` looks into the branches then.
          if (!Array.isArray(issue.options)) return ''
          const key = String(issue.path?.at(-1))
          const input: unknown =
            typeof issue.input === 'object' && issue.input !== null
              ? Reflect.get(issue.input, key)
              : undefined
          return choices(issue.path, input, issue.options)
        }
        default:
          return undefined
      }
    },
  })
  if (result.success) return { data: result.data }
  return { findings: result.error.issues.flatMap((issue) => findingsOf(document, known, [], issue)) }
}

function findingsOf(
  document: Document,
  known: WeakMap<object, readonly string[]>,
  prefix: readonly PropertyKey[],
  issue: Issue,
): Finding[] {
  const path = [...prefix, ...issue.path]
  switch (issue.code) {
    case 'unrecognized_keys': {
      const spans = keySpans(document, path)
      return issue.keys.map((key) => {
        const candidates = known.get(issue.keys) ?? []
        const guess = nearest(key, candidates)
        const help = guess ? `did you mean \`${guess}\`?` : `known here: ${quoted(candidates)}`
        const span = spans.get(key) ?? positionOf(document, path)
        return { ...span, message: `unknown key \`${key}\`; ${help}` }
      })
    }
    case 'invalid_key': {
      const span = keySpans(document, path.slice(0, -1)).get(path.at(-1)) ?? positionOf(document, path)
      return issue.issues.map(({ message }) => ({ ...span, message }))
    }
    case 'invalid_union': {
      // The branch that got past the value itself is the one that was meant.
      const meant = issue.errors.find(
        (branch) =>
          !branch.some(({ code, path }) => path.length === 0 && /^invalid_(type|value)$/.test(code)),
      )
      if (meant) return meant.flatMap((inner) => findingsOf(document, known, path, inner))
      const wanted = issue.errors.flatMap((branch) =>
        branch.flatMap((inner) => (inner.code === 'invalid_type' ? [typeName(inner.expected)] : [])),
      )
      const message = issue.message || `${subject(path)} must be ${wanted.join(' or ')}`
      return [{ ...positionOf(document, path), message }]
    }
    default:
      return [{ ...positionOf(document, path), message: issue.message }]
  }
}
