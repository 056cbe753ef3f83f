import { type Document, isAlias, isMap, isNode, isScalar, isSeq, type Node } from 'yaml'

export interface Span {
  readonly start: number
  readonly end: number
}

const spanOf = (node: unknown): Span | undefined =>
  isNode(node) && node.range ? { start: node.range[0], end: node.range[1] } : undefined

function resolved(document: Document, node: unknown): Node | undefined {
  if (isAlias(node)) return node.resolve(document)
  return isNode(node) ? node : undefined
}

function keyNode(node: Node | undefined, key: PropertyKey): { key: unknown; value: unknown } | undefined {
  if (!isMap(node)) return undefined
  return node.items.find((pair) => isScalar(pair.key) && pair.key.value === key)
}

/**
 * Where the value at `path` stands in the text; where the path ends early (a key is missing), where the
 * innermost mapping that is there is named.
 */
export function positionOf(document: Document, path: readonly PropertyKey[]): Span {
  let span: Span = spanOf(document.contents) ?? { start: 0, end: 0 }
  let node = resolved(document, document.contents)
  for (const step of path) {
    if (isSeq(node) && typeof step === 'number') {
      const item = node.items[step]
      span = spanOf(item) ?? span
      node = resolved(document, item)
      continue
    }
    const pair = keyNode(node, step)
    if (pair === undefined) return span
    const scalar = isScalar(pair.value) && pair.value.value !== null
    span = (scalar ? spanOf(pair.value) : spanOf(pair.key)) ?? span
    node = resolved(document, pair.value)
  }
  return span
}

/** Where each key of the mapping at `path` stands. */
export function keySpans(document: Document, path: readonly PropertyKey[]): Map<unknown, Span> {
  let node = resolved(document, document.contents)
  for (const step of path) {
    const child = isSeq(node) && typeof step === 'number' ? node.items[step] : keyNode(node, step)?.value
    node = resolved(document, child)
  }
  const spans = new Map<unknown, Span>()
  for (const { key } of isMap(node) ? node.items : []) {
    const span = spanOf(key)
    if (isScalar(key) && span) spans.set(key.value, span)
  }
  return spans
}
