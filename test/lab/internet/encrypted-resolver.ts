/** DNS over HTTPS (RFC 8484) and over TLS (RFC 7858), as public resolvers offer them. */
import { once } from 'node:events'
import { createServer } from 'node:tls'
import { addressesOf, type Site } from '../addresses.ts'
import { type Answer, jsonAnswer, type SiteHandler } from './answer.ts'
import type { Credentials } from './certificates.ts'
import type { DnsServer } from './dns-server.ts'
import { logBytes, logConnection } from './logged-connection.ts'
import type { WireLogWriter } from './wire-log-writer.ts'

const DOT_PORT = 853

/** What such a service's web site does, for `WebSite`. */
export function dnsOverHttps(resolver: DnsServer): SiteHandler {
  return ({ head, path, query, content }): Answer => {
    const asked = head.method === 'POST' ? content : Buffer.from(query.get('dns') ?? '', 'base64url')
    const answer = path === '/dns-query' ? resolver.answer(asked) : undefined
    if (answer === undefined) return jsonAnswer(400, { error: 'no DNS message' })
    return { status: 200, fields: [['Content-Type', 'application/dns-message']], body: answer }
  }
}

export async function listenForDot(
  site: Site,
  credentials: Credentials,
  resolver: DnsServer,
  log: WireLogWriter,
): Promise<void> {
  for (const address of addressesOf(site)) {
    const server = createServer(credentials, (socket) => {
      const where = { site: site.name, port: DOT_PORT, protocol: 'tcp' } as const
      logBytes(socket, log, logConnection(socket, log, where))
      void resolver.serve(socket)
    })
    server.on('tlsClientError', () => {})
    server.listen({ host: address, port: DOT_PORT })
    await once(server, 'listening')
  }
}
