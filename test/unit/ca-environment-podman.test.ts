import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parse } from 'smol-toml'
import t, { type Test } from 'tap'
import { containerEnvironment } from '../../ca/container-environment.ts'
import { podmanSink } from '../../ca/environment-sinks/podman.ts'

const container = containerEnvironment({
  certificateFile: '/var/lib/agent-anchor/ca/ca.crt',
  bundleFile: '/etc/ssl/certs/ca-certificates.crt',
})
const MAIN = 'etc/containers/containers.conf'
const OURS = 'etc/containers/containers.conf.d/zz-agent-anchor-gateway.conf'

function machine(t: Test, files: Record<string, string> = {}) {
  const root = t.testdir({ usr: { bin: { podman: '' } }, etc: {} })
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  const ours = () => {
    const { env, volumes } = parse(readFileSync(join(root, OURS), 'utf8')).containers as Record<
      string,
      string[]
    >
    return { env: env ?? [], volumes: volumes ?? [] }
  }
  return { root, ours, sink: podmanSink({ ...container, root }) }
}

t.test('a container gets both files, read only, and variables that point at them there', async (t) => {
  const { root, ours, sink } = machine(t)
  t.same(await sink.install(), { state: 'set', kept: [] })
  t.same(ours().volumes, [
    '/var/lib/agent-anchor/ca/ca.crt:/usr/local/share/agent-anchor/ca.crt:ro',
    '/etc/ssl/certs/ca-certificates.crt:/usr/local/share/agent-anchor/bundle.crt:ro',
  ])
  t.ok(ours().env.includes('NODE_EXTRA_CA_CERTS=/usr/local/share/agent-anchor/ca.crt'))
  for (const name of ['SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE', 'GIT_SSL_CAINFO'])
    t.ok(ours().env.includes(`${name}=/usr/local/share/agent-anchor/bundle.crt`), name)
  await sink.uninstall()
  t.notOk(existsSync(join(root, 'etc/containers')))
})

t.test(
  'what the administrator sets for containers is repeated, since our array replaces theirs',
  async (t) => {
    const { ours, sink } = machine(t, {
      'usr/share/containers/containers.conf': '[containers]\nenv = ["LOST=1"]\nvolumes = ["/v:/v"]\n',
      [MAIN]: '[containers]\nenv = [\n  "A=\\"é\\"", # theirs\n  "PIP_CERT=/my.pem",\n]\n',
      'etc/containers/containers.conf.d/other.conf': '[engine]\nevents_logger = "file"\n',
    })
    const { kept } = await sink.install()
    t.match(kept, [{ name: 'PIP_CERT', theirs: '/my.pem' }])
    t.same(ours().env.slice(0, 2), ['A="é"', 'PIP_CERT=/my.pem'])
    t.equal(ours().env.filter((each) => each.startsWith('PIP_CERT=')).length, 1)
    t.equal(ours().volumes[0], '/v:/v')
    t.equal((await sink.check()).state, 'set')
  },
)

t.test('where theirs says that arrays add up, ours adds', async (t) => {
  const { ours, sink } = machine(t, { [MAIN]: '[containers]\nenv = ["A=1", {append=true}]\n' })
  await sink.install()
  t.notOk(ours().env.includes('A=1'))
})

t.test('a change of theirs makes ours stale', async (t) => {
  const { root, ours, sink } = machine(t)
  await sink.install()
  writeFileSync(join(root, MAIN), '[containers]\nenv = ["A=1"]\n')
  t.equal((await sink.check()).state, 'stale')
  await sink.install()
  t.equal(ours().env[0], 'A=1')
})

t.test('a file that Podman itself can’t read is an error that names it', async (t) => {
  const { sink } = machine(t, { [MAIN]: '[containers\n' })
  await t.rejects(sink.install(), {
    code: 'environment-file-unreadable',
    message: /etc\/containers\/containers\.conf/,
  })
})

t.test('without Podman nothing is written', async (t) => {
  const root = t.testdir({ etc: {} })
  t.equal((await podmanSink({ ...container, root }).install()).state, 'unsupported')
  t.notOk(existsSync(join(root, 'etc/containers')))
})

t.test('a path that a container engine would split is refused', async (t) => {
  t.throws(() => containerEnvironment({ certificateFile: '/a:b/ca.crt', bundleFile: '/b' }), {
    code: 'environment-value-unsafe',
  })
})
