/**
 * Which agents work through the gateway right after install.sh, and by what they trust it: every runtime from every
 * entry, one call each, which must be answered and recorded. Then, from one entry, which of them obey the name
 * constraints of the CA. What comes out is told in comments, of which test/runner/trust-report.ts makes docs/trust.md.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { EXAMPLE, OPENAI } from '../lab/addresses.ts'
import { REPOSITORY } from '../lab/places.ts'
import type { TrustConstraints, TrustTry } from '../runner/trust-report.ts'
import { clearEntries, ENTRIES, type Entry, prepareEntries, USER } from './entries.ts'
import { CA, forbiddenLeaf } from './forbidden-leaf.ts'
import { type FreshDebian, INSTALL, said, startFreshDebian } from './fresh-debian.ts'
import type { Suite } from './layers.ts'
import { NO_BRANCHES, RUNTIMES, type Runtime } from './runtimes.ts'

const MODEL = `https://${OPENAI.name}/v1/models/gpt-5`
const RESULTS = '/var/tmp/results'
/** Entries at once: each keeps a processor busy. */
const AT_ONCE = 3
const MINUTES_4 = 240_000

/** What is known not to work, and why. */
const KNOWN: readonly { readonly runtime: string; readonly entry: string; readonly why: string }[] = []

/** The one runtime that is known to pass over the constraints of a root. */
const CARELESS = ['java']

interface Result {
  readonly code: number
  readonly said: string
}
type Results = ReadonlyMap<string, Result>

const command = (name: string, url: string, keys: readonly string[] = []) =>
  ['sh', '/opt/programs/call-all.sh', name, url, `${RESULTS}/${name}`, ...keys].join(' ')

export async function trustMatrix(scriptUrl: string, suite: Suite): Promise<void> {
  const debian = await startFreshDebian(scriptUrl, suite, { furnished: true })
  const { lab, machine, inMachine, asRoot } = debian

  /** What a run of call-all.sh left, as soon as it is whole. */
  async function resultsOf(name: string): Promise<Results> {
    const file = inMachine(join(RESULTS, name))
    for (let waited = 0; !existsSync(file); waited += 200) {
      if (waited > MINUTES_4) throw new Error(`${name} has not ended in 4 minutes`)
      await sleep(200)
    }
    const rows = readFileSync(file, 'utf8').trimEnd().split('\n')
    return new Map(
      rows.map((row) => {
        const [key = '', code, text = ''] = row.split('\t')
        return [key, { code: Number(code), said: Buffer.from(text, 'base64').toString() }]
      }),
    )
  }

  /** The same from `su - user` with these variables and nothing else. */
  async function callWith(
    name: string,
    variables: Readonly<Record<string, string>>,
    keys?: readonly string[],
    url = MODEL,
  ) {
    const set = Object.entries({ HOME: `/home/${USER}`, PATH: '/usr/bin:/bin', ...variables })
    const all = `env -i ${set.map(([key, value]) => `${key}=${value}`).join(' ')} ${command(name, url, keys)}`
    const { code, stdout, stderr } = await machine.run(['su', '-', USER, '-c', all], { timeoutMs: MINUTES_4 })
    if (code !== 0) throw new Error(`${name}: ${stdout}${stderr}`)
    return resultsOf(name)
  }

  t.test('a machine with a user and all that agents are written in', async (t) => {
    mkdirSync(inMachine('usr/local/share/ca-certificates'), { recursive: true })
    writeFileSync(inMachine('usr/local/share/ca-certificates/internet.crt'), lab.rootCertificate)
    const updated = await asRoot('update-ca-certificates')
    t.equal(updated.code, 0, said(updated))
    await prepareEntries(machine)
    mkdirSync(inMachine(RESULTS))
    await asRoot('chmod', '1777', RESULTS)
    cpSync(join(REPOSITORY, 'test/fresh-machine/programs'), inMachine('opt/programs'), { recursive: true })
    const calls = RUNTIMES.map(({ key, call }) => `${key}\t${call}\n`).join('')
    writeFileSync(inMachine('opt/programs/calls.tsv'), calls)
  })

  t.test('install.sh, and nothing by hand after it', async (t) => {
    const outcome = await asRoot(INSTALL)
    t.equal(outcome.code, 0, said(outcome))
    t.notMatch(outcome.stderr, 'could not be built', 'the packages in C++ run here')
  })

  let versions: ReadonlyMap<string, string>
  const results = new Map<string, Results>()
  let recorded: ReadonlySet<string>
  const resultOf = (runtime: Runtime, entry: Entry) => results.get(entry.key)?.get(runtime.key) ?? NOTHING
  const works = (runtime: Runtime, entry: Entry) =>
    resultOf(runtime, entry).said.includes(runtime.answer) && recorded.has(`${entry.key}.${runtime.key}`)

  t.test('every runtime calls from every entry', async (t) => {
    versions = await versionsOf(debian)
    for (const { key, name } of RUNTIMES) t.match(versions.get(key), /^\d/, name)
    const waiting = [...ENTRIES]
    const walk = async () => {
      for (let entry = waiting.shift(); entry !== undefined; entry = waiting.shift()) {
        const outcome = await entry.start(machine, command(entry.key, MODEL))
        const known = outcome && said(outcome)
        if (outcome?.code) throw new Error(`${entry.name}: ${known}`)
        results.set(entry.key, await resultsOf(entry.key))
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, walk))
    clearEntries(machine)
    recorded = await recordedTries(debian)
  })

  for (const entry of ENTRIES) {
    t.test(`${entry.name}: every runtime is answered and recorded`, async (t) => {
      for (const runtime of RUNTIMES) {
        const known = KNOWN.find(({ runtime: key, entry: name }) => key === runtime.key && name === entry.key)
        const { said: text } = resultOf(runtime, entry)
        if (known) t.notOk(works(runtime, entry), `${runtime.name} works now: ${known.why}`)
        else t.ok(works(runtime, entry), `${runtime.name}: ${lastLine(text)}`)
      }
    })
  }

  const answeredIn = (runtime: Runtime, from: Results) =>
    from.get(runtime.key)?.said.includes(runtime.answer) === true

  t.test('what each takes, and that it takes it', async (t) => {
    const bare = await callWith('bare', {})
    for (const runtime of RUNTIMES) {
      const needsNothing = !(typeof runtime.trusts === 'object' && 'variable' in runtime.trusts)
      t.equal(answeredIn(runtime, bare), needsNothing, `${runtime.name} without any variable`)
    }
    const installed = readFileSync(inMachine('etc/environment'), 'utf8')
    for (const variable of variables()) {
      const runtimes = RUNTIMES.filter(({ trusts }) => isVariable(trusts, variable))
      const value = new RegExp(`^${variable}="?([^"\n]*)`, 'm').exec(installed)?.[1] ?? ''
      const alone = await callWith(variable, { [variable]: value }, keysOf(runtimes))
      for (const runtime of runtimes)
        t.ok(answeredIn(runtime, alone), `${runtime.name} with ${variable} alone`)
    }
    for (const runtime of RUNTIMES) {
      if (typeof runtime.trusts !== 'object' || !('policy' in runtime.trusts)) continue
      const policy = inMachine(runtime.trusts.policy)
      // Out of the directory: Chromium reads each file there, whatever its name.
      const aside = inMachine('etc/policy-aside')
      renameSync(policy, aside)
      t.notOk(
        answeredIn(runtime, await callWith('unmanaged', {}, [runtime.key])),
        `${runtime.name} without its policy`,
      )
      renameSync(aside, policy)
    }
  })

  t.test('the constraints of the CA hold off a forged certificate for another site', async (t) => {
    const url = `https://${EXAMPLE.name}/json`
    const honest = await asRoot('curl', '--silent', '--show-error', url)
    t.match(honest.stdout, HELLO, 'the site itself is reached')
    const forbidden = await forbiddenLeaf(debian, EXAMPLE.name)
    writeFileSync(inMachine('var/tmp/forbidden.crt'), forbidden.cert)
    const verified = await asRoot('openssl', 'verify', '-CAfile', CA, '/var/tmp/forbidden.crt')
    t.match(
      said(verified),
      /: permitted subtree violation\n/,
      'the constraints are all that is wrong with it',
    )
    await lab.ask({ type: 'credentials', site: EXAMPLE.name, ...forbidden })
    await machine.login(USER, command('forged', url))
    const forged = await resultsOf('forged')
    for (const runtime of RUNTIMES) {
      const { said: text } = forged.get(runtime.key) ?? NOTHING
      const taken = text.includes(HELLO) || text.includes(NO_BRANCHES)
      t.equal(taken, CARELESS.includes(runtime.key), `${runtime.name}: ${lastLine(text)}`)
      const entry: TrustConstraints = {
        suite,
        runtime: runtime.name,
        version: versions.get(runtime.key) ?? '',
        constraints: taken ? 'passed over' : 'obeyed',
      }
      t.comment(`trust ${JSON.stringify(entry)}`)
    }
  })

  t.test('is told to docs/trust.md', async (t) => {
    for (const runtime of RUNTIMES) {
      for (const entry of ENTRIES) {
        const known = KNOWN.find(({ runtime: key, entry: name }) => key === runtime.key && name === entry.key)
        const told: TrustTry = {
          suite,
          runtime: runtime.name,
          version: versions.get(runtime.key) ?? '',
          entry: entry.name,
          result: works(runtime, entry) ? 'works' : 'fails',
          needs: needsOf(runtime, entry),
          ...(known ? { why: known.why } : {}),
        }
        t.comment(`trust ${JSON.stringify(told)}`)
      }
    }
  })
}

