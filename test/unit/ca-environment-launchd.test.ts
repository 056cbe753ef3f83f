import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { clientEnvironment } from '../../ca/client-environment.ts'
import { launchdSink } from '../../ca/environment-sinks/launchd.ts'

const variables = clientEnvironment({ certificateFile: '/ca.crt', bundleFile: '/etc/ssl/cert.pem' })
const FILES = ['Daemons', 'Agents'].map((kind) => `Library/Launch${kind}/com.agent-anchor.environment.plist`)
const [DAEMON = ''] = FILES

function mac(t: Test) {
  const root = t.testdir({ Library: { LaunchDaemons: {}, LaunchAgents: {} } })
  const commands: string[] = []
  const environment = new Map<string, string>()
  const run = async (...words: string[]) => {
    commands.push(words.join(' '))
    if (words[1] === 'bootout' && !existsSync(join(root, DAEMON))) throw new Error('no such process')
    return words[1] === 'getenv' ? `${environment.get(words[2] ?? '') ?? ''}\n` : ''
  }
  return { root, commands, environment, sink: launchdSink({ variables, run, root }) }
}

t.test('a daemon and an agent set what is unset, and the daemon is started', async (t) => {
  const { root, commands, sink } = mac(t)
  t.equal((await sink.check()).state, 'absent')
  t.equal((await sink.install()).state, 'set')
  for (const file of FILES) {
    t.match(
      readFileSync(join(root, file), 'utf8'),
      `[ -n "$(launchctl getenv NODE_EXTRA_CA_CERTS)" ] || launchctl setenv NODE_EXTRA_CA_CERTS '/ca.crt'\n`,
    )
  }
  t.equal(
    commands.at(-1),
    'launchctl bootstrap system /Library/LaunchDaemons/com.agent-anchor.environment.plist',
  )
  const { length } = commands
  await sink.install()
  t.equal(commands.length, length, 'a second install changes nothing')
})

t.test('one file of the two that is gone or changed is mended', async (t) => {
  const { root, sink } = mac(t)
  await sink.install()
  writeFileSync(join(root, DAEMON), 'other')
  t.equal((await sink.check()).state, 'stale')
  await sink.install()
  t.equal((await sink.check()).state, 'set')
})

t.test('uninstall unsets what is ours still, and leaves what somebody else has set', async (t) => {
  const { root, commands, environment, sink } = mac(t)
  await sink.install()
  environment.set('NODE_EXTRA_CA_CERTS', '/ca.crt').set('SSL_CERT_FILE', '/theirs')
  await sink.uninstall()
  t.same(
    FILES.map((file) => existsSync(join(root, file))),
    [false, false],
  )
  t.ok(commands.includes('launchctl bootout system/com.agent-anchor.environment'))
  t.same(
    commands.filter((command) => command.includes('unsetenv')),
    ['launchctl unsetenv NODE_EXTRA_CA_CERTS'],
  )
  await sink.uninstall()
})
