/**
 * YAML that a person wrote, through a schema. Errors say where (`file:line:column`, the line, a caret), what
 * is wrong, and what was probably meant; all that can be found at once is listed at once.
 *
 * Threat model: a policy may come from a package, a repository or a mail. YAML's sharp ends are off: one
 * document, YAML 1.2 core types only, no tags, string keys, no duplicate keys, no merge keys, few aliases.
 */
import { type Document, isAlias, isCollection, isNode, isScalar, type Node, parseDocument, visit } from 'yaml'
import type { z } from 'zod'
import { PolicyError } from './policy-error.ts'
import { describeFindings, type Finding } from './problem.ts'
import { MAX_FILE_BYTES, tooLarge } from './read-text.ts'
import { validate } from './zod-findings.ts'

/** Enough for lists that stand twice; far below what an exponential bomb needs (yaml's own default is 100). */
const MAX_ALIASES = 50
/** Nodes on the way to a value, keys and pairs counted; our schemas nest five deep, which makes fifteen. */
const MAX_DEPTH = 64

const TOO_DEEP = 'this nests too deep: none of our files needs that'

const SYNTAX: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'a tab indents this line: YAML allows spaces only',
  MULTIPLE_DOCS: 'a second document begins here: a file holds one',
  NON_STRING_KEY: 'a key must be text: put it in quotes',
  RESOURCE_EXHAUSTION: TOO_DEEP,
}

/**
 * The value in `text` as the schema gives it out (defaults filled in).
 * @param file the name to show in errors
 * @throws PolicyError FILE_TOO_LARGE, EMPTY_DOCUMENT, BAD_YAML or INVALID_DOCUMENT
 */
export function parseYaml<Schema extends z.ZodType>(
  file: string,
  text: string,
  schema: Schema,
): z.output<Schema> {
  if (text.length > MAX_FILE_BYTES) throw tooLarge(file)
  const document = parseTree(file, text)
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) {
    throw new PolicyError(
      'EMPTY_DOCUMENT',
      `${file} holds no settings, only white space and comments`,
      `Write the settings into ${file}, or remove it: without a file, the defaults hold.`,
    )
  }
  const result = validate(document, plainValue(file, text, document), schema)
  if ('data' in result) return result.data
  throw failure('INVALID_DOCUMENT', file, text, result.findings)
}

function parseTree(file: string, text: string): Document.Parsed {
  const document = parseDocument(text, {
    version: '1.2',
    schema: 'core',
    // Else !!binary, !!set and others of YAML 1.1 would be taken where they are named.
    resolveKnownTags: false,
    strict: true,
    stringKeys: true,
    // yaml compares each key with each other one; `unwanted` does it with a set.
    uniqueKeys: false,
    prettyErrors: false,
    // With `silent`, a second document would pass unseen. This function prints nothing at any level.
    logLevel: 'error',
  })
  // A warning is a tag or directive that would be ignored: nothing in these files is ignored.
  const errors = [...document.errors, ...document.warnings]
  // The parser recurses and reports where its stack ended; what it says besides is a consequence.
  const exhausted = errors.find((error) => error.code === 'RESOURCE_EXHAUSTION')
  const findings: Finding[] = (exhausted ? [exhausted] : errors).map((error) => ({
    start: error.pos[0],
    end: error.pos[1],
    message: SYNTAX[error.code] ?? error.message,
  }))
  if (findings.length === 0) findings.push(...unwanted(document))
  if (findings.length > 0) throw failure('BAD_YAML', file, text, findings)
  return document
}

function unwanted(document: Document.Parsed): Finding[] {
  const bounded = unboundedNodes(document)
  return bounded.length > 0 ? bounded : badKeys(document)
}

/** What would make later walks long or endless: depth, aliases without number, without anchor, or into themselves. */
function unboundedNodes(document: Document.Parsed): Finding[] {
  const findings: Finding[] = []
  const anchors = new Set<string>()
  let aliases = 0
  const refuse = (node: Node, message: string) => {
    findings.push({ ...rangeOf(node), message })
    return visit.BREAK
  }
  visit(document, {
    Node(_, node, path) {
      if (path.length > MAX_DEPTH) return refuse(node, TOO_DEEP)
      if (!isAlias(node)) {
        if (node.anchor !== undefined) anchors.add(node.anchor)
        return undefined
      }
      const { source } = node
      if (++aliases > MAX_ALIASES)
        return refuse(node, `more than ${MAX_ALIASES} aliases: write the values out`)
      if (!anchors.has(source)) return refuse(node, `no anchor \`&${source}\` stands before this alias`)
      const inside = path.some((parent) => isCollection(parent) && parent.anchor === source)
      return inside ? refuse(node, `this alias stands within \`&${source}\` itself`) : undefined
    },
  })
  return findings
}

function badKeys(document: Document.Parsed): Finding[] {
  const findings: Finding[] = []
  visit(document, {
    Map(_, map) {
      const seen = new Set<unknown>()
      for (const { key } of map.items) {
        const name = isScalar(key) ? key.value : key
        const span = rangeOf(key)
        if (seen.has(name))
          findings.push({ ...span, message: `key \`${String(name)}\` stands here twice: keep one` })
        // A plain object can't hold this key: it would vanish unseen instead of being refused.
        if (name === '__proto__') findings.push({ ...span, message: 'unknown key `__proto__`: remove it' })
        seen.add(name)
      }
    },
  })
  return findings
}

function plainValue(file: string, text: string, document: Document.Parsed): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES })
  } catch (error) {
    let first = { start: 0, end: 0 }
    visit(document, {
      Alias(_, node) {
        first = rangeOf(node)
        return visit.BREAK
      },
    })
    const message = 'aliases of aliases multiply beyond bounds: write the values out'
    throw failure('BAD_YAML', file, text, [{ ...first, message }], error)
  }
}

function rangeOf(node: unknown): { start: number; end: number } {
  const range = isNode(node) ? node.range : undefined
  return { start: range?.[0] ?? 0, end: range?.[1] ?? 0 }
}

function failure(
  code: 'BAD_YAML' | 'INVALID_DOCUMENT',
  file: string,
  text: string,
  findings: readonly Finding[],
  cause?: unknown,
): PolicyError {
  const { problems, message } = describeFindings(file, text, findings)
  const places = problems.length === 1 ? 'the place' : `the ${problems.length} places`
  return new PolicyError(
    code,
    message,
    `Correct ${places} shown in ${file}, then start again.`,
    problems,
    cause,
  )
}
