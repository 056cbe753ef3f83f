/**
 * Names of tools in a request's JSON, whatever the wire style: those that are offered, and those that its history says
 * were called. Told by the places where OpenAI, Anthropic, Google, AWS, Cohere and Ollama put them.
 */

/** Keys whose objects (or lists of them) have the `name` of a tool. */
const HOLDERS = new Set([
  'tools',
  'functions',
  'function',
  'functiondeclarations',
  'function_declarations',
  'toolspec',
  'tooluse',
  'functioncall',
  'function_call',
  'tool_calls',
  'custom',
])
/** `tool_use`, `server_tool_use`, `function_call`, `custom_tool_call`, `mcp_call`: content that is a call. */
const IS_CALL = /(?:^|_)(?:tool_use|call)$/
/** A built-in tool has a `type` and no name of its own; a type that only says that a name follows is none. */
const WITH_NAME = new Set(['function', 'custom', 'object'])

/** @param value of bounded depth (json-strings.ts) */
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
  const { name, type } = value as { name?: unknown; type?: unknown }
  const isCall = typeof type === 'string' && IS_CALL.test(type)
  if ((holds || isCall) && typeof name === 'string') names.add(name)
  if (holds && typeof type === 'string' && name === undefined && !WITH_NAME.has(type)) names.add(type)
  for (const [key, inner] of Object.entries(value)) {
    const folded = key.toLowerCase()
    // Google's built-in tools are keys with their settings: `{googleSearch: {}}`.
    if (holds && name === undefined && !HOLDERS.has(folded) && isEmptyObject(inner)) names.add(key)
    visit(inner, HOLDERS.has(folded), names)
  }
}

const isEmptyObject = (value: unknown) =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
