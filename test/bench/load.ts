/**
 * The load of the bench: chat completion calls over keep-alive connections, one call a connection at a time.
 *
 * usage: load.ts '{"connections": n, "requests": n, "host": "…"}'
 * stdout: one line of JSON: {"ms": [per call]}
 */
import { Agent, request } from 'node:https'

const { connections, requests, host } = JSON.parse(process.argv[2] ?? '') as {
  connections: number
  requests: number
  host: string
}
const agent = new Agent({ keepAlive: true, maxSockets: connections })
// 2 KB out, 1.5 KB back: what the field's figures were measured with.
const body = JSON.stringify({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'x'.repeat(1950) }] })

const call = () =>
  new Promise<number>((resolve, reject) => {
    const began = performance.now()
    const sent = request(
      {
        host,
        agent,
        path: '/v1/chat/completions',
        method: 'POST',
        headers: {
          authorization: 'Bearer sk-bench',
          'content-type': 'application/json',
          'content-length': body.length,
          'x-lab': 'size=1500',
        },
      },
      (response) => {
        if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`))
        response.resume().on('end', () => resolve(performance.now() - began))
      },
    )
    sent.on('error', reject)
    sent.end(body)
  })

/** Warms connections and code first; those calls don't count. */
await Promise.all(Array.from({ length: connections }, call))
const ms: number[] = []
let left = requests
await Promise.all(
  Array.from({ length: connections }, async () => {
    while (left-- > 0) ms.push(await call())
  }),
)
agent.destroy()
process.stdout.write(`${JSON.stringify({ ms })}\n`)
