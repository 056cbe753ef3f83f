/**
 * Names of tools in a request's JSON, whatever the wire style: those that are offered, and those that its history says
 * were called. Told by the places where OpenAI, Anthropic, Google, AWS, Cohere and Ollama put them.
 */
import { asSent } from './json-strings.ts'

/** Keys whose objects (or lists of them) have the `name` of a tool. */
const HOLDERS = new Set([
  'tools',
  'functions',
  'function',
  'functiondeclarations',
  'function_declarations',
  'toolspec',
  'systemtool',
  'tooluse',
  'functioncall',
  'function_call',
  'tool_calls',
  'custom',
])
/** `tool_use`, `server_tool_use`, `function_call`, `custom_tool_call`, `mcp_call`: content that is a call. */
const IS_CALL = /(?:^|_)(?:tool_use|call)$/
/** A built-in tool has a `type` and no name of its own; a type that only says that a name follows is none. */
const WITH_NAME = new Set(['function', 'custom'])
/** Of a parameter that is called `function`, say. */
const OF_A_SCHEMA = new Set(['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'])
/** Stands among AWS' tools and is none. */
const NO_TOOL = new Set(['cachepoint'])

/** @param value of bounded depth, keys that stood twice told apart (json-strings.ts) */
export function toolNames(value: unknown): ReadonlySet<string> {
  const names = new Set<string>()
  visit(value, false, names)
  return names
}

function visit(value: unknown, holds: boolean, names: Set<string>): void {
  if (Array.isArray(value)) {
    for (const entry of value) visit(entry, holds, names)
    return
  }
  if (typeof value !== 'object' || value === null) return
  const members = Object.entries(value).map(([key, inner]) => [asSent(key), inner] as const)
  const textsOf = (wanted: string) =>
    members.flatMap(([key, inner]) => (key === wanted && typeof inner === 'string' ? [inner] : []))
  const [own, types] = [textsOf('name'), textsOf('type')]
  const isCall = types.some((type) => IS_CALL.test(type))
  if (holds || isCall) for (const name of own) names.add(name)
  if (holds && own.length === 0)
    for (const type of types) if (!WITH_NAME.has(type) && !OF_A_SCHEMA.has(type)) names.add(type)
  for (const [key, inner] of members) {
    const folded = key.toLowerCase()
    const isNamed = HOLDERS.has(folded) || NO_TOOL.has(folded) || own.length > 0
    if (holds && !isNamed && (isEmptyObject(inner) || (types.length === 0 && isObject(inner))))
      names.add(camelCased(key))
    visit(inner, HOLDERS.has(folded), names)
  }
}

/** Google's built-in tools are keys with their settings, in either spelling: `{googleSearch: {}}`, `{google_search: {}}`. */
const camelCased = (key: string) => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isEmptyObject = (value: unknown) => isObject(value) && Object.keys(value).length === 0
