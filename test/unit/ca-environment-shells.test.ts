/** The sinks that a shell reads, each by that shell itself. */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { clientEnvironment } from '../../ca/client-environment.ts'
import { fishSink } from '../../ca/environment-sinks/fish.ts'
import { openrcSink } from '../../ca/environment-sinks/openrc.ts'
import { zshSink } from '../../ca/environment-sinks/zsh.ts'
import { fishText, shText } from '../../cli/environment-text.ts'

const run = promisify(execFile)
// Files that are there and one that isn't.
const variables = clientEnvironment({ certificateFile: '/dev/null', bundleFile: '/nonexistent/bundle.crt' })
const own = { SSL_CERT_FILE: '/mine', DENO_TLS_CA_STORE: '' }

/** The environment that a shell hands on after it has read a file. */
async function after(shell: string, args: readonly string[]): Promise<Record<string, string>> {
  const { stdout } = await run(shell, [...args], {
    env: { PATH: process.env.PATH, HOME: '/nonexistent', ...own },
  })
  return Object.fromEntries(
    stdout.split('\n').map((line) => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]),
  )
}

const expected = { NODE_EXTRA_CA_CERTS: '/dev/null', UV_SYSTEM_CERTS: '1', ...own }

t.test('every zsh gets what is unset and points at something', async (t) => {
  const before = '# the user’s own\nexport MINE=1\n'
  const root = t.testdir({ etc: { zsh: { zshenv: before } } })
  const file = join(root, 'etc/zsh/zshenv')
  const sink = zshSink({ variables, root })
  await sink.install()
  t.equal((await sink.check()).state, 'set')
  const environment = await after('zsh', ['-f', '-c', `. ${file}; env`])
  t.match(environment, { ...expected, MINE: '1' })
  t.notOk('PIP_CERT' in environment, 'nothing points at a file that is gone')
  await sink.uninstall()
  t.equal(readFileSync(file, 'utf8'), before)
})

t.test(
  'zsh’s file lies in /etc where it has no directory of its own, and nothing is written without zsh',
  async (t) => {
    const root = t.testdir({ etc: {}, bin: { zsh: '' } })
    const sink = zshSink({ variables, root })
    await sink.install()
    t.ok(existsSync(join(root, 'etc/zshenv')))
    await sink.uninstall()
    t.same(readdirSync(join(root, 'etc')), [])
    const without = t.testdir({ etc: {} })
    t.equal((await zshSink({ variables, root: without }).install()).state, 'unsupported')
    t.same(readdirSync(join(without, 'etc')), [])
  },
)

t.test('every fish gets what is unset and points at something', async (t) => {
  const root = t.testdir({ etc: { fish: {} } })
  const sink = fishSink({ variables, root })
  await sink.install()
  const file = join(root, 'etc/fish/conf.d/agent-anchor-gateway.fish')
  const environment = await after('fish', ['--no-config', '-c', `source ${file}; env`])
  t.match(environment, expected)
  t.notOk('PIP_CERT' in environment, 'nothing points at a file that is gone')
  await sink.uninstall()
  t.same(readdirSync(join(root, 'etc/fish')), [])
})

t.test(
  'what OpenRC’s shell reads before a service exports what is unset and points at something',
  async (t) => {
    const before = 'rc_parallel=NO'
    const root = t.testdir({ etc: { 'rc.conf': before }, sbin: { 'openrc-run': '' } })
    const sink = openrcSink({ variables, root })
    await sink.install()
    const environment = await after('sh', ['-euc', `. ${join(root, 'etc/rc.conf')}; env`])
    t.match(environment, expected)
    t.notOk('PIP_CERT' in environment, 'nothing points at a file that is gone')
    await sink.uninstall()
    t.equal(readFileSync(join(root, 'etc/rc.conf'), 'utf8'), before)
  },
)

t.test('fish’s file lies where Homebrew has it, and nothing is written without fish', async (t) => {
  const root = t.testdir({ opt: { homebrew: { etc: { fish: {} } } } })
  await fishSink({ variables, root }).install()
  t.ok(existsSync(join(root, 'opt/homebrew/etc/fish/conf.d/agent-anchor-gateway.fish')))
  const without = t.testdir({ etc: {} })
  t.equal((await fishSink({ variables, root: without }).install()).state, 'unsupported')
})

t.test('what `agent-anchor env` prints sets the variables in sh, zsh and fish', async (t) => {
  const wanted = Object.fromEntries(variables.map(({ name, value }) => [name, value]))
  for (const [shell, args] of [
    ['sh', ['-euc', `eval "$1"; env`, 'sh', shText(variables)]],
    ['zsh', ['-f', '-c', `eval "$1"; env`, 'zsh', shText(variables)]],
    ['fish', ['--no-config', '-c', `echo $argv[1] | source; env`, fishText(variables).replaceAll('\n', ';')]],
  ] as const) {
    t.match(await after(shell, args), wanted, shell)
  }
})
