/**
 * The DNS guard behind real redirections: this file runs itself again inside namespaces of its own, and from there in
 * the roles of name servers and clients. The machine's own rules and resolver are never touched.
 */
import { enterNamespaces } from '../lab/own-namespaces.ts'
import { runClient } from './dns-guard/client.ts'
import { runServer } from './dns-guard/server.ts'

const script = import.meta.filename
const role = process.argv[2]

if (role === 'client') runClient()
else if (role === 'server') runServer(process.argv.slice(3))
else if (role === 'inside') await (await import('./dns-guard/behaviour.ts')).prove(script)
else process.exitCode = enterNamespaces(script)
