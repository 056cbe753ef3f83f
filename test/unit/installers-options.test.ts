/** installers/install.sh's command line, and the archive that --offline takes: what is wrong ends before anything is done. */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { scratch } from './scratch.ts'

const installers = resolve(import.meta.dirname, '../../installers')
const shell = (script: string) =>
  spawnSync(
    '/bin/sh',
    ['-euc', `. ${installers}/prepare.sh; . ${installers}/options.sh; . ${installers}/offline.sh; ${script}`],
    {
      encoding: 'utf8',
      env: { PATH: '/usr/bin:/bin' },
    },
  )
const parse = (...argv: string[]) =>
  shell(`options_parse ${argv.map((word) => `'${word}'`).join(' ')}
    echo "$option_policy|$option_chain|$option_rpc|$option_offline|$option_dry_run"`)

t.test('options are taken with and without an equals sign', async (t) => {
  for (const [argv, expected] of [
    [[], '||||'],
    [['--yes', '--unattended', '-y'], '||||'],
    [['--policy', 'strict', '--dry-run'], 'strict||||yes'],
    [['--policy=/root/own.yaml', '--offline=b.tar.gz'], '/root/own.yaml|||b.tar.gz|'],
    [['--chain', 'base', '--rpc', 'https://a', '--rpc=https://b'], '|base|https://a https://b||'],
  ] as const) {
    const { stdout, status, stderr } = parse(...argv)
    t.equal(status, 0, stderr)
    t.equal(stdout, `${expected}\n`, argv.join(' '))
  }
})

t.test('what is wrong is a usage error that names it', async (t) => {
  for (const [argv, message] of [
    [['--polcy', 'x'], /unknown option: --polcy/],
    [['strict'], /unknown option: strict/],
    [['--policy'], /--policy needs a value/],
    [['--policy', '--yes'], /--policy needs a value/],
    [['--chain='], /--chain needs a value/],
    [['--rpc', 'https://a'], /--rpc belongs to --chain/],
    [['--policy', 'two words'], /takes no white space/],
  ] as const) {
    const { stderr, status } = parse(...argv)
    t.equal(status, 2, argv.join(' '))
    t.match(stderr, message)
    t.match(stderr, /--help/)
  }
})

t.test('--help lists every option and is no error', async (t) => {
  const { stdout, status } = parse('--help')
  t.equal(status, 0)
  for (const option of ['--policy', '--chain', '--rpc', '--dry-run', '--offline', '--unattended'])
    t.match(stdout, option)
})

/** A small archive of a bundle's shape. */
function bundle(
  change: (tree: string) => void = () => {},
  facts = `machine: ${process.arch === 'x64' ? 'x86_64' : 'aarch64'}\n`,
) {
  const root = scratch()
  const tree = join(root, 'agent-anchor')
  mkdirSync(tree)
  writeFileSync(join(tree, 'BUNDLE'), facts)
  writeFileSync(join(tree, 'program'), 'program')
  const sum = (name: string) =>
    createHash('sha256')
      .update(readFileSync(join(tree, name)))
      .digest('hex')
  writeFileSync(
    join(tree, 'SHA256SUMS'),
    ['BUNDLE', 'program'].map((name) => `${sum(name)}  ./${name}\n`).join(''),
  )
  change(tree)
  const archive = join(root, 'bundle.tar.gz')
  execFileSync('tar', ['-czf', archive, '-C', root, 'agent-anchor'])
  return archive
}
const open = (archive: string) =>
  shell(`offline_open ${archive}; trap offline_close EXIT; offline_check; cat "$source/program"`)

t.test('a whole bundle becomes the source of the install', async (t) => {
  const archive = bundle()
  const opened = open(archive)
  t.equal(opened.status, 0, opened.stderr)
  t.match(
    opened.stdout,
    createHash('sha256').update(readFileSync(archive)).digest('hex'),
    'with its digest to compare',
  )
  t.match(opened.stdout, /whole: 2 files\nprogram$/)
  writeFileSync(
    `${archive}.sha256`,
    `${createHash('sha256').update(readFileSync(archive)).digest('hex')}  bundle.tar.gz\n`,
  )
  t.equal(open(archive).status, 0)
})

t.test('a bundle that is damaged, added to, of another machine, or none, is refused', async (t) => {
  for (const [archive, message] of [
    [bundle((tree) => writeFileSync(join(tree, 'program'), 'changed')), /not as they were made/],
    [bundle((tree) => writeFileSync(join(tree, 'more'), '')), /does not name/],
    [bundle(undefined, 'machine: riscv64\n'), /is for riscv64/],
    ['/nowhere/bundle.tar.gz', /there is no/],
  ] as const) {
    const { status, stderr } = open(archive)
    t.equal(status, 1)
    t.match(stderr, message)
  }
  const cut = bundle()
  writeFileSync(cut, readFileSync(cut).subarray(0, 100))
  t.match(open(cut).stderr, /no bundle, or a damaged one/)
  const other = bundle()
  writeFileSync(`${other}.sha256`, `${'0'.repeat(64)}  bundle.tar.gz\n`)
  t.match(open(other).stderr, /is not the archive/)
})
