/**
 * The canary provider: answers calls of every wire style, in a network namespace of its own. Its key is made here
 * and never written; the certificate chain comes on standard input.
 */
import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:https'
import { createInterface } from 'node:readline'
import { canaryAnswer } from './canary-calls.ts'

const address = process.argv[2]
const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
process.stdout.write(`${key.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')}\n`)

const lines = createInterface({ input: process.stdin })
lines.once('line', (line) => {
  const cert = JSON.parse(line) as string
  const server = createServer(
    { key: key.privateKey.export({ type: 'pkcs8', format: 'pem' }), cert, ALPNProtocols: ['http/1.1'] },
    (request, response) => {
      request.resume().on('end', () => {
        const { type, body } = canaryAnswer(request.url ?? '')
        response.setHeader('content-type', type)
        response.end(body)
      })
    },
  )
  server.listen(443, address, () => process.stdout.write('ready\n'))
})
// The installer's end of the pipe closed: nothing left to answer for.
lines.on('close', () => process.exit(0))
