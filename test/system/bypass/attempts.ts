/** How it is tried: the programs of test/lab/attackers, and curl with whatever it can do. */
import type { Test } from 'tap'
import { chatCall, curlCommand } from '../../lab/client-commands.ts'
import { NODE, REPOSITORY } from '../../lab/places.ts'
import type { Outcome } from '../../lab/process.ts'
import type { World } from './world.ts'

/** Runs commands after each other as a user of `host`. */
export function inTurn(world: World): (user: string, ...commands: string[][]) => Promise<Outcome[]> {
  return async (user, ...commands) => {
    const outcomes: Outcome[] = []
    for (const argv of commands) outcomes.push(await world.lab.run(user, argv, { cwd: '/' }))
    return outcomes
  }
}

/** The client got the answer it wanted, each time. */
export function answered(t: Test, outcomes: Outcome[]): void {
  for (const { stdout, stderr } of outcomes) {
    t.match(stdout, /^HTTP\/1\.1 200 |"ok": ?true/m, 'it got its answer', { stderr })
  }
}

const attackers = `${REPOSITORY}/test/lab/attackers`

/** Everything that `https_call.py` takes. */
export interface HttpsCall {
  readonly address: string
  readonly port?: number
  readonly sni?: string
  readonly host: string
  readonly target?: string
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly plain?: boolean
  readonly hold?: boolean
}

export const httpsCall = (call: HttpsCall): string[] => python('https_call', call)

export const bytesCall = (call: {
  readonly address: string
  readonly port: number
  readonly hex?: string
  readonly text?: string
  readonly seconds?: number
}): string[] => python('bytes_call', call)

export interface Datagram {
  readonly kind: 'udp' | 'udplite' | 'icmp' | 'sctp' | 'gre' | number
  readonly address: string
  readonly port?: number
  readonly text?: string
}

export const datagrams = (all: readonly Datagram[]): string[] => python('datagrams', all)

/** TYPE of RFC 1035, RFC 3596 and RFC 9460. */
export const DNS_TYPE = { a: 1, aaaa: 28, https: 65 } as const

export const dnsQuestion = (asked: {
  readonly server: string
  readonly name: string
  readonly type: number
  readonly by: 'udp' | 'tcp' | 'tls'
}): string[] => python('dns_question', asked)

export const webSocket = (asked: {
  readonly host: string
  readonly target: string
  readonly message: string
  readonly fragment: number
}): string[] => python('web_socket', asked)

export const hello = (asked: {
  readonly address: string
  readonly port?: number
  readonly sni?: string
  readonly ech?: boolean
  readonly alpn?: readonly string[]
  readonly pieces?: number
  readonly seconds?: number
}): string[] => [NODE, `${attackers}/hello.mjs`, JSON.stringify(asked)]

export interface QuicTarget {
  readonly address: string
  readonly port: number
  readonly version: 1 | 2
}

export const quic = (sni: string, to: readonly QuicTarget[]): string[] => [
  NODE,
  `${attackers}/quic.mjs`,
  JSON.stringify({ sni, to }),
]

/** A chat completion by curl with further options. */
export const chat = (prompt: string, ...options: string[]): string[] =>
  curlCommand(chatCall('sk-lab', prompt), options)

/** GET of a URL by curl with a key of OpenAI's form, giving up after five seconds. */
export const get = (url: string, ...options: string[]): string[] =>
  curlCommand({ url, headers: { Authorization: 'Bearer sk-lab' } }, ['--max-time', '5', ...options])

/** What an attacker's program printed, a JSON value a line. */
export function printed<T>({ stdout }: Outcome): T[] {
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as T)
}

function python(program: string, asked: unknown): string[] {
  return ['/usr/bin/python3', '-B', `${attackers}/${program}.py`, JSON.stringify(asked)]
}
