/** The far side: takes whatever comes and answers nothing, but for DNS, which it answers from a fixed table. */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { answerQuery } from '../../lab/internet/dns-answer.ts'
import { FOREIGN, LLM } from '../firewall/places.ts'
import { ANSWERED } from './places.ts'

const PORTS = [443, 8443]

const lookUp = (name: string) =>
  name === ANSWERED.name
    ? {
        a: [Buffer.from(ANSWERED.address4.split('.').map(Number))],
        aaaa: [Buffer.from('20010db8011300000000000000000099', 'hex')],
      }
    : { a: [Buffer.from([203, 0, 113, 1])], aaaa: [] }

export function runServers(): void {
  const addresses = [...Object.values(LLM), ...Object.values(FOREIGN)]
  const ready: Promise<unknown>[] = []
  for (const address of addresses) {
    for (const port of PORTS) {
      const server = createServer((socket) => socket.on('error', () => {}).resume())
      ready.push(new Promise<void>((resolve) => server.listen(port, address, () => resolve())))
    }
    const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4')
    udp.on('message', (query, { port, address: to }) => {
      const answer = answerQuery(query, lookUp)
      if (answer) udp.send(answer, port, to)
    })
    ready.push(new Promise<void>((resolve) => udp.bind(53, address, () => resolve())))
    const tcp = createServer((socket) => {
      socket.on('error', () => {})
      socket.on('data', (query) => {
        const answer = answerQuery(query.subarray(2), lookUp)
        if (!answer) return
        // In two segments: the length alone, then the message.
        socket.setNoDelay(true)
        socket.write(Buffer.from([answer.length >> 8, answer.length & 255]))
        setTimeout(() => socket.write(answer), 20)
      })
    })
    ready.push(new Promise<void>((resolve) => tcp.listen(53, address, () => resolve())))
  }
  Promise.all(ready).then(() => process.send?.('ready'))
  process.on('disconnect', () => process.exit(0))
}
