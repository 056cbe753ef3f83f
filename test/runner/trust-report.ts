/**
 * docs/trust.md and docs/trust.json from the comments that test/fresh-machine/trust-matrix.ts leaves. Pure: the same
 * comments give the same bytes, and no time stands in them.
 */

interface Tried {
  /** Name of the Debian that it was tried on. */
  readonly suite: string
  readonly runtime: string
  readonly version: string
}

/** One call by a runtime from an entry. */
export interface TrustTry extends Tried {
  readonly entry: string
  /** Works: it was answered and recorded. */
  readonly result: 'works' | 'fails'
  /** What it trusts the gateway by, and where that comes from. */
  readonly needs: string
  /** Of one that is known to fail. */
  readonly why?: string
}

/** What a runtime makes of a certificate that the CA's name constraints forbid. */
export interface TrustConstraints extends Tried {
  readonly constraints: 'obeyed' | 'passed over'
}

export type TrustEntry = TrustTry | TrustConstraints

/** The entry that a line of TAP holds, at any depth; undefined where it holds none. @throws SyntaxError */
export function readTrustComment(line: string): TrustEntry | undefined {
  const text = /^\s*# trust (\{.*\})$/.exec(line)?.[1]
  return text === undefined ? undefined : (JSON.parse(text) as TrustEntry)
}

/** docs/trust.json: the calls. */
export function trustJson(entries: readonly TrustEntry[]): string {
  return `${JSON.stringify(triesOf(entries), null, 2)}\n`
}

/** docs/trust.md. */
export function trustMarkdown(entries: readonly TrustEntry[]): string {
  const tries = triesOf(entries)
  const failures = tries.filter(({ result }) => result === 'fails')
  const careless = [
    ...new Set(constraintsOf(entries).flatMap((entry) => (obeys(entry) ? [] : [entry.runtime]))),
  ]
  return `# Which agents work through the gateway

Made by \`test/run\` from its own run; don't edit it. On a new Debian \`installers/install.sh\` was run, and nothing was
set by hand after it. Then each runtime made one HTTPS call to an LLM provider from each way by which agents come to
run. \`yes\`: the call was answered, and stands in the log. The last columns say what it takes: \`system store\`: nothing
but the store that the installation adds the gateway's CA to; a variable: without it the runtime refuses, with it alone
it works; \`managed policy\`: the browser's, which the installation writes and without which it refuses. All of this was
tried.

${failures.length === 0 ? 'All of them work.' : `${failures.length} of ${tries.length} don't work:`}
${failures.map(({ suite, runtime, entry, why }) => `\n- ${runtime}, ${entry} (${suite}): ${why ?? 'not known why'}`).join('')}
${suitesOf(tries)
  .map((suite) => suiteTable(suite, tries))
  .join('\n')}
Where the variables come from: ${sinks(tries)}.

"certifi's own roots": what \`pip install requests httpx\` brings from PyPI. PyPI is out of the tests' reach: Debian's
requests and httpx run with a certifi that names Mozilla's roots instead of Debian's store.

## Name constraints

The CA's certificate says for which domains it may speak: those of the providers. So a thief of its key gains little, if
clients obey. Here the key signed a certificate for www.example.org, where no constraint allows it, and a server showed
that. ${careless.length === 0 ? 'All refuse it.' : `All refuse it but ${careless.join(', ')}.`}

${constraintTable(constraintsOf(entries))}`
}

/** Of what came twice the later counts: a file that failed may have been run again. */
function triesOf(entries: readonly TrustEntry[]): TrustTry[] {
  const tries = entries.filter((entry) => 'entry' in entry)
  return newest(tries, ({ suite, runtime, entry }) => `${suite} ${runtime} ${entry}`)
}

function constraintsOf(entries: readonly TrustEntry[]): TrustConstraints[] {
  const told = entries.filter((entry) => 'constraints' in entry)
  return newest(told, ({ suite, runtime }) => `${suite} ${runtime}`)
}

/** Sorted by suite; within one as they came. */
function newest<T extends Tried>(entries: readonly T[], keyOf: (entry: T) => string): T[] {
  const kept = [...new Map(entries.map((entry) => [keyOf(entry), entry])).values()]
  return kept.sort((a, b) => a.suite.localeCompare(b.suite))
}

const obeys = ({ constraints }: TrustConstraints) => constraints === 'obeyed'
const suitesOf = (entries: readonly Tried[]) => [...new Set(entries.map(({ suite }) => suite))]

function suiteTable(suite: string, all: readonly TrustTry[]): string {
  const tries = all.filter((entry) => entry.suite === suite)
  const ways = [...new Set(tries.map(({ entry }) => entry))]
  const runtimes = [...new Set(tries.map(({ runtime }) => runtime))]
  const rows = runtimes.map((runtime) => {
    const own = tries.filter((entry) => entry.runtime === runtime)
    const cells = ways.map((way) =>
      own.find(({ entry }) => entry === way)?.result === 'works' ? 'yes' : 'NO',
    )
    const needs = own[0]?.needs.replace(/ \(.*/, '') ?? ''
    return `| ${[runtime, own[0]?.version, ...cells, needs].join(' | ')} |`
  })
  const heads = ['runtime', 'version', ...ways, 'needs']
  return `
## Debian: ${suite}

| ${heads.join(' | ')} |
|${'---|'.repeat(heads.length)}
${rows.join('\n')}
`
}

function sinks(tries: readonly TrustTry[]): string {
  const found = new Map<string, string>()
  for (const { entry, needs } of tries) {
    const sink = /\((.*)\)$/.exec(needs)?.[1]
    if (sink !== undefined) found.set(entry, sink)
  }
  return [...found].map(([entry, sink]) => `${entry}: ${sink}`).join('; ')
}

function constraintTable(entries: readonly TrustConstraints[]): string {
  const suites = suitesOf(entries)
  const rows = [...new Set(entries.map(({ runtime }) => runtime))].map((runtime) => {
    const cells = suites.map((suite) => {
      const own = entries.find((entry) => entry.suite === suite && entry.runtime === runtime)
      return own ? `${own.constraints} (${own.version})` : ''
    })
    return `| ${runtime} | ${cells.join(' | ')} |`
  })
  return `| runtime | ${suites.join(' | ')} |\n|${'---|'.repeat(suites.length + 1)}\n${rows.join('\n')}\n`
}
