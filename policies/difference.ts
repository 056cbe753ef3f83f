/** In what two policies differ, once what their files leave out is filled in and their drop-ins are added. */
import type { Policy } from './policy.ts'

export interface Difference {
  /** Path of the setting: `enforcement.fence`, `traffic.rules.no-groq`. */
  readonly setting: string
  /** Absent where it has none. */
  readonly from?: unknown
  readonly to?: unknown
}

/** Lists whose entries have names: compared one by one, and by their order. */
type Entry = { readonly name: string }

export function difference(a: Policy, b: Policy): Difference[] {
  const { hash: _a, name: _an, description: _ad, ...from } = a
  const { hash: _b, name: _bn, description: _bd, ...to } = b
  return compare('', from, to)
}

function compare(path: string, from: unknown, to: unknown): Difference[] {
  if (JSON.stringify(from) === JSON.stringify(to)) return []
  if (isNamed(from) && isNamed(to)) return compareNamed(path, from, to)
  if (!isObject(from) || !isObject(to)) return [{ setting: path, from, to }]
  const keys = [...new Set([...Object.keys(from), ...Object.keys(to)])]
  return keys.flatMap((key) => compare(path === '' ? key : `${path}.${key}`, from[key], to[key]))
}

function compareNamed(path: string, from: readonly Entry[], to: readonly Entry[]): Difference[] {
  const of = (entries: readonly Entry[], name: string) => entries.filter((entry) => entry.name === name)
  const names = [...new Set([...from, ...to].map(({ name }) => name))]
  const changed = names.flatMap((name) => {
    const [before, after] = [of(from, name), of(to, name)]
    if (JSON.stringify(before) === JSON.stringify(after)) return []
    const setting = `${path}.${name}`
    return [{ setting, ...shown('from', before), ...shown('to', after) }]
  })
  const order = (entries: readonly Entry[], others: readonly Entry[]) =>
    entries.map(({ name }) => name).filter((name) => others.some((other) => other.name === name))
  const [before, after] = [order(from, to), order(to, from)]
  const moved = before.join(' ') !== after.join(' ')
  return moved ? [...changed, { setting: `${path} (order)`, from: before, to: after }] : changed
}

const shown = (key: 'from' | 'to', entries: readonly Entry[]) =>
  entries.length === 0 ? {} : { [key]: entries.length === 1 ? entries[0] : entries }

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isNamed = (value: unknown): value is readonly Entry[] =>
  Array.isArray(value) && value.every((entry) => isObject(entry) && typeof entry.name === 'string')
