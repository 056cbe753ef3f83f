// Sends the first packet of QUIC connections to a name, each from a socket of its own.
//
// usage: node quic.mjs '{"sni": …, "to": [{"address": …, "port": 443, "version": 1 | 2}…]}'
// stdout: a line of JSON each: {"address", "port", "version", "error": null | code, "ms", "answered": bool}
import { createSocket } from 'node:dgram'
import { initialPacket } from './quic-initial.mjs'

const WAIT_MS = 300

function send(sni, { address, port, version }) {
  return new Promise((done) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
    const began = performance.now()
    const finish = (outcome) => {
      socket.close()
      const ms = Math.round(performance.now() - began)
      done({ address, port, version, error: null, answered: false, ms, ...outcome })
    }
    const timer = setTimeout(() => finish({}), WAIT_MS)
    const over = (outcome) => {
      clearTimeout(timer)
      finish(outcome)
    }
    socket.once('error', (error) => over({ error: error.code }))
    socket.once('message', () => over({ answered: true }))
    socket.connect(port, address, () =>
      socket.send(initialPacket(sni, version), (error) => error && over({ error: error.code })),
    )
  })
}

const { sni, to } = JSON.parse(process.argv[2])
for (const each of to) console.log(JSON.stringify(await send(sni, each)))
