/**
 * The DNS guard behind real redirections: this file runs itself again inside namespaces of its own, and from there in
 * the roles of name servers and clients. The machine's own rules and resolver are never touched.
 */
import { spawnSync } from 'node:child_process'
import { runClient } from './dns-guard/client.ts'
import { runServer } from './dns-guard/server.ts'
import { PATH } from './dns-guard/world.ts'

const script = import.meta.filename
const role = process.argv[2]

if (role === 'client') runClient()
else if (role === 'server') runServer(process.argv.slice(3))
else if (role === 'inside') await (await import('./dns-guard/behaviour.ts')).prove(script)
else process.exitCode = enterNamespaces()

function enterNamespaces(): number {
  const passed = Object.entries(process.env).filter(
    ([name]) => name.startsWith('TAP') || name.startsWith('_TAPJS'),
  )
  const own = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
  const { status, error } = spawnSync('unshare', [...own, process.execPath, script, 'inside'], {
    env: { ...Object.fromEntries(passed), PATH },
    stdio: 'inherit',
  })
  if (error) throw error
  return status ?? 1
}
