/** What a client does to go round, what is none of our business, and providers that can't be trusted or reached. */
import t from 'tap'
import { NODE } from '../../lab/places.ts'
import type { Story } from './story.ts'

export function refusals({ lab, list, listed, key, plainSite }: Story): void {
  t.test('NO_PROXY changes nothing', async (t) => {
    const before = (await list('--kind', 'exchange')).length
    const call = await lab.run(
      'agent1',
      ['curl', '-sS', '-H', `Authorization: Bearer ${key('noproxy')}`, 'https://api.openai.com/v1/models'],
      { env: { NO_PROXY: '*', no_proxy: '*', HTTPS_PROXY: '' } },
    )
    t.equal(call.code, 0, call.stderr)
    t.equal((await listed((rows) => rows.length > before, '--kind', 'exchange')).length, before + 1)
  })

  t.test('a hard-coded address reaches no provider, and the attempt is a record', async (t) => {
    for (const address of ['203.0.113.10', '[2001:db8:113::10]']) {
      const refusals = (await list('--kind', 'refusal')).length
      const wire = (await lab.wireLog()).length
      const call = await lab.run('agent1', [
        ...['curl', '-sS', '-k', '--max-time', '5', '-H', 'Host: api.openai.com'],
        ...['-H', `Authorization: Bearer ${key(`ip-${address}`)}`, `https://${address}/v1/models`],
      ])
      t.not(call.code, 0, 'refused')
      t.equal((await lab.wireLog()).length, wire, 'the provider saw nothing')
      const rows = await listed((rs) => rs.length > refusals, '--kind', 'refusal')
      t.match(rows[0], { kind: 'refusal', uid: 4001 })
    }
  })

  t.test('other ports of a provider are captured too, and UDP is refused', async (t) => {
    for (const [url, scheme] of [
      ['https://api.openai.com:8443/v1/models', 'TLS'],
      ['http://api.openai.com:9999/v1/models', 'plain HTTP'],
    ] as const) {
      const before = (await list('--uid', '4002')).length
      const call = await lab.run('agent2', [
        ...['curl', '-sS', '--max-time', '5', '-w', '\n%{http_code}'],
        url,
      ])
      t.match(call.stdout, /agent_anchor_gateway.*\n502$/s, `${scheme}: what answers there is no provider`)
      t.equal(
        (await listed((rows) => rows.length > before, '--uid', '4002')).length,
        before + 1,
        'one record',
      )
    }
    const wire = (await lab.wireLog()).length
    for (const [type, address] of [
      ['udp4', '203.0.113.10'],
      ['udp6', '2001:db8:113::10'],
    ]) {
      const send = `require('dgram').createSocket('${type}').send('x', 443, '${address}', (e) => process.exit(e ? 7 : 0))`
      t.equal((await lab.run('agent2', [NODE, '-e', send])).code, 7, `${type} is refused to the sender`)
    }
    t.equal((await lab.wireLog()).length, wire, 'the provider saw nothing')
  })

  t.test('a site that is no provider works end to end with its own certificate', async (t) => {
    t.match(await plainSite(), { code: 0, own: true })
    const names = (await list()).map((r) => JSON.stringify(r.record))
    t.notOk(
      names.some((text) => text.includes('www.example.org')),
      'and is not recorded',
    )
  })

  t.test(
    'a bad certificate of the provider is a 502 that names the gateway and the reason, and a record',
    async (t) => {
      for (const kind of ['self-signed', 'expired', 'wrong-name', 'unknown-root'] as const) {
        await lab.ask({ type: 'certificate', site: 'api.anthropic.com', kind })
        // Kept connections were trusted when they were made: the gateway must need a new one.
        await lab.ask({ type: 'listening', site: 'api.anthropic.com', on: false })
        await lab.ask({ type: 'listening', site: 'api.anthropic.com', on: true })
        const call = await lab.run('agent1', [
          ...['curl', '-sS', '-w', '\\n%{http_code}', '-H', `x-api-key: ${key(`bad-${kind}`)}`],
          'https://api.anthropic.com/v1/messages',
        ])
        t.match(call.stdout, /agent_anchor_gateway.*upstream_untrusted.*\n502$/s, kind)
      }
      await lab.ask({ type: 'certificate', site: 'api.anthropic.com', kind: 'good' })
      const rows = await listed((rs) => rs.filter((r) => r.outcome === 'upstream-untrusted').length >= 4)
      t.equal(rows.filter((r) => r.outcome === 'upstream-untrusted').length, 4)
    },
  )

  t.test('an unreachable provider is a 502 and a record', async (t) => {
    await lab.ask({ type: 'listening', site: 'api.anthropic.com', on: false })
    const call = await lab.run('agent1', [
      ...['curl', '-sS', '-w', '\\n%{http_code}', '-H', `x-api-key: ${key('unreachable')}`],
      'https://api.anthropic.com/v1/messages',
    ])
    await lab.ask({ type: 'listening', site: 'api.anthropic.com', on: true })
    t.match(call.stdout, /agent_anchor_gateway.*upstream_unreachable.*\n502$/s)
    const rows = await listed((rs) => rs.some((r) => r.outcome === 'upstream-unreachable'))
    t.ok(rows.some((r) => r.outcome === 'upstream-unreachable'))
  })
}
