/** The shell half of an install on distributions other than this one: fake roots' tools, recorded. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { scratch } from './scratch.ts'

const installers = resolve(import.meta.dirname, '../../installers')
/** What the scripts themselves use. */
const COREUTILS = [
  'sh',
  'echo',
  'cat',
  'id',
  'sed',
  'env',
  'dirname',
  'readlink',
  'rm',
  'mkdir',
  'touch',
  'stat',
]

/** A PATH with these programs, each of which writes its own call into a log. */
function system(programs: Readonly<Record<string, string>>) {
  const root = scratch()
  const bin = join(root, 'bin')
  mkdirSync(bin)
  for (const name of COREUTILS) if (!(name in programs)) symlinkSync(join('/bin', name), join(bin, name))
  const log = join(root, 'log')
  writeFileSync(log, '')
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(join(bin, name), `#!/bin/sh\necho "${name} $*" >>${log}\n${script}\n`)
    chmodSync(join(bin, name), 0o755)
  }
  return {
    run: (script: string, env: Record<string, string> = {}) =>
      spawnSync('/bin/sh', ['-euc', `. ${installers}/prepare.sh; PATH=${bin}; ${script}`], {
        env: { PATH: bin, ...env },
        encoding: 'utf8',
      }),
    calls: () => readFileSync(log, 'utf8').trim().split('\n').filter(Boolean),
  }
}

/** What is asked for, by the names that each manager has for it. */
const WANTED = 'nftables iproute2 ca-certificates npm g++ libpcap-dev'
for (const [manager, expected] of [
  ['apt-get', ['apt-get -qq update', `apt-get -qq install -y --no-install-recommends ${WANTED}`]],
  [
    'dnf',
    [
      'dnf --quiet --assumeyes --setopt=install_weak_deps=False install nftables iproute ca-certificates npm gcc-c++ libpcap-devel',
    ],
  ],
  [
    'zypper',
    [
      'zypper --quiet --non-interactive install --no-recommends nftables iproute2 ca-certificates npm-default gcc-c++ libpcap-devel',
    ],
  ],
  [
    'pacman',
    ['pacman --sync --needed --noconfirm --quiet nftables iproute2 ca-certificates npm gcc libpcap'],
  ],
  ['apk', ['apk add --quiet --no-progress nftables iproute2 ca-certificates npm g++ libpcap-dev']],
] as const) {
  t.test(`${manager} is asked for what is missing, without a question`, async (t) => {
    const { run, calls } = system({ [manager]: '' })
    const { status, stderr } = run(`need_packages ${WANTED}`)
    t.equal(status, 0, stderr)
    t.same(calls(), expected)
  })
}

t.test(
  'what is there is not asked for, whichever of the two tools for CA certificates a system has',
  async (t) => {
    for (const tool of ['update-ca-certificates', 'update-ca-trust']) {
      const { run, calls } = system({ dnf: '', nft: '', [tool]: '' })
      t.equal(run('need_packages nftables ca-certificates').status, 0)
      t.same(calls(), [], tool)
    }
  },
)

t.test('a package is there where its program is, whatever that is called', async (t) => {
  const { run, calls } = system({ 'apt-get': '', man: '', keytool: '' })
  t.equal(run('need_packages man-db default-jre-headless').status, 0)
  t.same(calls(), [])
})

t.test('a package manager that fails ends the install, with its name and what it could not do', async (t) => {
  const { run } = system({ zypper: 'exit 104' })
  const { status, stderr } = run('need_packages g++')
  t.equal(status, 1)
  t.match(stderr, /zypper could not install: gcc-c\+\+/)
})

t.test('without a package manager it names what is missing', async (t) => {
  const { status, stderr } = system({}).run('need_packages nftables curl')
  t.equal(status, 1)
  t.match(stderr, /not installed: nftables curl/)
})

t.test('sudo gets the script, its arguments, and how the networks are reached', async (t) => {
  const { run, calls } = system({ sudo: '', id: 'echo 1000' })
  const home = scratch()
  writeFileSync(join(home, '.npmrc'), '')
  const { status } = run('need_root /clone/install.sh --policy strict', {
    HOME: home,
    HTTPS_PROXY: 'http://proxy:3128',
    SECRET: 'no',
  })
  t.equal(status, 0)
  t.same(
    calls().filter((call) => call.startsWith('sudo')),
    [
      `sudo -- env npm_config_userconfig=${home}/.npmrc HTTPS_PROXY=http://proxy:3128 /bin/sh /clone/install.sh --policy strict`,
    ],
  )
})

t.test('without sudo it says what to type', async (t) => {
  const { status, stderr } = system({ id: 'echo 1000' }).run('need_root /clone/install.sh --yes')
  t.equal(status, 1)
  t.match(stderr, /su -c '\/clone\/install.sh --yes'/)
})
