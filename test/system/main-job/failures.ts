/** The recorder, the daemon and the fence are taken away, and what stands then. */
import t from 'tap'
import { exchangesOf, type Listed, type Story } from './story.ts'

export function failures({ lab, gateway, listed, key, plainSite }: Story): void {
  t.test(
    'with the recorder dead governed calls are refused with 503 and the reason, others flow; then it is back',
    async (t) => {
      const recorder = async () => (await gateway.state())?.children.find(({ name }) => name === 'recorder')
      const call = () =>
        lab.run('agent1', [
          ...[
            'curl',
            '-sS',
            '--max-time',
            '8',
            '-w',
            '\\n%{http_code}',
            '-H',
            `Authorization: Bearer ${key('norecorder')}`,
          ],
          'https://api.openai.com/v1/models',
        ])
      const pid = (await recorder())?.pid ?? 0
      // Stopped first, so that no restart can be quicker than the call.
      process.kill(pid, 'SIGSTOP')
      const wire = exchangesOf(await lab.wireLog(), 'api.openai.com').length
      const refused = await call()
      t.match(refused.stdout, /agent_anchor_gateway.*recorder_unavailable.*\n503$/s)
      t.equal(exchangesOf(await lab.wireLog(), 'api.openai.com').length, wire, 'nothing left the machine')
      t.match(await plainSite(), { code: 0, own: true })
      process.kill(pid, 'SIGKILL')
      const end = Date.now() + 15_000
      let again = await call()
      while (!/200$/.test(again.stdout) && Date.now() < end) again = await call()
      t.match(again.stdout, /\n200$/, 'calls work again without anybody doing anything')
    },
  )

  t.test(
    'SIGKILL of the daemon: providers out of reach at once, the rest works, and nothing is lost',
    async (t) => {
      const stream = JSON.stringify({
        model: 'gpt-4o-mini',
        stream: true,
        messages: [{ role: 'user', content: 'one two three four five six seven eight' }],
      })
      const cut = lab.run('agent1', [
        ...['curl', '-sSN', '-H', `Authorization: Bearer ${key('cut')}`, '-H', 'x-lab: pace=300'],
        ...[
          '-H',
          'content-type: application/json',
          '-d',
          stream,
          'https://api.openai.com/v1/chat/completions',
        ],
      ])
      await new Promise((resolve) => setTimeout(resolve, 900))
      await gateway.kill()
      t.not((await cut).code, 0, 'the stream ends')
      const wire = (await lab.wireLog()).length
      const began = performance.now()
      for (const host of ['api.openai.com', 'api.anthropic.com']) {
        for (const family of ['-4', '-6']) {
          const call = await lab.run('agent2', [
            'curl',
            family,
            '-sS',
            '--max-time',
            '5',
            `https://${host}/v1/models`,
          ])
          t.not(call.code, 0, `${host} ${family}`)
        }
      }
      t.ok(performance.now() - began < 4000, 'refused, not timed out')
      t.equal((await lab.wireLog()).length, wire, 'no provider saw anything')
      t.match(await plainSite(), { code: 0, own: true })
      t.equal((await gateway.cli('status')).code, 3, 'status says that it is not running')

      await gateway.start()
      const rows = await listed((rs) => rs.some((r) => r.outcome === 'interrupted'))
      const interrupted = rows.find((r) => r.outcome === 'interrupted')
      t.match(interrupted, { uid: 4001, provider: 'openai' }, 'the cut exchange is in the log')
      const gaps = await listed((rs) => rs.length > 0, '--kind', 'gap')
      t.ok(
        gaps.some((r) => /supervisor died/.test(String(r.record.cause))),
        'and so is the time without a supervisor',
      )
      const store = await gateway.json('verify', '--offline')
      t.equal(store.verified, true, JSON.stringify(store))
    },
  )

  t.test(
    'a fence that somebody flushed stands again within a second, and who did it is a record',
    async (t) => {
      t.equal((await lab.run('root', ['nft', 'flush', 'ruleset'])).code, 0)
      const stands = async () =>
        (await lab.run('root', ['nft', 'list', 'table', 'inet', 'aa_fence'])).code === 0
      const end = Date.now() + 1000
      while (!(await stands()) && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20))
      t.ok(await stands())
      const lost = (rows: Listed[]) => rows.some((r) => r.record.event === 'ruleset-changed')
      t.ok(lost(await listed(lost, '--kind', 'audit')))
    },
  )
}
