/** sudo's sink against the real visudo and cvtsudoers, on a sudoers of its own. */
import { execFile } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { clientEnvironment } from '../../ca/client-environment.ts'
import { sudoSink } from '../../ca/environment-sinks/sudo.ts'

const execute = promisify(execFile)
const BUNDLE = '/etc/ssl/certs/ca-certificates.crt'
const variables = clientEnvironment({ certificateFile: '/ca.crt', bundleFile: BUNDLE })
const SNIPPET = 'etc/sudoers.d/agent-anchor-gateway'
const ENV_FILE = 'etc/agent-anchor/client.env'

/** A machine with sudo; `%ROOT%` in its files stands for where it lies. */
async function machine(t: Test, files: Record<string, string> = {}) {
  const root = t.testdir({ usr: { sbin: { visudo: '' } }, etc: { 'sudoers.d': {} } })
  const all = {
    'etc/sudoers': 'Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n@includedir %ROOT%/etc/sudoers.d\n',
    ...files,
  }
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text.replaceAll('%ROOT%', root))
    chmodSync(join(root, path), 0o440)
  }
  /** Before a command is run, or in its place. */
  const faults: { before?: (words: string[]) => void } = {}
  const run = async (...words: string[]) => {
    faults.before?.(words)
    const [command = '', ...args] = words
    const whole =
      command === 'visudo' && args.length === 1 ? [...args, '-f', join(root, 'etc/sudoers')] : args
    return (await execute(command, whole)).stdout
  }
  const read = (path: string) => readFileSync(join(root, path), 'utf8')
  const listing = () =>
    readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((path) => statSync(join(root, path)).isFile())
      .map((path) => [path, read(path), statSync(join(root, path)).mode])
  return { root, faults, read, listing, sink: sudoSink({ variables, run, root }) }
}

t.test('sudo is sent to a file of variables, in a snippet of mode 0440 that visudo likes', async (t) => {
  const { root, read, listing, sink } = await machine(t)
  const before = listing()
  t.same(await sink.check(), { state: 'absent', kept: [] })
  t.same(await sink.install(), { state: 'set', kept: [] })
  t.match(read(SNIPPET), '\nDefaults env_file=/etc/agent-anchor/client.env\n')
  t.equal(statSync(join(root, SNIPPET)).mode & 0o777, 0o440)
  t.match(read(ENV_FILE), `\nSSL_CERT_FILE=${BUNDLE}\n`)
  await execute('visudo', ['-c', '-f', join(root, 'etc/sudoers')])
  t.same(await sink.check(), { state: 'set', kept: [] })
  const installed = listing()
  await sink.install()
  t.same(listing(), installed, 'a second install changes nothing')
  await sink.uninstall()
  t.same(listing(), before)
  t.notOk(existsSync(join(root, 'etc/agent-anchor')))
  await sink.uninstall()
})

t.test('an env_file of the administrator’s stays in force and takes our variables as a block', async (t) => {
  const { root, read, listing, sink } = await machine(t, {
    'etc/sudoers.d/zz-corp': 'Defaults env_file=/etc/corp.env\nDefaults:%admin env_file=/etc/admin.env\n',
    'etc/corp.env': 'SSL_CERT_FILE=/etc/corp.pem\nA=1\n',
  })
  const before = listing()
  const { kept } = await sink.install()
  t.match(kept, [{ name: 'SSL_CERT_FILE', theirs: '/etc/corp.pem' }])
  t.notMatch(read(SNIPPET), /^Defaults/m)
  t.match(read('etc/corp.env'), '\nNODE_EXTRA_CA_CERTS=/ca.crt\n')
  t.match(read('etc/admin.env'), '\nNODE_EXTRA_CA_CERTS=/ca.crt\n')
  t.notOk(existsSync(join(root, ENV_FILE)))
  t.equal((await sink.check()).state, 'set')
  // What sudoers says by then is no matter.
  const corp = join(root, 'etc/sudoers.d/zz-corp')
  const text = readFileSync(corp)
  chmodSync(corp, 0o640)
  writeFileSync(corp, '')
  t.equal((await sink.check()).state, 'stale')
  await sink.uninstall()
  writeFileSync(corp, text)
  chmodSync(corp, 0o440)
  t.same(listing(), before)
})

