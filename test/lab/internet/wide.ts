/** The wide internet: sites that a pattern of the catalogue names, other resolvers, and a relay. */
import { writeFileSync } from 'node:fs'
import {
  ASKING,
  addressesOf,
  ENCRYPTED_RESOLVERS,
  FOREIGN_RESOLVER,
  MUTUAL,
  RELAY,
  RESOLVER,
  WIDE_WEB_SITES,
} from '../addresses.ts'
import { CLIENT_CERTIFICATE } from '../places.ts'
import type { SiteHandler } from './answer.ts'
import { azure } from './azure.ts'
import { bedrock } from './bedrock.ts'
import type { Pki } from './certificates.ts'
import type { DnsServer } from './dns-server.ts'
import { dnsOverHttps, listenForDot } from './encrypted-resolver.ts'
import { exampleSite } from './example-site.ts'
import { gemini } from './gemini.ts'
import { listenAround } from './listening-posts.ts'
import { mistral } from './mistral.ts'
import { openai } from './openai.ts'
import { startRelay } from './relay.ts'
import { WebSite } from './web-site.ts'
import type { WireLogWriter } from './wire-log-writer.ts'

const handlers: readonly SiteHandler[] = [azure, bedrock, openai, exampleSite, azure, azure, gemini, mistral]
/** Who wants to see a client certificate. */
const asked = new Map([
  [MUTUAL, 'required'],
  [ASKING, 'wanted'],
] as const)

/** Starts it all and gives its web sites by name. The machine's own resolver logs its questions from then on. */
export async function startWide(
  pki: Pki,
  resolver: DnsServer,
  log: WireLogWriter,
): Promise<ReadonlyMap<string, WebSite>> {
  const sites = new Map<string, WebSite>()
  const { cert, key } = await pki.issue('agent.example.net', 'good')
  writeFileSync(CLIENT_CERTIFICATE, `${cert}\n${key}`)
  for (const [index, site] of WIDE_WEB_SITES.entries()) {
    const clients = asked.get(site)
    const webSite = new WebSite(site, await pki.issue(site.name, 'good'), handlers[index]!, log, {
      ...(clients && { clients: { certificate: clients, roots: pki.root } }),
    })
    await webSite.listen()
    await listenAround(site, log)
    sites.set(site.name, webSite)
  }
  for (const site of ENCRYPTED_RESOLVERS) {
    const credentials = await pki.issue(site.name, 'good', addressesOf(site))
    const webSite = new WebSite(site, credentials, dnsOverHttps(resolver), log)
    await webSite.listen()
    await listenForDot(site, credentials, resolver, log)
    for (const address of addressesOf(site)) await resolver.listen(address, { site: site.name, log })
    sites.set(site.name, webSite)
  }
  for (const site of [RESOLVER, FOREIGN_RESOLVER]) {
    for (const address of addressesOf(site)) await resolver.listen(address, { site: site.name, log })
  }
  await startRelay(await pki.issue(RELAY.name, 'good'), log)
  return sites
}
