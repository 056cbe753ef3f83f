/**
 * A client of the bench that reads a stream of events and times the way of each.
 *
 * usage: listen.ts '{"host": "…", "events": n, "paceMs": n}'
 * stdout: one line of JSON: {"ms": [per event], "reads": n}; as many reads as events: none was merged or cut
 */
import { request } from 'node:https'
import { stampsIn } from '../lab/internet/stamp.ts'

const { host, events, paceMs } = JSON.parse(process.argv[2] ?? '') as {
  host: string
  events: number
  paceMs: number
}
const body = JSON.stringify({
  model: 'gpt-4o-mini',
  stream: true,
  messages: [{ role: 'user', content: 'word '.repeat(events) }],
})
const ms: number[] = []
let reads = 0
await new Promise<void>((resolve, reject) => {
  const sent = request(
    {
      host,
      path: '/v1/chat/completions',
      method: 'POST',
      headers: {
        authorization: 'Bearer sk-bench',
        'content-type': 'application/json',
        'content-length': body.length,
        'x-lab': `pace=${paceMs}, stamp=sent`,
      },
    },
    (response) => {
      if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`))
      response.on('data', (bytes: Buffer) => {
        const now = performance.timeOrigin + performance.now()
        const stamps = stampsIn(bytes.toString('latin1'))
        if (stamps.length > 0) reads += 1
        for (const stamp of stamps) ms.push(now - stamp)
      })
      response.on('end', resolve)
      response.on('error', reject)
    },
  )
  sent.on('error', reject)
  sent.end(body)
})
process.stdout.write(`${JSON.stringify({ ms, reads })}\n`)