t.test('an env_file for some only takes the variables too, and everybody else gets ours', async (t) => {
  const { read, sink } = await machine(t, {
    'etc/sudoers.d/zz': 'Defaults:%admin env_file=/etc/admin.env\n',
  })
  t.same(await sink.install(), { state: 'set', kept: [] })
  t.match(read(SNIPPET), '\nDefaults env_file=/etc/agent-anchor/client.env\n')
  t.match(read(ENV_FILE), 'NODE_EXTRA_CA_CERTS')
  t.match(read('etc/admin.env'), 'NODE_EXTRA_CA_CERTS')
})

t.test('an env_file that is switched off later is told of', async (t) => {
  const { sink } = await machine(t, { 'etc/sudoers.d/zz': 'Defaults !env_file\n' })
  t.match((await sink.install()).kept, [{ remedy: /passes over/ }])
})

t.test('one that comes later moves the variables there, and one that goes moves them back', async (t) => {
  const { root, read, sink } = await machine(t)
  await sink.install()
  writeFileSync(join(root, 'etc/sudoers.d/zz'), 'Defaults env_file=/etc/corp.env\n', { mode: 0o440 })
  t.equal((await sink.check()).state, 'stale')
  await sink.install()
  t.match(read('etc/corp.env'), 'NODE_EXTRA_CA_CERTS')
  t.notOk(existsSync(join(root, ENV_FILE)))
  chmodSync(join(root, 'etc/sudoers.d/zz'), 0o640)
  writeFileSync(join(root, 'etc/sudoers.d/zz'), '')
  await sink.install()
  t.match(read(ENV_FILE), 'NODE_EXTRA_CA_CERTS')
  t.notOk(existsSync(join(root, 'etc/corp.env')))
})

t.test('/etc/environment as env_file needs nothing more', async (t) => {
  const { root, read, sink } = await machine(t, {
    'etc/sudoers.d/mine': 'Defaults env_file=/etc/environment\n',
  })
  t.same(await sink.install(), { state: 'set', kept: [] })
  t.notMatch(read(SNIPPET), /^Defaults/m)
  t.notOk(existsSync(join(root, ENV_FILE)))
  t.notOk(existsSync(join(root, 'etc/environment')))
})

t.test('a sudoers that can’t be read is left alone, and it is said', async (t) => {
  const { listing, sink } = await machine(t, { 'etc/sudoers.d/bad': 'no such line\n' })
  const before = listing()
  const { state, kept } = await sink.install()
  t.equal(state, 'absent')
  t.match(kept, [{ name: 'sudo', remedy: /sudo is left alone.*syntax error.*install again/s }])
  t.same(listing(), before)
})

t.test('what visudo refuses is never put in place', async (t) => {
  const { faults, listing, sink } = await machine(t)
  const before = listing()
  faults.before = ([command, , how]) => {
    if (command === 'visudo' && how === '-f') throw new Error('unknown defaults entry "env_file"')
  }
  t.match(await sink.install(), { state: 'absent', kept: [{ remedy: /unknown defaults entry/ }] })
  t.same(listing(), before)
})

t.test('what visudo likes less than before is taken away again', async (t) => {
  const { root, faults, listing, sink } = await machine(t)
  const before = listing()
  faults.before = ([command, ...args]) => {
    if (command === 'visudo' && args.length === 1 && existsSync(join(root, SNIPPET))) throw new Error('bad')
  }
  t.match(await sink.install(), { state: 'absent', kept: [{ remedy: /visudo finds fault/ }] })
  t.same(listing(), before)
})

t.test('a sudoers that does not read sudoers.d is told of', async (t) => {
  const { sink } = await machine(t, { 'etc/sudoers': 'root ALL=(ALL:ALL) ALL\n' })
  const { kept } = await sink.install()
  t.match(kept, [{ remedy: /sudoers passes over \/etc\/sudoers\.d\/agent-anchor-gateway/ }])
})

t.test('without sudo nothing is written', async (t) => {
  const root = t.testdir({ etc: {} })
  const sink = sudoSink({ variables, run: () => Promise.reject(new Error('not here')), root })
  t.same(await sink.check(), { state: 'unsupported', kept: [] })
  t.same(await sink.install(), { state: 'unsupported', kept: [] })
  t.same(readdirSync(join(root, 'etc')), [])
})
