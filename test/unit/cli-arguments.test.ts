/** What each command answers to arguments that make no sense: which exit code, on which stream, and what to do. */
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { compiledCode } from '../lab/compiled.ts'

// Some fifty processes, on a machine that has other tests to run.
t.setTimeout(90_000)
const main = join(import.meta.dirname, '../../cli/main.ts')
const directory = t.testdir()
const at = (name: string) => join(directory, name)

interface Answer {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

function run(args: readonly string[]): Promise<Answer> {
  const argv = ['--disable-warning=ExperimentalWarning', main, ...args]
  const env = { ...compiledCode, PATH: '/usr/bin:/bin', LANG: 'C.UTF-8' }
  return new Promise((resolve) => {
    const child = execFile(process.execPath, argv, { env, timeout: 20_000 }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
  })
}

/** A few at a time: each is a process. */
async function all(t: Test, cases: readonly string[][], check: (answer: Answer, what: string) => void) {
  const queue = [...cases]
  const worker = async () => {
    for (let args = queue.shift(); args !== undefined; args = queue.shift()) {
      const answer = await run(args)
      const what = `agent-anchor ${args.join(' ')}`
      t.notMatch(answer.stdout + answer.stderr, /^\s+at .*:\d+|node:internal/m, `${what}: no stack trace`)
      check(answer, what)
    }
  }
  await Promise.all([worker(), worker(), worker()])
}

const commands = [
  'status',
  'chain',
  'ledger',
  'policy',
  'keys',
  'metrics',
  'records',
  'show',
  'verify',
  'export',
  'demo',
  'daemon',
  'uninstall',
]

t.test('a command line that makes no sense is a usage error, and nothing is done', async (t) => {
  const cases = [
    [],
    ['statsu'],
    ['--statsu'],
    ['--config'],
    ['help', 'statsu'],
    ...commands.map((command) => [command, '--no-such-option']),
    ...['status', 'demo', 'daemon', 'uninstall'].map((command) => [command, 'surplus']),
    ['show'],
    ['show', 'id', 'surplus'],
    ['verify', 'id', 'surplus'],
    ['verify', '--receipt'],
    ['verify', '--key'],
    ['verify', '--rpc'],
    ['export'],
    ['export', 'id'],
    ['export', '-o', 'receipt.json'],
    ['export', 'id', '-o'],
    ...['', '0', '-1', '1.5', '99999999999'].map((limit) => ['records', '--limit', limit]),
    ['chain'],
    ['chain', 'authorization'],
    ['chain', 'authorization', 'add'],
    ['chain', 'authorization', 'request', 'surplus'],
    ...['0', '-1', '1.5', 'year'].map((n) => ['chain', 'authorization', 'request', '--days', n]),
    ['chain', 'revoke', '--signature'],
    ['records', '--uid', 'root'],
    ['records', '--kind', 'exchanges'],
  ]
  await all(t, cases, ({ code, stdout, stderr }, what) => {
    t.equal(code, 2, `${what}: exit code 2`)
    t.equal(stdout, '', `${what}: stdout is for data`)
    t.match(stderr, /^error: .*\(see agent-anchor --help\)|^Usage: agent-anchor/s, `${what}: says what to do`)
  })
})

t.test('help and version are no errors', async (t) => {
  const cases = [['--help'], ['--version'], ['help', 'verify'], ['uninstall', '--help']]
  await all(t, cases, ({ code, stdout, stderr }, what) => {
    t.equal(code, 0, what)
    t.not(stdout, '')
    t.equal(stderr, '')
  })
})

t.test('a configuration that can not be used is refused with its place, by every command', async (t) => {
  writeFileSync(at('unknown.yaml'), 'stateDir: /nowhere\nrecording:\n  durabilty: async\n')
  writeFileSync(at('value.yaml'), 'listen:\n  ports: {transparent: 70000}\n')
  writeFileSync(at('torn.yaml'), 'stateDir: [\n')
  const readers = ['status', 'records', 'show 0', 'verify', 'export 0 -o -', 'daemon'].map((c) =>
    c.split(' '),
  )
  const places = { 'unknown.yaml': '3:3', 'value.yaml': '2:24', 'torn.yaml': '' }
  for (const [file, place] of Object.entries(places)) {
    const cases = readers.map((command) => ['--config', at(file), ...command])
    await all(t, file === 'unknown.yaml' ? cases : cases.slice(0, 1), ({ code, stdout, stderr }, what) => {
      t.equal(code, 1, what)
      t.equal(stdout, '')
      const where = place === '' ? `${at(file)}:` : `${at(file)}:${place}: `
      t.ok(stderr.startsWith(`agent-anchor: ${where}`), `${what}: ${stderr}`)
      t.match(stderr, /\^/, 'with a mark under it')
    })
  }
  await all(
    t,
    [
      ['--config', at('absent.yaml'), 'status'],
      ['--config', directory, 'status'],
    ],
    (answer, what) => {
      t.match(answer, { code: 1, stdout: '', stderr: /^agent-anchor: .+\n.+/ }, what)
    },
  )
})

t.test('a receipt that is none is refused with what to give instead', async (t) => {
  mkdirSync(at('folder'))
  writeFileSync(at('empty.json'), '')
  writeFileSync(at('other.json'), '{"type":"something else"}')
  writeFileSync(at('binary.json'), Buffer.from([0xff, 0xfe, 0x00]))
  writeFileSync(at('large.json'), Buffer.alloc(2 << 20, 0x20))
  const names = ['absent.json', 'folder', 'empty.json', 'other.json', 'binary.json', 'large.json']
  const cases = names.map((name) => ['verify', '--offline', '--receipt', at(name)])
  await all(t, cases, (answer, what) => {
    t.match(answer, { code: 1, stdout: '', stderr: /^agent-anchor: .+\n.+\n$/ }, what)
  })
  const { code, stdout } = await run(['--json', 'verify', '--offline', '--receipt', at('absent.json')])
  t.equal(code, 1)
  t.match(JSON.parse(stdout), {
    schemaVersion: 1,
    error: { code: 'FILE_UNUSABLE', message: /absent\.json/, remedy: /./ },
  })
})

t.test('where nothing was ever recorded every reader says so', async (t) => {
  writeFileSync(at('gateway.yaml'), `stateDir: ${at('state')}\nruntimeDir: ${at('run')}\n`)
  const readers = ['records', 'show 0', 'verify', 'verify 0', 'export 0 -o -'].map((c) => c.split(' '))
  const cases = readers.map((command) => ['--config', at('gateway.yaml'), ...command])
  await all(t, cases, (answer, what) => {
    t.match(
      answer,
      { code: 1, stdout: '', stderr: /^agent-anchor: .*(no gateway has|needs root).*\n.+\n$/ },
      what,
    )
  })
  t.match(
    await run(['--config', at('gateway.yaml'), 'status']),
    { code: 3 },
    'and status that it is not running',
  )
})
