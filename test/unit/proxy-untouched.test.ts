import { X509Certificate } from 'node:crypto'
import { connect as connectH2 } from 'node:http2'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import { distrust } from '../../daemon/proxy/untouched/distrust.ts'
import { Refusers } from '../../daemon/proxy/untouched/refusers.ts'
import { ask } from './h2-rig.ts'
import {
  gateway,
  type Identity,
  internet,
  NAME,
  providerIdentity,
  reading,
  rulesOf,
  startRig,
} from './proxy-rig.ts'

const HOUR = 3_600_000
const process = (sha256: string) => ({ pid: 7, name: 'x', sha256 })
const NODE = { uid: 1000, processes: [process('aa')] }
const PYTHON = { uid: 1000, processes: [process('bb')] }

t.test('an alert about the certificate is distrust, another or a lost connection is not', async (t) => {
  const alert = (number: number) => `ssl/tls alert x:../rec_layer_s3.c:918:SSL alert number ${number}`
  t.match(distrust({ error: alert(48), shown: true }), /unknown_ca/)
  t.match(distrust({ error: alert(42), shown: true }), /bad_certificate/)
  t.match(distrust({ error: undefined, shown: true }), /pins another/)
  t.equal(distrust({ error: undefined, shown: false }), undefined, 'it went before it saw anything')
  for (const error of [alert(70), alert(45), 'no shared cipher', 'it took too long'])
    t.equal(distrust({ error, shown: true }), undefined, error)
})

t.test('it is known of one program of one user and one name, for an hour', async (t) => {
  const refusers = new Refusers()
  await refusers.add({ agent: NODE, name: NAME }, 0)
  t.equal(await refusers.has({ agent: NODE, name: NAME }, HOUR - 1), true)
  t.equal(await refusers.has({ agent: NODE, name: NAME }, HOUR), false)
  t.equal(await refusers.has({ agent: PYTHON, name: NAME }, 1), false, 'another program')
  t.equal(await refusers.has({ agent: { ...NODE, uid: 1001 }, name: NAME }, 1), false, 'another user')
  t.equal(await refusers.has({ agent: NODE, name: 'api.anthropic.com' }, 1), false, 'another name')
  t.equal(await refusers.has({ agent: { uid: 1000 }, name: NAME }, 1), false, 'a program that nobody found')
  t.equal(
    await refusers.has(
      { agent: { uid: 1000, processes: [...NODE.processes, ...PYTHON.processes] }, name: NAME },
      1,
    ),
    false,
  )
})

t.test('a flood of other users’ makes room for the newest only', async (t) => {
  const refusers = new Refusers()
  for (let uid = 0; uid < 5000; uid++) await refusers.add({ agent: { uid }, name: NAME }, uid)
  t.equal(await refusers.has({ agent: { uid: 4999 }, name: NAME }, 5000), true)
  t.equal(await refusers.has({ agent: { uid: 0 }, name: NAME }, 5000), false)
})

/** A connection whose client takes the provider's certificate only; says which one it was shown, or the error. */
function pinned(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectTls({ port, host: '127.0.0.1', servername: NAME, ca: [internet.certificatePem] })
    socket.once('secureConnect', () => {
      resolve(socket.getPeerX509Certificate()?.fingerprint256 ?? '')
      socket.end('GET / HTTP/1.1\r\n\r\n')
    })
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  })
}

const greeting = (socket: Socket) => socket.on('data', () => socket.end('HTTP/1.1 204 No Content\r\n\r\n'))

t.test('a client that refuses our certificate fails again and again, each time with a record', async (t) => {
  const rig = await startRig({ provider: greeting })
  t.teardown(() => rig.stop())
  for (let i = 1; i <= 50; i++) {
    t.match(await pinned(rig.proxyPort), /SELF_SIGNED|UNABLE_TO/)
    await rig.recorder.until(() => rig.recorder.refusals().length === i)
  }
  for (const refusal of rig.recorder.refusals())
    t.match(refusal, { rule: 'standard/client-refused', serverName: NAME, reason: /does not know the CA/ })
  t.equal(rig.worker.state().spliced, 0)
})

t.test('where the policy lets it through, it passes unread from the second connection on', async (t) => {
  const rig = await startRig({
    provider: greeting,
    rules: rulesOf('standard', { proxy: { uninterceptable: 'splice' } }),
  })
  t.teardown(() => rig.stop())
  t.match(await pinned(rig.proxyPort), /SELF_SIGNED|UNABLE_TO/)
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.equal(await pinned(rig.proxyPort), new X509Certificate(providerIdentity.cert).fingerprint256)
  await rig.recorder.until(() => rig.recorder.refusals().length === 2)
  t.match(rig.recorder.refusals(), [
    { rule: 'standard/client-refused' },
    { rule: 'standard/uninterceptable', serverName: NAME, reason: /^let through unread/ },
  ])
  t.equal(rig.worker.state().spliced, 1)
})

t.test('a client that looks at the key after the handshake, and goes, is one too', async (t) => {
  const rig = await startRig({ provider: greeting })
  t.teardown(() => rig.stop())
  ;(await rig.agent()).end()
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals(), [{ rule: 'standard/client-refused', reason: /without a word/ }])
  const agent = await rig.agent()
  agent.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
  agent.end()
  await rig.recorder.ended()
  t.equal(rig.recorder.refusals().length, 1, 'who said something is none')
})

t.test('who has found the trust in between is intercepted where nobody refused', async (t) => {
  const rig = await startRig({
    provider: greeting,
    rules: rulesOf('standard', { proxy: { uninterceptable: 'splice' } }),
  })
  t.teardown(() => rig.stop())
  const agent = await rig.agent({ ca: gateway.certificatePem })
  agent.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
  await reading(agent).until('204')
  await rig.recorder.ended()
  t.equal(rig.worker.state().spliced, 0)
})

for (const protocol of ['http/1.1', 'h2'] as const) {
  t.test(
    `a provider that wants a client certificate: the agent hears it, then passes unread (${protocol})`,
    async (t) => {
      const mutual = { ...providerIdentity, requestCert: true, rejectUnauthorized: true }
      const rig = await startRig({
        provider: greeting,
        alpn: [protocol],
        tls: { ...mutual, ca: [internet.certificatePem] } as Identity,
        rules: rulesOf('standard', { proxy: { uninterceptable: 'splice' } }),
      })
      t.teardown(() => rig.stop())
      const agent = await rig.agent({ alpn: [protocol] })
      const code = { code: 'upstream_wants_certificate' }
      if (protocol === 'h2') {
        const session = connectH2(`https://${NAME}`, { createConnection: () => agent })
        session.on('error', () => {})
        const { headers, body } = await ask(session, { ':path': '/v1/models' })
        t.match(headers, { ':status': 502 })
        t.match(JSON.parse(body.toString()), { error: code })
      } else {
        agent.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
        t.match(await reading(agent).until('end'), /^HTTP\/1.1 502 [\s\S]*upstream_wants_certificate/)
      }
      const { end } = await rig.recorder.ended()
      t.match(end, { outcome: 'upstream-aborted', error: code })
      t.equal(await pinned(rig.proxyPort), new X509Certificate(providerIdentity.cert).fingerprint256)
      t.equal(rig.worker.state().spliced, 1)
    },
  )
}
