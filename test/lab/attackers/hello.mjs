// Sends one hand-made ClientHello over TCP and tells what came back.
//
// usage: node hello.mjs '{"address": …, "port": 443, "sni": …, "ech": bool, "pieces": n, "seconds": 5}'
// stdout: {"connected", "answered": "server-hello" | "alert" | "other" | null, "ended": "closed" | error | null}
import { connect } from 'node:net'
import { asRecord, clientHello } from './client-hello.mjs'

const { address, port = 443, pieces = 1, seconds = 5, ...hello } = JSON.parse(process.argv[2])
const outcome = { connected: false, answered: null, ended: null }
const socket = connect(port, address)
const finish = (ended) => {
  console.log(JSON.stringify({ ...outcome, ended }))
  process.exit(0)
}
socket.setNoDelay(true)
socket.on('connect', async () => {
  outcome.connected = true
  const bytes = asRecord(clientHello(hello))
  const size = Math.ceil(bytes.length / pieces)
  for (let at = 0; at < bytes.length; at += size) {
    socket.write(bytes.subarray(at, at + size))
    await new Promise((done) => setTimeout(done, 5))
  }
})
socket.on('data', (chunk) => {
  outcome.answered ??= { 22: 'server-hello', 21: 'alert' }[chunk[0]] ?? 'other'
  if (outcome.answered === 'server-hello') finish(null)
})
socket.on('error', (error) => finish(error.code))
socket.on('close', () => finish('closed'))
setTimeout(() => finish(null), seconds * 1000)
