// Calls of the laboratory's gRPC echo as an agent would make them, on one channel.
//
// usage: node grpc.mjs '{"host": "…", "method": "Say" | "Repeat" | "Nothing", "text": "…", "key": "…"}'
// stdout: {"ok": true, "said": ["…"], "initial", "trailing"} or {"ok": false, "error": {…}}
import grpc from '@grpc/grpc-js'
import { report } from './report.mjs'

const { host, method, text, key } = JSON.parse(process.argv[2])

await report(async () => {
  const client = new grpc.Client(`${host}:443`, grpc.credentials.createSsl())
  const metadata = new grpc.Metadata()
  metadata.set('authorization', `Bearer ${key}`)
  metadata.set('x-lab-bin', Buffer.from([0, 1, 2, 255]))
  const write = (value) => Buffer.from(value)
  const read = (bytes) => bytes.toString()
  const path = `/lab.Echo/${method}`
  const said = []
  const unary = Promise.withResolvers()
  const call =
    method === 'Repeat'
      ? client.makeServerStreamRequest(path, write, read, text, metadata)
      : client.makeUnaryRequest(path, write, read, text, metadata, (error, message) =>
          error ? unary.reject(error) : unary.resolve(message),
        )
  let initial
  call.on('metadata', (map) => {
    initial = map.get('x-lab-initial')[0]
  })
  const status = new Promise((resolve) => call.on('status', resolve))
  try {
    if (method !== 'Repeat') said.push(await unary.promise)
    else for await (const message of call) said.push(message)
  } finally {
    client.close()
  }
  return { said, initial, trailing: (await status).metadata.get('x-lab-trailer')[0] }
})
