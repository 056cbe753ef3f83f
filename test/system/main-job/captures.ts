/** Unmodified clients are captured: SDKs, curl, Python. */
import t from 'tap'
import { REPOSITORY } from '../../lab/places.ts'
import { plain, type Story } from './story.ts'

const users = [
  { name: 'agent1', uid: 4001 },
  { name: 'agent2', uid: 4002 },
]
const providers = [
  { script: 'openai.mjs', site: 'api.openai.com', provider: 'openai', model: 'gpt-4o-mini' },
  { script: 'anthropic.mjs', site: 'api.anthropic.com', provider: 'anthropic', model: 'claude-sonnet-5' },
]

export function captures({ lab, gateway, listed, key, sdk, wired }: Story): void {
  t.test('it captures once the catalogue is looked up, and does not wait in vain for that', async (t) => {
    t.equal((await gateway.state())?.enforcement.addressesKnown, true)
  })

  for (const { script, site, provider, model } of providers) {
    for (const user of users) {
      for (const families of ['4', '6'] as const) {
        for (const stream of [false, true]) {
          const what = `${script} ${stream ? 'SSE' : 'JSON'} by ${user.name} over IPv${families}`
          t.test(`captures the unmodified SDK: ${what}`, async (t) => {
            await lab.ask({ type: 'resolve', name: site, families })
            const prompt = `question of ${what}`
            const apiKey = key(`${provider}-${user.name}-${families}-${stream}`)
            const call = await sdk(user.name, script, { apiKey, prompt, stream })
            t.equal(call.code, 0, call.stdout + call.stderr)
            const answer = JSON.parse(call.stdout) as {
              id: string
              text: string
              usage: Record<string, number>
            }

            const seen = await wired(site, prompt, 1)
            t.equal(seen.length, 1, 'the provider saw one request')
            t.match(seen[0]?.head.toString(), apiKey, 'with the key as the agent sent it')
            t.ok(answer.text.includes(prompt), 'the answer came back whole')

            const rows = await listed((rs) => rs.some((r) => JSON.stringify(r.record).includes(answer.id)))
            const row = rows.find((r) => JSON.stringify(r.record).includes(answer.id))
            t.ok(row, 'a record has the id of the answer')
            t.match(row, {
              kind: 'exchange',
              uid: user.uid,
              provider,
              model,
              status: 200,
              outcome: 'complete',
            })
            const client = row?.record.client as { port: number } | undefined
            t.not(
              seen[0]?.remotePort,
              client?.port,
              "it reached the provider from the proxy's socket, not the agent's",
            )
            const usage = answer.usage
            t.equal(row?.input_tokens, usage.prompt_tokens ?? usage.input_tokens)
            t.equal(row?.output_tokens, usage.completion_tokens ?? usage.output_tokens)

            const shown = (await gateway.json('show', row?.id ?? '', '--bodies')).bodies as Record<
              string,
              string
            >
            const bytes = (name: string) => Buffer.from(shown[name] ?? '', 'base64').toString()
            t.equal(
              bytes('request.body'),
              seen[0]?.body.toString(),
              'the stored request is what the provider saw',
            )
            t.ok(
              seen[0]?.response.includes(Buffer.from(shown['response.body'] ?? '', 'base64')) || stream,
              'the stored answer is what the provider sent',
            )
            t.ok(plain(shown['response.body'] ?? '').includes(answer.id), 'and the answer that the agent got')
            t.notOk(bytes('request.head').includes(apiKey), 'the stored head has no key')
          })
        }
      }
    }
  }

  t.test(
    'curl gets the answer byte for byte as the provider sent it, head and body, over JSON and SSE',
    async (t) => {
      for (const stream of [false, true]) {
        const body = JSON.stringify({
          model: 'gpt-4o-mini',
          stream,
          messages: [{ role: 'user', content: `bytes ${stream}` }],
        })
        const { code, stdoutBytes, stderr } = await lab.run('agent1', [
          'curl',
          ...['--silent', '--show-error', '--include', '--raw', '--http1.1'],
          ...['-H', `Authorization: Bearer ${key(`curl-${stream}`)}`, '-H', 'Content-Type: application/json'],
          ...['-H', 'X-OdD-cAsE: kept', '-d', body, 'https://api.openai.com/v1/chat/completions'],
        ])
        t.equal(code, 0, stderr)
        const [seen] = await wired('api.openai.com', `bytes ${stream}`, 1)
        t.ok(seen?.response.equals(stdoutBytes), 'same bytes')
        t.match(seen?.head.toString(), /\r\nX-OdD-cAsE: kept\r\n/, "header names keep the agent's case")
      }
    },
  )

  t.test("captures Python's urllib", async (t) => {
    const asked = {
      url: 'https://api.anthropic.com/v1/messages',
      headers: {
        'x-api-key': key('urllib'),
        'content-type': 'application/json',
        'anthropic-version': '2023-06-01',
      },
      body: JSON.stringify({
        model: 'claude-sonnet-5',
        max_tokens: 9,
        messages: [{ role: 'user', content: 'snake' }],
      }),
    }
    const call = await lab.run('agent2', [
      '/usr/bin/python3',
      `${REPOSITORY}/test/lab/clients/urllib_call.py`,
      JSON.stringify(asked),
    ])
    t.equal(call.code, 0, call.stdout + call.stderr)
    const { id } = JSON.parse(
      Buffer.from((JSON.parse(call.stdout) as { body: string }).body, 'base64').toString(),
    ) as { id: string }
    const rows = await listed((rs) => rs.some((r) => JSON.stringify(r.record).includes(id)))
    t.match(
      rows.find((r) => JSON.stringify(r.record).includes(id)),
      { uid: 4002, provider: 'anthropic', model: 'claude-sonnet-5', status: 200 },
    )
  })
}
