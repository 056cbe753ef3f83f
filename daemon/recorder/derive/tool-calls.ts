/** Tools that a model called, gathered from a body or a stream's events. Names and ids only. */
import type { ToolCall } from '../derived.ts'
import { cut } from './fields.ts'
import type { Found } from './wire-style.ts'

/** Calls that are named, and calls that are told apart: beyond the second number, a call isn't counted any more. */
const MAX_NAMED = 16
const MAX_COUNTED = 1024

export class ToolCalls {
  readonly #named: ToolCall[] = []
  readonly #seen = new Set<string>()

  /**
   * @param key what tells this call from others where several events speak of it; each is one of its own without
   */
  note(name: string | undefined, id?: string, key: string = id ?? `#${this.#seen.size}`): void {
    if (name === undefined || this.#seen.size >= MAX_COUNTED) return
    const cutKey = cut(key)
    if (this.#seen.has(cutKey)) return
    this.#seen.add(cutKey)
    if (this.#named.length >= MAX_NAMED) return
    this.#named.push({ name: cut(name), ...(id !== undefined && { id: cut(id) }) })
  }

  found(): Found {
    return this.#seen.size === 0 ? {} : { tools: [...this.#named], toolCalls: this.#seen.size }
  }
}

/** Names that the request offers; a tool without one is counted. */
export function offered(names: readonly (string | undefined)[]): Found {
  if (names.length === 0) return {}
  const known = names.filter((name) => name !== undefined)
  return { toolsOffered: { count: names.length, names: known.slice(0, MAX_NAMED).map(cut) } }
}
