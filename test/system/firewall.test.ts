/**
 * The firewall against a real kernel: this file runs itself again inside namespaces of its own, and from there
 * in the roles of agents and servers. The machine's own rules are never touched.
 */
import { enterNamespaces } from '../lab/own-namespaces.ts'
import { runAgent } from './firewall/agent.ts'
import { runFarSide } from './firewall/far-side.ts'
import { FOREIGN, LLM } from './firewall/places.ts'

const script = import.meta.filename
const role = process.argv[2]

if (role === 'agent') runAgent()
else if (role === 'far-side')
  runFarSide([80, 443, 8080, 9999], [...Object.values(LLM), ...Object.values(FOREIGN)])
else if (role === 'owner') (await import('./firewall/owner.ts')).runOwner()
else if (role === 'inside') await proveAll()
else process.exitCode = enterNamespaces(script)

async function proveAll(): Promise<void> {
  const cast = await (await import('./firewall/cast.ts')).assemble(script)
  try {
    await (await import('./firewall/behaviour.ts')).prove(cast)
    await (await import('./firewall/frames.ts')).proveFrames(cast)
    await (await import('./firewall/forgeries.ts')).proveForgeries(cast)
    await (await import('./firewall/addresses.ts')).proveAddresses(cast)
    await (await import('./firewall/modes.ts')).proveModes(cast)
    await (await import('./firewall/senders.ts')).proveSenders(cast)
  } finally {
    await cast.stop()
  }
}
