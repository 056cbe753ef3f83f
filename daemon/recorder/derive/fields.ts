/** Looks into JSON of unknown shape: what isn't as expected is absent, never an error. */
import type { UsageDetails } from '../derived.ts'

export type Json = unknown

export function field(value: Json, ...path: (string | number)[]): Json {
  let at = value
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined
    at = (at as Record<string | number, unknown>)[key]
  }
  return at
}

/** A non-empty string. */
export function text(value: Json): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** A count that fits the schema: a safe integer from 0 on. */
export function count(value: Json): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined
}

export function number(value: Json): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

export function whole(value: Json): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined
}

/** Longest name or id that is taken from content where there may be many of them. */
const MAX_NAME = 128

export function cut(name: string): string {
  return name.length <= MAX_NAME ? name : `${name.slice(0, MAX_NAME - 1)}…`
}

/** The parts of a usage; nothing where none of them counts anything, as most often. */
export function details(parts: { [K in keyof UsageDetails]: number | undefined }): {
  usageDetails?: UsageDetails
} {
  const counted = Object.values(parts).some((tokens) => tokens !== undefined && tokens > 0)
  return counted ? { usageDetails: present<UsageDetails>(parts) } : {}
}

/** The sum of the counts there are; undefined where there is none. */
export function sum(...values: (number | undefined)[]): number | undefined {
  const there = values.filter((value) => value !== undefined)
  return there.length === 0 ? undefined : count(there.reduce((a, b) => a + b))
}

export function list(value: Json): readonly Json[] {
  return Array.isArray(value) ? value : []
}

/** Drops undefined values. */
export function present<T extends object>(value: { [K in keyof T]: T[K] | undefined }): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as Partial<T>
}
