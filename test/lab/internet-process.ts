/**
 * The process that is the laboratory's internet: web sites, resolver and listening posts. It lives in
 * the namespace `internet`, takes commands over its IPC channel and ends when that closes. With the argument
 * `wide` it has more in it than what a well-behaved agent calls.
 */
import { messageOf } from '../../daemon/base/errors.ts'
import {
  ALL_SITES,
  ANTHROPIC,
  BORROWED_NAMES,
  EXAMPLE,
  OPENAI,
  RESOLVER,
  type Site,
  TENANT,
  WIDE_SITES,
} from './addresses.ts'
import type { SiteHandler } from './internet/answer.ts'
import { anthropic } from './internet/anthropic.ts'
import { createPki } from './internet/certificates.ts'
import { DnsServer } from './internet/dns-server.ts'
import { exampleSite } from './internet/example-site.ts'
import { httpsRecord } from './internet/https-record.ts'
import { listenAround } from './internet/listening-posts.ts'
import type { Command, Report, Request } from './internet/messages.ts'
import { openai } from './internet/openai.ts'
import { WebSite } from './internet/web-site.ts'
import { startWide } from './internet/wide.ts'
import { WireLogWriter } from './internet/wire-log-writer.ts'
import { WIRE_LOG } from './wire-log.ts'

const handlers: readonly (readonly [Site, SiteHandler])[] = [
  [OPENAI, openai],
  [ANTHROPIC, anthropic],
  [EXAMPLE, exampleSite],
]

const log = new WireLogWriter(WIRE_LOG)
const pki = await createPki()
const isWide = process.argv[2] === 'wide'
const resolver = new DnsServer(isWide ? [...WIDE_SITES, ...BORROWED_NAMES] : ALL_SITES)
const sites = new Map<string, WebSite>()

if (isWide) for (const [name, site] of await startWide(pki, resolver, log)) sites.set(name, site)
else for (const address of [RESOLVER.address4, RESOLVER.address6]) await resolver.listen(address)
for (const [site, handler] of handlers) {
  const webSite = new WebSite(site, await pki.issue(site.name, 'good'), handler, log)
  await webSite.listen()
  await listenAround(site, log)
  sites.set(site.name, webSite)
}
if (isWide) sites.get(ANTHROPIC.name)?.share(TENANT.name, await pki.issue(TENANT.name, 'good'))

process.on('message', (request: Request) => {
  obey(request.command).then(
    () => report({ type: 'done', id: request.id }),
    (error: unknown) => report({ type: 'failed', id: request.id, message: messageOf(error) }),
  )
})
process.on('disconnect', () => process.exit(0))
await log.flush()
report({ type: 'ready', root: pki.root })

async function obey(command: Command): Promise<void> {
  switch (command.type) {
    case 'flush':
      return log.flush()
    case 'log':
      return log.switch(command.on)
    case 'certificate':
      return siteNamed(command.site).setCredentials(await pki.issue(command.site, command.kind))
    case 'credentials':
      return siteNamed(command.site).setCredentials(command)
    case 'http2':
      return siteNamed(command.site).setHttp2(command.on)
    case 'listening':
      return command.on ? siteNamed(command.site).listen() : siteNamed(command.site).close()
    case 'resolve':
      return resolver.resolve(command.name, command.families, command.next ?? false)
    case 'addresses':
      return resolver.addresses(command.name, command.addresses)
    case 'https-record':
      return resolver.https(
        command.name,
        command.record === 'none' ? undefined : httpsRecord(command.record === 'ech'),
      )
  }
}

function siteNamed(name: string): WebSite {
  const site = sites.get(name)
  if (site === undefined) throw new Error(`no web site of the laboratory is called ${name}`)
  return site
}

function report(message: Report): void {
  process.send?.(message)
}
