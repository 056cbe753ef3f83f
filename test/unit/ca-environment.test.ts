import { execFile } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { clientEnvironment, keptVariable } from '../../ca/client-environment.ts'
import { etcEnvironmentSink } from '../../ca/environment-sinks/etc-environment.ts'
import { joinBlock, splitBlock } from '../../ca/environment-sinks/marked-block.ts'
import { profileSink } from '../../ca/environment-sinks/profile-d.ts'

const run = promisify(execFile)
const CERTIFICATE = '/usr/local/share/ca-certificates/agent-anchor-gateway.crt'
const BUNDLE = '/etc/ssl/certs/ca-certificates.crt'
const variables = clientEnvironment({ certificateFile: CERTIFICATE, bundleFile: BUNDLE })
const profile = 'etc/profile.d/agent-anchor-gateway.sh'

t.test('what replaces a runtime’s roots gets the whole bundle, never our bare certificate', async (t) => {
  for (const { name, kind, value } of variables) {
    if (kind === 'replace') t.equal(value, BUNDLE, name)
    else t.not(value, BUNDLE, name)
  }
  t.equal(variables.find(({ name }) => name === 'NODE_EXTRA_CA_CERTS')?.value, CERTIFICATE)
  t.equal(new Set(variables.map(({ name }) => name)).size, variables.length)
})

t.test('a path that a shell or PAM would break on is refused', async (t) => {
  for (const path of ['/a b', '/a"b', '/a$b', '/a\nB=1', '/a`b', "/a'b", '/a#b', '/a\\b', 'relative', '']) {
    t.throws(() => clientEnvironment({ certificateFile: path, bundleFile: BUNDLE }), {
      code: 'environment-value-unsafe',
    })
    t.throws(() => clientEnvironment({ certificateFile: CERTIFICATE, bundleFile: path }), {
      code: 'environment-value-unsafe',
    })
  }
})

t.test('/etc/environment gets one block, and uninstall gives it back byte for byte', async (t) => {
  for (const before of [
    '',
    '\n',
    'A=1',
    'A=1\n',
    '# c\r\nPATH="/bin"\r\n',
    'A=\xff\xfe\0',
    '\n\n\nX=1\n\n',
  ]) {
    const root = t.testdir({ etc: {} })
    const file = join(root, 'etc/environment')
    writeFileSync(file, before, 'latin1')
    chmodSync(file, 0o640)
    const sink = etcEnvironmentSink({ variables, root })
    t.same(await sink.check(), { state: 'absent', kept: [] })
    await sink.install()
    t.equal((await sink.check()).state, 'set')
    const installed = readFileSync(file, 'latin1')
    t.match(installed, `SSL_CERT_FILE=${BUNDLE}\n`)
    t.ok(installed.endsWith(before))
    await sink.install()
    t.equal(readFileSync(file, 'latin1'), installed, 'a second install changes nothing')
    t.equal(statSync(file).mode & 0o777, 0o640)
    await sink.uninstall()
    await sink.uninstall()
    t.equal(readFileSync(file, 'latin1'), before)
    t.equal(statSync(file).mode & 0o777, 0o640)
  }
})

t.test('a file that was not there goes again, unless the user wrote into it', async (t) => {
  const root = t.testdir({ etc: {} })
  const file = join(root, 'etc/environment')
  const sink = etcEnvironmentSink({ variables, root })
  await sink.uninstall()
  await sink.install()
  await sink.uninstall()
  t.notOk(existsSync(file))
  await sink.install()
  writeFileSync(file, `${readFileSync(file, 'latin1')}MINE=1\n`, 'latin1')
  await sink.uninstall()
  t.equal(readFileSync(file, 'latin1'), 'MINE=1\n')
})

t.test('the file is readable by all under any umask', async (t) => {
  const root = t.testdir({ etc: { 'profile.d': {} } })
  const umask = process.umask(0o077)
  t.teardown(() => process.umask(umask))
  await etcEnvironmentSink({ variables, root }).install()
  await profileSink({ variables, root }).install()
  for (const file of ['etc/environment', profile]) t.equal(statSync(join(root, file)).mode & 0o777, 0o644)
})

t.test('a link to the file stays a link', async (t) => {
  const root = t.testdir({ etc: { real: 'A=1\n' } })
  symlinkSync('real', join(root, 'etc/environment'))
  const sink = etcEnvironmentSink({ variables, root })
  await sink.install()
  t.ok(lstatSync(join(root, 'etc/environment')).isSymbolicLink())
  await sink.uninstall()
  t.equal(readFileSync(join(root, 'etc/real'), 'latin1'), 'A=1\n')
})

