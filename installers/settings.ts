/** Settings in the text of a gateway.yaml: replaced where they stand, with everything round them as it is. */
import { isDeepStrictEqual } from 'node:util'
import { isNode, parseDocument, stringify } from 'yaml'

/** What the text gives `key` at the top level. */
export function settingOf(text: string, key: string): unknown {
  return (parseDocument(text).toJS() as Record<string, unknown> | null)?.[key]
}

/** The text with `key` (at the top level) set to `value`. @returns it as it was where it says so already */
export function withSetting(text: string, key: string, value: unknown): string {
  if (isDeepStrictEqual(settingOf(text, key), value)) return text
  const rendered = stringify({ [key]: value }, { lineWidth: 0 })
  const document = parseDocument(text)
  const node = document.get(key, true)
  if (!isNode(node) || !node.range) return `${text.replace(/\n?$/, '\n')}${rendered}`
  const [, end] = node.range
  // From the key on: what stands between it and its value goes too.
  const start = new RegExp(`^${key}[ \\t]*:`, 'm').exec(text)!.index
  return text.slice(0, start) + rendered.trimEnd() + text.slice(text.slice(0, end).trimEnd().length)
}