const NOTHING: Result = { code: -1, said: '' }
const HELLO = '"hello"'

const lastLine = (text: string) => text.trimEnd().split('\n').at(-1)?.slice(0, 200)
const keysOf = (runtimes: readonly Runtime[]) => runtimes.map(({ key }) => key)

const isVariable = (trusts: Runtime['trusts'], name: string) =>
  typeof trusts === 'object' && 'variable' in trusts && trusts.variable === name

const variables = () =>
  new Set(
    RUNTIMES.flatMap(({ trusts }) =>
      typeof trusts === 'object' && 'variable' in trusts ? [trusts.variable] : [],
    ),
  )

function needsOf({ trusts }: Runtime, { sink }: Entry): string {
  if (trusts === 'system store') return trusts
  return 'variable' in trusts ? `${trusts.variable} (${sink})` : 'managed policy'
}

async function versionsOf({ asRoot }: FreshDebian): Promise<Map<string, string>> {
  const lines = RUNTIMES.map(({ key, version }) => `echo ${key} "$(${version})"`).join('\n')
  const { stdout } = await asRoot('sh', '-c', lines)
  return new Map(
    stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ', 2) as [string, string]),
  )
}

/** Which tries stand in the log, as ENTRY.RUNTIME. */
async function recordedTries({ gateway }: FreshDebian): Promise<Set<string>> {
  const { stdout } = await gateway('records', '--kind', 'exchange', '--limit', '2000', '--json')
  const { records } = JSON.parse(stdout) as { records: { record: { http: { target?: string } } }[] }
  return new Set(
    records.flatMap(({ record }) => /[?&]try=([\w.-]+)/.exec(record.http.target ?? '')?.[1] ?? []),
  )
}
