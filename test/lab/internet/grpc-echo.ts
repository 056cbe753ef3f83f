/** A gRPC service that says what it was told: once (`/lab.Echo/Say`) or three times (`/lab.Echo/Repeat`). */
import type { ServerHttp2Stream } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'

const TIMES: Readonly<Record<string, number>> = { '/lab.Echo/Say': 1, '/lab.Echo/Repeat': 3 }
const PACE_MS = 20
const UNIMPLEMENTED = 12

/** @param messages with their prefixes, as they came. @returns the body that was sent */
export async function answerGrpc(
  stream: ServerHttp2Stream,
  method: string,
  messages: Buffer,
): Promise<Buffer> {
  const times = TIMES[method]
  const status = times === undefined ? UNIMPLEMENTED : 0
  stream.respond(
    { ':status': 200, 'content-type': 'application/grpc+proto', 'x-lab-initial': 'initial' },
    { waitForTrailers: true },
  )
  stream.once('wantTrailers', () => {
    stream.sendTrailers({ 'grpc-status': status, 'grpc-message': 'said', 'x-lab-trailer': 'trailing' })
  })
  const sent: Buffer[] = []
  for (let time = 0; time < (times ?? 0); time++) {
    if (time > 0) await sleep(PACE_MS)
    stream.write(messages)
    sent.push(messages)
  }
  stream.end()
  return Buffer.concat(sent)
}
