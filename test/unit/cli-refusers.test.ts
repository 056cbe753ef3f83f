import t from 'tap'
import { clientEnvironment } from '../../ca/client-environment.ts'
import { clientRemedy } from '../../ca/client-remedy.ts'
import { refusers } from '../../cli/doctor/refusers.ts'
import type { Agent, LogRecord } from '../../daemon/recorder/record.ts'

const CERTIFICATE = '/var/lib/agent-anchor/ca/ca.crt'
const BUNDLE = '/etc/ssl/certs/ca-certificates.crt'
const variables = clientEnvironment({ certificateFile: CERTIFICATE, bundleFile: BUNDLE })
const remedy = (executable?: string) => clientRemedy(executable, variables, CERTIFICATE)

t.test('each runtime gets the setting that it reads', async (t) => {
  t.match(remedy('/usr/bin/node'), `NODE_EXTRA_CA_CERTS=${CERTIFICATE}`)
  t.match(remedy('/opt/x/bin/python3.11'), `SSL_CERT_FILE=${BUNDLE} REQUESTS_CA_BUNDLE=${BUNDLE}`)
  t.match(remedy('/home/a/.deno/bin/deno (deleted)'), 'DENO_TLS_CA_STORE=system,mozilla')
  t.match(remedy('/usr/lib/jvm/x/bin/java'), 'keytool -importcert')
  t.match(
    remedy('/usr/lib/chromium/chromium'),
    `certutil -A -t C,, -n agent-anchor -d sql:$HOME/.pki/nssdb -i ${CERTIFICATE}`,
  )
})

t.test('of any other program it is said that it pins or carries roots, and what can be done', async (t) => {
  for (const other of ['/usr/local/bin/codex', '/tmp/nodemon-node-thing', '/usr/bin/curl', undefined])
    t.match(remedy(other), 'proxy.uninterceptable: splice', `${other}`)
})

const NODE: Agent = { uid: 1000, processes: [{ pid: 5, name: 'agent', executable: '/usr/bin/node' }] }
const common = { v: 1, id: '01a2074e-6736-7a27-b54a-5cc1d99bf287' } as const
const refused = (time: string, serverName: string, agent: Agent, rule = 'standard/client-refused') =>
  ({
    ...{ ...common, time, kind: 'refusal', rule, reason: 'x', agent, serverName },
    originalDestination: { address: '192.0.2.1', port: 443 },
  }) as LogRecord

t.test('one line a program, user and name, with how often and when last', async (t) => {
  const found = refusers(
    [
      refused('2026-01-03T00:00:00Z', 'api.openai.com', NODE),
      refused('2026-01-02T00:00:00Z', 'api.anthropic.com', NODE),
      refused('2026-01-01T00:00:00Z', 'api.openai.com', NODE),
      refused('2026-01-01T00:00:00Z', 'api.openai.com', { uid: 1001 }),
      refused('2026-01-01T00:00:00Z', 'api.openai.com', NODE, 'standard/fence-quic'),
    ],
    { variables, certificateFile: CERTIFICATE },
  )
  t.match(found, [
    { serverName: 'api.openai.com', executable: '/usr/bin/node', count: 2, last: '2026-01-03T00:00:00Z' },
    { serverName: 'api.anthropic.com', count: 1 },
    { serverName: 'api.openai.com', uid: 1001, count: 1, executable: undefined },
  ])
  t.equal(found.length, 3)
  t.match(found[0], { why: 'certificate-refused', process: 'agent', remedy: /NODE_EXTRA_CA_CERTS/ })
})

t.test('who runs in a container needs it made anew, whatever the program', async (t) => {
  const agent = { ...NODE, container: `docker:${'a'.repeat(64)}` }
  const found = refusers([refused('2026-01-03T00:00:00Z', 'api.openai.com', agent)], {
    variables,
    certificateFile: CERTIFICATE,
  })
  t.match(found, [{ remedy: /agent-anchor env --format docker/ }])
  t.notMatch(found[0]?.remedy, 'NODE_EXTRA_CA_CERTS')
})

t.test('an exchange whose server wanted a client certificate is one too', async (t) => {
  const exchange = {
    ...{ ...common, time: '2026-01-03T00:00:00Z', kind: 'exchange', agent: NODE },
    server: { name: 'mutual.openai.azure.com' },
    error: { code: 'upstream_wants_certificate', message: 'x' },
  } as LogRecord
  const found = refusers([exchange], { variables, certificateFile: CERTIFICATE })
  t.match(found, [
    { why: 'certificate-wanted', serverName: 'mutual.openai.azure.com', remedy: /client certificate/ },
  ])
})
