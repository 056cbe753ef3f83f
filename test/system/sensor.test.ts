/**
 * The sensor against a real kernel: this file runs itself again inside namespaces of its own, and from there in the
 * roles of senders and servers.
 */
import { enterNamespaces } from '../lab/own-namespaces.ts'

const script = import.meta.filename
const role = process.argv[2]

if (role === 'sender') (await import('./sensor/sender.ts')).runSender()
else if (role === 'servers') (await import('./sensor/servers.ts')).runServers()
else if (role === 'inside') await (await import('./sensor/behaviour.ts')).prove(script)
else process.exitCode = enterNamespaces(script)
