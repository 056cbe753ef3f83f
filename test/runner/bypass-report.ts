/**
 * docs/bypass.md and docs/bypass.json from the comments that the bypass tests leave (test/system/bypass/case.ts). Pure:
 * the same comments give the same bytes, and no time or machine stands in them.
 */
import { BYPASSES } from './bypass-list.ts'

/** What must hold in each case beside its result. */
const ASSERTIONS = ['provider', 'record', 'counter', 'control'] as const

interface Run {
  readonly number: number
  readonly name: string
  readonly result: 'refused' | 'captured'
  readonly assertions: readonly string[]
  /** The test file. */
  readonly test: string
}

interface NotRun {
  readonly number: number
  readonly name: string
  readonly result: 'not-run'
  readonly reason: string
  readonly test: string
}

export type BypassEntry = Run | NotRun

/** The entry that a line of TAP holds, at any depth; undefined where it holds none. @throws SyntaxError */
export function readBypassComment(line: string): BypassEntry | undefined {
  const text = /^\s*# bypass (\{.*\})$/.exec(line)?.[1]
  return text === undefined ? undefined : (JSON.parse(text) as BypassEntry)
}

/** What is wrong with a run's entries; nothing where the document may be made of them. */
export function findProblems(entries: readonly BypassEntry[], list = BYPASSES): string[] {
  const problems: string[] = []
  const seen = new Set<number>()
  for (const entry of entries) {
    const { number, name } = entry
    if (!list.has(number)) problems.push(`${number} (${name}) is not on the list`)
    if (seen.has(number)) problems.push(`${number} (${name}) comes twice`)
    seen.add(number)
    if (entry.result === 'not-run') {
      if (entry.reason === '') problems.push(`${number} (${name}) was not run and does not say why`)
      continue
    }
    const missing = ASSERTIONS.filter((assertion) => !entry.assertions.includes(assertion))
    if (missing.length > 0) problems.push(`${number} (${name}) lacks: ${missing.join(', ')}`)
  }
  for (const [number, name] of list) {
    if (!seen.has(number)) problems.push(`${number} (${name}) has no test`)
  }
  return problems
}

/** docs/bypass.json. */
export function bypassJson(entries: readonly BypassEntry[]): string {
  const rows = sorted(entries).map((entry) => ({
    number: entry.number,
    name: entry.name,
    result: entry.result,
    ...(entry.result === 'not-run' ? { reason: entry.reason } : {}),
    test: entry.test,
  }))
  return `${JSON.stringify(rows, null, 2)}\n`
}

/** docs/bypass.md. */
export function bypassMarkdown(entries: readonly BypassEntry[], list = BYPASSES): string {
  const count = (result: BypassEntry['result']) => entries.filter((entry) => entry.result === result).length
  const rows = sorted(entries).map((entry) => {
    const outcome = entry.result === 'not-run' ? `not run: ${entry.reason}` : entry.result
    return `| ${entry.number} | ${cell(list.get(entry.number) ?? '')} | ${cell(entry.name)} | ${cell(outcome)} | \`${entry.test}\` |`
  })
  return `# Ways round, and what becomes of them

Made by \`test/run\` from its own run; don't edit it. Each number is a way of reaching an LLM provider unrecorded that
was thought of. Its test tries it in a laboratory of network namespaces: first without the gateway, where it must get
through (unless the gateway is itself a part of the way), then against the gateway, where four things must hold: the
provider saw the proxy or nothing (told by its own log, by a log of packets at its door, and by the kernel's word on
which connections are the proxy's); a record of the attempt stands in the log; the kernel's counter moved; and an honest
call right after was captured.

\`refused\`: it reached nobody. \`captured\`: it went through the proxy and is in the log like any call.

${count('refused')} refused, ${count('captured')} captured, ${count('not-run')} not run.

| | way round | what was tried | result | test |
|---|---|---|---|---|
${rows.join('\n')}
`
}

function sorted(entries: readonly BypassEntry[]): BypassEntry[] {
  return [...entries].sort((a, b) => a.number - b.number)
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}
