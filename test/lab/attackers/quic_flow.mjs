// A QUIC connection past the proxy, as far as it gets: a first packet that names a host, and more from the same socket.
//
// usage: node quic_flow.mjs '{"sni": …, "address": …, "port": 443, "more": 20}'
// stdout: {"sent": datagrams that left the socket, "errors": [code…]}
import { createSocket } from 'node:dgram'
import { setTimeout as sleep } from 'node:timers/promises'
import { initialPacket } from './quic-initial.mjs'

const MORE_MS = 100
const { sni, address, port = 443, more = 20 } = JSON.parse(process.argv[2])
const outcome = { sent: 0, errors: [] }
const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
const failed = ({ code }) => outcome.errors.push(code)
socket.on('error', failed)
await new Promise((done) => socket.connect(port, address, done))
const send = (bytes) =>
  new Promise((done) =>
    socket.send(bytes, (error) => {
      if (error) failed(error)
      else outcome.sent += 1
      done()
    }),
  )
await send(initialPacket(sni, 1))
for (let i = 0; i < more; i++) {
  await sleep(MORE_MS)
  await send(Buffer.from(`more of it: ${i}`))
}
console.log(JSON.stringify(outcome))
socket.close()