t.test('a variable of the user’s stays theirs and is reported with what they must do', async (t) => {
  const before =
    'SSL_CERT_FILE="/etc/corp/roots.pem"\n# PIP_CERT=/x\nexport DENO_TLS_CA_STORE=mozilla\n' +
    `REQUESTS_CA_BUNDLE=${BUNDLE}\nNODE_USE_SYSTEM_CA=0\nNODE_USE_SYSTEM_CA='1'\n`
  const root = t.testdir({ etc: { environment: before } })
  const file = join(root, 'etc/environment')
  const sink = etcEnvironmentSink({ variables, root })
  const { kept } = await sink.install()
  t.same(
    kept.map(({ name, theirs }) => [name, theirs]),
    [
      ['DENO_TLS_CA_STORE', 'mozilla'],
      ['SSL_CERT_FILE', '/etc/corp/roots.pem'],
    ],
  )
  t.match(kept[1]?.remedy, `Append ${CERTIFICATE} to /etc/corp/roots.pem`)
  t.match(kept[0]?.remedy, 'Set DENO_TLS_CA_STORE=system,mozilla')
  t.same((await sink.check()).kept, kept)
  const block = readFileSync(file, 'latin1').slice(0, -before.length)
  t.notMatch(block, /^(SSL_CERT_FILE|DENO_TLS_CA_STORE|REQUESTS_CA_BUNDLE|NODE_USE_SYSTEM_CA)=/m)
  t.match(block, /^PIP_CERT=/m)
  await sink.uninstall()
  t.equal(readFileSync(file, 'latin1'), before)
})

t.test('a value equal to ours needs nothing from the user', async (t) => {
  const [variable] = variables
  t.ok(variable)
  if (variable !== undefined) t.equal(keptVariable(variable, variable.value), undefined)
})

t.test('other values than before are stale, and install renews the one block', async (t) => {
  const root = t.testdir({ etc: { environment: 'A=1\n' } })
  await etcEnvironmentSink({ variables, root }).install()
  const moved = clientEnvironment({ certificateFile: '/new/ca.crt', bundleFile: BUNDLE })
  const sink = etcEnvironmentSink({ variables: moved, root })
  t.equal((await sink.check()).state, 'stale')
  await sink.install()
  const text = readFileSync(join(root, 'etc/environment'), 'latin1')
  t.equal(text.match(/NODE_EXTRA_CA_CERTS/g)?.length, 1)
  t.match(text, 'NODE_EXTRA_CA_CERTS=/new/ca.crt')
  await sink.uninstall()
  t.equal(readFileSync(join(root, 'etc/environment'), 'latin1'), 'A=1\n')
})

t.test('markers that do not pair are an error and the file stays as it is', async (t) => {
  const begin = '# >>> agent-anchor-gateway >>>\n'
  const end = '# <<< agent-anchor-gateway <<<\n'
  for (const text of [
    begin,
    end,
    `${end}${begin}`,
    `${begin}${begin}${end}`,
    `${begin}${end}${begin}A=1\n${end}`,
  ]) {
    const root = t.testdir({ etc: { environment: text } })
    const sink = etcEnvironmentSink({ variables, root })
    for (const act of [sink.check, sink.install, sink.uninstall]) {
      await t.rejects(async () => void (await act()), { code: 'environment-block-damaged' })
    }
    t.equal(readFileSync(join(root, 'etc/environment'), 'latin1'), text)
  }
})

t.test('a directory in the file’s place is a typed error', async (t) => {
  const root = t.testdir({ etc: { environment: {} } })
  await t.rejects(etcEnvironmentSink({ variables, root }).install(), { code: 'environment-file-unreadable' })
})

t.test('whatever a file holds, taking the block out gives it back', async () => {
  const text = fc.string({ unit: fc.constantFrom('A', '=', '#', '\n', '\r', ' ', '>', '\0', '\xff') })
  fc.assert(
    fc.property(
      fc.option(text, { nil: undefined }),
      fc.array(fc.constantFrom('X=1', '# y')),
      (before, lines) => {
        const joined = joinBlock(splitBlock('f', before), lines)
        const again = joinBlock(splitBlock('f', joined), lines)
        return again === joined && splitBlock('f', joined).outside === before
      },
    ),
  )
})

t.test('the profile script sets what is unset and keeps what the user set, in POSIX sh', async (t) => {
  const root = t.testdir({ etc: { 'profile.d': {} }, 'ca.crt': '', 'bundle.crt': '' })
  const real = clientEnvironment({ certificateFile: '/dev/null', bundleFile: '/dev/zero' })
  const sink = profileSink({ variables: real, root })
  await sink.install()
  t.equal((await sink.check()).state, 'set')
  const { stdout } = await run('/bin/sh', ['-euc', `. ${join(root, profile)}; env`], {
    env: { SSL_CERT_FILE: '/mine', PIP_CERT: '' },
  })
  t.match(stdout, /^SSL_CERT_FILE=\/mine$/m)
  t.match(stdout, /^PIP_CERT=$/m)
  t.match(stdout, /^NODE_EXTRA_CA_CERTS=\/dev\/null$/m)
  t.match(stdout, /^AWS_CA_BUNDLE=\/dev\/zero$/m)
  t.match(stdout, /^DENO_TLS_CA_STORE=system,mozilla$/m)
  await sink.uninstall()
  t.notOk(existsSync(join(root, profile)))
})

t.test('the profile script points nothing at a file that is gone', async (t) => {
  const root = t.testdir({ etc: { 'profile.d': {} } })
  const gone = clientEnvironment({
    certificateFile: '/nonexistent/ca.crt',
    bundleFile: '/nonexistent/bundle.crt',
  })
  await profileSink({ variables: gone, root }).install()
  const { stdout } = await run('/bin/sh', ['-euc', `. ${join(root, profile)}; env`], { env: {} })
  t.notMatch(stdout, 'nonexistent')
})
