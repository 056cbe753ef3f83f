/** The sensor and uplinks that come and go, on a real kernel, in namespaces of this file's own. */
import { enterNamespaces } from '../lab/own-namespaces.ts'

const script = import.meta.filename
const role = process.argv[2]

if (role === 'sender') (await import('./sensor/sender.ts')).runSender()
else if (role === 'inside') await (await import('./sensor/uplinks.ts')).prove(script)
else process.exitCode = enterNamespaces(script)
