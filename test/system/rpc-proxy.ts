/**
 * An RPC endpoint that a test makes misbehave: in front of a real node, it forwards what it is asked, unless its
 * fault does something else with it. It remembers every transaction that it was ever given.
 */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Transaction } from 'ethers/transaction'
import type { Test } from 'tap'

export interface Question {
  readonly id: unknown
  readonly method: string
  readonly params: readonly unknown[]
}

export interface Exchange {
  readonly question: Question
  /** What the node answers. */
  forward(): Promise<Answer>
  readonly response: ServerResponse
}

export interface Answer {
  jsonrpc: string
  id: unknown
  result?: unknown
  error?: { code: number; message: string; data?: string }
}

/** Gives the answer to send, or undefined where it has dealt with the response itself. */
export type Fault = (exchange: Exchange) => Promise<Answer | undefined>

export interface RpcProxy {
  readonly url: string
  readonly host: string
  /** Undefined: honest. */
  fault: Fault | undefined
  /** Methods in the order in which they came. */
  readonly asked: string[]
  /** Everything that was sent to it, decoded; nothing of it need ever have reached the node. */
  readonly sent: { readonly hash: string; readonly nonce: number; readonly transaction: Transaction }[]
}

export async function startRpcProxy(t: Test, node: () => string): Promise<RpcProxy> {
  const asked: string[] = []
  const sent: RpcProxy['sent'] = []
  const server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('error', () => undefined)
    response.on('error', () => undefined)
    request.on('end', () => {
      const body = Buffer.concat(parts).toString()
      const question = JSON.parse(body) as Question
      asked.push(question.method)
      if (question.method === 'eth_sendRawTransaction') {
        const transaction = Transaction.from(String(question.params[0]))
        sent.push({ hash: transaction.hash!, nonce: transaction.nonce, transaction })
      }
      const forward = async () => {
        const answer = await fetch(node(), {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body,
        })
        return (await answer.json()) as Answer
      }
      const answering = proxy.fault ? proxy.fault({ question, forward, response }) : forward()
      answering.then(
        (answer) => answer && response.end(JSON.stringify(answer)),
        // The node is down: so is what stands in front of it.
        () => response.destroy(),
      )
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const proxy: RpcProxy = {
    url: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    fault: undefined,
    asked,
    sent,
  }
  return proxy
}

export const answer = ({ id }: Question, result: unknown): Answer => ({ jsonrpc: '2.0', id, result })
export const refusal = ({ id }: Question, code: number, message: string): Answer => ({
  jsonrpc: '2.0',
  id,
  error: { code, message },
})

/** A fault of some methods only. */
export const only =
  (methods: readonly string[], fault: Fault): Fault =>
  (exchange) =>
    methods.includes(exchange.question.method) ? fault(exchange) : exchange.forward()

export const hang: Fault = async () => undefined

export const cut: Fault = async ({ response }) => {
  response.destroy()
  return undefined
}

/** The node gets it, the answer is lost. */
export const cutAfter: Fault = async ({ forward, response }) => {
  await forward()
  response.destroy()
  return undefined
}

/** These bytes, whatever was asked. */
const says =
  (text: string, status = 200): Fault =>
  async ({ response }) => {
    response.writeHead(status).end(text)
    return undefined
  }

/** What no honest node answers, each in its own way. */
export const GARBAGE: readonly Fault[] = [
  says('<html>It works!</html>'),
  says(''),
  says('{"jsonrpc":"2.0","id":1,"resu'),
  says('Bad Gateway', 502),
  says(`"${'x'.repeat(2 << 20)}"`),
  async ({ question }) => ({ ...answer(question, '0x1'), id: 'another' }),
  async ({ question }) => answer(question, null),
  async ({ question }) => answer(question, {}),
  async ({ question }) => answer(question, '0xzz'),
  async ({ question }) => answer(question, 'f'.repeat(500_000)),
  async ({ question }) => answer(question, [[[[]]]]),
  async ({ question }) => refusal(question, 7, '\u001b[2J'.repeat(1000)),
]
