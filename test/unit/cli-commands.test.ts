/** Every command that help, errors, health states and docs tell people to type is one that there is. */
import { globSync, readFileSync } from 'node:fs'
import t from 'tap'
import { flattened } from '../../cli/command-table.ts'
import { commandTable, run, wrongWith } from './cli-run.ts'

t.setTimeout(60_000)
const table = await commandTable()
const byPath = new Map(flattened(table).map((command) => [command.path, command]))

/** Names that keys and sums are parted by begin with the program's, too; and some prose goes on after it. */
const LABELS = /^(vault|passphrase|key|keys?) (v1|id|succession|seal)|^v1 |^-[a-z]\b|^cli\/|^under /

const SOURCES = [
  '{cli,daemon,installers,ca,firewall,policies}/**/*.{ts,sh,yaml}',
  'installers/bundle',
  'docs/*.md',
  'README.md',
]

/** Command lines in a text: each up to where prose goes on. */
function commandLines(text: string): string[][] {
  const found: string[][] = []
  for (const [, line = ''] of text.matchAll(
    /(?<!rc-service |--unit |-u )\bagent-anchor ((?:--?[a-z]|[a-z])[^`'"\n|<>();]*)/g,
  )) {
    if (LABELS.test(line)) continue
    const words: string[] = []
    for (const word of line.split(/\s+/)) {
      const bare = word.replace(/[.,:;\]]*(\\.*)?$/, '').replace(/^\[/, '')
      if (bare === '' || bare === '…') break
      words.push(bare)
      if (bare !== word) break
    }
    found.push(words)
  }
  return found
}

/** The words from a command line's start that the table must know: what follows an argument may be prose. */
function typed(words: readonly string[]): string[] {
  const kept: string[] = []
  let path = ''
  let valueWanted = false
  for (const word of words) {
    const option = [...table.options, ...(byPath.get(path)?.options ?? [])].find(({ names }) =>
      names.includes(word),
    )
    if (word.startsWith('-') || valueWanted) kept.push(word)
    else if (path === '' || byPath.has(`${path} ${word}`)) {
      kept.push(word)
      path = `${path} ${word}`.trimStart()
    }
    valueWanted = option?.value !== undefined
  }
  return kept
}

t.test('each command that a text names is in the table, with the options that it names', async (t) => {
  const seen = new Set<string>()
  for (const file of SOURCES.flatMap((pattern) => globSync(pattern)).filter(
    (f) => !f.includes('node_modules'),
  )) {
    for (const words of commandLines(readFileSync(file, 'utf8'))) {
      seen.add(words.join(' '))
      t.equal(wrongWith(typed(words), table), undefined, `${file}: agent-anchor ${words.join(' ')}`)
    }
  }
  t.ok(seen.size > 40, `${seen.size} command lines were found`)
})

t.test('the check itself finds a command and an option that there are not', async (t) => {
  t.equal(wrongWith(['statsu'], table), 'no command statsu')
  t.equal(wrongWith(['status', '--wach'], table), 'no option --wach of agent-anchor status')
  t.equal(wrongWith(['keys', 'turn'], table), 'no command keys turn')
  t.same(commandLines('see agent-anchor keys turn log, or `agent-anchor status --json`'), [
    ['keys', 'turn', 'log'],
    ['status', '--json'],
  ])
})

t.test('each command has a group, a description, and help that can be printed', async (t) => {
  for (const { path, group, description } of flattened(table)) {
    t.match(description, /\S/, path)
    if (path !== '' && !path.includes(' ')) t.type(group, 'string', `${path} stands in a group of --help`)
  }
  const paths = flattened(table).filter(({ options }) => options.length > 0)
  const queue = paths.map(({ path }) => path)
  const worker = async () => {
    for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
      const { code, stdout, stderr } = await run([...path.split(' ').filter((word) => word !== ''), '--help'])
      t.match({ code, stdout, stderr }, { code: 0, stdout: /^Usage: agent-anchor/, stderr: /^$/ }, path)
    }
  }
  await Promise.all([worker(), worker(), worker()])
})

t.test('each example is a command line that the table takes', async (t) => {
  const examples = flattened(table).flatMap(({ examples }) => examples)
  t.ok(examples.length > 10)
  for (const { command, does } of examples) {
    t.match(does, /\S/)
    const words = /(?:^|sudo )agent-anchor ([^|]*)/.exec(command)?.[1]?.trim().split(/\s+/) ?? []
    t.not(words.length, 0, command)
    t.equal(wrongWith(words, table), undefined, command)
  }
})

t.test('a word that is nearly one is answered with the one that was meant', async (t) => {
  t.match(await run(['statsu']), { code: 2, stderr: /Did you mean status\?/ })
  t.match(await run(['status', '--wach']), { code: 2, stderr: /Did you mean --watch\?/ })
  t.match(await run(['keys', 'rotte']), { code: 2, stderr: /Did you mean rotate\?/ })
  t.match(await run(['records', '--kind', 'refusals']), { code: 2, stderr: /Allowed choices are .*refusal/ })
})

t.test('help names groups, examples and exit codes', async (t) => {
  const { stdout } = await run(['--help'])
  t.match(stdout, /How it stands:\n +status /)
  t.notMatch(stdout, /Others:/)
  t.match(stdout, /Examples:\n {2}agent-anchor status\n/)
  t.match(stdout, /Exit codes:\n {2}0 .*\n {2}1 /)
  t.match((await run(['help', 'status'])).stdout, /Examples:\n {2}agent-anchor status --watch 5/)
})
